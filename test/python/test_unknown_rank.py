"""Models that do not say the rank of what they take: the engine is built once the first call says it."""

import itertools
import json
import logging

import numpy as np
import pytest

import support
from support import EngineCalls, assert_close

import tensorflow as tf

import graft
from graft import trt_convert as trt

v1 = tf.compat.v1
SIGNATURE = "serving_default"


def rows(*shape):
    return np.random.default_rng(5).standard_normal((*shape, 8), np.float32)


def network(x):
    weights = tf.constant(np.random.default_rng(0).standard_normal((8, 4), np.float32))
    x = tf.reshape(tf.nn.relu(x * 2.0 + 1.0), [-1, 8])
    return tf.nn.softmax(tf.matmul(x, weights))


@pytest.fixture(scope="module")
def graph_def():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, None, name="x")
        tf.identity(network(x), name="y")
    return graph.as_graph_def()


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, "x")])
        def serve(self, x):
            return {"y": network(x)}

    folder = str(tmp_path_factory.mktemp("unknown_rank"))
    model = Model()
    tf.saved_model.save(model, folder, {SIGNATURE: model.serve})
    return folder


def reference(x):
    return {"y": network(tf.constant(x)).numpy()}


class Session:
    def __init__(self, graph_def, config=None):
        graft.load_op_library()
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(graph_def, name="")
        self._session = v1.Session(graph=graph, config=config)

        self.run = self._session.run

    def __call__(self, x):
        return self.run({"y": "y:0"}, {"x:0": x})


def converted(graph_def, output):
    """By the first converter, in dynamic mode."""
    with tf.Graph().as_default():
        return trt.TrtGraphConverter(
            input_graph_def=graph_def,
            nodes_denylist=[output],
            is_dynamic_op=True,
            max_batch_size=None,
            minimum_segment_size=1,
        ).convert()


def loaded(folder):
    graft.load_op_library()
    model = tf.saved_model.load(str(folder))
    call = model.signatures[SIGNATURE]
    return lambda x, model=model: {key: y.numpy() for key, y in call(x=tf.constant(x)).items()}


def engine_node(graph_def):
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    (node,) = [n for n in nodes if n.op == "TRTEngineOp"]
    return node


def assert_one_build_serves(call):
    """All calls of one rank."""
    with EngineCalls() as engines:
        for batch in (5, 3, 7):
            assert_close(call(rows(batch)), reference(rows(batch)))
    engines.assert_engine_ran()
    assert engines.calls == 3


def test_the_program_makes_an_engine_that_is_built_when_it_runs(graph_def, tmp_path):
    (tmp_path / "model.pb").write_bytes(graph_def.SerializeToString())
    converted = tmp_path / "converted.pb"
    report = support.convert(tmp_path / "model.pb", "--output", converted)
    assert (report["engines"], report["unconverted"]) == (1, [])
    (late,) = report["late_engines"]
    assert late["reason"] == "the rank of its input x is unknown"
    graph = v1.GraphDef.FromString(converted.read_bytes())
    node = engine_node(graph)
    assert not node.attr["static_engine"].b and node.attr["serialized_segment"].s == b""
    assert node.attr["input_shapes"].list.shape[0].unknown_rank
    assert_one_build_serves(Session(graph))


def test_each_rank_has_an_engine_of_its_own(graph_def):
    session = Session(converted(graph_def, "y"))
    with EngineCalls() as engines:
        for x in (rows(2), rows(2, 3), rows(), rows(5), rows(1, 4)):
            assert_close(session(x), reference(x))
    engines.assert_engine_ran()
    assert (engines.calls, engines.builds) == (5, 3)


def test_what_comes_after_eight_combinations_of_ranks_runs_native():
    with tf.Graph().as_default() as graph:
        x, y = (v1.placeholder(tf.float32, None, name=name) for name in "xy")
        tf.identity(tf.nn.relu(x * 2.0) + tf.exp(y) * 0.5, name="z")
    native, session = (Session(g).run for g in (graph.as_graph_def(), converted(graph.as_graph_def(), "z")))
    shapes = [(), (3,), (2, 3)]
    with EngineCalls() as engines:
        for _ in range(2):
            for x, y in itertools.product(shapes, shapes):
                feeds = {"x:0": np.ones(x, np.float32), "y:0": np.ones(y, np.float32)}
                assert_close(session({"z": "z:0"}, feeds), native({"z": "z:0"}, feeds))
    assert (engines.calls, engines.fallbacks, engines.builds) == (16, 2, 8)
    assert engines.reasons == {"it has engines for 8 other combinations of its inputs' ranks"}


def test_the_program_says_why(graph_def, tmp_path):
    (tmp_path / "model.pb").write_bytes(graph_def.SerializeToString())
    told = support.graft("convert", tmp_path / "model.pb", "--output", tmp_path / "converted.pb")
    assert "built when it first runs: the rank of its input x is unknown" in told


def test_a_plan_needs_the_rank(graph_def, tmp_path):
    (tmp_path / "model.pb").write_bytes(graph_def.SerializeToString())
    plan = tmp_path / "model.plan"
    told = support.graft("convert", tmp_path / "model.pb", "--plan", plan, expect=None)
    assert "Input tensor rank is unknown" in told
    assert not plan.exists()


def test_a_saved_model_of_the_program(saved_model, tmp_path):
    report = support.convert(saved_model, "--output", tmp_path / "converted")
    assert len(report["late_engines"]) == 1
    assert_one_build_serves(loaded(tmp_path / "converted"))


@pytest.mark.parametrize("is_dynamic_op", [False, True])
def test_a_graph_of_the_first_converter(graph_def, is_dynamic_op, caplog):
    caplog.set_level(logging.INFO)
    with tf.Graph().as_default():
        converted = trt.TrtGraphConverter(
            input_graph_def=graph_def,
            nodes_denylist=["y"],
            is_dynamic_op=is_dynamic_op,
            max_batch_size=None if is_dynamic_op else 1,
        ).convert()
    node = engine_node(converted)
    assert not node.attr["static_engine"].b
    if not is_dynamic_op:
        assert f"{node.name} is built when it first runs: the rank of" in caplog.text
    assert_one_build_serves(Session(converted))


def test_without_a_native_segment_nothing_could_build_it(graph_def):
    with tf.Graph().as_default():
        converted = trt.TrtGraphConverter(
            input_graph_def=graph_def, nodes_denylist=["y"], use_function_backup=False
        ).convert()
    assert all(not n.attr["serialized_segment"].s == b"" for n in converted.node if n.op == "TRTEngineOp")
    assert_close(Session(converted)(rows(3)), reference(rows(3)))


def test_a_model_of_the_second_converter(saved_model, tmp_path):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=saved_model)
    converter.convert()
    converter.save(str(tmp_path / "converted"))
    assert_one_build_serves(loaded(tmp_path / "converted"))


def test_build_makes_the_engines_that_are_saved(saved_model, tmp_path):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=saved_model)
    converter.convert()
    converter.build(lambda: [(rows(4),), (rows(4, 2),)])
    converter.save(str(tmp_path / "converted"))
    (asset,) = (tmp_path / "converted" / "assets").glob("trt-serialized-engine.*")
    assert asset.stat().st_size > 0
    script = (
        "import json, sys, numpy, tensorflow as tf, graft\n"
        "graft.load_op_library()\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        f"model.signatures['{SIGNATURE}'](x=tf.ones([3, 8]))\n"
        f"model.signatures['{SIGNATURE}'](x=tf.ones([3, 5, 8]))\n"
        "print(json.dumps(list(graft.engine_statistics().values())))\n"
    )
    (node,) = json.loads(support.run_python("-c", script, tmp_path / "converted"))
    assert (node["builds"], node["loads"], node["engine_calls"], node["fallbacks"]) == (0, 2, 2, 0)


@pytest.mark.parametrize("is_dynamic_op", [False, True])
def test_a_session_that_converts_online(graph_def, is_dynamic_op):
    config = v1.ConfigProto()
    config.graph_options.rewrite_options.CopyFrom(
        graft.get_tensorrt_rewriter_config(
            trt.TrtConversionParams(), is_dynamic_op, None if is_dynamic_op else 1
        )
    )
    assert_one_build_serves(Session(graph_def, config))


def test_optimize():
    function = tf.function(network, input_signature=[tf.TensorSpec(None, tf.float32)])
    fast = graft.optimize(function)
    assert len(fast.report["late_engines"]) == 1
    assert_one_build_serves(lambda x: {"y": fast(tf.constant(x)).numpy()})


def test_a_rank_that_cannot_be_built_runs_native_and_is_counted():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, None, name="x")
        total = tf.reduce_sum(tf.exp(x) * 2.0, 0, keepdims=True)
        total = tf.squeeze(total)  # whose rank depends on data unless it is one number
        tf.identity(total, name="y")
    with tf.Graph().as_default():
        converted = trt.TrtGraphConverter(
            input_graph_def=graph.as_graph_def(), nodes_denylist=["y"], minimum_segment_size=1
        ).convert()
    for x, by_engine in ((rows(), True), (rows(3), False)):
        session = Session(converted)
        with EngineCalls() as engines:
            for _ in range(2):
                expected = np.squeeze(np.sum(np.exp(x) * 2, 0, keepdims=True))
                assert_close(session(x), {"y": expected})
        assert (engines.calls, engines.fallbacks) == ((2, 0) if by_engine else (0, 2))
    (reason,) = engines.reasons
    assert "squeeze_dims is empty" in reason
