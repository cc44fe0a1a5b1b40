"""Functional control flow stays TensorFlow's; its bodies are converted. TF1 loops stay whole."""

import numpy as np
import pytest

import support
from support import EngineCalls, assert_close

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import graft
from graft import trt_convert as trt

v1 = tf.compat.v1
rng = np.random.default_rng(3)


def weights(*shape):
    return tf.Variable((rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32))


class Branches(tf.Module):
    """An If between dense layers, a While after it; both read variables of the model."""

    def __init__(self):
        super().__init__()
        self.first, self.second = weights(20, 20), weights(20, 20)

    @tf.function(input_signature=[tf.TensorSpec([None, 20], name="x")])
    def serve(self, x):
        def layer(y, w):
            return tf.nn.relu(tf.matmul(y, w) + 0.5)

        y = tf.cond(
            tf.reduce_sum(x) > 0,
            lambda: layer(layer(x, self.first), self.second) * 2.0,
            lambda: tf.tanh(layer(x, self.second)) - x,
        )
        _, y = tf.while_loop(
            lambda i, y: i < 4,
            lambda i, y: (i + 1, tf.nn.relu(tf.matmul(layer(y, self.first), self.second) - y)),
            [tf.constant(0), y],
        )
        return {"y": tf.nn.softmax(y)}


class Nested(tf.Module):
    """A While in a branch of an If, in a function that is called."""

    def __init__(self):
        super().__init__()
        self.w = weights(8, 8)

    @tf.function
    def step(self, y, n):
        body = lambda i, y: (i + 1, tf.tanh(tf.matmul(y, self.w)) + tf.abs(y) * 0.5)
        return tf.while_loop(lambda i, y: i < n, body, [0, y])[1]

    @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
    def serve(self, x):
        n = tf.cast(tf.reduce_sum(tf.abs(x)), tf.int32) % 3 + 1
        return {"y": tf.cond(tf.reduce_mean(x) > 0, lambda: self.step(x, n) * 2.0, lambda: self.step(-x, 2))}


def keras(layer):
    model = tf.keras.Sequential(
        [tf.keras.Input((12, 20)), layer(24, return_sequences=True), layer(16), tf.keras.layers.Dense(5)]
    )
    for w in model.weights:
        w.assign(rng.standard_normal(w.shape).astype(np.float32) / np.sqrt(w.shape[0]))
    return model


MODELS = {
    "branches": (Branches, (6, 20)),
    "nested": (Nested, (6, 8)),
    "lstm": (lambda: keras(tf.keras.layers.LSTM), (3, 12, 20)),
    "gru": (lambda: keras(tf.keras.layers.GRU), (3, 12, 20)),
}


@pytest.fixture(scope="module", autouse=True)
def op_library():
    graft.load_op_library()


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """Its folder, inputs, and for each the outputs of the model as it is."""
    build, shape = MODELS[request.param]
    folder = tmp_path_factory.mktemp(request.param) / "model"
    built = build()
    if isinstance(built, tf.keras.Model):
        built.export(folder, verbose=False)
    else:
        tf.saved_model.save(built, folder, signatures=built.serve)
    positive = np.abs(rng.standard_normal(shape)).astype(np.float32)
    inputs = [positive, -positive]
    return folder, inputs, [run(folder, x) for x in inputs]


def run(folder, x):
    loaded = tf.saved_model.load(str(folder))
    outputs = loaded.signatures["serving_default"](tf.constant(x))
    return {name: value.numpy() for name, value in outputs.items()}


def check(folder, inputs, expected):
    loaded = tf.saved_model.load(str(folder)).signatures["serving_default"]
    for x, reference in zip(inputs, expected):
        with EngineCalls() as engines:
            outputs = {name: value.numpy() for name, value in loaded(tf.constant(x)).items()}
        engines.assert_engine_ran()
        assert_close(outputs, reference)
    return engines.calls


def functions(folder):
    """The ops of each function of a SavedModel, engines' native segments left out."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    library = saved.meta_graphs[0].graph_def.library.function
    return {
        f.signature.name: [node.op for node in f.node_def]
        for f in library
        if not f.signature.name.endswith("_native_segment")
    }


def test_bodies_are_converted_by_the_program(model, tmp_path):
    folder, inputs, expected = model
    report = support.convert(folder, "--output", tmp_path / "converted")
    ops = functions(tmp_path / "converted")
    assert any("TRTEngineOp" in body for body in ops.values())
    # The variables that bodies captured are constants now.
    assert not any("ReadVariableOp" in body for body in ops.values())
    check(tmp_path / "converted", inputs, expected)
    reasons = {left["reason"] for left in report["unconverted"]}
    control = {f"Op type {kind}{op} is not supported." for kind in ("", "Stateless") for op in ("While", "If")}
    assert reasons & control


def test_bodies_are_converted_by_trt_convert(model, tmp_path):
    folder, inputs, expected = model
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(folder))
    converter.convert()
    converter.save(str(tmp_path / "converted"))
    check(tmp_path / "converted", inputs, expected)


def test_a_loops_condition_stays_native(tmp_path):
    module = Branches()
    tf.saved_model.save(module, tmp_path / "model", signatures=module.serve)
    report = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    native = [left for left in report["unconverted"] if "/cond/" in left["name"] and "while" in left["name"]]
    assert {left["reason"] for left in native} == {"it belongs to the condition of a loop"}


def test_tf1_loops_stay_whole_and_the_rest_is_converted(tmp_path):
    """Enter, Merge, Switch, NextIteration and Exit in the middle of a graph: no engine makes a cycle with them."""
    w = (rng.standard_normal((16, 16)) / 4).astype(np.float32)
    graph = tf.Graph()
    with graph.as_default():
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        before = tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(x, w)), w) + 1.0)
        beside = tf.tanh(tf.matmul(before, w) * 0.5 + x)
        _, looped = tf.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, tf.nn.relu(tf.matmul(y, w) + before)), [tf.constant(0), before]
        )
        y = tf.nn.softmax(tf.matmul(looped + beside, w) * 2.0, name="y")
        v1.enable_control_flow_v2()
    graph_def = graph.as_graph_def()
    assert "Enter" in {node.op for node in graph_def.node}
    path = tmp_path / "model.pb"
    path.write_bytes(graph_def.SerializeToString())
    converted_path = tmp_path / "converted.pb"
    report = support.convert(path, "--outputs", "y:0", "--output", converted_path)
    assert report["engines"] >= 2
    assert "it runs inside a loop" in {left["reason"] for left in report["unconverted"]}

    def outputs(graph_def, x):
        with tf.Graph().as_default() as own:
            tf.import_graph_def(graph_def, name="")
            with v1.Session(graph=own) as session:
                return {"y": session.run("y:0", {"x:0": x})}

    x = rng.standard_normal((5, 16)).astype(np.float32)
    converted = v1.GraphDef.FromString(converted_path.read_bytes())
    with EngineCalls() as engines:
        actual = outputs(converted, x)
    engines.assert_engine_ran()
    assert_close(actual, outputs(graph_def, x))
