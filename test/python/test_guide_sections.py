"""The steps that TF-TRT's user guide shows, section by section, with its arguments. Sections 2.2.1 to 2.2.3 are in guide_workflows.py,
2.9 is in test_stand_alone_plans.py."""

import collections
import logging
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import small_models
import support

import tensorflow as tf
from graft import trt_convert as trt

v1 = tf.compat.v1
OUTPUTS = ["logits", "classes"]


@pytest.fixture(scope="module")
def graph(frozen_graph):
    return v1.GraphDef.FromString(frozen_graph.read_bytes())


@pytest.fixture(scope="module")
def trt_graph(graph):
    with tf.Graph().as_default():
        return trt.TrtGraphConverter(input_graph_def=graph, nodes_blacklist=OUTPUTS).convert()


# ---- 2.2: the two formats, default configuration


def test_2_2_a_saved_model(graph_mode, v1_saved_model, tmp_path):
    converter = trt.TrtGraphConverter(input_saved_model_dir=str(v1_saved_model))
    converter.convert()
    converter.save(str(tmp_path / "saved"))
    with v1.Session(graph=tf.Graph()) as session:
        meta = v1.saved_model.loader.load(session, ["serve"], str(tmp_path / "saved"))
        outputs = meta.signature_def["serving_default"].outputs
        assert sorted(outputs) == ["classes", "logits"]


def test_2_2_a_frozen_graph(trt_graph):
    assert [node.op for node in trt_graph.node].count("TRTEngineOp") == 1
    names = {node.name for node in trt_graph.node}
    assert names >= set(OUTPUTS)


# ---- 2.8: INT8


@pytest.mark.usefixtures("strict_int8")
def test_2_8_1_calibration(graph_mode, graph):
    images = small_models.images(4)

    def input_map_fn():
        return {"image:0": tf.constant(images)}

    converter = trt.TrtGraphConverter(
        input_graph_def=graph,
        nodes_blacklist=OUTPUTS,
        precision_mode="INT8",
        use_calibration=True,
    )
    converter.convert()
    calibrated = converter.calibrate(
        fetch_names=OUTPUTS, num_runs=8 // 4, input_map_fn=input_map_fn
    )
    logits = []
    for model in (graph, calibrated):
        with tf.Graph().as_default(), v1.Session() as session:
            tf.import_graph_def(model, name="")
            with support.EngineCalls() as engines:
                logits.append(session.run("logits:0", {"image:0": images}))
    engines.assert_engine_ran()
    assert 0 < support.relative_error(logits[1], logits[0]) < 0.05


def ranges_graph():
    """A dense layer whose input, product and output have ranges of their own."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8], name="x")
        y = tf.quantization.quantize_and_dequantize_v2(x, input_min=-1.0, input_max=1.0)
        y = tf.matmul(y, tf.constant(rng.standard_normal((8, 4), np.float32)))
        y = tf.quantization.quantize_and_dequantize_v2(y, input_min=-9.0, input_max=9.0)
        y = tf.nn.bias_add(y, tf.constant(rng.standard_normal(4, np.float32)))
        y = tf.quantization.quantize_and_dequantize_v2(y, input_min=-3.0, input_max=3.0)
        tf.identity(y, name="classes")
    return graph.as_graph_def()


def int8_results(graph_def, x):
    """What integers give, by docs/numerics.md: the input in steps of 1/127, the product's sums as they are."""
    constants = [
        tf.make_ndarray(node.attr["value"].tensor)
        for node in graph_def.node
        if node.op == "Const" and node.attr["value"].tensor.tensor_shape.dim
    ]
    weights, bias = (next(c for c in constants if c.ndim == rank) for rank in (2, 1))
    largest = np.abs(weights).max(axis=0)
    inverse, scale = np.float32(127) / largest, largest / np.float32(127)
    unit = np.float64(np.float32(1 / 127)) * scale.astype(np.float64)
    sums = np.rint(x * np.float32(127)).astype(np.int32) @ np.rint(weights * inverse).astype(np.int32)
    sums += np.rint(bias.astype(np.float64) / unit).astype(np.int32)
    return sums.astype(np.float32) * unit.astype(np.float32)


def test_2_8_2_ranges_of_ones_own(graph_mode):
    arguments = {"input_graph_def": ranges_graph(), "nodes_blacklist": ["classes"]}
    int8 = trt.TrtGraphConverter(precision_mode="INT8", use_calibration=False, **arguments)
    # In FP32 the ranges are what TensorFlow computes: rounding to 255 steps.
    x = np.random.default_rng(1).uniform(-1, 1, (5, 8)).astype(np.float32)
    results = []
    fp32 = trt.TrtGraphConverter(**arguments)
    for model in (arguments["input_graph_def"], fp32.convert(), int8.convert()):
        with tf.Graph().as_default(), v1.Session() as session:
            tf.import_graph_def(model, name="")
            with support.EngineCalls() as engines:
                results.append(session.run("classes:0", {"x:0": x}))
    engines.assert_engine_ran()
    # The steps of the last range; a value on the border of two may fall to either.
    step = 6 / 255
    assert np.abs(results[0] - results[1]).max() <= step * 1.001
    assert np.array_equal(results[2], int8_results(arguments["input_graph_def"], x))


# ---- 4.1: logs and TensorBoard

CONVERT = """
import sys
import tensorflow.compat.v1 as tf
from graft import trt_convert as trt
tf.disable_eager_execution()
graph = tf.GraphDef.FromString(open(sys.argv[1], "rb").read())
trt.TrtGraphConverter(input_graph_def=graph, nodes_blacklist=["logits", "classes"]).convert()
"""


def test_4_1_1_verbose_logging(frozen_graph, tmp_path):
    (tmp_path / "script.py").write_text(CONVERT)
    levels = "segment=2,convert_graph=2,convert_nodes=2,trt_engine=1"
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", frozen_graph],
        env={**os.environ, "TF_CPP_VMODULE": levels, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for line in (
        r"Not a TF-TRT candidate, \(Op type: MatMul\), \(Op name: logits\), \(Reason: excluded by",
        r"Accepted as a TF-TRT candidate, \(Op type: Conv2D\), \(Op name: conv1\)",
        r"TRTEngineOp_\d{3,}_000: input 0 is image float\[",
    ):
        assert re.search(line, done.stderr), done.stderr


def test_4_1_2_tensorboard(trt_graph, tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(trt_graph, name="")
        v1.summary.FileWriter(str(tmp_path), session.graph).close()
    (file,) = tmp_path.iterdir()
    (written,) = [
        v1.GraphDef.FromString(event.graph_def)
        for event in v1.train.summary_iterator(str(file))
        if event.graph_def
    ]
    (engine,) = [node.name for node in written.node if node.op == "TRTEngineOp"]
    (native,) = written.library.function
    assert native.signature.name == f"{engine}_native_segment"
    assert "Conv2D" in {node.op for node in native.node_def}
    assert len(written.node) < len(native.node_def)


# ---- 4.3 and 4.4: what an engine stands for, and what stays


def test_4_3_the_ops_of_an_engine(trt_graph):
    (engine,) = [node for node in trt_graph.node if node.op == "TRTEngineOp"]
    name = engine.attr["segment_funcdef_name"].s.decode()
    assert name == f"{engine.name}_native_segment"
    (native,) = [one for one in trt_graph.library.function if one.signature.name == name]
    ops = collections.Counter(node.op for node in native.node_def)
    assert (ops["Conv2D"], ops["Relu"], ops["MaxPool"]) == (2, 2, 1)


def test_4_4_what_was_not_converted(graph_mode, graph, caplog):
    with caplog.at_level(logging.INFO):
        trt_graph = trt.TrtGraphConverter(input_graph_def=graph, nodes_blacklist=OUTPUTS).convert()
    ops = collections.Counter(node.op for node in trt_graph.node)
    assert ops == {"Placeholder": 1, "TRTEngineOp": 1, "MatMul": 1, "Softmax": 1, "Const": 1}
    assert (
        "There are 3 ops of 3 different types in the graph that are not converted to TensorRT: "
        "MatMul, Placeholder, Softmax, (For more information see "
    ) in caplog.text


# ---- 5: best practices


def batch_norm(is_training):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [2, 8, 8, 3], name="x")
        filters = tf.constant(np.random.default_rng(0).standard_normal((3, 3, 3, 4), np.float32))
        y = tf.nn.conv2d(x, filters, 1, "SAME")
        ones, zeros = tf.ones([4]), tf.zeros([4])
        moments = {} if is_training else {"mean": zeros, "variance": ones}
        y, _, _ = v1.nn.fused_batch_norm(y, ones, zeros, is_training=is_training, **moments)
        tf.nn.relu(y, name="y")
    return graph.as_graph_def()


def test_5_batch_norm_of_inference_is_converted(graph_mode):
    trt_graph = trt.TrtGraphConverter(
        input_graph_def=batch_norm(False), nodes_blacklist=["y"], minimum_segment_size=2
    ).convert()
    assert not [node for node in trt_graph.node if node.op.startswith("FusedBatchNorm")]


def test_5_nodes_are_fewer_than_before(graph, trt_graph):
    assert len(trt_graph.node) < 0.5 * len(graph.node)


def test_5_a_small_subgraph_can_be_kept_out(graph_mode, graph):
    converter = trt.TrtGraphConverter(
        input_graph_def=graph, nodes_blacklist=OUTPUTS, minimum_segment_size=1000
    )
    assert "TRTEngineOp" not in {node.op for node in converter.convert().node}
