"""TRTEngineOp inside TensorFlow: engines run, and when they cannot, the native segment does."""

import os
import threading
import time

import numpy as np
import pytest

import small_models
import support
from support import EngineCalls, assert_close

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from graft import _op_library

v1 = tf.compat.v1
KEYS = ("logits", "classes")
FETCHES = {key: f"{key}:0" for key in KEYS}


def expected(batch, seed=1):
    reference = small_models.expected(batch, seed)
    return {key: reference[key] for key in KEYS}


@pytest.fixture(scope="module", autouse=True)
def op_library():
    _op_library.load()


@pytest.fixture(scope="module")
def converted(frozen_graph, tmp_path_factory):
    """The converted GraphDef."""
    path = tmp_path_factory.mktemp("converted") / "model.pb"
    report = support.convert(frozen_graph, "--outputs", "logits:0,classes:0", "--output", path)
    assert report["engines"] == 1
    return v1.GraphDef.FromString(path.read_bytes())


@pytest.fixture(scope="module")
def converted_saved_model(v2_saved_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "model"
    support.convert(v2_saved_model, "--output", path)
    return path


def engine_node(graph):
    (node,) = [node for node in graph.node if node.op == "TRTEngineOp"]
    return node


def changed(graph, suffix, **attributes):
    """The same graph, attributes of its engine node changed; a name of its own for the counters."""
    copy = v1.GraphDef()
    copy.CopyFrom(graph)
    node = engine_node(copy)
    for name, value in attributes.items():
        node.attr[name].CopyFrom(value)
    support.rename(copy, node, f"{node.name}_{suffix}")
    return copy


def string(value):
    return v1.AttrValue(s=value)


class Session:
    """A session over a graph, run with an image."""

    def __init__(self, graph_def, **config):
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.import_graph_def(graph_def, name="")
        self._session = v1.Session(graph=self._graph, config=v1.ConfigProto(**config))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._session.close()

    def run(self, image):
        return self._session.run(FETCHES, {"image:0": image})


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_the_engine_runs_and_agrees(converted, batch):
    with EngineCalls() as engines, Session(converted) as session:
        values = session.run(small_models.images(batch))
    engines.assert_engine_ran()
    assert_close(values, expected(batch))


def test_a_session_runs_many_shapes_on_one_engine(converted):
    with EngineCalls() as engines, Session(converted) as session:
        for batch in (4, 1, 7, 4):
            assert_close(session.run(small_models.images(batch)), expected(batch))
    assert (engines.calls, engines.fallbacks) == (4, 0)


# ---- fallback


def damaged(graph):
    segment = bytearray(engine_node(graph).attr["serialized_segment"].s)
    segment[len(segment) // 2] ^= 0xFF
    return string(bytes(segment))


NO_BUILD = {"_allow_build_at_runtime": v1.AttrValue(b=False)}


def test_a_damaged_engine_is_built_again(converted):
    graph = changed(converted, "rebuilt", serialized_segment=damaged(converted))
    with EngineCalls() as engines, Session(graph) as session:
        values = session.run(small_models.images(2))
    assert (engines.calls, engines.fallbacks) == (1, 0)
    assert_close(values, expected(2))


def test_a_damaged_engine_that_may_not_be_built_falls_back(converted):
    graph = changed(converted, "damaged", serialized_segment=damaged(converted), **NO_BUILD)
    with EngineCalls() as engines, Session(graph) as session:
        for _ in range(3):
            values = session.run(small_models.images(2))
    assert (engines.calls, engines.fallbacks) == (0, 3)
    node = _op_library.statistics()[engine_node(graph).name]
    assert sum(node["reasons"].values()) == 3
    assert all(node["reasons"]), "a reason has a text"
    assert_close(values, expected(2))


def test_bytes_that_are_no_engine_fall_back(converted):
    graph = changed(converted, "garbage", serialized_segment=string(b"not an engine"), **NO_BUILD)
    with EngineCalls() as engines, Session(graph) as session:
        values = session.run(small_models.images(2))
    assert (engines.calls, engines.fallbacks) == (0, 1)
    assert_close(values, expected(2))


def test_an_input_outside_the_recorded_shapes_falls_back(converted):
    shapes = v1.AttrValue()
    shapes.CopyFrom(engine_node(converted).attr["input_shapes"])
    shapes.list.shape[0].dim[0].size = 3
    graph = changed(converted, "shapes", input_shapes=shapes)
    with EngineCalls() as engines, Session(graph) as session:
        assert_close(session.run(small_models.images(3)), expected(3))
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (1, 1)
    (reason,) = _op_library.statistics()[engine_node(graph).name]["reasons"]
    assert "input 0 has shape [2,16,16,3]" in reason


def test_an_index_out_of_range_is_tensorflows_error(tmp_path):
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [4, 3], name="x")
        indices = v1.placeholder(tf.int32, [None], name="indices")
        tf.nn.relu(tf.gather(tf.nn.relu(x * 2.0), indices) + 1.0, name="y")
    source, target = tmp_path / "gather.pb", tmp_path / "converted.pb"
    source.write_bytes(graph.as_graph_def().SerializeToString())
    assert support.convert(source, "--outputs", "y:0", "--output", target)["engines"] == 1
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(target.read_bytes()), name="")
        with EngineCalls() as engines:
            y = session.run("y:0", {"x:0": x, "indices:0": [3, 0]})
        engines.assert_engine_ran()
        np.testing.assert_array_equal(y, 2 * x[[3, 0]] + 1)
        with EngineCalls() as engines, pytest.raises(tf.errors.InvalidArgumentError) as raised:
            session.run("y:0", {"x:0": x, "indices:0": [0, 4]})
    assert "indices[1] = 4 is not in [0, 4)" in str(raised.value)
    assert engines.fallbacks == 1
    (reason,) = engines.reasons
    assert "an index is out of range" in reason


def test_a_fallback_replaces_the_outputs_of_an_engine_that_failed_half_way(tmp_path):
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.int32, [None], name="x")
        tf.raw_ops.FloorMod(x=7, y=tf.add(x, 1, name="first"), name="second")
    source, target = tmp_path / "mod.pb", tmp_path / "converted.pb"
    source.write_bytes(graph.as_graph_def().SerializeToString())
    report = support.convert(source, "--outputs", "first:0,second:0", "--minimum-segment-size", 1, "--output", target)
    assert report["engines"] == 1
    converted = v1.GraphDef.FromString(target.read_bytes())
    # The engine fails at a zero, its native segment does not.
    (mod,) = [n for f in converted.library.function for n in f.node_def if n.op == "FloorMod"]
    mod.op = "Maximum"
    with tf.Graph().as_default(), v1.Session() as session, EngineCalls() as engines:
        tf.import_graph_def(converted, name="")
        for values, expected_second in (([0, 9], [7, 9]), ([3, 4], [1, 3])):
            x = np.array(values) - 1
            first, second = session.run(["first:0", "second:0"], {"x:0": x})
            np.testing.assert_array_equal(first, values)
            np.testing.assert_array_equal(second, expected_second)
    assert (engines.calls, engines.fallbacks) == (1, 1)


def test_fallback_can_be_forbidden(converted, monkeypatch):
    monkeypatch.setenv("TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION", "False")
    graph = changed(converted, "forbidden", serialized_segment=damaged(converted), **NO_BUILD)
    with Session(graph) as session, pytest.raises(tf.errors.AbortedError) as raised:
        session.run(small_models.images(1))
    assert "User disallowed engine native segment execution." in str(raised.value)


# ---- building at the first run


def test_an_engine_is_built_at_its_first_run(converted):
    graph = changed(converted, "empty", serialized_segment=string(b""))
    with EngineCalls() as engines, Session(graph) as session:
        for batch in (2, 5):
            assert_close(session.run(small_models.images(batch)), expected(batch))
    assert (engines.calls, engines.fallbacks) == (2, 0)


def test_building_at_run_time_can_be_forbidden(converted):
    graph = changed(converted, "no_build", serialized_segment=string(b""), **NO_BUILD)
    with EngineCalls() as engines, Session(graph) as session:
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (0, 1)
    (reason,) = _op_library.statistics()[engine_node(graph).name]["reasons"]
    assert reason == (
        "Found no engine in cache matching input shapes. Not building a new engine because "
        "allow_build_at_runtime=False"
    )


def serialize_engines(graph, name, file):
    """The operation that writes what was built for nodes of that name."""
    with graph.as_default():
        return graph.create_op(
            "SerializeTRTResource",
            [tf.constant(name), tf.constant(str(file))],
            [],
            attrs={"save_gpu_specific_engines": v1.AttrValue(b=True)},
        )


def initialize_engines(graph, name, file):
    """The operation that reads such a file, as a saved model does when it is loaded."""
    with graph.as_default():
        handle = graph.create_op(
            "CreateTRTResourceHandle", [], [tf.resource], attrs={"resource_name": string(name.encode())}
        )
        return graph.create_op(
            "InitializeTRTResource", [handle.outputs[0], tf.constant(str(file))], []
        )


def records(file):
    return list(v1.io.tf_record_iterator(str(file)))


def build_and_save(graph, file):
    with Session(graph) as session:
        session.run(small_models.images(1))
        name = engine_node(graph).name
        session._session.run(serialize_engines(session._graph, name, file))
    return records(file)


def test_a_built_engine_goes_into_a_file_and_back(converted, tmp_path):
    file = tmp_path / "engines"
    (record,) = build_and_save(changed(converted, "kept", serialized_segment=string(b"")), file)
    assert len(record) > 100
    graph = changed(converted, "kept", serialized_segment=string(b""), **NO_BUILD)
    with EngineCalls() as engines, Session(graph) as session:
        session._session.run(initialize_engines(session._graph, engine_node(graph).name, file))
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (1, 0)


ASSETS = """
import pathlib, sys
import numpy as np
import tensorflow as tf
import graft
from tensorflow.core.framework import graph_pb2
graft.load_op_library()
ops = tf.load_op_library(str(pathlib.Path(graft.__file__).parent / "libgraft_tf_op.so"))
graph_file, name, engines, folder = sys.argv[1:]


class Engines(tf.saved_model.experimental.TrackableResource):
    def __init__(self, file):
        super().__init__()
        self.file = self._track_trackable(tf.saved_model.Asset(file), "file")

    def _create_resource(self):
        return ops.create_trt_resource_handle(resource_name=name)

    def _initialize(self):
        ops.initialize_trt_resource(self.resource_handle, self.file.asset_path)


graph = graph_pb2.GraphDef.FromString(pathlib.Path(graph_file).read_bytes())
model = tf.Module()
model.trt_engine_resources = [Engines(engines)]


@tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], name="image")])
def serve(image):
    names = ["logits:0", "classes:0"]
    return dict(zip(["logits", "classes"], tf.graph_util.import_graph_def(graph, {"image": image}, names)))


model.serve = serve
tf.saved_model.save(model, folder, signatures=serve)
"""


@pytest.mark.parametrize("asset", ["engine", "no engine of ours", "empty"])
def test_a_saved_model_brings_its_engines_as_an_asset(converted, tmp_path, asset):
    """As TF-TRT saved models: a resource that a file under assets/ fills when the model is loaded."""
    file, folder = tmp_path / "trt-serialized-engine", tmp_path / "model"
    graph = changed(converted, asset.replace(" ", "_"), serialized_segment=string(b""))
    build_and_save(graph, file)
    if asset != "engine":
        with v1.io.TFRecordWriter(str(file)) as writer:
            if asset != "empty":
                writer.write(b"\x12\x08ftrtftrt")
    graph = changed(graph, "", **NO_BUILD)
    (tmp_path / "model.pb").write_bytes(graph.SerializeToString())
    name = engine_node(graph).name
    support.run_python("-c", ASSETS, tmp_path / "model.pb", name, file, folder)
    file.unlink()
    with EngineCalls() as engines:
        serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
        found = serve(image=tf.constant(small_models.images(2)))
        assert_close({key: value.numpy() for key, value in found.items()}, expected(2))
    assert (engines.calls, engines.fallbacks) == ((1, 0) if asset == "engine" else (0, 1))


def scaled(graph, factor):
    """The same graph, the weights of its native segment multiplied."""
    copy = v1.GraphDef()
    copy.CopyFrom(graph)
    for function in copy.library.function:
        for node in function.node_def:
            if node.op == "Const" and node.attr["dtype"].type == 1:
                value = tf.make_ndarray(node.attr["value"].tensor) * np.float32(factor)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return copy


def test_models_with_nodes_of_one_name_do_not_mix_their_engines(converted, tmp_path):
    """TensorFlow finds saved engines by the last part of the node's name, which models share."""
    empty = {"serialized_segment": string(b"")}
    models = [changed(scaled(converted, f), "shared", **empty) for f in (1.0, 2.0)]
    found = [build_and_save(m, tmp_path / f"engines{i}") for i, m in enumerate(models)]
    with tf.io.TFRecordWriter(str(tmp_path / "both")) as writer:
        for (record,) in found:
            writer.write(record)
    image = small_models.images(2)
    for model in models:
        with Session(model) as session:
            reference = session.run(image)
        graph = changed(model, "again", **NO_BUILD)
        with EngineCalls() as engines, Session(graph) as session:
            name = engine_node(graph).name
            session._session.run(initialize_engines(session._graph, name, tmp_path / "both"))
            assert_close(session.run(image), reference)
        assert (engines.calls, engines.fallbacks) == (1, 0)
    assert found[0] != found[1]


LIFETIME = """
import ctypes, gc, pathlib, sys
import tensorflow as tf
import graft
graft.load_op_library()
folder, file = pathlib.Path(sys.argv[1]), sys.argv[2]
library = ctypes.CDLL(str(pathlib.Path(graft.__file__).parent / "libgraft.so"))
for _ in range(3):
    model = tf.saved_model.load(str(folder))
    model.signatures["serving_default"](image=tf.zeros((2, 16, 16, 3)))
    assert library.graft_engine_registry_size() > 0
    model = None
    tf.compat.v1.reset_default_graph()
    gc.collect()
    assert library.graft_engine_registry_size() == 0
nodes = graft.engine_statistics()
ran = [name for name, node in nodes.items() if node["engine_calls"]]
assert ran and all(nodes[name]["engine_calls"] == 3 for name in ran), nodes
assert not any(node["fallbacks"] for node in nodes.values()), nodes
ops = tf.load_op_library(str(pathlib.Path(graft.__file__).parent / "libgraft_tf_op.so"))
for name in ran:
    ops.serialize_trt_resource(resource_name=name, filename=file, save_gpu_specific_engines=True)
    assert list(tf.compat.v1.io.tf_record_iterator(file)) == []
"""


def test_an_engine_that_was_built_goes_with_its_model(v2_saved_model, tmp_path):
    folder = tmp_path / "model"
    support.convert(v2_saved_model, "--output", folder)
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for node in saved.meta_graphs[0].graph_def.node:
        if node.op == "TRTEngineOp":
            node.attr["serialized_segment"].s = b""
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    support.run_python("-c", LIFETIME, folder, tmp_path / "engines")


LOADED_AGAIN = """
import ctypes, gc, pathlib, sys
import tensorflow as tf
from tensorflow.python.eager import context
import graft
unraisable = []
sys.unraisablehook = lambda error: unraisable.append(error.exc_value)
library = ctypes.CDLL(str(pathlib.Path(graft.__file__).parent / "libgraft.so"))


def functions():
    return {name for name in context.context().list_function_names() if "__wrapped__" not in name}


for _ in range(3):
    model = graft.load_saved_model(sys.argv[1])
    serve = model.signatures["serving_default"]
    assert any("native_segment" in name for name in functions()), functions()
    model = None
    gc.collect()
    serve(image=tf.zeros((2, 16, 16, 3)))  # it has what it needs
    assert library.graft_engine_registry_size() > 0
    serve = None
    gc.collect()
    assert not functions(), functions()
    assert library.graft_engine_registry_size() == 0
assert not unraisable, unraisable
assert not any(node["fallbacks"] for node in graft.engine_statistics().values())
"""


def test_a_loaded_model_leaves_nothing_behind(v2_saved_model, tmp_path):
    """tf.saved_model.load leaves its functions, and with them the weights, in TensorFlow's runtime."""
    support.convert(v2_saved_model, "--output", tmp_path / "model")
    support.run_python("-c", LOADED_AGAIN, tmp_path / "model")


# ---- threads and processes


def test_eight_threads_with_one_inter_op_thread(converted):
    """Neither a deadlock nor another result, and no threads that stay."""
    images = [small_models.images(1 + i % 3, seed=i) for i in range(8)]
    config = {"inter_op_parallelism_threads": 1, "intra_op_parallelism_threads": 2}
    failures = []

    def thread_count():
        return len(os.listdir("/proc/self/task"))

    with EngineCalls() as engines, Session(converted, **config) as session:
        alone = [session.run(image) for image in images]

        def work(i):
            try:
                for _ in range(20):
                    values = session.run(images[i])
                    for key in KEYS:
                        np.testing.assert_array_equal(values[key], alone[i][key])
            except Exception as error:
                failures.append(error)

        def round_of_calls():
            threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=120)
                assert not thread.is_alive(), "deadlock"

        round_of_calls()
        before = thread_count()
        round_of_calls()
        round_of_calls()
        # A thread that was joined may take a moment to leave the system's list.
        deadline = time.monotonic() + 10
        while thread_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert thread_count() <= before
    assert failures == []
    engines.assert_engine_ran()


# ---- whole SavedModels that `graft convert --output` writes


def test_tensorflow_2_loads_a_converted_saved_model(converted_saved_model):
    model = tf.saved_model.load(str(converted_saved_model))
    image = tf.constant(small_models.images(2))
    reference = small_models.expected(2)
    with EngineCalls() as engines:
        values = model.signatures["serving_default"](image)
        features = model.signatures["features"](image)
    engines.assert_engine_ran()
    assert_close({key: value.numpy() for key, value in values.items()}, expected(2))
    assert_close({"features": features["features"].numpy()}, {"features": reference["features"]})


@pytest.mark.parametrize("key, outputs", [("serving_default", KEYS), ("features", ("features",))])
def test_tensorflow_1_loads_a_converted_saved_model(converted_saved_model, key, outputs):
    reference = small_models.expected(2)
    with EngineCalls() as engines, tf.Graph().as_default(), v1.Session() as session:
        meta = v1.saved_model.loader.load(session, ["serve"], str(converted_saved_model))
        signature = meta.signature_def[key]
        fetches = {name: info.name for name, info in signature.outputs.items()}
        values = session.run(fetches, {signature.inputs["image"].name: small_models.images(2)})
    engines.assert_engine_ran()
    assert_close(values, {name: reference[name] for name in outputs})


def test_a_converted_saved_model_stands_alone(v1_saved_model, tmp_path):
    """Nothing of it refers to the folder it was made from."""
    report = support.convert(v1_saved_model, "--output", tmp_path / "converted")
    assert report["engines"] == 1
    (tmp_path / "converted").rename(tmp_path / "moved")
    model = tf.saved_model.load(str(tmp_path / "moved"))
    values = model.signatures["serving_default"](tf.constant(small_models.images(2)))
    assert_close({key: value.numpy() for key, value in values.items()}, expected(2))
