"""Converted SavedModels with their weights and plans in a file among the assets, which the op library maps."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import support
from graft import trt_convert as trt

MIB = 1 << 20
X = np.random.default_rng(1).standard_normal((3, 1024)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """12 MiB of weights, of which one half is folded into others, so that the plan has its own; and a table, so that there
    is something to initialise."""
    rng = np.random.default_rng(0)
    weights = [tf.constant(rng.standard_normal((1024, 1024), np.float32) / 32) for _ in range(3)]
    scale = tf.constant(rng.random(1024, np.float32) + 0.5)
    module = tf.Module()
    keys = tf.constant(["a", "b"])
    init = tf.lookup.KeyValueTensorInitializer(keys, tf.constant([3.0, 4.0]))
    module.table = tf.lookup.StaticHashTable(init, 0.0)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 1024], tf.float32, "x"),
            tf.TensorSpec([], tf.string, "key"),
        ]
    )
    def serve(x, key):
        for w in weights:
            x = tf.nn.relu((x @ w) * scale)
        return {"y": x + module.table.lookup(key)}

    module.serve = serve
    folder = tmp_path_factory.mktemp("weights") / "model"
    tf.saved_model.save(module, str(folder), {"serving_default": serve})
    return folder


@pytest.fixture(scope="module")
def converted(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "model"
    support.convert(model, "--output", folder)
    return folder


@pytest.fixture(scope="module")
def expected(model):
    serve = tf.saved_model.load(str(model)).signatures["serving_default"]
    return serve(x=tf.constant(X), key=tf.constant("b"))["y"].numpy()


def weights_files(folder):
    return list((folder / "assets").glob("graft-weights-*"))


# Loads argv[1] as argv[2] says, calls it twice with the npy file argv[3] and writes the second result; prints what the engine
# nodes did.
CALLER = """
import json, sys
import numpy as np
import tensorflow as tf
import graft
graft.load_op_library()
path, mode, x, y = sys.argv[1:]
x = np.load(x)
if mode == "v2":
    model = tf.saved_model.load(path)
    serve = model.signatures["serving_default"]
    call = lambda: serve(x=tf.constant(x), key=tf.constant("b"))["y"].numpy()
else:
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
    feed = {signature.inputs["x"].name: x, signature.inputs["key"].name: "b"}
    call = lambda: session.run(signature.outputs["y"].name, feed)
call()
np.save(y, call())
(node,) = graft.engine_statistics().values()
print(json.dumps(node))
"""


def call(folder, mode, tmp_path, **environment):
    np.save(tmp_path / "x.npy", X)
    arguments = ["-c", CALLER, folder, mode, tmp_path / "x.npy", tmp_path / "y.npy"]
    node = json.loads(support.run_python(*arguments, **environment).splitlines()[-1])
    return np.load(tmp_path / "y.npy"), node


def test_the_graph_is_small_and_the_weights_are_in_one_file(converted):
    (file,) = weights_files(converted)
    assert 12 * MIB < file.stat().st_size < 26 * MIB
    assert (converted / "saved_model.pb").stat().st_size < MIB // 2


@pytest.mark.parametrize("mode", ["v1", "v2"])
def test_engines_and_native_segments_read_it(mode, converted, expected, tmp_path):
    found, node = call(converted, mode, tmp_path)
    assert (node["engine_calls"], node["fallbacks"], node["builds"]) == (2, 0, 0), node
    assert support.relative_error(found, expected) < support.TOLERANCE
    found, node = call(converted, mode, tmp_path, TF_TRT_ABORT_CUDA_ENGINE_BUILD="1")
    assert (node["engine_calls"], node["fallbacks"]) == (0, 2), node
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_weights_may_stay_in_the_graph(model, expected, tmp_path):
    support.convert(model, "--output", tmp_path / "model", "--weights-in-graph")
    assert not weights_files(tmp_path / "model")
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((tmp_path / "model/saved_model.pb").read_bytes())
    (engine,) = [n for n in saved.meta_graphs[0].graph_def.node if n.op == "TRTEngineOp"]
    assert engine.attr["serialized_segment"].s
    found, node = call(tmp_path / "model", "v2", tmp_path)
    assert node["fallbacks"] == 0
    assert support.relative_error(found, expected) < support.TOLERANCE


@pytest.mark.parametrize("built", [False, True])
def test_the_converter_of_tensorflow_2_saves_it(built, model, expected, tmp_path):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(model))
    function = converter.convert()
    with support.EngineCalls() as engines:
        found = function(x=tf.constant(X), key=tf.constant("b"))["y"]
    engines.assert_engine_ran()
    assert support.relative_error(found, expected) < support.TOLERANCE
    if built:
        converter.build(lambda: iter([{"x": X, "key": np.array("b")}]))
    converter.save(str(tmp_path / "saved"))
    assert len(weights_files(tmp_path / "saved")) == 1
    found, node = call(tmp_path / "saved", "v2", tmp_path)
    assert (node["engine_calls"], node["fallbacks"], node["builds"]) == (2, 0, 0), node
    assert support.relative_error(found, expected) < support.TOLERANCE
    # It can be converted again, and its report made: both want the weights back.
    support.convert(tmp_path / "saved", "--output", tmp_path / "again")
    found, node = call(tmp_path / "again", "v1", tmp_path)
    assert node["fallbacks"] == 0
    assert support.relative_error(found, expected) < support.TOLERANCE


def test_calibration_and_summary_see_the_weights(model, expected, tmp_path):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(model), precision_mode="INT8")
    converter.convert(lambda: iter([{"x": X, "key": np.array("b")}]))
    lines = []
    converter.summary(print_fn=lines.append)
    assert any("- Const: " in line for line in lines), lines
    assert not any("GraftWeight" in line for line in lines), lines
    converter.save(str(tmp_path / "saved"))
    assert len(weights_files(tmp_path / "saved")) == 1
    found, node = call(tmp_path / "saved", "v2", tmp_path)
    assert (node["engine_calls"], node["fallbacks"]) == (2, 0), node
    assert 0 < support.relative_error(found, expected) < 0.1


def test_a_file_that_is_missing_or_another_is_an_error(converted, tmp_path):
    for damage in ("remove", "replace"):
        copy = tmp_path / damage
        for file in converted.rglob("*"):
            if file.is_file():
                target = copy / file.relative_to(converted)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
        (file,) = weights_files(copy)
        file.unlink()
        if damage == "replace":
            file.write_bytes(b"something else")
        with pytest.raises(AssertionError, match="graft-weights-"):
            call(copy, "v1", tmp_path)
        assert "graft-weights-" in support.graft("convert", copy, expect=support.BAD_INPUT)


# ---- memory

MEMORY = """
import ctypes, gc, sys
import numpy as np
import tensorflow as tf
import graft
graft.load_op_library()
path, mode = sys.argv[1:]
x = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

tf.function(lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 3, 8)), 1, "SAME"))(tf.constant(x))
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    session.run(tf.ones(3))
before = resident()
if mode == "v2":
    model = tf.saved_model.load(path)
    serve = model.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    call = lambda: serve(**{name: tf.constant(x)})
else:
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
    (x_info,), (y_info,) = signature.inputs.values(), signature.outputs.values()
    call = lambda: session.run(y_info.name, {x_info.name: x})
for _ in range(5):
    call()
assert all(node["fallbacks"] == 0 for node in graft.engine_statistics().values())
print(before, resident())
"""


@pytest.mark.models
def test_a_converted_resnet_50_needs_no_more_memory_than_1_3_times_the_original(tmp_path):
    """What loading and running add to a process in which TensorFlow has run something before, and the whole process."""
    import keras

    keras.applications.ResNet50(weights=None).export(str(tmp_path / "model"), verbose=False)
    support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(tmp_path / "model"))
    converter.convert()
    converter.save(str(tmp_path / "saved"))

    def measure(name, mode):
        printed = support.run_python("-c", MEMORY, tmp_path / name, mode)
        before, after = (int(size) / MIB for size in printed.splitlines()[-1].split())
        return after - before, after

    for mode in ("v1", "v2"):
        native, native_process = measure("model", mode)
        for name in ("converted", "saved"):
            added, process = measure(name, mode)
            print(
                f"{mode} {name}: {added:.0f} MiB, native {native:.0f}, ratio {added / native:.2f}; "
                f"with TensorFlow {process:.0f} MiB, native {native_process:.0f}, ratio {process / native_process:.2f}"
            )
            assert added <= 1.3 * native
