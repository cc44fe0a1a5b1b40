"""The conversion API that TF-TRT users know, with Graft's engines.

    from graft import trt_convert as trt
    converter = trt.TrtGraphConverterV2(input_saved_model_dir="model")
    converter.convert()
    converter.save("converted")

Scripts written for tensorflow.python.compiler.tensorrt.trt_convert run with the import line changed. What Graft has no
engine for yet (reduced precision, calibration) raises NotImplementedError at once; nothing is accepted and then ignored in silence
but arguments that have no meaning here, and those are listed in each class.
"""

import collections
import json
import logging
import sys

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.eager import context, wrap_function
from tensorflow.python.eager.polymorphic_function import concrete_function
from tensorflow.python.framework import convert_to_constants
from tensorflow.python.util import nest

from graft import _graft, _op_library

_log = logging.getLogger("graft.trt_convert")

DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES = sys.maxsize - 512
_ENGINE_OP = "TRTEngineOp"


class TrtPrecisionMode:
    FP32 = "FP32"
    FP16 = "FP16"
    INT8 = "INT8"

    @staticmethod
    def supported_precision_modes():
        modes = [TrtPrecisionMode.FP32, TrtPrecisionMode.FP16, TrtPrecisionMode.INT8]
        return modes + [mode.lower() for mode in modes]


PROFILE_STRATEGY_RANGE = "Range"
PROFILE_STRATEGY_OPTIMAL = "Optimal"
PROFILE_STRATEGY_RANGE_OPTIMAL = "Range+Optimal"
PROFILE_STRATEGY_IMPLICIT_BATCH_MODE_COMPATIBLE = "ImplicitBatchModeCompatible"


def supported_profile_strategies():
    return [
        PROFILE_STRATEGY_RANGE,
        PROFILE_STRATEGY_OPTIMAL,
        PROFILE_STRATEGY_RANGE_OPTIMAL,
        PROFILE_STRATEGY_IMPLICIT_BATCH_MODE_COMPATIBLE,
    ]


class TrtConversionParams(
    collections.namedtuple(
        "TrtConversionParams",
        [
            "max_workspace_size_bytes",
            "precision_mode",
            "minimum_segment_size",
            "maximum_cached_engines",
            "use_calibration",
            "allow_build_at_runtime",
        ],
        defaults=[DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES, TrtPrecisionMode.FP32, 3, 1, True, True],
    )
):
    """Parameters of a conversion, for TrtGraphConverterV2's conversion_params."""


DEFAULT_TRT_CONVERSION_PARAMS = TrtConversionParams()


def _check_precision(mode, use_calibration):
    if mode not in TrtPrecisionMode.supported_precision_modes():
        raise ValueError(
            "precision mode '{}' is not supported.It should be one of {}".format(
                mode, TrtPrecisionMode.supported_precision_modes()
            )
        )
    if mode.upper() != TrtPrecisionMode.FP32:
        raise NotImplementedError(
            "precision mode '{}' has no engine in this version of Graft; use FP32".format(mode)
        )
    del use_calibration  # has a meaning for INT8 only
    return mode.upper()


def _check_segment_size(size):
    if size < -1 or size == 0:
        raise ValueError(
            "minimum segment size should be positive or -1 (to disable main graph conversion)."
        )
    if size == -1:
        raise NotImplementedError(
            "minimum_segment_size=-1 (functions marked with _tftrt_convert_function only) is not in this version of Graft"
        )
    return size


def _engine_options(params):
    """The converter's options that both interfaces have."""
    return {
        "minimum-segment-size": _check_segment_size(params.minimum_segment_size),
        "precision-mode": _check_precision(params.precision_mode, params.use_calibration),
        "max-workspace-size-bytes": params.max_workspace_size_bytes,
        "maximum-cached-engines": params.maximum_cached_engines,
        "use-calibration": False,
    }


def _convert_graph_def(graph_def, inputs, outputs, denied, options):
    """Runs the converter. inputs: (tensor name, dtype enum, dims with -1 or None) of each feed. Gives GraphDef and report."""
    request = dict(options)
    request["inputs"] = [
        {"tensor": name, "dtype": int(dtype), "dims": dims, "unknown_rank": dims is None}
        for name, dtype, dims in inputs
    ]
    request["outputs"] = list(outputs)
    request["deny"] = list(denied)
    # Deterministic: a plan records the hash of what it was made from.
    model = graph_def.SerializeToString(deterministic=True)
    converted, report = _graft.convert_graph_def(model, json.dumps(request))
    result = graph_pb2.GraphDef()
    result.ParseFromString(converted)
    report = json.loads(report)
    _log.warning("%s", report["new_report"])
    _log.info("%s", report["old_report"])
    _log.info("Number of TensorRT candidate segments: %d", report["candidate_segments"])
    for engine in report.get("engine_list", []):
        segment = int(engine["name"].rpartition("_")[2])
        _log.info(
            "Replaced segment %d consisting of %d nodes by %s.",
            segment,
            engine["nodes"],
            engine["name"],
        )
    for warning in report["warnings"]:
        _log.warning("%s", warning)
    return result, report


def _dims(shape):
    if shape.rank is None:
        return None
    return [-1 if d is None else d for d in shape.as_list()]


def _placeholders(graph_def):
    """(tensor name, dtype, dims) of each feed of a GraphDef."""
    feeds = []
    for node in graph_def.node:
        if node.op != "Placeholder":
            continue
        shape = node.attr["shape"].shape
        dims = (
            None if shape.unknown_rank or "shape" not in node.attr else [d.size for d in shape.dim]
        )
        feeds.append((node.name + ":0", node.attr["dtype"].type, dims))
    return feeds


_graph_number = 0


def _next_graph_number():
    """Engines are numbered over the process: TRTEngineOp_<graph>_<segment>."""
    global _graph_number
    number = _graph_number
    _graph_number += 1
    return number


class TrtGraphConverter:
    """Converts TF1 SavedModels and frozen graphs.

    Accepted without effect, because one engine serves every shape and memory is planned: max_workspace_size_bytes,
    maximum_cached_engines, cached_engine_batches, max_batch_size, session_config.
    """

    def __init__(
        self,
        input_saved_model_dir=None,
        input_saved_model_tags=None,
        input_saved_model_signature_key=None,
        input_graph_def=None,
        nodes_denylist=None,
        max_batch_size=1,
        max_workspace_size_bytes=DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES,
        precision_mode=TrtPrecisionMode.FP32,
        minimum_segment_size=3,
        is_dynamic_op=False,
        maximum_cached_engines=1,
        cached_engine_batches=None,
        use_calibration=True,
        use_function_backup=True,
        nodes_blacklist=None,
        session_config=None,
    ):
        if context.executing_eagerly():
            raise RuntimeError("Please use tf.experimental.tensorrt.Converter in TF 2.0.")
        if input_graph_def is not None and input_saved_model_dir is not None:
            raise ValueError("Can only specify one of input_graph_def and input_saved_model_dir")
        if input_graph_def is None and input_saved_model_dir is None:
            raise ValueError("Must specify one of input_graph_def and input_saved_model_dir")
        if nodes_denylist is not None and nodes_blacklist is not None:
            raise ValueError("Can only specify one of nodes_denylist and nodes_blacklist")
        if not is_dynamic_op and not isinstance(max_batch_size, int):
            raise ValueError("When is_dynamic_op==False max_batch_size should be an integer")
        if is_dynamic_op and max_batch_size is not None:
            _log.warning("When is_dynamic_op==True max_batch_size should be None")
        if not use_function_backup and use_calibration and precision_mode.upper() == "INT8":
            raise ValueError("Calibration requires enabling fallback to TF function execution.")
        options = _engine_options(
            TrtConversionParams(
                max_workspace_size_bytes,
                precision_mode,
                minimum_segment_size,
                maximum_cached_engines,
                use_calibration,
            )
        )
        del session_config, cached_engine_batches
        self._input_saved_model_dir = input_saved_model_dir
        self._input_saved_model_tags = input_saved_model_tags or [
            tf.compat.v1.saved_model.tag_constants.SERVING
        ]
        self._signature_key = (
            input_saved_model_signature_key
            or tf.compat.v1.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        )
        self._input_graph_def = input_graph_def
        self._denied = [self._node_name(n) for n in (nodes_denylist or nodes_blacklist or [])]
        self._options = {
            **options,
            "max-batch-size": max_batch_size or 1,
            "static-engine": not is_dynamic_op,
        }
        self._converted = False
        self._converted_graph_def = None
        self._meta_graph = None
        self._report = None
        _op_library.load()

    @staticmethod
    def _node_name(tensor_or_name):
        name = tensor_or_name if isinstance(tensor_or_name, str) else tensor_or_name.name
        return name.split(":")[0]

    def convert(self):
        """Converts and gives the converted GraphDef. May be called once."""
        if self._converted:
            raise AssertionError("convert() was called already")
        self._converted = True
        if self._input_graph_def is not None:
            # The outputs are not known: nothing is pruned, and what nobody reads is kept.
            graph_def, outputs = self._input_graph_def, []
            feeds = _placeholders(graph_def)
        else:
            graph_def, outputs, feeds = self._load_saved_model()
        self._options["graph-number"] = _next_graph_number()
        self._converted_graph_def, self._report = _convert_graph_def(
            graph_def, feeds, outputs, self._denied, self._options
        )
        return self._converted_graph_def

    def _load_saved_model(self):
        with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
            meta_graph = tf.compat.v1.saved_model.loader.load(
                session, self._input_saved_model_tags, self._input_saved_model_dir
            )
            if self._signature_key not in meta_graph.signature_def:
                raise ValueError(
                    "there is no signature '{}'; the signatures are {}".format(
                        self._signature_key, sorted(meta_graph.signature_def)
                    )
                )
            inputs, outputs = [], []
            for signature in meta_graph.signature_def.values():
                inputs += [t.name for t in signature.inputs.values() if t.name]
                outputs += [t.name for t in signature.outputs.values() if t.name]
            kept = {self._node_name(name) for name in inputs + outputs}
            frozen = tf.compat.v1.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(add_shapes=False), sorted(kept)
            )
            feeds = []
            for name in sorted(set(inputs)):
                tensor = graph.get_tensor_by_name(name)
                feeds.append((name, tensor.dtype.as_datatype_enum, _dims(tensor.shape)))
        self._meta_graph = meta_graph
        return frozen, sorted(set(outputs)), feeds

    def calibrate(self, fetch_names, num_runs, feed_dict_fn=None, input_map_fn=None):
        if bool(feed_dict_fn) == bool(input_map_fn):
            raise ValueError("Should specify one and only one of feed_dict_fn and input_map_fn.")
        raise NotImplementedError("INT8 calibration is not in this version of Graft")

    def save(self, output_saved_model_dir):
        """Saves the converted model with the signatures of the one that was loaded."""
        if not self._converted:
            raise AssertionError("convert() must be called before save()")
        if self._input_graph_def is not None:
            raise ValueError("Not able to save to a SavedModel since input is a GraphDef")
        with tf.Graph().as_default():
            tf.import_graph_def(self._converted_graph_def, name="")
            with tf.compat.v1.Session() as session:
                builder = tf.compat.v1.saved_model.builder.SavedModelBuilder(output_saved_model_dir)
                builder.add_meta_graph_and_variables(
                    session,
                    self._input_saved_model_tags,
                    signature_def_map=dict(self._meta_graph.signature_def),
                )
            builder.save()


class TrtGraphConverterV2:
    """Converts TF2 SavedModels.

    Accepted without effect, because one engine serves every shape and memory is planned: use_dynamic_shape,
    dynamic_shape_profile_strategy, max_workspace_size_bytes, maximum_cached_engines. No GPU is needed.
    """

    def __init__(
        self,
        input_saved_model_dir=None,
        input_saved_model_tags=None,
        input_saved_model_signature_key=None,
        use_dynamic_shape=None,
        dynamic_shape_profile_strategy=None,
        max_workspace_size_bytes=DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES,
        precision_mode=TrtPrecisionMode.FP32,
        minimum_segment_size=3,
        maximum_cached_engines=1,
        use_calibration=True,
        allow_build_at_runtime=True,
        conversion_params=None,
    ):
        if not context.executing_eagerly():
            raise RuntimeError(
                "TrtGraphConverterV2 needs TensorFlow 2 behaviour; use TrtGraphConverter"
            )
        if input_saved_model_dir is None:
            raise ValueError("Must specify input_saved_model_dir")
        params = conversion_params or TrtConversionParams(
            max_workspace_size_bytes,
            precision_mode,
            minimum_segment_size,
            maximum_cached_engines,
            use_calibration,
            allow_build_at_runtime,
        )
        strategy = dynamic_shape_profile_strategy or PROFILE_STRATEGY_RANGE
        known = [s.lower() for s in supported_profile_strategies()]
        if strategy.lower() not in known:
            raise ValueError(
                "profile_strategy '{}' is not supported. It should be one of {}".format(
                    strategy, supported_profile_strategies()
                )
            )
        if strategy.lower() == PROFILE_STRATEGY_IMPLICIT_BATCH_MODE_COMPATIBLE.lower():
            _log.warning("ImplicitBatchModeCompatible is deprecated: engines take any batch")
        self._input_saved_model_dir = input_saved_model_dir
        self._tags = input_saved_model_tags or [tf.saved_model.SERVING]
        self._signature_key = (
            input_saved_model_signature_key or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        )
        self._options = {
            **_engine_options(params),
            "profile-strategy": strategy.lower() if use_dynamic_shape else "",
            "allow-build-at-runtime": bool(params.allow_build_at_runtime),
            "static-engine": True,
        }
        self._converted_func = None
        self._built = False
        self._report = None
        _op_library.load()

    def convert(self, calibration_input_fn=None):
        """Converts the signature and gives it as a ConcreteFunction."""
        if calibration_input_fn is not None:
            raise ValueError(
                "Should not specify calibration_input_fn because INT8 calibration is not needed"
            )
        if self._converted_func is not None:
            raise AssertionError("convert() was called already")
        model = tf.saved_model.load(self._input_saved_model_dir, self._tags)
        if self._signature_key not in model.signatures:
            raise ValueError(
                "there is no signature '{}'; the signatures are {}".format(
                    self._signature_key, sorted(model.signatures)
                )
            )
        function = model.signatures[self._signature_key]
        # While and If stay nodes, so that their bodies are functions, which are converted.
        frozen = convert_to_constants.convert_variables_to_constants_v2(function, lower_control_flow=False)
        feeds = [(t.name, t.dtype.as_datatype_enum, _dims(t.shape)) for t in frozen.inputs]
        self._options["graph-number"] = _next_graph_number()
        graph_def = frozen.graph.as_graph_def()
        for node in graph_def.node:
            node.device = ""
        converted, self._report = _convert_graph_def(
            graph_def, feeds, [t.name for t in frozen.outputs], [], self._options
        )
        self._converted_graph_def = converted
        graph = wrap_function.function_from_graph_def(
            converted, [t.name for t in frozen.inputs], [t.name for t in frozen.outputs]
        ).graph
        # The caller passes and gets what the signature says, not a flat list.
        graph.structured_outputs = nest.pack_sequence_as(
            function.graph.structured_outputs, graph.structured_outputs
        )
        graph.structured_input_signature = function.structured_input_signature
        rebuilt = concrete_function.ConcreteFunction.from_func_graph(
            graph, function.function_type, {}
        )
        # The flat names that a call without structure and saving go by; TensorFlow has no public way to set them.
        rebuilt._arg_keywords = function._arg_keywords
        rebuilt._num_positional_args = function._num_positional_args
        self._converted_func = rebuilt
        return rebuilt

    def build(self, input_fn):
        """Runs the converted function on each of input_fn's inputs, so that every shape has been bound before the first request.

        Each is an array, a list or tuple of arrays, or a dict by name.
        """
        if self._built:
            raise NotImplementedError(
                "build() is already called. It is not supported to call build() more than once."
            )
        if not input_fn:
            raise RuntimeError(
                "input_fn is None. Method build() needs input_fn to be specified in order to build engines"
            )
        if self._converted_func is None:
            raise RuntimeError("Need to call convert() before build()")
        for inputs in input_fn():
            if isinstance(inputs, dict):
                args, kwargs = (), inputs
            elif isinstance(inputs, (list, tuple)):
                args, kwargs = inputs, {}
            else:
                args, kwargs = (inputs,), {}
            try:
                args = [tf.convert_to_tensor(x) for x in args]
                kwargs = {name: tf.convert_to_tensor(x) for name, x in kwargs.items()}
            except (TypeError, ValueError) as error:
                raise RuntimeError("Failed to convert input to tensor.") from error
            self._run(args, kwargs)
        self._built = True

    def _run(self, args, kwargs):
        if args:
            _, by_name = self._converted_func.structured_input_signature
            kwargs = dict(zip([spec.name for spec in nest.flatten(by_name)], args))
        self._converted_func(**kwargs)

    def save(self, output_saved_model_dir, save_gpu_specific_engines=True, options=None):
        """Saves the converted signature. The engines are in the graph: they run on any machine with the backend."""
        del save_gpu_specific_engines  # engines are portable
        if self._converted_func is None:
            raise RuntimeError("Need to call convert() before save()")
        root = tf.Module()
        root.converted = self._converted_func
        tf.saved_model.save(
            root,
            output_saved_model_dir,
            {self._signature_key: self._converted_func},
            options=options,
        )

    def summary(self, line_length=160, detailed=True, print_fn=print):
        """Prints the engines: inputs, outputs, and what each stands for."""
        if self._converted_func is None:
            raise RuntimeError(
                "Impossible to call `TrtGraphConverterV2.summary()` before calling `convert()`."
            )
        if line_length < 160:
            raise ValueError(
                f"Invalid `line_length` value has been received: {line_length}. Minimum: 160."
            )
        _print_summary(self._converted_graph_def, self._report, line_length, detailed, print_fn)


_COLUMNS = [
    ("TRTEngineOP Name", 0.20),
    ("Device", 0.09),
    ("# Nodes", 0.05),
    ("# Inputs", 0.09),
    ("# Outputs", 0.09),
    ("Input DTypes", 0.12),
    ("Output Dtypes", 0.12),
    ("Input Shapes", 0.12),
    ("Output Shapes", 0.12),
]


def _print_summary(graph_def, report, line_length, detailed, print_fn):
    widths = [int(line_length * share) for _, share in _COLUMNS]

    def row(cells):
        line = ""
        for cell, width in zip(cells, widths):
            text = str(cell)
            if len(text) > width - 1:
                text = text[: width - 5] + " ..."
            line += text.ljust(width)
        print_fn(line.rstrip())

    row([title for title, _ in _COLUMNS])
    print_fn("=" * line_length)
    functions = {f.signature.name: f for f in graph_def.library.function}
    sizes = {engine["name"]: engine["nodes"] for engine in report.get("engine_list", [])}
    engines = sorted((n for n in graph_def.node if n.op == _ENGINE_OP), key=lambda n: n.name)
    for i, node in enumerate(engines):
        if i:
            print_fn("-" * 40)
        # TF_TRT_EXPERIMENTAL_FEATURES may have removed it.
        native = functions.get(node.attr["segment_func"].func.name)
        body = native.node_def if native else ()

        def dtypes(attr):
            return [tf.as_dtype(t).name for t in node.attr[attr].list.type]

        def shapes(attr):
            return [
                tf.TensorShape(s).as_list() if not s.unknown_rank else None
                for s in node.attr[attr].list.shape
            ]

        row(
            [
                node.name,
                node.device.split("/")[-1],
                len(body) or sizes.get(node.name, 0),
                len(node.attr["InT"].list.type),
                len(node.attr["OutT"].list.type),
                dtypes("InT"),
                dtypes("OutT"),
                shapes("input_shapes"),
                shapes("output_shapes"),
            ]
        )
        if detailed:
            print_fn("")
            for op, count in sorted(collections.Counter(n.op for n in body).items()):
                print_fn(f"\t- {op}: {count}x")
            print_fn("")
    print_fn("=" * line_length)
    print_fn(f"[*] Total number of TensorRT engines: {len(engines)}")
    total = report["total_ops"]
    converted = report["converted_ops"]
    share = 100 * converted / total if total else 0
    print_fn(f"[*] % of OPs Converted: {share:.2f}% [{converted}/{total}]")


def create_inference_graph(
    input_graph_def,
    outputs,
    max_batch_size=1,
    max_workspace_size_bytes=DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES,
    precision_mode=TrtPrecisionMode.FP32,
    minimum_segment_size=3,
    is_dynamic_op=False,
    maximum_cached_engines=1,
    cached_engine_batches=None,
    input_saved_model_dir=None,
    input_saved_model_tags=None,
    input_saved_model_signature_key=None,
    output_saved_model_dir=None,
    session_config=None,
):
    """The function of TensorFlow 1.13 and before: TrtGraphConverter in one call. `outputs` are node names or tensors."""
    converter = TrtGraphConverter(
        input_saved_model_dir=input_saved_model_dir,
        input_saved_model_tags=input_saved_model_tags,
        input_saved_model_signature_key=input_saved_model_signature_key,
        input_graph_def=input_graph_def,
        nodes_denylist=outputs,
        session_config=session_config,
        max_batch_size=max_batch_size,
        max_workspace_size_bytes=max_workspace_size_bytes,
        precision_mode=precision_mode,
        minimum_segment_size=minimum_segment_size,
        is_dynamic_op=is_dynamic_op,
        maximum_cached_engines=maximum_cached_engines,
        cached_engine_batches=cached_engine_batches,
        use_calibration=False,
    )
    converted = converter.convert()
    if output_saved_model_dir:
        converter.save(output_saved_model_dir)
    return converted
