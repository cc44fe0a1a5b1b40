"""Plans that scripts take out of converted graphs: what `serialized_segment` holds runs without TensorFlow."""

import numpy as np
import pytest

import small_models
import support

import tensorflow as tf
from graft import trt_convert as trt

v1 = tf.compat.v1


@pytest.fixture
def model(tmp_path):
    """image → a convolution, a dense layer of more than 4 KiB, probabilities; as GraphDef and as SavedModel."""
    rng = np.random.default_rng(3)
    with tf.Graph().as_default() as graph, v1.Session() as session:
        image = v1.placeholder(tf.float32, [2, 16, 16, 3], name="image")
        filters = tf.constant(rng.standard_normal((3, 3, 3, 16), np.float32))
        x = tf.nn.relu(tf.nn.conv2d(image, filters, 1, "SAME"))
        weights = tf.constant(rng.standard_normal((16, 300), np.float32))
        x = tf.nn.softmax(tf.matmul(tf.reduce_mean(x, [1, 2]), weights))
        output = tf.identity(x, name="probabilities")
        feed = {image: small_models.images(2)}
        expected = session.run(output, feed)
        v1.saved_model.simple_save(
            session, str(tmp_path / "model"), {"image": image}, {"probabilities": output}
        )
    return graph.as_graph_def(), tmp_path / "model", expected


def extract(graph, folder):
    """What TF-TRT's users do with a converted graph: each engine's bytes into a file, the other nodes into a list."""
    plans, excluded = [], []
    for node in graph.node:
        if node.op == "TRTEngineOp":
            plan = folder / f"{node.name.replace('/', '_')}.plan"
            with tf.io.gfile.GFile(str(plan), "wb") as file:
                file.write(node.attr["serialized_segment"].s)
            plans.append(plan)
        else:
            excluded.append(node.op)
    return plans, excluded


RUN = """
import sys, numpy
import graft
engine = graft.Engine(sys.argv[1])
outputs = engine.run({"TensorRTInputPH_0": numpy.load(sys.argv[2])})
assert [one.binding_name for one in engine.outputs] == ["TensorRTOutputPH_0"]
numpy.save(sys.argv[3], *outputs.values())
assert "tensorflow" not in sys.modules
"""


def run_without_tensorflow(plan, folder):
    np.save(folder / "in.npy", small_models.images(2))
    support.graft("plan", "verify", plan)
    support.graft("run", plan, "--random", 1)
    support.run_python("-c", RUN, plan, folder / "in.npy", folder / "out.npy")
    return np.load(folder / "out.npy")


@pytest.mark.parametrize(
    "convert",
    [
        lambda graph, folder: trt.TrtGraphConverter(
            input_graph_def=graph, nodes_blacklist=["probabilities"], precision_mode="FP32"
        ).convert(),
        lambda graph, folder: trt.create_inference_graph(
            graph, ["probabilities"], max_batch_size=2, precision_mode="FP32"
        ),
        lambda graph, folder: trt.create_inference_graph(
            None, None, max_batch_size=2, input_saved_model_dir=str(folder)
        ),
    ],
    ids=["TrtGraphConverter", "create_inference_graph", "create_inference_graph of a SavedModel"],
)
def test_a_static_engine_is_a_plan(convert, model, graph_mode, tmp_path, monkeypatch):
    monkeypatch.delenv("GRAFT_EMBED_WEIGHTS", raising=False)
    graph, folder, expected = model
    (plan,), excluded = extract(convert(graph, folder), tmp_path)
    assert sorted(excluded) == ["Identity", "Placeholder"]
    error = support.relative_error(run_without_tensorflow(plan, tmp_path), expected)
    assert error <= support.TOLERANCE


def test_a_plan_that_refers_to_its_graph_says_how_to_make_one_that_does_not(
    model, graph_mode, tmp_path, monkeypatch
):
    graph, _, expected = model
    converter = {"input_graph_def": graph, "nodes_blacklist": ["probabilities"]}
    monkeypatch.setenv("GRAFT_EMBED_WEIGHTS", "0")
    (plan,), _ = extract(trt.TrtGraphConverter(**converter).convert(), tmp_path)
    message = support.graft("plan", "verify", plan, expect=support.CHECK_FAILED)
    assert "GRAFT_EMBED_WEIGHTS=1" in message
    monkeypatch.setenv("GRAFT_EMBED_WEIGHTS", "1")
    (plan,), _ = extract(trt.TrtGraphConverter(**converter).convert(), tmp_path)
    error = support.relative_error(run_without_tensorflow(plan, tmp_path), expected)
    assert error <= support.TOLERANCE


def test_the_switch_holds_for_every_way(model, tmp_path, monkeypatch):
    """TrtGraphConverterV2 and the program write models for TensorFlow, with weights once, unless they are told otherwise."""
    _, folder, _ = model
    for embed in "01":
        monkeypatch.setenv("GRAFT_EMBED_WEIGHTS", embed)
        converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(folder))
        converter.convert()
        converter.save(str(tmp_path / f"v2_{embed}"))
        support.convert(folder, "--output", tmp_path / f"program_{embed}")
    for way in ("v2", "program"):
        small, large = (
            (tmp_path / f"{way}_{embed}/saved_model.pb").stat().st_size for embed in "01"
        )
        assert large - small >= 16 * 300 * 4
