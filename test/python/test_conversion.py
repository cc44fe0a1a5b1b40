"""Situations of users' models that once converted wrongly: each test is one kind of fault (docs/testing.md lists them)."""

import collections

import numpy as np
import pytest

import support

import tensorflow as tf
from graft import trt_convert as trt

v1 = tf.compat.v1
rng = np.random.default_rng(3)
X = rng.standard_normal((5, 16)).astype(np.float32)


def weights(*shape):
    return (rng.standard_normal(shape) / 4).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def op_library():
    trt._op_library.load()


def main_graph(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].graph_def


def engines(graph):
    return [node for node in graph.node if node.op == "TRTEngineOp"]


def signature_results(folder, key, **inputs):
    """Of one signature, by the loaders of TensorFlow 2 and 1."""
    function = tf.saved_model.load(str(folder)).signatures[key]
    new = {name: value.numpy() for name, value in function(**{k: tf.constant(v) for k, v in inputs.items()}).items()}
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.loader.load(session, ["serve"], str(folder)).signature_def[key]
        old = session.run(
            {name: info.name for name, info in signature.outputs.items()},
            {signature.inputs[name].name: value for name, value in inputs.items()},
        )
    support.assert_close(new, old)
    return new


def save_v1(folder, signatures, **arguments):
    """The default graph under these signatures: key → (inputs, outputs)."""
    builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(
            session,
            arguments.pop("tags", ["serve"]),
            {
                key: v1.saved_model.predict_signature_def(inputs, outputs)
                for key, (inputs, outputs) in signatures.items()
            },
            **arguments,
        )
    builder.save()
    return folder


# ---- signatures


def test_an_engine_serves_only_signatures_that_need_all_of_it(graph_mode, tmp_path):
    """serving_default and eval share their layers; eval has a loss over labels besides."""
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    label = v1.placeholder(tf.float32, [None, 4], name="label")
    hidden = tf.nn.relu(tf.matmul(x, weights(16, 16)) + weights(16))
    logits = tf.tanh(tf.matmul(hidden, weights(16, 4)) + weights(4))
    scores = tf.nn.softmax(logits * 2.0)
    loss = tf.reduce_mean(tf.square(logits - label) * 0.5, axis=1)
    save_v1(
        tmp_path / "model",
        {"serving_default": ({"x": x}, {"scores": scores}), "eval": ({"x": x, "label": label}, {"loss": loss})},
    )
    report = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    assert report["converted_ops"] == report["total_ops"]
    labels = weights(5, 4)
    for key, inputs in {"serving_default": {"x": X}, "eval": {"x": X, "label": labels}}.items():
        support.assert_close(
            signature_results(tmp_path / "converted", key, **inputs), signature_results(tmp_path / "model", key, **inputs)
        )


def test_a_signature_may_feed_the_middle_of_another(graph_mode, tmp_path):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    middle = tf.nn.relu(tf.matmul(x, weights(16, 16)) + weights(16))
    y = tf.tanh(tf.matmul(middle, weights(16, 4)) + weights(4)) * 2.0
    save_v1(
        tmp_path / "model", {"serving_default": ({"x": x}, {"y": y}), "from_middle": ({"middle": middle}, {"y": y})}
    )
    support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    for key, inputs in {"serving_default": {"x": X}, "from_middle": {"middle": X}}.items():
        support.assert_close(
            signature_results(tmp_path / "converted", key, **inputs), signature_results(tmp_path / "model", key, **inputs)
        )


# ---- what stays beside engines


def test_colocation_with_what_went_into_an_engine_is_dropped(graph_mode, tmp_path):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    inside = tf.nn.relu(tf.matmul(x, weights(16, 16)) + 1.0, name="inside")
    with v1.colocate_with(inside):
        text = tf.strings.as_string(inside, name="text")
    path = tmp_path / "model.pb"
    path.write_bytes(v1.get_default_graph().as_graph_def().SerializeToString())
    assert text.op.colocation_groups() == [b"loc:@inside"]
    support.convert(path, "--outputs", "text:0", "--output", tmp_path / "converted.pb")
    converted = v1.GraphDef.FromString((tmp_path / "converted.pb").read_bytes())
    assert len(engines(converted)) == 1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(converted, name="")
        assert session.run("text:0", {"x:0": X}).shape == (5, 16)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: tf.matmul(x, weights(16, 4)),
        lambda x: tf.math.top_k(x, 3)[0],
        lambda x: tf.nn.conv2d_transpose(tf.reshape(x, [-1, 2, 2, 4]), weights(3, 3, 2, 4), [5, 4, 4, 2], 2),
    ],
    ids=["MatMul", "TopKV2", "Conv2DBackpropInput"],
)
def test_constants_count_for_the_minimum_segment_size(graph_mode, tmp_path, build):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    tf.identity(build(x), name="y")
    path = tmp_path / "model.pb"
    path.write_bytes(v1.get_default_graph().as_graph_def().SerializeToString())
    report = support.convert(path, "--outputs", "y:0", "--minimum-segment-size", 2)
    assert report["converted_ops"] == report["total_ops"], report["unconverted"]


def test_weights_that_two_engines_share_are_data_of_neither(graph_mode, tmp_path):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    w = tf.reshape(tf.constant(weights(2, 8, 16)) * 2.0, [16, 16], name="w")
    first = tf.nn.relu(tf.matmul(x, w) + 1.0)
    with tf.control_dependencies([tf.strings.as_string(first)]):
        between = tf.raw_ops.RandomUniform(shape=[16], dtype=tf.float32, seed=1)
    second = tf.tanh(tf.matmul(first + between * 0.0, w) + 1.0, name="y")
    path = tmp_path / "model.pb"
    path.write_bytes(second.graph.as_graph_def().SerializeToString())
    support.convert(path, "--outputs", "y:0", "--output", tmp_path / "converted.pb")
    converted = v1.GraphDef.FromString((tmp_path / "converted.pb").read_bytes())
    inputs = [list(node.input) for node in engines(converted)]
    assert inputs[0] == ["x"] and len(inputs) == 2
    assert "w" not in inputs[1] and len(inputs[1]) == 2


# ---- reports


def left_in(graph):
    """What a loop over the graph finds beside engines and constants."""
    return collections.Counter(node.op for node in graph.node if node.op not in ("TRTEngineOp", "Const"))


def box(text):
    """The counts of TF-TRT's report by op."""
    lines = [line[3:] for line in text.splitlines() if line.startswith("\t- ") and " -> " in line]
    return collections.Counter({line.split(" -> ")[0]: int(line.split(" -> ")[1].rstrip("x")) for line in lines})


def reported_graph():
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    y = tf.nn.relu(tf.matmul(x, weights(16, 16)) + 1.0)
    text = tf.strings.as_string(y)
    return x, tf.identity(y, name="y"), tf.identity(text, name="text")


def test_reports_agree_with_a_loop_over_the_graph(graph_mode, tmp_path, caplog):
    x, y, text = reported_graph()
    graph_def = v1.get_default_graph().as_graph_def()
    with caplog.at_level("INFO", "graft.trt_convert"):
        graph = trt.create_inference_graph(graph_def, ["y", "text"], max_batch_size=8)
    logged = [record.getMessage() for record in caplog.records]
    (report,) = [box(message) for message in logged if "non-converted OP Report" in message]
    assert report == left_in(graph)
    (sentence,) = [message for message in logged if message.startswith("There are")]
    assert sentence.startswith(f"There are {left_in(graph).total()} ops of {len(left_in(graph))} different types")

    # The same model as a SavedModel has the same report.
    save_v1(tmp_path / "model", {"serving_default": ({"x": x}, {"y": y, "text": text})})
    counts = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    assert left_in(main_graph(tmp_path / "converted")) == report
    assert [left["op"] for left in counts["unconverted"]] == ["AsString"]


def test_nodes_inside_functions_stand_apart(tmp_path):
    class Loop(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, "x")])
        def serve(self, x):
            w = tf.constant(weights(16, 16))
            for _ in tf.range(tf.shape(x)[0]):
                x = tf.nn.relu(tf.matmul(x, w) + 1.0)
            return {"y": tf.tanh(tf.matmul(x, w) + 1.0)}

    module = Loop()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    report = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    graph = main_graph(tmp_path / "converted")
    plain = left_in(graph) - collections.Counter(["Placeholder", "NoOp"])
    native = [left for left in report["unconverted"] if not left.get("in_function")]
    assert 0 < report["function_ops"] < report["total_ops"]
    assert len(native) == (report["total_ops"] - report["converted_ops"]) - (
        report["function_ops"] - report["converted_function_ops"]
    )
    assert collections.Counter(left["op"] for left in native) == plain - collections.Counter(
        {"Identity": plain["Identity"]}
    )
