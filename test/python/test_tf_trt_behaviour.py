"""What a script of TF-TRT can tell of dynamic and static engines, of building, saving and loading: the behaviours that
docs/testing.md lists, by their numbers there."""

import gc
import os
import pathlib
import time
import shutil
import threading

import numpy as np
import pytest

import small_models
import support
from support import EngineCalls, assert_close

import tensorflow as tf
import graft
from graft import _op_library
from graft import trt_convert as trt

v1 = tf.compat.v1
KEYS = ("logits", "classes")
FETCHES = {key: f"{key}:0" for key in KEYS}
NOT_BUILT = (
    "Found no engine in cache matching input shapes. Not building a new engine because "
    "allow_build_at_runtime=False"
)


def expected(batch):
    reference = small_models.expected(batch)
    return {key: reference[key] for key in KEYS}


def read_graph(path):
    return v1.GraphDef.FromString(path.read_bytes())


def engine_node(graph):
    nodes = [n for n in graph.node if n.op == "TRTEngineOp"]
    for function in graph.library.function:
        nodes += [n for n in function.node_def if n.op == "TRTEngineOp"]
    (node,) = nodes
    return node


def renamed(graph, suffix):
    """The same graph, its engine node under a name of its own, which the counters go by."""
    copy = v1.GraphDef()
    copy.CopyFrom(graph)
    node = engine_node(copy)
    support.rename(copy, node, f"{node.name}_{suffix}")
    return copy


class Session:
    def __init__(self, graph_def, fetches=FETCHES):
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.import_graph_def(graph_def, name="")
        self._session = v1.Session(graph=self._graph)
        self._fetches = fetches

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._session.close()

    def run(self, image):
        return self._session.run(self._fetches, {"image:0": image})


def of_node(graph):
    return _op_library.statistics()[engine_node(graph).name]


@pytest.fixture(scope="module")
def static(frozen_graph):
    with tf.Graph().as_default():
        return trt.TrtGraphConverter(
            input_graph_def=read_graph(frozen_graph), nodes_denylist=KEYS
        ).convert()


@pytest.fixture(scope="module")
def dynamic(frozen_graph):
    with tf.Graph().as_default():
        return trt.TrtGraphConverter(
            input_graph_def=read_graph(frozen_graph),
            nodes_denylist=KEYS,
            is_dynamic_op=True,
            max_batch_size=None,
            maximum_cached_engines=1,
        ).convert()


@pytest.fixture
def fresh(dynamic, request):
    """The dynamic graph for one test: its node has a name that no other test's has."""
    return renamed(dynamic, request.node.name.replace("[", "_").replace("]", "_"))


def any_size_graph():
    """Convolutions over images of any height and width."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        weights = rng.standard_normal((3, 3, 3, 8), np.float32)
        x = tf.nn.relu(tf.nn.conv2d(image, weights, 1, "SAME") + np.float32(0.5))
        weights = rng.standard_normal((3, 3, 8, 4), np.float32)
        tf.nn.relu(tf.nn.conv2d(x, weights, 1, "SAME") + np.float32(0.5), name="out")
    return graph.as_graph_def()


OUT = {"out": "out:0"}


def image_of(*shape):
    return np.random.default_rng(3).standard_normal(shape, np.float32)


def natively(graph, image):
    with Session(graph, OUT) as session:
        return session.run(image)


# ---- engines of both modes


def test_1_a_dynamic_engine_is_not_built_at_conversion(dynamic):
    node = engine_node(dynamic)
    assert not node.attr["static_engine"].b
    assert node.attr["serialized_segment"].s == b""


def test_2_a_static_engine_is(static):
    node = engine_node(static)
    assert node.attr["static_engine"].b
    assert node.attr["serialized_segment"].s


def test_3_unknown_dimensions_of_a_static_engine_are_warned_of(caplog):
    graph = any_size_graph()
    with tf.Graph().as_default():
        converted = trt.TrtGraphConverter(input_graph_def=graph).convert()
    assert (
        "Input shapes must be fully defined when in static mode. Please try is_dynamic_op=True" in caplog.text
    )
    for shape in ((1, 8, 8, 3), (2, 5, 9, 3)):
        with EngineCalls() as engines, Session(converted, OUT) as session:
            assert_close(session.run(image_of(*shape)), natively(graph, image_of(*shape)))
        engines.assert_engine_ran()


def test_3_but_not_those_of_a_dynamic_one_nor_the_batch(static, frozen_graph, caplog):
    with tf.Graph().as_default():
        trt.TrtGraphConverter(input_graph_def=read_graph(frozen_graph)).convert()
        trt.TrtGraphConverter(
            input_graph_def=any_size_graph(), is_dynamic_op=True, max_batch_size=None
        ).convert()
    assert "fully defined" not in caplog.text


def test_4_to_6_and_10_one_build_serves_every_batch(fresh):
    with EngineCalls() as engines, Session(fresh) as session:
        assert_close(session.run(small_models.images(4)), expected(4))
        assert of_node(fresh)["builds"] == 1
        for batch in (4, 8, 4, 1):
            assert_close(session.run(small_models.images(batch)), expected(batch))
        empty = session.run(small_models.images(0))
    assert {key: value.shape for key, value in empty.items()} == {key: (0, 5) for key in KEYS}
    assert (engines.calls, engines.fallbacks) == (6, 0)
    assert of_node(fresh)["builds"] == 1


def test_7_to_8_and_every_height_and_width():
    graph = any_size_graph()
    with tf.Graph().as_default():
        converted = trt.TrtGraphConverter(
            input_graph_def=graph, is_dynamic_op=True, max_batch_size=None, maximum_cached_engines=1
        ).convert()
    converted = renamed(converted, "sizes")
    shapes = [(1, 8, 8, 3), (1, 12, 5, 3), (2, 3, 3, 3), (4, 16, 16, 3), (1, 7, 31, 3)]
    with EngineCalls() as engines, Session(converted, OUT) as session:
        for shape in shapes * 2:
            assert_close(session.run(image_of(*shape)), natively(graph, image_of(*shape)))
    assert (engines.calls, engines.fallbacks) == (10, 0)
    assert of_node(converted)["builds"] == 1


def test_9_the_node_says_how_many_engines_are_cached(frozen_graph):
    with tf.Graph().as_default():
        graph = trt.TrtGraphConverter(
            input_graph_def=read_graph(frozen_graph), maximum_cached_engines=7
        ).convert()
    assert engine_node(graph).attr["max_cached_engines_count"].i == 7


def test_11_a_shape_that_does_not_fit_runs_native(fresh):
    engine_node(fresh).attr["input_shapes"].list.shape[0].dim[0].size = 3
    with EngineCalls() as engines, Session(fresh) as session:
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (0, 1)


def test_12_max_batch_size_has_its_rules(frozen_graph, caplog):
    with tf.Graph().as_default():
        with pytest.raises(ValueError) as raised:
            trt.TrtGraphConverter(input_graph_def=read_graph(frozen_graph), max_batch_size=None)
        assert str(raised.value) == "When is_dynamic_op==False max_batch_size should be an integer"
        trt.TrtGraphConverter(
            input_graph_def=read_graph(frozen_graph), is_dynamic_op=True, max_batch_size=8
        )
    assert "When is_dynamic_op==True max_batch_size should be None" in caplog.text


def test_13_a_batch_above_max_batch_size_is_right(static):
    assert engine_node(static).attr["max_batch_size"].i == 1
    with EngineCalls() as engines, Session(static) as session:
        assert_close(session.run(small_models.images(5)), expected(5))
    engines.assert_engine_ran()


# ---- building at run time


def test_14_one_build_for_many_threads(fresh):
    failures = []
    with EngineCalls() as engines, Session(fresh) as session:

        def call(batch):
            try:
                assert_close(session.run(small_models.images(batch)), expected(batch))
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=call, args=(1 + i % 3,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert (engines.calls, engines.fallbacks) == (8, 0)
    assert of_node(fresh)["builds"] == 1


def test_15_an_aborted_build_is_not_tried_again(fresh, monkeypatch):
    monkeypatch.setenv("TF_TRT_ABORT_CUDA_ENGINE_BUILD", "True")
    with EngineCalls() as engines, Session(fresh) as session:
        assert_close(session.run(small_models.images(2)), expected(2))
        monkeypatch.delenv("TF_TRT_ABORT_CUDA_ENGINE_BUILD")
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (0, 2)
    node = of_node(fresh)
    assert node["reasons"] == {
        "Engine creation aborted by TF_TRT_ABORT_CUDA_ENGINE_BUILD variable": 2
    }
    assert node["builds"] == 0


def test_16_native_execution_can_be_forbidden(fresh, monkeypatch):
    monkeypatch.setenv("TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION", "False")
    engine_node(fresh).attr["_allow_build_at_runtime"].b = False
    with Session(fresh) as session, pytest.raises(tf.errors.AbortedError) as raised:
        session.run(small_models.images(2))
    assert "User disallowed engine native segment execution." in str(raised.value)


def test_17_building_can_be_forbidden(fresh):
    engine_node(fresh).attr["_allow_build_at_runtime"].b = False
    with EngineCalls() as engines, Session(fresh) as session:
        for _ in range(2):
            assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (0, 2)
    assert of_node(fresh)["reasons"] == {NOT_BUILT: 2}


RUN_ONCE = """
import os, pathlib, sys
os.dup2(1, 2)  # what TensorFlow logs
import numpy as np
import tensorflow as tf
import graft
graft.load_op_library()
v1 = tf.compat.v1
with tf.Graph().as_default(), v1.Session() as session:
    tf.import_graph_def(v1.GraphDef.FromString(pathlib.Path(sys.argv[1]).read_bytes()), name="")
    session.run("classes:0", {"image:0": np.load(sys.argv[2])})
print("ran")
"""


def log_of_running_once(graph, folder, **environment):
    (folder / "graph.pb").write_bytes(graph.SerializeToString())
    np.save(folder / "image.npy", small_models.images(2))
    out = support.run_python(
        "-c", RUN_ONCE, folder / "graph.pb", folder / "image.npy", TF_CPP_MIN_LOG_LEVEL="1", **environment
    )
    assert out.strip().endswith("ran")
    return out


def test_11_and_17_are_warned_of(fresh, tmp_path):
    failed = (
        "Engine retrieval for input shapes: [[2,16,16,3]] failed. Running native segment for "
        f"{engine_node(fresh).name}: "
    )
    engine_node(fresh).attr["_allow_build_at_runtime"].b = False
    assert failed + NOT_BUILT in log_of_running_once(fresh, tmp_path)
    engine_node(fresh).attr["input_shapes"].list.shape[0].dim[0].size = 3
    assert failed + "input 0 has shape [2,16,16,3]" in log_of_running_once(fresh, tmp_path)


BACKGROUND = """
import pathlib, sys, time
import numpy as np
import tensorflow as tf
import graft
graft.load_op_library()
v1 = tf.compat.v1
graph = v1.GraphDef.FromString(pathlib.Path(sys.argv[1]).read_bytes())
image = np.load(sys.argv[2])
with tf.Graph().as_default(), v1.Session() as session:
    tf.import_graph_def(graph, name="")
    first = session.run("classes:0", {"image:0": image})
    (node,) = graft.engine_statistics().values()
    assert (node["engine_calls"], node["native_while_building"]) == (0, 1), node
    deadline = time.monotonic() + 60
    while not node["engine_calls"] and time.monotonic() < deadline:
        time.sleep(0.05)
        later = session.run("classes:0", {"image:0": image})
        (node,) = graft.engine_statistics().values()
    assert node["engine_calls"] and node["builds"] == 1 and not node["fallbacks"], node
    np.testing.assert_allclose(first, later, rtol=1e-4, atol=1e-5)
print("built")
"""


def test_calls_run_native_while_an_engine_is_built_in_the_background(dynamic, tmp_path):
    (tmp_path / "graph.pb").write_bytes(dynamic.SerializeToString())
    np.save(tmp_path / "image.npy", small_models.images(2))
    out = support.run_python(
        "-c", BACKGROUND, tmp_path / "graph.pb", tmp_path / "image.npy", GRAFT_TF_BUILD="background"
    )
    assert out.strip().endswith("built")


@pytest.mark.parametrize("variable", ["GRAFT_TF_BUILD", "GRAFT_TF_TUNE"])
def test_a_model_may_go_while_its_engine_is_made_in_the_background(fresh, monkeypatch, variable):
    monkeypatch.setenv(variable, "background")
    with Session(fresh) as session:
        assert_close(session.run(small_models.images(2)), expected(2))
    gc.collect()
    node = of_node(fresh)
    assert (node["engine_calls"] + node["native_while_building"], node["fallbacks"]) == (1, 0)


def test_a_process_may_end_while_its_engine_is_built(dynamic, tmp_path):
    log_of_running_once(
        dynamic,
        tmp_path,
        GRAFT_TF_BUILD="background",
        GRAFT_TF_OPT_LEVEL="5",
        GRAFT_CACHE=str(tmp_path),
    )


def test_the_level_of_tuning_at_run_time(fresh, monkeypatch):
    """At level 3 the candidates are timed, so the timing cache grows; at level 0 it is only read."""
    timings = pathlib.Path(os.environ["GRAFT_CACHE"]) / "timings"

    def measured():
        return timings.read_text().count(" m ") if timings.exists() else 0

    before = measured()
    other = renamed(fresh, "level_3")
    with Session(fresh) as session:
        session.run(small_models.images(2))
    assert measured() == before
    monkeypatch.setenv("GRAFT_TF_OPT_LEVEL", "3")
    with Session(other) as session:
        assert_close(session.run(small_models.images(6)), expected(6))
    assert measured() > before


@pytest.mark.parametrize("build", ["wait", "background"])
def test_an_engine_is_tuned_in_the_background(fresh, monkeypatch, build):
    """Calls run what was built first until the tuned one is there."""
    monkeypatch.setenv("GRAFT_TF_BUILD", build)
    monkeypatch.delenv("GRAFT_TF_TUNE")
    with Session(fresh) as session:
        deadline = time.monotonic() + 120
        calls = 0
        while not calls or (not of_node(fresh)["tunings"] and time.monotonic() < deadline):
            assert_close(session.run(small_models.images(2)), expected(2))
            calls += 1
        assert_close(session.run(small_models.images(3)), expected(3))
    node = of_node(fresh)
    assert (node["builds"], node["tunings"], node["fallbacks"]) == (1, 1, 0)
    assert node["engine_calls"] + node["native_while_building"] == calls + 1


def test_idle_contexts_are_freed_by_trim(fresh):
    with Session(fresh) as session:
        session.run(small_models.images(2))
        graft.trim()
        assert graft.trim() == 0
        session.run(small_models.images(2))
        assert graft.trim() == 1
        with EngineCalls() as engines:
            assert_close(session.run(small_models.images(2)), expected(2))
        engines.assert_engine_ran()


# ---- TrtGraphConverterV2


def structured_model(folder):
    """Inputs and outputs of several names."""

    class Model(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 4], tf.float32, "left"),
                tf.TensorSpec([None, 4], tf.float32, "right"),
            ]
        )
        def serve(self, left, right):
            total = tf.nn.relu(left * 2.0 + right)
            return {"total": total, "mean": tf.reduce_mean(total, 1)}

    model = Model()
    tf.saved_model.save(model, str(folder), {"serving_default": model.serve})
    return folder


def test_18_v2_keeps_structured_inputs_and_outputs(tmp_path):
    folder = structured_model(tmp_path / "model")
    original = tf.saved_model.load(str(folder)).signatures["serving_default"]
    function = trt.TrtGraphConverterV2(input_saved_model_dir=str(folder)).convert()
    assert sorted(function.structured_input_signature[1]) == ["left", "right"]
    assert sorted(function.structured_outputs) == sorted(original.structured_outputs)
    left, right = tf.ones([3, 4]), tf.fill([3, 4], -1.0)
    with EngineCalls() as engines:
        found = function(left=left, right=right)
    engines.assert_engine_ran()
    assert_close(
        {k: v.numpy() for k, v in found.items()},
        {k: v.numpy() for k, v in original(left=left, right=right).items()},
    )


def test_19_build_has_its_errors(v2_saved_model):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    with pytest.raises(RuntimeError) as raised:
        converter.build(lambda: iter([[small_models.images(1)]]))
    assert str(raised.value) == "Need to call convert() before build()"
    converter.convert()
    with pytest.raises(RuntimeError, match="^input_fn is None"):
        converter.build(None)
    converter.build(lambda: iter([[small_models.images(1)]]))
    with pytest.raises(NotImplementedError) as raised:
        converter.build(lambda: iter([[small_models.images(1)]]))
    assert str(raised.value) == (
        "build() is already called. It is not supported to call build() more than once."
    )


def test_20_build_takes_arrays_lists_and_dicts(v2_saved_model):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    converter.convert()

    def inputs():
        yield small_models.images(1)
        yield [small_models.images(2)]
        yield {"image": small_models.images(3)}

    with EngineCalls() as engines:
        converter.build(inputs)
    assert (engines.calls, engines.fallbacks) == (3, 0)


def built(model, **arguments):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(model), **arguments)
    converter.convert()
    converter.build(lambda: iter([[small_models.images(2)]]))
    return converter


@pytest.fixture(scope="module")
def built_and_saved(v2_saved_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "model"
    built(v2_saved_model).save(str(folder))
    return folder


def assets(folder):
    return sorted((pathlib.Path(folder) / "assets").glob("trt-serialized-engine.*"))


def saved_graph(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((pathlib.Path(folder) / "saved_model.pb").read_bytes())
    (meta_graph,) = saved.meta_graphs
    return meta_graph.graph_def


def test_21_save_writes_the_asset_of_each_engine(built_and_saved, v2_saved_model, tmp_path):
    (asset,) = assets(built_and_saved)
    assert asset.name == f"trt-serialized-engine.{engine_node(saved_graph(built_and_saved)).name}"
    (record,) = v1.io.tf_record_iterator(str(asset))
    assert len(record) > 100
    # Before build() there is none.
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    converter.convert()
    converter.save(str(tmp_path / "model"))
    assert assets(tmp_path / "model") == []


def without_bytes_in_the_node(folder, to):
    """The model, its engine in the asset alone."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(folder, to)
    saved = saved_model_pb2.SavedModel.FromString((to / "saved_model.pb").read_bytes())
    node = engine_node(saved.meta_graphs[0].graph_def)
    assert node.attr["serialized_segment"].s
    node.attr["serialized_segment"].s = b""
    node.attr["_allow_build_at_runtime"].b = False
    (to / "saved_model.pb").write_bytes(saved.SerializeToString())
    return to


@pytest.mark.parametrize("remove", ["", "remove_native_segments"])
def test_21_and_the_engine_is_read_from_there(v2_saved_model, tmp_path, monkeypatch, remove):
    monkeypatch.setenv("TF_TRT_EXPERIMENTAL_FEATURES", remove)
    built(v2_saved_model).save(str(tmp_path / "model"))
    model = tf.saved_model.load(
        str(without_bytes_in_the_node(tmp_path / "model", tmp_path / "other"))
    )
    with EngineCalls() as engines:
        found = model.signatures["serving_default"](image=tf.constant(small_models.images(2)))
    engines.assert_engine_ran()
    assert_close({k: v.numpy() for k, v in found.items()}, expected(2))


def test_21_a_damaged_asset_is_an_error_of_loading(built_and_saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(built_and_saved, folder)
    (asset,) = assets(folder)
    content = bytearray(asset.read_bytes())
    content[len(content) // 2] ^= 1
    asset.write_bytes(content)
    with pytest.raises(tf.errors.DataLossError):
        tf.saved_model.load(str(folder))


def test_22_the_asset_is_empty_without_engines(v2_saved_model, tmp_path):
    built(v2_saved_model).save(str(tmp_path / "model"), save_gpu_specific_engines=False)
    (asset,) = assets(tmp_path / "model")
    assert asset.stat().st_size == 0
    assert engine_node(saved_graph(tmp_path / "model")).attr["serialized_segment"].s
    with EngineCalls() as engines:
        function = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
        found = function(image=tf.constant(small_models.images(2)))
    engines.assert_engine_ran()
    assert_close({k: v.numpy() for k, v in found.items()}, expected(2))


FRESH = """
import sys
import tensorflow as tf
import graft
graft.load_op_library()
model = tf.saved_model.load(sys.argv[1])
model.signatures["serving_default"](image=tf.zeros((2, 16, 16, 3)))
(node,) = graft.engine_statistics().values()
assert node["engine_calls"] == 1 and not node["fallbacks"], node
assert (node["builds"], node["loads"]) == (0, 1), node
"""


def test_23_the_first_call_of_a_fresh_process_builds_nothing(built_and_saved):
    support.run_python("-c", FRESH, built_and_saved)


def test_23_nor_does_it_in_tensorflow_1(built_and_saved):
    with EngineCalls() as engines, tf.Graph().as_default(), v1.Session() as session:
        meta = v1.saved_model.loader.load(session, ["serve"], str(built_and_saved))
        signature = meta.signature_def["serving_default"]
        fetches = {name: info.name for name, info in signature.outputs.items()}
        values = session.run(fetches, {signature.inputs["image"].name: small_models.images(2)})
    engines.assert_engine_ran()
    assert_close(values, expected(2))


WITHOUT_LIBRARY = """
import sys
import tensorflow as tf
try:
    tf.saved_model.load(sys.argv[1])
except Exception as error:
    assert "TRTEngineOp" in str(error) or "CreateTRTResourceHandle" in str(error), error
    assert "not registered" in str(error), error
    print("refused")
"""


def test_24_without_the_library_the_op_is_named(built_and_saved):
    assert support.run_python("-c", WITHOUT_LIBRARY, built_and_saved).strip() == "refused"


def test_25_only_save_forbids_building(v2_saved_model, tmp_path):
    converter = built(v2_saved_model, allow_build_at_runtime=False)
    node = engine_node(converter._converted_func.graph.as_graph_def())
    assert node.attr["_allow_build_at_runtime"].b
    converter.save(str(tmp_path / "model"))
    assert not engine_node(saved_graph(tmp_path / "model")).attr["_allow_build_at_runtime"].b


def test_25_and_the_engine_of_the_asset_runs(v2_saved_model, tmp_path):
    built(v2_saved_model, allow_build_at_runtime=False).save(str(tmp_path / "model"))
    with EngineCalls() as engines:
        function = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
        found = function(image=tf.constant(small_models.images(5)))
    engines.assert_engine_ran()
    assert_close({k: v.numpy() for k, v in found.items()}, expected(5))


def test_25_also_where_nothing_was_built(v2_saved_model, tmp_path):
    converter = trt.TrtGraphConverterV2(
        input_saved_model_dir=str(v2_saved_model), allow_build_at_runtime=False
    )
    function = converter.convert()
    assert engine_node(function.graph.as_graph_def()).attr["_allow_build_at_runtime"].b
    converter.save(str(tmp_path / "model"))
    assert not engine_node(saved_graph(tmp_path / "model")).attr["_allow_build_at_runtime"].b


RELOADED = """
import gc, sys
import tensorflow as tf
import graft
graft.load_op_library()
image = tf.constant([[[[float(sys.argv[2])] * 3] * 16] * 16])
models = [tf.saved_model.load(sys.argv[1]) for _ in range(2)]
models.pop(0)
gc.collect()
models[0].signatures["serving_default"](image=image)
(node,) = graft.engine_statistics().values()
assert node["engine_calls"] == 1 and not node["fallbacks"], node
assert (node["builds"], node["loads"]) == (0, 1), node
models.pop()
gc.collect()
handle = graft._op_library.operations().create_trt_resource_handle(resource_name=sys.argv[3])
try:
    tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=False)
except tf.errors.NotFoundError:
    print("gone")
"""


def test_26_a_model_that_goes_takes_no_engine_of_another(v2_saved_model, tmp_path):
    """The assets of models with equal engine names fill one resource. A server loads anew before it drops the old."""
    built(v2_saved_model, allow_build_at_runtime=False).save(str(tmp_path / "model"))
    name = engine_node(saved_graph(tmp_path / "model")).name
    out = support.run_python("-c", RELOADED, tmp_path / "model", "0.5", name)
    assert out.strip().endswith("gone")


def with_weights_times(folder, factor, to):
    """The model, the weights of its native segment multiplied: another one with the same names."""
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(folder, to)
    saved = saved_model_pb2.SavedModel.FromString((to / "saved_model.pb").read_bytes())
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "Const" and node.attr["dtype"].type == 1:
                value = tf.make_ndarray(node.attr["value"].tensor) * np.float32(factor)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    (to / "saved_model.pb").write_bytes(saved.SerializeToString())
    return to


def test_26_models_with_equal_engine_names_do_not_mix(built_and_saved, tmp_path):
    image = tf.constant(small_models.images(2))
    other = with_weights_times(built_and_saved, 2.0, tmp_path / "other")
    models = [tf.saved_model.load(str(folder)) for folder in (built_and_saved, other)]
    found = [model.signatures["serving_default"](image=image) for model in models]
    assert_close({k: v.numpy() for k, v in found[0].items()}, expected(2))
    alone = tf.saved_model.load(str(other)).signatures["serving_default"](image=image)
    assert_close(
        {k: v.numpy() for k, v in found[1].items()}, {k: v.numpy() for k, v in alone.items()}
    )
    difference = support.relative_error(found[1]["logits"], found[0]["logits"])
    assert difference > 0.1


def test_27_trt_engine_resources_survive_loading(built_and_saved):
    model = tf.saved_model.load(str(built_and_saved))
    assert len(model.trt_engine_resources) == 1


def destroy(name):
    handle = _op_library.operations().create_trt_resource_handle(resource_name=name)
    tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=False)


def test_the_resource_lives_as_long_as_its_model(built_and_saved):
    name = engine_node(saved_graph(built_and_saved)).name
    gc.collect()
    with pytest.raises(tf.errors.NotFoundError, match="Resource .* does not exist"):
        destroy(name)
    model = tf.saved_model.load(str(built_and_saved))
    destroy(name)
    with pytest.raises(tf.errors.NotFoundError, match="Resource .* does not exist"):
        destroy(name)
    del model
    model = tf.saved_model.load(str(built_and_saved))
    del model
    gc.collect()
    with pytest.raises(tf.errors.NotFoundError, match="Resource .* does not exist"):
        destroy(name)


def test_native_segments_are_removed_by_save(v2_saved_model, tmp_path, monkeypatch):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    function = converter.convert()
    assert engine_node(function.graph.as_graph_def()).attr["segment_func"].func.name
    monkeypatch.setenv("TF_TRT_EXPERIMENTAL_FEATURES", "remove_native_segments")
    converter.save(str(tmp_path / "model"))
    graph = saved_graph(tmp_path / "model")
    assert not [f for f in graph.library.function if "native_segment" in f.signature.name]
    with EngineCalls() as engines:
        function = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
        found = function(image=tf.constant(small_models.images(2)))
    engines.assert_engine_ran()
    assert_close({k: v.numpy() for k, v in found.items()}, expected(2))


# ---- models of TF-TRT


@pytest.mark.parametrize("tag", [b"ftrt", b"ptrt"])
def test_bytes_of_tensorrt_are_said_to_be_that(fresh, tag):
    node = engine_node(fresh)
    node.attr["serialized_segment"].s = tag + bytes(100)
    node.attr["_allow_build_at_runtime"].b = False
    with EngineCalls() as engines, Session(fresh) as session:
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (0, 1)
    (reason,) = of_node(fresh)["reasons"]
    assert "engine of NVIDIA TensorRT" in reason


def test_a_graph_of_tensorflow_2_0(fresh):
    """No input_shapes and no private attributes; the engine is built at the first call."""
    node = engine_node(fresh)
    for name in ("input_shapes", "output_shapes", "_use_implicit_batch", "profile_strategy"):
        node.attr.pop(name, None)
    node.attr.pop("_allow_build_at_runtime", None)
    node.attr.pop("segment_funcdef_name", None)
    with EngineCalls() as engines, Session(fresh) as session:
        for batch in (4, 1, 7):
            assert_close(session.run(small_models.images(batch)), expected(batch))
    assert (engines.calls, engines.fallbacks) == (3, 0)


def test_a_graph_of_1_12_in_calibration_mode_runs_native(fresh):
    engine_node(fresh).attr["precision_mode"].s = b"INT8CALIB"
    with EngineCalls() as engines, Session(fresh) as session:
        assert_close(session.run(small_models.images(2)), expected(2))
    assert (engines.calls, engines.fallbacks) == (0, 0)
    assert of_node(fresh)["native_for_calibration"] == 1


def old_saved_model(graph, folder, **attributes):
    """As releases before 2.0 saved: a graph and signatures, no object graph."""
    node = engine_node(graph)
    for name, value in attributes.items():
        node.attr[name].CopyFrom(value)
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph, name="")
        find = session.graph.get_tensor_by_name
        v1.saved_model.simple_save(
            session, str(folder), {"image": find("image:0")}, {k: find(f"{k}:0") for k in KEYS}
        )
    return folder


def assert_loads_and_runs(folder, calls):
    with EngineCalls() as engines:
        function = tf.saved_model.load(str(folder)).signatures["serving_default"]
        found = function(image=tf.constant(small_models.images(2)))
        assert_close({k: v.numpy() for k, v in found.items()}, expected(2))
    assert (engines.calls, engines.fallbacks) == calls


def test_a_model_of_1_14_names_its_native_segment_by_a_string(fresh, tmp_path):
    node = engine_node(fresh)
    assert node.attr["segment_funcdef_name"].s.decode() == node.attr["segment_func"].func.name
    del node.attr["segment_func"]
    assert_loads_and_runs(old_saved_model(fresh, tmp_path / "model"), (1, 0))


def test_a_model_whose_native_segment_is_an_empty_name(static, tmp_path):
    graph = renamed(static, "empty_name")
    engine_node(graph).attr["segment_funcdef_name"].s = b""
    empty = v1.AttrValue()
    empty.func.SetInParent()
    folder = old_saved_model(graph, tmp_path / "model", segment_func=empty)
    assert_loads_and_runs(folder, (1, 0))


@pytest.mark.usefixtures("strict_int8")
def test_a_table_of_int8_is_used_and_a_foreign_one_refused(fresh, frozen_graph):
    """calibration_data of a dynamic engine: the first call builds it with these ranges."""
    with tf.Graph().as_default():
        converter = trt.TrtGraphConverter(
            input_graph_def=read_graph(frozen_graph),
            nodes_denylist=KEYS,
            precision_mode="INT8",
            is_dynamic_op=True,
            max_batch_size=None,
        )
        converter.convert()
        calibrated = converter.calibrate(
            ["classes:0"], 2, feed_dict_fn=lambda: {"image:0": small_models.images(4)}
        )
    node = engine_node(calibrated)
    assert node.attr["calibration_data"].s and not node.attr["serialized_segment"].s
    calibrated = renamed(calibrated, "int8")
    with EngineCalls() as engines, Session(calibrated) as session:
        values = session.run(small_models.images(4))
    assert (engines.calls, engines.fallbacks) == (1, 0)
    error = support.relative_error(values["logits"], expected(4)["logits"])
    assert 1e-5 < error < 0.1, "of 8-bit integers, not of floats"
    # A build that fails for good is tried once.
    engine_node(calibrated).attr["calibration_data"].s = b"no table"
    calibrated = renamed(calibrated, "foreign")
    with EngineCalls() as engines, Session(calibrated) as session:
        for _ in range(3):
            assert_close(session.run(small_models.images(4)), expected(4))
    assert (engines.calls, engines.fallbacks) == (0, 3)
    node = of_node(calibrated)
    assert node["builds"] == 0
    ((reason, count),) = node["reasons"].items()
    assert count == 3 and "calibration table" in reason
