"""graft.enable_tensorflow_tensorrt: TensorFlow's own trt_convert over Graft. In processes of their own, since it patches TensorFlow."""

import pytest

import support

PREPARE = """
import os, sys
import numpy as np
sys.path.insert(0, {tests!r})
import small_models, support
import tensorflow as tf
import graft
"""

ENABLE = """
patched = graft.enable_tensorflow_tensorrt()
from tensorflow.python.compiler.tensorrt import trt_convert as trt
assert graft.enable_tensorflow_tensorrt() == patched
for name in patched:
    module, _, attribute = name.rpartition(".")
    assert hasattr(sys.modules[module], attribute), name
assert trt.DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES == 1 << 30
image = small_models.images(3)
reference = small_models.expected(3)
reference.pop("features")
"""

V2 = """
converter = trt.TrtGraphConverterV2(input_saved_model_dir={model!r})
converter.convert()
converter.build(lambda: iter([[image]]))
converter.save({folder!r})
converter.summary(print_fn=lambda *line: None)
with support.EngineCalls() as engines:
    loaded = tf.saved_model.load({folder!r})
    values = loaded.signatures["serving_default"](image=tf.constant(image))
engines.assert_engine_ran()
support.assert_close(values, reference)
"""

V1 = """
v1 = tf.compat.v1
with tf.Graph().as_default():
    converter = trt.TrtGraphConverter(
        input_saved_model_dir={model!r}, max_batch_size=4, is_dynamic_op={dynamic}
    )
    graph_def = converter.convert()
    converter.save({folder!r})
(node,) = [n for n in graph_def.node if n.op == "TRTEngineOp"]
assert node.attr["static_engine"].b is not {dynamic}
assert node.attr["max_batch_size"].i == (1 if {dynamic} else 4)
with tf.Graph().as_default(), v1.Session() as session, support.EngineCalls() as engines:
    meta = v1.saved_model.load(session, ["serve"], {folder!r})
    signature = meta.signature_def["serving_default"]
    fetches = {{key: info.name for key, info in signature.outputs.items()}}
    values = session.run(fetches, {{signature.inputs["image"].name: image}})
engines.assert_engine_ran()
support.assert_close(values, reference)
"""

CALIBRATED_V2 = """
converter = trt.TrtGraphConverterV2(input_saved_model_dir={model!r}, precision_mode="INT8")
batches = [(np.concatenate([image, -image]),), (image,)]
converter.convert(calibration_input_fn=lambda: iter(batches))
converter.build(lambda: iter([[image]]))
converter.save({folder!r})
tables = [n.attr["calibration_data"].s for n in converter._converted_graph_def.node if n.op == "TRTEngineOp"]
assert len(tables) == 1 and tables[0].startswith(b"TRT-"), tables
loaded = tf.saved_model.load({folder!r})
with support.EngineCalls() as engines:
    values = loaded.signatures["serving_default"](image=tf.constant(image))
engines.assert_engine_ran()
for key, value in reference.items():
    assert np.abs(values[key].numpy() - value).max() < 0.1 * np.abs(value).max(), key
assert any(np.any(values[key].numpy() != value) for key, value in reference.items())
"""

CALIBRATED_V1 = """
v1 = tf.compat.v1
with tf.Graph().as_default():
    converter = trt.TrtGraphConverter(
        input_saved_model_dir={model!r}, precision_mode="INT8", is_dynamic_op=True
    )
    converter.convert()
    feed = {{converter._grappler_meta_graph_def.signature_def["serving_default"].inputs["image"].name: image}}
    fetches = [info.name for info in converter._grappler_meta_graph_def.signature_def["serving_default"].outputs.values()]
    graph_def = converter.calibrate(fetches, num_runs=2, feed_dict_fn=lambda: feed)
    converter.save({folder!r})
(node,) = [n for n in graph_def.node if n.op == "TRTEngineOp"]
assert node.attr["calibration_data"].s.startswith(b"TRT-")
with tf.Graph().as_default(), v1.Session() as session, support.EngineCalls() as engines:
    meta = v1.saved_model.load(session, ["serve"], {folder!r})
    session.run(fetches, {{name: image for name in feed}})
engines.assert_engine_ran()
"""

ASKED_TOO_EARLY = """
try:
    graft._op_library.operations().get_calibration_data_op("TRTEngineOp_000_000")
except tf.errors.NotFoundError as error:
    assert "engine TRTEngineOp_000_000 has no calibration data" in str(error)
else:
    raise AssertionError("nothing was gathered")
"""

DENIED = """
v1 = tf.compat.v1
with tf.Graph().as_default():
    graph_def = v1.GraphDef.FromString(open({model!r}, "rb").read())
    converted = trt.TrtGraphConverter(
        input_graph_def=graph_def, nodes_denylist=["logits", "classes", "conv2"]
    ).convert()
ops = {{node.name: node.op for node in converted.node}}
assert (ops["conv2"], ops["logits"], ops["classes"]) == ("Conv2D", "MatMul", "Softmax")
assert "TRTEngineOp" in ops.values()
"""


def run(*parts, **values):
    values = {k: v if isinstance(v, bool) else str(v) for k, v in values.items()}
    script = "".join((PREPARE, *parts)).format(tests=str(support.ROOT / "test/python"), **values)
    return support.run_python("-c", script)


IMPORTED_BEFORE = "import tensorflow.python.compiler.tensorrt.trt_convert\n"


@pytest.mark.parametrize("before", ["", IMPORTED_BEFORE], ids=["fresh", "imported before"])
def test_the_tensorflow_2_converter(before, v2_saved_model, tmp_path):
    run(before, ENABLE, V2, model=v2_saved_model, folder=tmp_path / "converted")
    (asset,) = (tmp_path / "converted/assets").iterdir()
    assert asset.name.startswith("trt-serialized-engine.TRTEngineOp_")


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_tensorflow_1_converter(dynamic, v1_saved_model, tmp_path):
    run(ENABLE, V1, model=v1_saved_model, folder=tmp_path / "converted", dynamic=dynamic)


def test_the_tensorflow_2_converter_calibrates(v2_saved_model, tmp_path):
    run(ENABLE, CALIBRATED_V2, model=v2_saved_model, folder=tmp_path / "converted")


def test_the_tensorflow_1_converter_calibrates(v1_saved_model, tmp_path):
    run(ENABLE, CALIBRATED_V1, model=v1_saved_model, folder=tmp_path / "converted")


def test_there_is_no_calibration_data_before_calls():
    run(ENABLE, ASKED_TOO_EARLY)


def test_denied_nodes_stay(frozen_graph):
    run(ENABLE, DENIED, model=frozen_graph)


def test_without_the_line_it_refuses(v2_saved_model, tmp_path):
    refused = """
try:
    from tensorflow.python.compiler.tensorrt import trt_convert as trt
    trt.TrtGraphConverterV2(input_saved_model_dir={model!r})
except RuntimeError as error:
    assert "Tensorflow has not been built with TensorRT support." in str(error)
else:
    raise AssertionError("this TensorFlow has TensorRT")
"""
    run(refused, model=v2_saved_model)


def test_the_rewriter_configs_are_upstream_s():
    """But for remapping, which upstream means to turn off and leaves at its default."""
    run(
        ENABLE,
        """
from graft import trt_convert as ours
for off in (False, True):
    for arguments in ((True, None), (False, 8), (True, None, True)):
        made = [
            module.get_tensorrt_rewriter_config(
                module.TrtConversionParams(precision_mode="INT8", minimum_segment_size=7),
                *arguments,
                disable_non_trt_optimizers=off,
            )
            for module in (ours, trt)
        ]
        made[1].remapping = made[1].OFF
        assert made[0] == made[1], made
""",
    )
