"""Every dtype goes into an engine and comes out of it: in Python, and inside TensorFlow."""

import ml_dtypes
import numpy as np
import pytest

import support
from support import EngineCalls

import tensorflow as tf
from graft import _op_library

v1 = tf.compat.v1
HALVES = [np.float16, ml_dtypes.bfloat16]
INTEGERS = [np.int32, np.int64, np.uint8, np.int8]
# Of the largest element; TensorFlow's own sums in 16 bits are no better.
TOLERANCE = {np.float16: 4e-3, ml_dtypes.bfloat16: 3e-2, np.float64: 1e-13}


@pytest.fixture(scope="module", autouse=True)
def op_library():
    _op_library.load()


def network(x):
    """What all floating-point types have kernels for."""
    rng = np.random.default_rng(3)
    weight = lambda *shape: tf.constant((rng.standard_normal(shape) / 4).astype(x.dtype.as_numpy_dtype))
    y = tf.nn.relu(tf.nn.conv2d(x, weight(3, 3, 3, 8), 1, "SAME") + weight(8))
    y = tf.nn.max_pool2d(y, 2, 2, "SAME") + tf.nn.avg_pool2d(y, 2, 2, "SAME")
    y = tf.matmul(tf.reduce_mean(y, [1, 2]), weight(8, 5))
    return tf.nn.softmax(y)


def integers(x):
    return tf.reduce_max(x * x + x, axis=1)


def booleans(x):
    return tf.logical_not(tf.reduce_any(x, axis=1))


CASES = [(dtype, network, (2, 8, 8, 3)) for dtype in [*HALVES, np.float64]]
CASES += [(dtype, integers, (3, 7)) for dtype in INTEGERS]
CASES += [(np.bool_, booleans, (3, 7))]


def graph_of(build, dtype, shape):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(dtype, [None, *shape[1:]], "x")
        tf.identity(build(x), "y")
    return graph.as_graph_def()


def run_graph(graph, feed):
    with tf.Graph().as_default() as imported, v1.Session(graph=imported) as session:
        tf.import_graph_def(graph, name="")
        return session.run("y:0", feed)


def check(value, expected, dtype):
    assert value.dtype == expected.dtype == dtype
    if dtype in TOLERANCE:
        assert support.relative_error(value, expected) <= TOLERANCE[dtype]
    else:
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("dtype, build, shape", CASES, ids=lambda v: getattr(v, "__name__", None))
def test_engines_take_every_dtype(dtype, build, shape, tmp_path):
    import graft

    model, plan, converted = tmp_path / "model.pb", tmp_path / "model.plan", tmp_path / "converted.pb"
    graph = graph_of(build, dtype, shape)
    model.write_bytes(graph.SerializeToString())
    x = (np.random.default_rng(1).standard_normal(shape) * 2).astype(dtype)
    expected = run_graph(graph, {"x:0": x})

    support.convert(model, "--plan", plan)
    engine = graft.Engine(str(plan))
    assert engine.inputs[0].dtype == dtype and engine.outputs[0].dtype == dtype
    (value,) = engine.run({"x": x}).values()
    check(value, expected, dtype)

    report = support.convert(model, "--output", converted, "--minimum-segment-size", 1)
    assert report["engines"] == 1
    with EngineCalls() as engines:
        value = run_graph(v1.GraphDef.FromString(converted.read_bytes()), {"x:0": x})
    engines.assert_engine_ran()
    check(value, expected, dtype)


@pytest.mark.parametrize("dtype", [tf.qint8, tf.quint8, tf.qint16, tf.quint16, tf.qint32], ids=lambda q: q.name)
def test_quantized_tensors_cross_the_borders_of_engines(dtype, tmp_path):
    """As what they are in TensorFlow; as integers in a plan."""
    import graft

    with tf.Graph().as_default() as graph:
        x = v1.placeholder(dtype, [None, 5], "x")
        real = tf.raw_ops.Dequantize(input=x, min_range=-3.0, max_range=5.0)
        made = tf.raw_ops.QuantizeV2(input=real * 2, min_range=-3.0, max_range=5.0, T=dtype)
        tf.reshape(made.output, [-1, 3], name="y")
    graph = graph.as_graph_def()
    model, plan, converted = tmp_path / "model.pb", tmp_path / "model.plan", tmp_path / "converted.pb"
    model.write_bytes(graph.SerializeToString())
    integers = np.dtype(dtype.as_numpy_dtype)[0]
    x = np.linspace(np.iinfo(integers).min, np.iinfo(integers).max - 200, 15).astype(integers).reshape(3, 5)
    expected = run_graph(graph, {"x:0": x.view(dtype.as_numpy_dtype)})

    support.convert(model, "--plan", plan)
    engine = graft.Engine(str(plan))
    assert engine.inputs[0].dtype == engine.outputs[0].dtype == integers
    (value,) = engine.run({"x": x}).values()
    np.testing.assert_array_equal(value, expected)

    report = support.convert(model, "--output", converted, "--minimum-segment-size", 1)
    assert report["engines"] == 1
    with EngineCalls() as engines:
        value = run_graph(v1.GraphDef.FromString(converted.read_bytes()), {"x:0": x.view(dtype.as_numpy_dtype)})
    engines.assert_engine_ran()
    np.testing.assert_array_equal(value, expected)


def test_an_integer_division_by_zero_is_tensorflows_error(tmp_path):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.int32, [None], "x")
        tf.identity((x + 1) // x, "y")
    model, converted = tmp_path / "model.pb", tmp_path / "converted.pb"
    model.write_bytes(graph.as_graph_def().SerializeToString())
    support.convert(model, "--output", converted, "--minimum-segment-size", 1)
    graph = v1.GraphDef.FromString(converted.read_bytes())
    with EngineCalls() as engines:
        np.testing.assert_array_equal(run_graph(graph, {"x:0": [2, -3]}), [1, 0])
    engines.assert_engine_ran()
    with EngineCalls() as engines, pytest.raises(tf.errors.InvalidArgumentError, match="division by zero"):
        run_graph(graph, {"x:0": [2, 0]})
    assert engines.fallbacks == 1
    assert any("division by zero" in reason for reason in engines.reasons)
