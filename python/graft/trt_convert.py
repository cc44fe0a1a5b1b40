"""The conversion API that TF-TRT users know, with Graft's engines.

    from graft import trt_convert as trt
    converter = trt.TrtGraphConverterV2(input_saved_model_dir="model")
    converter.convert()
    converter.save("converted")

Scripts written for tensorflow.python.compiler.tensorrt.trt_convert run with the import line changed. Nothing is accepted and
then ignored in silence but arguments that have no meaning here, and those are listed in each class.
"""

import collections
import contextlib
import functools
import hashlib
import json
import logging
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import rewriter_config_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import context

from graft import _calibration, _graft, _op_library

_log = logging.getLogger("graft.trt_convert")

DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES = 1 << 30


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
    """Parameters of a conversion, for TrtGraphConverterV2's conversion_params.

    Those that it had before TensorFlow 2.4 are taken by keyword, here and by _replace, and have no effect but a warning:
    engines are built for any shape.
    """

    __slots__ = ()

    def __new__(cls, *args, **parameters):
        return super().__new__(cls, *args, **_without_older(parameters))

    def _replace(self, /, **parameters):
        return super()._replace(**_without_older(parameters))


_OLDER_PARAMETERS = ("rewriter_config_template", "is_dynamic_op", "max_batch_size")


def _without_older(parameters):
    older = [name for name in _OLDER_PARAMETERS if name in parameters]
    if parameters.get("is_dynamic_op") not in (None, True):
        raise ValueError("is_dynamic_op is either None or True for TF2")
    if older:
        _log.warning(
            "TrtConversionParams: %s: without effect, engines take any shape", ", ".join(older)
        )
    return {name: value for name, value in parameters.items() if name not in older}


DEFAULT_TRT_CONVERSION_PARAMS = TrtConversionParams()


def _bad_precision(mode):
    return "precision mode '{}' is not supported.It should be one of {}".format(
        mode, TrtPrecisionMode.supported_precision_modes()
    )


_BAD_SEGMENT_SIZE = "minimum segment size should be positive or -1 (to disable main graph conversion)."


def _check_precision(mode):
    if mode not in TrtPrecisionMode.supported_precision_modes():
        raise ValueError(_bad_precision(mode))
    return mode.upper()


def _check_segment_size(size, online=False):
    if size < -1 or size == 0:
        raise ValueError(_BAD_SEGMENT_SIZE)
    if size == -1 and not online:
        raise NotImplementedError(
            "minimum_segment_size=-1 (functions marked with _tftrt_convert_function only) is for online conversion: "
            "graft.get_tensorrt_rewriter_config, or TensorFlow's own converter after graft.enable_tensorflow_tensorrt()"
        )
    return size


def _engine_options(params):
    """The converter's options that both interfaces have."""
    precision = _check_precision(params.precision_mode)
    if params.use_calibration and precision != TrtPrecisionMode.INT8:
        # It is the default: nothing to warn of.
        _log.info(
            "Calibration with FP32 or FP16 is not implemented. "
            "Falling back to use_calibration = False."
        )
    return {
        "minimum-segment-size": _check_segment_size(params.minimum_segment_size),
        "precision-mode": precision,
        "max-workspace-size-bytes": params.max_workspace_size_bytes,
        "maximum-cached-engines": params.maximum_cached_engines,
        "use-calibration": precision == TrtPrecisionMode.INT8 and bool(params.use_calibration),
    }


def get_tensorrt_rewriter_config(
    conversion_params,
    is_dynamic_op=None,
    max_batch_size=None,
    is_v2=False,
    disable_non_trt_optimizers=False,
):
    """The RewriterConfig of online conversion: a session that has it in its graph_options.rewrite_options converts each graph before
    it runs it. Static engines (is_dynamic_op=False) are built then, dynamic ones when they are first run.
    """
    _op_library.load()  # it registers the optimizer
    _check_precision(conversion_params.precision_mode)
    size = _check_segment_size(conversion_params.minimum_segment_size, online=True)
    if is_v2 and is_dynamic_op is not None and not is_dynamic_op:
        raise ValueError("is_dynamic_op is either None or True for TF2")
    if not is_v2 and is_dynamic_op is None:
        raise ValueError("is_dynamic_op can't be None for TF1")
    is_dynamic = is_dynamic_op is None or bool(is_dynamic_op)
    if is_dynamic and max_batch_size is not None:
        raise ValueError(
            "max_batch_size has to be None for TF2 or when is_dynamic_op == True in TF1"
        )
    if not is_dynamic and not isinstance(max_batch_size, int):
        raise ValueError(
            "max_batch_size has to be an integer for is_dynamic_op==False in TF1"
        )
    config = rewriter_config_pb2.RewriterConfig()
    # The remapper would fuse what engines fuse better, into ops that are TensorFlow's own.
    config.remapping = config.OFF
    config.experimental_disable_folding_quantization_emulation = True
    config.meta_optimizer_iterations = config.ONE
    optimizer = config.custom_optimizers.add(name="TensorRTOptimizer")
    parameters = optimizer.parameter_map
    parameters["minimum_segment_size"].i = size
    parameters["max_workspace_size_bytes"].i = conversion_params.max_workspace_size_bytes
    parameters["precision_mode"].s = conversion_params.precision_mode.encode()
    parameters["maximum_cached_engines"].i = conversion_params.maximum_cached_engines
    parameters["use_calibration"].b = conversion_params.use_calibration
    parameters["is_dynamic_op"].b = is_dynamic
    parameters["allow_build_at_runtime"].b = conversion_params.allow_build_at_runtime
    if max_batch_size is not None:
        parameters["max_batch_size"].i = max_batch_size
    parameters["use_implicit_batch"].b = True
    if disable_non_trt_optimizers:
        _disable_other_optimizers(config)
    else:
        config.optimizers.extend(
            ["pruning", "debug_stripper", "layout", "dependency", "constfold"]
            + ["common_subgraph_elimination"]
        )
        config.custom_optimizers.add(name="constfold")
    return config


def _disable_other_optimizers(config):
    """All of TensorFlow's own but the one that calls custom optimizers."""
    for name in (
        ["arithmetic_optimization", "auto_mixed_precision", "constant_folding", "debug_stripper"]
        + ["dependency_optimization", "function_optimization", "implementation_selector"]
        + ["layout_optimizer", "loop_optimization", "pin_to_host_optimization", "remapping"]
        + ["scoped_allocator_optimization", "shape_optimization"]
    ):
        setattr(config, name, config.OFF)
    config.auto_parallel.enable = False
    config.disable_model_pruning = True
    config.memory_optimization = config.NO_MEM_OPT
    config.min_graph_nodes = -1


@contextlib.contextmanager
def online_conversion(conversion_params=DEFAULT_TRT_CONVERSION_PARAMS):
    """Functions of TensorFlow 2 that this thread calls inside the `with` run through engines, which are built at the first call.

        with graft.online_conversion():
            outputs = function(inputs)

    Weights that a function reads from variables are no constants to it, so this is for frozen functions; graft.optimize
    freezes one.
    """
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.CopyFrom(
        get_tensorrt_rewriter_config(conversion_params, is_v2=True)
    )
    eager = context.context()
    before = eager.function_call_options
    eager.function_call_options = context.FunctionCallOptions(config_proto=config)
    try:
        yield
    finally:
        eager.function_call_options = before


def _log_report(report):
    """Logs a report as TF-TRT did."""
    _log.warning("%s", report["new_report"])
    _log.info("%s", report["old_report"])
    _log.info("Number of TensorRT candidate segments: %d", report["candidate_segments"])
    late = report.get("late_engines", [])
    for engine in sorted(report.get("engine_list", []) + late, key=lambda engine: engine["name"]):
        segment = int(engine["name"].rpartition("_")[2])
        _log.info(
            "Replaced segment %d consisting of %d nodes by %s.",
            segment,
            engine["nodes"],
            engine["name"],
        )
        if "reason" in engine:
            _log.info("%s is built when it first runs: %s", engine["name"], engine["reason"])
        int8 = engine.get("int8")
        if int8:
            _log.info(
                "%s: %d of %d convolutions and products on integers",
                engine["name"],
                int8["on_integers"],
                int8["products"],
            )
            for layer in int8["in_floats"]:
                _log.info("  in floats: %s: %s", layer["node"], layer["reason"])
    for op, count in report["removed_checks"].items():
        _log.info("%d %s removed (GRAFT_KEEP_ASSERTS=1 keeps Assert and CheckNumerics)", count, op)
    for warning in report["warnings"]:
        _log.warning("%s", warning)


def _convert_graph_def(graph_def, denied, options):
    """Runs the converter on a frozen graph. Gives the converted one and the report."""
    request = {**options, "deny": list(denied)}
    # Deterministic: a plan records the hash of what it was made from.
    model = graph_def.SerializeToString(deterministic=True)
    converted, report = _graft.convert_graph_def(model, json.dumps(request))
    result = graph_pb2.GraphDef()
    result.ParseFromString(converted)
    return result, json.loads(report)


def _new_folder(directory):
    """The path of a folder that is not there, or empty."""
    target = os.fspath(directory)
    if tf.io.gfile.exists(target) and tf.io.gfile.listdir(target):
        raise AssertionError(f"Export directory already exists, and isn't empty: {target}")
    return target


def _copy_into(target, file, folder):
    """Copies a file to where it lies in `folder`."""
    copy = os.path.join(target, file.relative_to(folder))
    tf.io.gfile.makedirs(os.path.dirname(copy))
    tf.io.gfile.copy(str(file), copy, overwrite=True)


def _protobuf_field(number, value):
    """Of bytes, in protobuf's wire format."""
    length, size = [], len(value)
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + value


def _engine_record(key, plan):
    """A TRTEngineInstance with serialized_engine = 2; the key as the op library reads it, in a field that others skip."""
    return _protobuf_field(2, plan) + _protobuf_field(15, key)


class _TRTEngineResource(tf.saved_model.experimental.TrackableResource):
    """The engines of the nodes of one name; filled from a file when the model is loaded."""

    def __init__(self, name, file, maximum_cached_engines):
        super().__init__()
        self._name = name
        self._file = self._track_trackable(tf.saved_model.Asset(file), "_serialized_resource_path")
        self._maximum_cached_engines = maximum_cached_engines

    def _create_resource(self):
        return _op_library.operations().create_trt_resource_handle(resource_name=self._name)

    def _initialize(self):
        _op_library.operations().initialize_trt_resource(
            self.resource_handle,
            self._file.asset_path,
            max_cached_engines_count=self._maximum_cached_engines,
        )

    def _destroy_resource(self):
        # Traced, for the model that is loaded and initializes it. This object itself is only saved, and the resource of its
        # name may be another's.
        if not tf.executing_eagerly():
            tf.raw_ops.DestroyResourceOp(resource=self.resource_handle, ignore_lookup_error=True)


class _ConvertedModel:
    """A SavedModel as `graft convert` makes it, in a folder that lives as long as this object."""

    def __init__(self, directory, tags, signature_key, options, **further_options):
        self._scratch = tempfile.TemporaryDirectory(prefix="graft-")
        self.folder = pathlib.Path(self._scratch.name) / "model"
        source = _local(directory, self._scratch.name)
        request = {**options, **further_options, "tags": list(tags), "signature": signature_key}
        self.report = json.loads(
            _graft.convert_model(source, str(self.folder), json.dumps(request))
        )
        saved_model = saved_model_pb2.SavedModel()
        saved_model.ParseFromString((self.folder / "saved_model.pb").read_bytes())
        (meta_graph,) = saved_model.meta_graphs
        self.graph_def = meta_graph.graph_def
        self.signature = meta_graph.signature_def[signature_key]
        # Keys of the inputs that are one tensor each.
        self.inputs = {key for key, info in self.signature.inputs.items() if info.name}

    @contextlib.contextmanager
    def with_graph(self, graph_def):
        """A folder, for a while, that has the model with `graph_def` in place of its own graph."""
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            for file in self.folder.iterdir():
                if file.name != "saved_model.pb":
                    os.symlink(file, os.path.join(folder, file.name))
            pathlib.Path(folder, "saved_model.pb").write_bytes(self._bytes_with(graph_def))
            yield folder

    def save_with_engines(self, graph_def, directory, tags, signature_key, with_bytes, options):
        """As save, with each engine as an asset too, as one of the model's trt_engine_resources. Without bytes the assets are
        empty. The engines stay in the graph: a signature may outlive its model, which takes the resources along."""
        target = _new_folder(directory)
        with tempfile.TemporaryDirectory() as scratch:
            resources = []
            for node in _calibration.engine_nodes(graph_def):
                plan = self._plan_of(node)
                file = os.path.join(scratch, f"trt-serialized-engine.{node.name}")
                with tf.io.TFRecordWriter(file) as writer:
                    if with_bytes and plan:
                        key = hashlib.sha256(plan).hexdigest()[:16].encode()
                        writer.write(_engine_record(key, plan))
                        node.attr["_engine_key"].s = key
                if with_bytes and not plan:
                    self._write_built(node, file)
                cached = node.attr["max_cached_engines_count"].i
                resources.append(_TRTEngineResource(node.name, file, cached))
            for file in sorted((self.folder / "assets.extra").rglob("*")):
                if file.is_file():
                    _copy_into(target, file, self.folder)
            with self.with_graph(graph_def) as folder:
                model = tf.saved_model.load(folder, tags)
                model.trt_engine_resources = resources
                signatures = {signature_key: model.signatures[signature_key]}
                tf.saved_model.save(model, target, signatures, options)

    @staticmethod
    def _write_built(node, file):
        """Writes the engine that the calls of build() have made, of a node that has none in the graph, if they have."""
        try:
            _op_library.operations().serialize_trt_resource(
                node.name.rpartition("/")[2],
                file,
                delete_resource=False,
                save_gpu_specific_engines=True,
            )
        except tf.errors.NotFoundError:
            _log.warning("%s was not built: no call has reached it", node.name)

    def _plan_of(self, node):
        """An engine's, out of the node or of the model's file of weights."""
        if "_plan_file" not in node.attr:
            return node.attr["serialized_segment"].s
        name = f"graft-weights-{node.attr['_plan_file'].s.decode()}"
        with open(self.folder / "assets" / name, "rb") as file:
            file.seek(node.attr["_plan_offset"].i)
            return file.read(node.attr["_plan_size"].i)

    def _bytes_with(self, graph_def):
        """The SavedModel with `graph_def` in place of its own graph, as a file holds it."""
        saved_model = saved_model_pb2.SavedModel()
        saved_model.ParseFromString((self.folder / "saved_model.pb").read_bytes())
        saved_model.meta_graphs[0].graph_def.CopyFrom(graph_def)
        return saved_model.SerializeToString(deterministic=True)

    def save(self, graph_def, directory):
        """Writes the model with `graph_def` in place of its own graph."""
        target = _new_folder(directory)
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and file.name != "saved_model.pb":
                _copy_into(target, file, self.folder)
        # Last: what has no saved_model.pb is no model yet.
        tf.io.gfile.makedirs(target)
        with tf.io.gfile.GFile(os.path.join(target, "saved_model.pb"), "wb") as file:
            file.write(self._bytes_with(graph_def))


def _local(directory, scratch):
    """The folder, or a copy of it where only TensorFlow's file systems reach it ("gs://…")."""
    directory = os.fspath(directory)
    if "://" not in directory:
        return directory
    copy = pathlib.Path(scratch) / "source"
    for folder, _, files in tf.io.gfile.walk(directory):
        below = copy / os.path.relpath(folder, directory)
        below.mkdir(parents=True, exist_ok=True)
        for name in files:
            tf.io.gfile.copy(os.path.join(folder, name), str(below / name))
    return str(copy)


def _saved_model_of(converter, path):
    """The folder of a SavedModel: the path, or what a file of Keras's own is exported to. That is done once for all of a converter's
    conversions, since two exports are never the same."""
    path = os.fspath(path)
    if not path.endswith((".keras", ".h5")):
        return path
    if not hasattr(converter, "_exported"):
        import keras

        exported = tempfile.TemporaryDirectory(prefix="graft-")
        model = _local(path, exported.name)
        with context.eager_mode():  # whatever TrtGraphConverter is used in
            keras.saving.load_model(model, compile=False).export(exported.name + "/model", verbose=False)
        converter._exported = exported  # lives as long
    return converter._exported.name + "/model"


def _tags(tags):
    """What says which graph of a SavedModel is meant; [] means the one without tags."""
    return [tf.saved_model.SERVING] if tags is None else list(tags)


def _by_name(inputs, names):
    """What an input function gives for one call, by the names of the signature's inputs: a dict, or arrays in their order."""
    if not isinstance(inputs, dict):
        arrays = inputs if isinstance(inputs, (list, tuple)) else (inputs,)
        if len(arrays) != len(names):
            raise ValueError(f"{len(arrays)} arrays for the {len(names)} inputs {', '.join(names)}")
        return dict(zip(names, arrays))
    if set(inputs) != set(names):
        given = ", ".join(map(repr, inputs))
        raise ValueError(f"the inputs of the signature are {', '.join(names)}, not {given}")
    return inputs


# What a positional argument of that name can be.
_ARGUMENT_TYPES = {
    "input_saved_model_dir": (str, os.PathLike, type(None)),
    "session_config": (tf.compat.v1.ConfigProto, type(None)),
    "max_batch_size": (int, type(None)),
    "max_workspace_size_bytes": (int,),
    "precision_mode": (str,),
    "minimum_segment_size": (int,),
    "is_dynamic_op": (bool, type(None)),
    "maximum_cached_engines": (int,),
    "cached_engine_batches": (list, tuple, type(None)),
    "use_calibration": (bool,),
    "use_function_backup": (bool,),
}


def _fits(name, value):
    if name not in _ARGUMENT_TYPES:
        return True
    types = _ARGUMENT_TYPES[name]
    return isinstance(value, types) and (bool in types or not isinstance(value, bool))


def _positional_in_any_order_of(*orders):
    """Releases of TF-TRT put the same arguments in different orders. Those that a caller passes by position have the names
    of the first order in which each of them has a type that fits."""

    def decorate(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            fitting = [
                order
                for order in orders
                if len(args) <= len(order) and all(map(_fits, order, args))
            ]
            if len(args) > len(max(orders, key=len)):
                raise TypeError(f"{function.__qualname__}() takes no {len(args)} arguments by position")
            named = dict(zip(fitting[0] if fitting else max(orders, key=len), args))
            twice = sorted(set(named) & set(kwargs))
            if twice:
                raise TypeError(f"{function.__qualname__}() got multiple values for '{twice[0]}'")
            return function(**named, **kwargs)

        return call

    return decorate


def _warn_of_unknown_dimensions(graph_def):
    """Those of a batch are none: they are known when the engine runs, in TF-TRT too."""
    for node in _calibration.engine_nodes(graph_def):
        for shape in node.attr["input_shapes"].list.shape:
            if shape.unknown_rank or any(d.size < 0 for d in shape.dim[1:]):
                _log.warning(
                    "Input shapes must be fully defined when in static mode. "
                    "Please try is_dynamic_op=True (shape was %s)",
                    tf.TensorShape(shape),
                )


_MODEL = ["input_saved_model_dir", "input_saved_model_tags", "input_saved_model_signature_key"]
_BUILD = ["max_batch_size", "max_workspace_size_bytes", "precision_mode", "minimum_segment_size"]
_BUILD += ["is_dynamic_op", "maximum_cached_engines"]


class TrtGraphConverter:
    """Converts TF1 SavedModels and frozen graphs.

    In static mode max_batch_size is a size that engines are tuned for, beside 1; they take any. session_config is that of the
    sessions that calibrate() runs. max_workspace_size_bytes bounds what engines on a GPU work in. Accepted without effect,
    because one engine serves every shape and memory is planned: maximum_cached_engines, cached_engine_batches.

    Arguments may be passed by position in the order of 2019 (with or without cached_engine_batches) or of 2.x. The engines of
    a graph that is converted in static mode (is_dynamic_op=False) are plans that stand alone: they hold their weights.
    GRAFT_EMBED_WEIGHTS=0 has them refer to those in the native segments instead.
    """

    @_positional_in_any_order_of(
        ["self", *_MODEL, "input_graph_def", "nodes_blacklist", "session_config", *_BUILD]
        + ["use_calibration", "use_function_backup"],
        ["self", *_MODEL, "input_graph_def", "nodes_blacklist", "session_config", *_BUILD]
        + ["cached_engine_batches", "use_calibration", "use_function_backup"],
        ["self", *_MODEL, "input_graph_def", "nodes_denylist", *_BUILD, "use_calibration"],
    )
    def __init__(
        self,
        input_saved_model_dir=None,
        input_saved_model_tags=None,
        input_saved_model_signature_key=None,
        input_graph_def=None,
        nodes_blacklist=None,
        session_config=None,
        max_batch_size=1,
        max_workspace_size_bytes=DEFAULT_TRT_MAX_WORKSPACE_SIZE_BYTES,
        precision_mode=TrtPrecisionMode.FP32,
        minimum_segment_size=3,
        is_dynamic_op=False,
        maximum_cached_engines=1,
        use_calibration=True,
        use_function_backup=True,
        *,
        nodes_denylist=None,
        cached_engine_batches=None,
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
        if options["use-calibration"] and not is_dynamic_op:
            _log.warning(
                "INT8 precision mode with calibration is supported with dynamic TRT ops only. "
                "Disregarding is_dynamic_op parameter."
            )
        if is_dynamic_op and not use_function_backup:
            _log.warning(
                "use_function_backup=False leaves nothing to build engines of when they run: they are built now. "
                "Disregarding is_dynamic_op parameter."
            )
            is_dynamic_op = False
        del cached_engine_batches
        self._session_config = session_config
        self._input_saved_model_dir = input_saved_model_dir
        self._input_saved_model_tags = _tags(input_saved_model_tags)
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
        if not use_function_backup:
            self._options["native-segments"] = False
        # What a script takes out of a static engine is to run without TensorFlow.
        if "GRAFT_EMBED_WEIGHTS" not in os.environ:
            self._options["embed-weights"] = not is_dynamic_op
        # The GraphDef that convert() gives stands alone.
        self._options["weights-in-graph"] = True
        self._converted = False
        self._calibrated = False
        self._converted_graph_def = None
        self._model = None
        self._report = None
        self._choices = {}  # reports, by engine
        _op_library.load()

    @staticmethod
    def _node_name(tensor_or_name):
        name = tensor_or_name if isinstance(tensor_or_name, str) else tensor_or_name.name
        return name.split(":")[0]

    def convert(self):
        """Converts and gives the converted GraphDef. May be called once."""
        if self._converted:
            raise AssertionError("convert() was called already")
        self._convert(self._options)
        self._converted = True
        return self._converted_graph_def

    def _convert(self, options):
        self._convert_model(options)
        _calibration.add_choices(self._report, self._choices)
        _log_report(self._report)
        if options["static-engine"]:
            _warn_of_unknown_dimensions(self._converted_graph_def)

    def _convert_model(self, options):
        if self._input_graph_def is not None:
            # The outputs are not known: what nobody reads is kept.
            self._converted_graph_def, self._report = _convert_graph_def(
                self._input_graph_def, self._denied, options
            )
        else:
            self._model = _ConvertedModel(
                _saved_model_of(self, self._input_saved_model_dir),
                self._input_saved_model_tags,
                self._signature_key,
                options,
                deny=self._denied,
            )
            self._report = self._model.report
            self._converted_graph_def = self._model.graph_def

    def calibrate(
        self,
        fetch_names,
        num_runs,
        feed_dict_fn=None,
        input_map_fn=None,
        *,
        min_sqnr_db=None,
        max_drop=None,
        labels=None,
    ):
        """Runs the converted graph `num_runs` times, finds the ranges that INT8 needs, and gives the graph with engines that use
        them; what was found is their attribute calibration_data. The results of these runs are TensorFlow's own.

        feed_dict_fn gives a feed_dict for each run; input_map_fn, called once, tensors by the names of those that they replace.

        Graft's own: with min_sqnr_db, decibels of every engine's outputs, or labels, the classes of all samples of these runs, and
        max_drop, points of top-1 of the first of fetch_names that has scores (0), products that cost more go back to floats.
        """
        goal = _calibration.accuracy_goal(min_sqnr_db, max_drop, labels)
        if bool(feed_dict_fn) == bool(input_map_fn):
            raise ValueError("Should specify one and only one of feed_dict_fn and input_map_fn.")
        if not self._converted:
            raise AssertionError("convert() must be called before calibrate()")
        if not self._options["use-calibration"]:
            raise AssertionError("only INT8 engines are calibrated, with use_calibration=True")
        if self._calibrated:
            raise AssertionError("calibrate() was called already")
        with tf.Graph().as_default() as graph:
            replaced = input_map_fn() if input_map_fn else {}
            if not all(isinstance(name, str) for name in replaced):
                raise ValueError("Keys of input_map_fn must be of type str")
            if not all(isinstance(tensor, tf.Tensor) for tensor in replaced.values()):
                raise ValueError("Values of input_map_fn must be of type tf.Tensor")
            calibrators = _calibration.EngineCalibrators(
                self._converted_graph_def, goal, self._options, fetch_names
            )
            fetches = tf.import_graph_def(
                calibrators.graph_def, input_map=replaced, return_elements=fetch_names, name=""
            )
            engine_inputs = calibrators.inputs_in(graph)
            with tf.compat.v1.Session(graph=graph, config=self._session_config) as session:
                for _ in range(num_runs):
                    feed = feed_dict_fn() if feed_dict_fn else None
                    _, read = session.run([fetches, engine_inputs], feed)
                    calibrators.add(read)
        tables = calibrators.tables()
        self._choices = calibrators.reports
        self._convert({**self._options, "calibration-tables": tables})
        self._calibrated = True
        return self._converted_graph_def

    def save(self, output_saved_model_dir):
        """Saves the converted model with the signatures of the one that was loaded."""
        if not self._converted:
            raise AssertionError("convert() must be called before save()")
        if self._options["use-calibration"] and not self._calibrated:
            raise AssertionError("calibrate() must be called before save()")
        if self._input_graph_def is not None:
            raise ValueError("Not able to save to a SavedModel since input is a GraphDef")
        self._model.save(self._converted_graph_def, output_saved_model_dir)


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
        self._tags = _tags(input_saved_model_tags)
        self._signature_key = (
            input_saved_model_signature_key or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
        )
        self._options = {
            **_engine_options(params),
            "profile-strategy": strategy.lower() if use_dynamic_shape else "",
            "static-engine": True,
            # Whether these are to go, save() decides.
            "native-segments": True,
        }
        self._allow_build_at_runtime = bool(params.allow_build_at_runtime)
        self._converted_func = None
        self._built = False
        self._report = None
        self._choices = {}  # reports, by engine
        _op_library.load()

    def convert(self, calibration_input_fn=None, *, min_sqnr_db=None, max_drop=None, labels=None):
        """Converts the signature and gives it as a ConcreteFunction.

        INT8 with use_calibration finds ranges with the inputs of calibration_input_fn, a generator: each is an array, a list or
        tuple of arrays in the order of the inputs' names, or a dict by name.

        Graft's own: with min_sqnr_db, decibels of every engine's outputs, or labels, the classes of all samples of these inputs, and
        max_drop, points of top-1 of the signature's first output that has scores (0), products that cost more go back to floats.
        """
        goal = _calibration.accuracy_goal(min_sqnr_db, max_drop, labels)
        needs_calibration = self._options["use-calibration"]
        if needs_calibration and calibration_input_fn is None:
            raise ValueError(
                "Should specify calibration_input_fn because INT8 calibration is needed"
            )
        if not needs_calibration and calibration_input_fn is not None:
            raise ValueError(
                "Should not specify calibration_input_fn because INT8 calibration is not needed"
            )
        if goal is not None and not needs_calibration:
            raise _calibration.BadGoal("min_sqnr_db, max_drop and labels are for INT8 with calibration")
        if self._converted_func is not None:
            raise AssertionError("convert() was called already")
        if needs_calibration:
            # Calibrators take native segments with their weights.
            whole = self._convert({**self._options, "weights-in-graph": True})
            self._options["calibration-tables"] = self._calibrate(
                whole, calibration_input_fn, goal
            )
        function = self._use(self._convert(self._options))
        _log_report(self._report)
        return function

    def _use(self, converted):
        self._report = converted.report
        _calibration.add_choices(self._report, self._choices)
        self._converted_graph_def = converted.graph_def
        self._converted_model = converted
        model = tf.saved_model.load(str(converted.folder), self._tags)
        self._converted_func = model.signatures[self._signature_key]
        # Tables and variables that it uses go with the model.
        self._converted_func.graft_model = model
        return self._converted_func

    def _convert(self, options):
        return _ConvertedModel(
            _saved_model_of(self, self._input_saved_model_dir),
            self._tags,
            self._signature_key,
            options,
            **{"only-signature": True},
        )

    def _calibrate(self, converted, input_fn, goal):
        """The calibration tables of the model's engines."""
        outputs = [info.name for _, info in sorted(converted.signature.outputs.items())]
        calibrators = _calibration.EngineCalibrators(converted.graph_def, goal, self._options, outputs)
        graph = tf.Graph()
        with converted.with_graph(calibrators.graph_def) as folder:
            session = tf.compat.v1.Session(graph=graph)
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(session, self._tags, folder)
            signature = meta_graph.signature_def[self._signature_key]
            # All outputs, so that what lies between engines runs.
            outputs = [graph.get_tensor_by_name(info.name) for info in signature.outputs.values()]
            fetches = [outputs, calibrators.inputs_in(graph)]
            # Eagerly: it may read a dataset.
            for inputs in input_fn():
                by_name = _by_name(inputs, sorted(signature.inputs))
                feed = {signature.inputs[name].name: np.asarray(x) for name, x in by_name.items()}
                calibrators.add(session.run(fetches, feed)[1])
            session.close()
        tables = calibrators.tables()
        self._choices = calibrators.reports
        return tables

    def build(self, input_fn):
        """Tunes the engines for the shapes of input_fn's inputs, and runs the converted function on each, so that every shape has
        been bound before the first request. The function that convert() gave stays as it was tuned.

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
        names = sorted(self._converted_func.structured_input_signature[1])
        calls = {}  # one for each combination of shapes
        for inputs in input_fn():
            by_name = _by_name(inputs, names)
            try:
                tensors = {name: tf.convert_to_tensor(x) for name, x in by_name.items()}
            except (TypeError, ValueError) as error:
                raise RuntimeError("Failed to convert input to tensor.") from error
            shapes = {
                name: tensor.shape.as_list()
                for name, tensor in tensors.items()
                if name in self._converted_model.inputs
            }
            calls.setdefault(json.dumps(shapes, sort_keys=True), tensors)
        if calls:
            self._options["shapes"] = [json.loads(call) for call in calls]
            self._use(self._convert(self._options))
        for tensors in calls.values():
            self._converted_func(**tensors)
        self._built = True

    def save(self, output_saved_model_dir, save_gpu_specific_engines=True, options=None):
        """Saves the converted signature with all that it needs: variables that are not frozen, tables, assets. Every loader of
        TensorFlow reads the result, and its engines run on any machine with the backend.

        Engines are in the graph. After build() each is an asset too, trt-serialized-engine.NAME, which is empty with
        save_gpu_specific_engines=False, and the loaded model has them as trt_engine_resources; the model is then written by
        tf.saved_model.save, to which the options go. allow_build_at_runtime=False holds for the saved model.
        """
        if self._converted_func is None:
            raise RuntimeError("Need to call convert() before save()")
        converted = self._converted_model
        features = os.environ.get("TF_TRT_EXPERIMENTAL_FEATURES", "").split(",")
        if "remove_native_segments" in features:
            converted = self._convert({**self._options, "native-segments": False})
        graph_def = graph_pb2.GraphDef()
        graph_def.CopyFrom(converted.graph_def)
        for node in _calibration.engine_nodes(graph_def):
            node.attr["_allow_build_at_runtime"].b = self._allow_build_at_runtime
        if self._built:
            converted.save_with_engines(
                graph_def,
                output_saved_model_dir,
                self._tags,
                self._signature_key,
                save_gpu_specific_engines,
                options,
            )
        else:
            converted.save(graph_def, output_saved_model_dir)

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
    engines = sorted((n for n in graph_def.node if n.op == _calibration.ENGINE_OP), key=lambda n: n.name)
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
            # A constant in the file of weights is one.
            ops = ("Const" if n.op == "GraftWeight" else n.op for n in body)
            for op, count in sorted(collections.Counter(ops).items()):
                print_fn(f"\t- {op}: {count}x")
            print_fn("")
    print_fn("=" * line_length)
    print_fn(f"[*] Total number of TensorRT engines: {len(engines)}")
    total = report["total_ops"]
    converted = report["converted_ops"]
    share = 100 * converted / total if total else 0
    print_fn(f"[*] % of OPs Converted: {share:.2f}% [{converted}/{total}]")


@_positional_in_any_order_of(
    ["input_graph_def", "outputs", *_BUILD, "cached_engine_batches", *_MODEL]
    + ["output_saved_model_dir", "session_config"],
    ["input_graph_def", "outputs", *_BUILD, *_MODEL, "output_saved_model_dir"],
)
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
