"""The drop-in for TF-TRT's Python API: its workflows, signatures, texts and reports."""

import inspect
import logging
import pathlib
import re

import numpy as np
import pytest

import small_models
import support
from support import EngineCalls, assert_close

import tensorflow as tf
from graft import trt_convert as trt

KEYS = ("logits", "classes")


def expected(batch, keys=KEYS):
    reference = small_models.expected(batch)
    return {key: reference[key] for key in keys}


def read_graph(path):
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return graph


def engine_nodes(graph):
    return [node for node in graph.node if node.op == "TRTEngineOp"]


def run_graph(graph, feed, fetches):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph, name="")
        return session.run(fetches, feed)


# ---- the guide's workflows


@pytest.mark.parametrize(
    "workflow, save",
    [
        ("saved_model", lambda folder: small_models.save_v1(folder / "model")),
        ("frozen_graph", lambda folder: small_models.save_frozen_graph(folder / "model.pb")),
        ("meta_graph", lambda folder: small_models.save_checkpoint(folder / "model.ckpt")),
    ],
)
def test_workflow_of_the_guide(workflow, save, tmp_path):
    save(tmp_path)
    script = pathlib.Path(__file__).with_name("guide_workflows.py")
    support.run_python(script, workflow, tmp_path)
    assert_close(dict(np.load(tmp_path / "results.npz")), expected(3))


# ---- TrtGraphConverter


def convert_v1(**arguments):
    return trt.TrtGraphConverter(**arguments).convert()


def test_every_old_and_new_argument_is_known():
    known = set(inspect.signature(trt.TrtGraphConverter).parameters)
    of_1_14 = {
        *("input_saved_model_dir", "input_saved_model_tags", "input_saved_model_signature_key"),
        *("input_graph_def", "nodes_blacklist", "session_config", "max_batch_size"),
        *("max_workspace_size_bytes", "precision_mode", "minimum_segment_size", "is_dynamic_op"),
        *("maximum_cached_engines", "cached_engine_batches", "use_calibration"),
        "use_function_backup",
    }
    of_2_21 = {
        *("input_saved_model_dir", "input_saved_model_tags", "input_saved_model_signature_key"),
        *("input_graph_def", "nodes_denylist", "max_batch_size", "max_workspace_size_bytes"),
        *("precision_mode", "minimum_segment_size", "is_dynamic_op", "maximum_cached_engines"),
        "use_calibration",
    }
    assert known == of_1_14 | of_2_21


MODEL = (None, ["serve"], "serving_default")


@pytest.mark.parametrize(
    "positional",
    [
        ("nodes", tf.compat.v1.ConfigProto(), 8, 1 << 25, "fp32", 2, False, 4, False, True),
        ("nodes", None, 8, 1 << 25, "fp32", 2, False, 4, False),
        ("nodes", None, 8, 1 << 25, "fp32", 2, False, 4, [8], False, True),
        ("nodes", None, 8, 1 << 25, "fp32", 2, False, 4, None, False, True),
        ("nodes", 8, 1 << 25, "fp32", 2, False, 4, False),
    ],
    ids=["guide", "guide, cut", "1.14", "1.14, no batches", "2.21"],
)
def test_arguments_by_position_in_the_order_of_every_release(graph_mode, frozen_graph, positional):
    _, *rest = positional
    graph = trt.TrtGraphConverter(*MODEL, read_graph(frozen_graph), ["pool"], *rest).convert()
    assert "pool" in [node.name for node in graph.node]
    for node in engine_nodes(graph):
        attributes = [
            node.attr[name].i
            for name in ("max_batch_size", "workspace_size_bytes", "max_cached_engines_count")
        ]
        assert attributes == [8, 1 << 25, 4]
    assert len(engine_nodes(graph)) == 2


def test_arguments_by_position_are_checked(graph_mode):
    with pytest.raises(TypeError, match="multiple values for 'nodes_blacklist'"):
        trt.TrtGraphConverter(*MODEL, tf.compat.v1.GraphDef(), ["a"], nodes_blacklist=["b"])
    with pytest.raises(TypeError, match="by position"):
        trt.TrtGraphConverter(*MODEL, tf.compat.v1.GraphDef(), *[None] * 20)
    with pytest.raises(ValueError, match="Can only specify one of nodes_denylist and"):
        trt.TrtGraphConverter(*MODEL, tf.compat.v1.GraphDef(), ["a"], nodes_denylist=["b"])


def test_create_inference_graph_by_position(graph_mode, v1_saved_model, tmp_path):
    start = (None, None, 8, 1 << 25, "FP32", 2, False, 4)
    model = (str(v1_saved_model), ["serve"], "serving_default")
    for name, arguments in {
        "1.14": (*start, [8], *model, str(tmp_path / "1.14"), None),
        "2.21": (*start, *model, str(tmp_path / "2.21")),
    }.items():
        (node,) = engine_nodes(trt.create_inference_graph(*arguments))
        assert node.attr["max_batch_size"].i == 8
        assert (tmp_path / name / "saved_model.pb").exists()


def test_v2_signature_is_that_of_2_21():
    assert list(inspect.signature(trt.TrtGraphConverterV2).parameters) == [
        *("input_saved_model_dir", "input_saved_model_tags", "input_saved_model_signature_key"),
        *("use_dynamic_shape", "dynamic_shape_profile_strategy", "max_workspace_size_bytes"),
        *("precision_mode", "minimum_segment_size", "maximum_cached_engines", "use_calibration"),
        *("allow_build_at_runtime", "conversion_params"),
    ]


def test_all_arguments_of_v1_together(graph_mode, v1_saved_model):
    graph = convert_v1(
        input_saved_model_dir=str(v1_saved_model),
        input_saved_model_tags=["serve"],
        input_saved_model_signature_key="serving_default",
        nodes_blacklist=["pool"],
        session_config=tf.compat.v1.ConfigProto(),
        max_batch_size=8,
        max_workspace_size_bytes=1 << 25,
        precision_mode="fp32",
        minimum_segment_size=2,
        is_dynamic_op=False,
        maximum_cached_engines=4,
        cached_engine_batches=[8],
        use_calibration=False,
        use_function_backup=True,
    )
    assert "pool" in [node.name for node in graph.node]
    assert len(engine_nodes(graph)) == 2


def test_denied_nodes_may_be_tensors_or_their_names(graph_mode, frozen_graph):
    for name in ("pool", "pool:0"):
        graph = convert_v1(input_graph_def=read_graph(frozen_graph), nodes_denylist=[name])
        assert "pool" in [node.name for node in graph.node]


def test_engine_nodes_have_the_old_names_and_attributes(graph_mode, frozen_graph):
    graph = convert_v1(input_graph_def=read_graph(frozen_graph))
    (node,) = engine_nodes(graph)
    assert re.fullmatch(r"TRTEngineOp_\d{3,}_000", node.name)
    assert node.attr["segment_func"].func.name == f"{node.name}_native_segment"
    assert node.attr["segment_funcdef_name"].s.decode() == f"{node.name}_native_segment"
    assert node.attr["precision_mode"].s == b"FP32"
    assert node.attr["static_engine"].b
    assert node.attr["serialized_segment"].s
    (function,) = graph.library.function
    assert function.signature.name == f"{node.name}_native_segment"
    assert [one.name.lower() for one in function.signature.input_arg] == ["tensorrtinputph_0"]


def test_graphs_are_numbered_by_their_content(graph_mode, frozen_graph):
    names = []
    for denied in ([], [], ["relu1"]):
        graph = convert_v1(input_graph_def=read_graph(frozen_graph), nodes_denylist=denied)
        names.append({node.name for node in engine_nodes(graph)})
    assert names[0] == names[1]
    assert not names[0] & names[2]


def test_segment_size_of_v1(graph_mode, frozen_graph):
    graph = convert_v1(input_graph_def=read_graph(frozen_graph), minimum_segment_size=50)
    assert engine_nodes(graph) == []
    feed = {"image:0": small_models.images(2)}
    assert_close(run_graph(graph, feed, {"logits": "logits:0"}), expected(2, ["logits"]))


def test_a_graph_without_engines_built(graph_mode, frozen_graph):
    """is_dynamic_op: the engine is made at the first run."""
    graph = convert_v1(
        input_graph_def=read_graph(frozen_graph), is_dynamic_op=True, max_batch_size=None
    )
    (node,) = engine_nodes(graph)
    assert not node.attr["static_engine"].b
    with EngineCalls() as engines:
        values = run_graph(graph, {"image:0": small_models.images(2)}, {"classes": "classes:0"})
    engines.assert_engine_ran()
    assert_close(values, expected(2, ["classes"]))


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (
            {"input_graph_def": tf.compat.v1.GraphDef(), "input_saved_model_dir": "x"},
            ValueError,
            "Can only specify one of input_graph_def and input_saved_model_dir",
        ),
        ({}, ValueError, "Must specify one of input_graph_def and input_saved_model_dir"),
        (
            {"input_saved_model_dir": "x", "max_batch_size": None},
            ValueError,
            "When is_dynamic_op==False max_batch_size should be an integer",
        ),
        (
            {"input_saved_model_dir": "x", "precision_mode": "FP64"},
            ValueError,
            "precision mode 'FP64' is not supported.It should be one of "
            "['FP32', 'FP16', 'INT8', 'fp32', 'fp16', 'int8']",
        ),
        (
            {"input_saved_model_dir": "x", "minimum_segment_size": 0},
            ValueError,
            "minimum segment size should be positive or -1 (to disable main graph conversion).",
        ),
        (
            {"input_saved_model_dir": "x", "minimum_segment_size": -2},
            ValueError,
            "minimum segment size should be positive or -1 (to disable main graph conversion).",
        ),
    ],
)
def test_errors_of_v1_read_as_they_did(graph_mode, arguments, error, text):
    with pytest.raises(error) as raised:
        trt.TrtGraphConverter(**arguments)
    assert str(raised.value) == text


def test_v1_in_eager_mode():
    with pytest.raises(RuntimeError) as raised:
        trt.TrtGraphConverter(input_saved_model_dir="x")
    assert str(raised.value) == "Please use tf.experimental.tensorrt.Converter in TF 2.0."


def test_a_batch_size_of_a_dynamic_op_is_warned_of(graph_mode, frozen_graph, caplog):
    convert_v1(input_graph_def=read_graph(frozen_graph), is_dynamic_op=True, max_batch_size=4)
    assert "When is_dynamic_op==True max_batch_size should be None" in caplog.text


def test_convert_runs_once(graph_mode, frozen_graph):
    converter = trt.TrtGraphConverter(input_graph_def=read_graph(frozen_graph))
    converter.convert()
    with pytest.raises(AssertionError):
        converter.convert()


def test_a_graph_def_cannot_be_saved(graph_mode, frozen_graph, tmp_path):
    converter = trt.TrtGraphConverter(input_graph_def=read_graph(frozen_graph))
    converter.convert()
    with pytest.raises(ValueError) as raised:
        converter.save(str(tmp_path / "saved"))
    assert str(raised.value) == "Not able to save to a SavedModel since input is a GraphDef"


def test_calibrate_checks_its_arguments_first(graph_mode, frozen_graph):
    converter = trt.TrtGraphConverter(input_graph_def=read_graph(frozen_graph))
    with pytest.raises(ValueError) as raised:
        converter.calibrate(["classes:0"], 1)
    text = "Should specify one and only one of feed_dict_fn and input_map_fn."
    assert str(raised.value) == text
    with pytest.raises(AssertionError, match="convert"):
        converter.calibrate(["classes:0"], 1, feed_dict_fn=dict)
    converter.convert()
    with pytest.raises(AssertionError, match="only INT8 engines are calibrated"):
        converter.calibrate(["classes:0"], 1, feed_dict_fn=dict)


def test_reports_in_both_forms(graph_mode, frozen_graph, caplog):
    with caplog.at_level(logging.INFO):
        convert_v1(input_graph_def=read_graph(frozen_graph), nodes_denylist=["pool"])
    assert (
        "There are 3 ops of 3 different types in the graph that are not converted to TensorRT: "
        "Identity, MaxPool, Placeholder, (For more information see "
        "https://docs.nvidia.com/deeplearning/dgx/tf-trt-user-guide/index.html#supported-ops)."
    ) in caplog.text
    assert "#" * 80 in caplog.text
    assert "TensorRT unsupported/non-converted OP Report:" in caplog.text
    assert "\t- MaxPool -> 1x" in caplog.text
    assert "- Total nonconverted OPs: 3" in caplog.text
    assert "- Total nonconverted OP Types: 3" in caplog.text
    assert "Number of TensorRT candidate segments: 2" in caplog.text
    assert "Replaced segment 0 consisting of" in caplog.text


# ---- create_inference_graph


def test_create_inference_graph_of_a_graph(graph_mode, frozen_graph):
    graph = trt.create_inference_graph(read_graph(frozen_graph), ["logits", "classes"], 1, 1 << 20)
    with EngineCalls() as engines:
        values = run_graph(
            graph, {"image:0": small_models.images(2)}, {key: f"{key}:0" for key in KEYS}
        )
    engines.assert_engine_ran()
    assert_close(values, expected(2))


def test_create_inference_graph_of_a_saved_model(graph_mode, v1_saved_model, tmp_path):
    trt.create_inference_graph(
        None, None, input_saved_model_dir=str(v1_saved_model),
        output_saved_model_dir=str(tmp_path / "saved"),
    )  # fmt: skip
    assert (tmp_path / "saved/saved_model.pb").exists()


@pytest.mark.parametrize("is_dynamic_op", [False, True])
def test_without_function_backup_there_are_no_functions(frozen_graph, graph_mode, is_dynamic_op):
    graph = read_graph(frozen_graph)
    converter = trt.TrtGraphConverter(
        input_graph_def=graph, is_dynamic_op=is_dynamic_op, use_function_backup=False
    )
    converted = converter.convert()
    (node,) = engine_nodes(converted)
    assert not converted.library.function
    assert node.attr["static_engine"].b and "segment_func" not in node.attr
    with EngineCalls() as engines:
        values = run_graph(converted, {"image:0": small_models.images(3)}, {"classes": "classes:0"})
    engines.assert_engine_ran()
    assert_close(values, expected(3, ["classes"]))


# ---- TrtGraphConverterV2


def convert_v2(model, **arguments):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(model), **arguments)
    return converter, converter.convert()


@pytest.fixture(scope="module")
def converted(v2_saved_model):
    return convert_v2(v2_saved_model)


def test_v2_converts_to_one_engine(converted):
    _, function = converted
    for batch in (1, 4):
        with EngineCalls() as engines:
            values = function(image=tf.constant(small_models.images(batch)))
        engines.assert_engine_ran()
        assert_close({key: value.numpy() for key, value in values.items()}, expected(batch))
    assert len(engine_nodes(function.graph.as_graph_def())) == 1


def test_v2_saves_what_tensorflow_loads(converted, tmp_path):
    converter, _ = converted
    converter.save(str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    with EngineCalls() as engines:
        values = loaded.signatures["serving_default"](image=tf.constant(small_models.images(2)))
    engines.assert_engine_ran()
    assert_close({key: value.numpy() for key, value in values.items()}, expected(2))


def test_v2_saved_model_runs_in_a_new_process(converted, tmp_path):
    converter, _ = converted
    converter.save(str(tmp_path / "saved"))
    code = (
        "import sys, numpy, tensorflow as tf\n"
        "from graft import trt_convert, _op_library\n"
        "_op_library.load()\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "model.signatures['serving_default'](image=tf.zeros((2, 16, 16, 3)))\n"
        "(node,) = _op_library.statistics().values()\n"
        "assert node['engine_calls'] == 1 and node['fallbacks'] == 0, node\n"
    )
    support.run_python("-c", code, tmp_path / "saved")


def test_v2_takes_another_signature(v2_saved_model):
    _, function = convert_v2(v2_saved_model, input_saved_model_signature_key="features")
    (features,) = function(image=tf.constant(small_models.images(2))).values()
    reference = small_models.expected(2)["features"]
    assert support.relative_error(features, reference) <= support.TOLERANCE


def test_v2_builds_once(v2_saved_model):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))

    def inputs():
        yield [small_models.images(1)]
        yield {"image": small_models.images(2)}
        yield small_models.images(3)

    with pytest.raises(RuntimeError) as raised:
        converter.build(inputs)
    assert str(raised.value) == "Need to call convert() before build()"
    converter.convert()
    with pytest.raises(RuntimeError, match="^input_fn is None"):
        converter.build(None)
    with EngineCalls() as engines:
        converter.build(inputs)
    assert (engines.calls, engines.fallbacks) == (3, 0)
    with pytest.raises(NotImplementedError) as raised:
        converter.build(inputs)
    assert str(raised.value) == (
        "build() is already called. It is not supported to call build() more than once."
    )


def test_v2_build_tunes_for_its_shapes(v2_saved_model, tmp_path, monkeypatch):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    converter.convert()
    monkeypatch.setenv("TF_TRT_EXPORT_TRT_ENGINES_PATH", str(tmp_path))
    converter.build(lambda: iter([[small_models.images(3)]]))
    (node,) = engine_nodes(converter._converted_graph_def)
    assert (tmp_path / f"dims-{node.name}").read_text() == "TensorRTInputPH_0:3x16x16x3\n"
    converter.save(str(tmp_path / "saved"))
    function = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    assert_close(function(image=tf.constant(small_models.images(5))), expected(5))


def test_v2_build_refuses_what_is_no_tensor(converted, v2_saved_model):
    converter, _ = convert_v2(v2_saved_model)
    with pytest.raises(RuntimeError) as raised:
        converter.build(lambda: iter([[object()]]))
    assert str(raised.value) == "Failed to convert input to tensor."


def test_summary_has_its_columns_and_footer(converted):
    converter, function = converted
    lines = []
    converter.summary(print_fn=lines.append)
    title = lines[0]
    for column in (
        *("TRTEngineOP Name", "Device", "# Nodes", "# Inputs", "# Outputs", "Input DTypes"),
        *("Output Dtypes", "Input Shapes", "Output Shapes"),
    ):
        assert column in title
    text = "\n".join(map(str, lines))
    (node,) = engine_nodes(function.graph.as_graph_def())
    assert node.name in text
    assert "=" * 160 in text
    assert "\t- Conv2D: 2x" in text
    assert "[*] Total number of TensorRT engines: 1" in text
    assert "[*] % of OPs Converted: " in text
    short = []
    converter.summary(detailed=False, print_fn=short.append)
    assert len(short) < len(lines)


def test_without_native_segments_a_model_is_saved_loaded_and_summed_up(
    v2_saved_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("TF_TRT_EXPERIMENTAL_FEATURES", "remove_native_segments")
    converter, function = convert_v2(v2_saved_model)
    lines = []
    converter.summary(print_fn=lines.append)
    (node,) = engine_nodes(function.graph.as_graph_def())
    assert any(line.startswith(node.name) for line in lines)
    converter.save(str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    with EngineCalls() as engines:
        outputs = loaded(tf.constant(small_models.images(2)))
    engines.assert_engine_ran()
    reference = small_models.expected(2)
    assert_close(
        {key: value.numpy() for key, value in outputs.items()},
        {key: reference[key] for key in outputs},
    )


def test_summary_refuses_narrow_lines_and_unconverted_models(converted, v2_saved_model):
    with pytest.raises(
        ValueError, match="Invalid `line_length` value has been received: 80. Minimum: 160."
    ):
        converted[0].summary(line_length=80)
    with pytest.raises(RuntimeError):
        trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model)).summary()


def test_all_arguments_of_v2_together(v2_saved_model):
    _, function = convert_v2(
        v2_saved_model,
        input_saved_model_tags=["serve"],
        input_saved_model_signature_key="serving_default",
        use_dynamic_shape=True,
        dynamic_shape_profile_strategy="optimal",
        max_workspace_size_bytes=1 << 25,
        precision_mode="fp32",
        minimum_segment_size=2,
        maximum_cached_engines=3,
        use_calibration=False,
        allow_build_at_runtime=False,
    )
    assert len(engine_nodes(function.graph.as_graph_def())) == 1


def test_conversion_params_override_single_arguments(v2_saved_model):
    params = trt.DEFAULT_TRT_CONVERSION_PARAMS._replace(minimum_segment_size=50)
    _, function = convert_v2(v2_saved_model, minimum_segment_size=3, conversion_params=params)
    assert engine_nodes(function.graph.as_graph_def()) == []


def test_parameters_of_older_releases_are_taken_and_warned_of(caplog):
    params = trt.DEFAULT_TRT_CONVERSION_PARAMS._replace(
        precision_mode="FP16", is_dynamic_op=True, max_batch_size=8
    )
    assert isinstance(params, trt.TrtConversionParams)
    assert params == trt.TrtConversionParams(precision_mode="FP16", rewriter_config_template=None)
    assert "TrtConversionParams: is_dynamic_op, max_batch_size: without effect" in caplog.text
    with pytest.raises(ValueError, match="is_dynamic_op is either None or True for TF2"):
        trt.TrtConversionParams(is_dynamic_op=False)
    with pytest.raises(TypeError):
        trt.TrtConversionParams(batch_size=8)


def test_a_wrong_profile_strategy(v2_saved_model):
    with pytest.raises(ValueError) as raised:
        trt.TrtGraphConverterV2(
            input_saved_model_dir=str(v2_saved_model),
            use_dynamic_shape=True,
            dynamic_shape_profile_strategy="best",
        )
    assert str(raised.value) == (
        "profile_strategy 'best' is not supported. It should be one of "
        "['Range', 'Optimal', 'Range+Optimal', 'ImplicitBatchModeCompatible']"
    )


def test_calibration_input_without_int8(v2_saved_model):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    with pytest.raises(ValueError) as raised:
        converter.convert(calibration_input_fn=lambda: iter([]))
    assert str(raised.value) == (
        "Should not specify calibration_input_fn because INT8 calibration is not needed"
    )


def test_constants_that_scripts_read():
    assert trt.TrtPrecisionMode.supported_precision_modes() == [
        *("FP32", "FP16", "INT8", "fp32", "fp16", "int8")
    ]
    assert trt.supported_profile_strategies() == [
        *("Range", "Optimal", "Range+Optimal", "ImplicitBatchModeCompatible")
    ]
    assert trt.DEFAULT_TRT_CONVERSION_PARAMS.minimum_segment_size == 3
    assert trt.DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES == 1 << 30
