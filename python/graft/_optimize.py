"""graft.optimize: a faster callable of a model or a function, in one line."""

import collections
import functools
import inspect
import logging
import os
import tempfile
import threading

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import wrap_function
from tensorflow.python.trackable.data_structures import NoDependency

from graft import _calibration, _export, _op_library, trt_convert

_log = logging.getLogger("graft.optimize")


def optimize(
    model_or_function,
    precision="FP32",
    calibration_data=None,
    *,
    inputs=None,
    signature=tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY,
    tags=None,
    minimum_segment_size=3,
    opt_level=None,
    min_sqnr_db=None,
    max_drop=None,
    labels=None,
):
    """Gives a callable that computes what `model_or_function` does, by engines.

    model_or_function: a Keras model (2 or 3), a .keras or .h5 file, a tf.function, a concrete function, any callable of tensors,
      the folder of a SavedModel, or what tf.saved_model.load gives; of the latter two `signature` is meant.
    precision: "FP32", "FP16" or "INT8".
    calibration_data: for INT8, an iterable of what the model is called with: a tuple of arguments, a dict of them by name, or the
      only argument.
    inputs: the same, once, as tensors, arrays or tf.TensorSpecs, to convert for where the model does not say what it takes.
      Without it such a model is converted when it is first called, or for the first calibration batch.
    minimum_segment_size, opt_level: as of `graft convert`.
    min_sqnr_db, or labels and max_drop: what integers may cost, measured on calibration_data: the least signal-to-noise ratio of
      the outputs of every engine in decibels; or the classes of all samples of the data, and the points of top-1 of the first
      output that has scores, f32[samples, classes], that may be lost (0). Products that cost more are computed in floats.
      Without any of them only time decides.

    The callable takes and gives the same structures, runs eagerly, in tf.function and in tf.data's functions, and is saved by
    tf.saved_model.save. Weights are constants of it: later changes of the model's variables do not reach it. Variables that the
    function itself assigns, and tables, stay the model's.
    """
    source, original, known = _callable_of(model_or_function, signature, tags)
    return Optimized(
        original,
        source,
        precision=trt_convert._check_precision(precision),
        calibration_data=calibration_data,
        inputs=known if inputs is None else _call_of(inputs, known),
        options={"minimum-segment-size": minimum_segment_size}
        | ({} if opt_level is None else {"opt-level": opt_level}),
        goal=_calibration.accuracy_goal(min_sqnr_db, max_drop, labels),
    )


# ---- what there is to call, and with what


def _call_of(inputs, known=None):
    """Arguments by position and by name. `known`: those that the model says, as specs."""
    takes_a_dict = known is not None and len(known[0]) == 1 and isinstance(known[0][0], dict)
    if isinstance(inputs, dict) and not takes_a_dict:
        return (), inputs
    return (tuple(inputs), {}) if isinstance(inputs, tuple) else ((inputs,), {})


def _callable_of(source, signature, tags):
    """The object that has the variables, the callable, and its arguments as TensorSpecs where they are known."""
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path.endswith((".keras", ".h5")):
            import keras

            return _callable_of(keras.saving.load_model(path, compile=False), signature, tags)
        return _callable_of(_op_library.load_saved_model(path, tags), signature, tags)
    if hasattr(source, "signatures") and hasattr(source, "tensorflow_version"):  # loaded
        if signature not in source.signatures:
            raise ValueError(
                f"there is no signature '{signature}', only {sorted(source.signatures)}"
            )
        return (source, *_callable_of(source.signatures[signature], signature, tags)[1:])
    if hasattr(source, "structured_input_signature"):  # a concrete function
        return source, source, source.structured_input_signature
    if getattr(source, "input_signature", None) is not None:  # of a tf.function
        return source, source, (tuple(source.input_signature), {})
    if hasattr(source, "layers"):
        return (source, *_keras_callable(source))
    if not callable(source):
        raise TypeError(f"neither a model, nor a function, nor a path: {source!r}")
    return source, source, None


def _keras_callable(model):
    known = getattr(model, "inputs", None) and getattr(model, "input", None)
    if known is None:
        return model, None
    specs = tf.nest.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name),
        known,
    )
    parameters = inspect.signature(model.call).parameters
    if "training" not in parameters:
        return model, ((specs,), {})
    return functools.partial(model, training=False), ((specs,), {})


def _flatten(structure):
    return tf.nest.flatten(structure, expand_composites=True)


def _is_flat(outputs):
    """What a signature can give."""
    leaves = list(outputs.values()) if isinstance(outputs, dict) else outputs
    leaves = leaves if isinstance(leaves, (list, tuple)) else [leaves]
    return all(isinstance(leaf, tf.Tensor) for leaf in leaves)


def _is_tensor(leaf):
    return isinstance(leaf, (tf.Tensor, tf.TensorSpec, np.ndarray, np.generic))


def _spec(leaf, named=False):
    """What it is converted for: any size of the first dimension, which is the batch in every model that has one."""
    if isinstance(leaf, tf.TensorSpec):
        return tf.TensorSpec(leaf.shape, leaf.dtype, leaf.name if named else None)
    shape = tf.TensorShape(leaf.shape)
    if shape.rank:
        shape = tf.TensorShape([None]).concatenate(shape[1:])
    return tf.TensorSpec(shape, leaf.dtype)


class _Conversion:
    """Of the function for one set of specs."""

    def __init__(self, concrete, options, precision, calibration, goal):
        """`calibration`: lists of the function's flat inputs, or None. `goal`: of _calibration.accuracy_goal."""
        self._structure = concrete.structured_outputs
        calibrates = precision == trt_convert.TrtPrecisionMode.INT8 and calibration is not None
        options = {**options, "precision-mode": precision, "use-calibration": calibrates}
        options["weights-in-graph"] = True  # nothing loads files for it
        with tempfile.TemporaryDirectory(prefix="graft-") as folder:
            self._export = _export.Export(concrete, folder)
            self._inputs = self._export.inputs
            converted = self._convert(folder, options)
            if calibrates:
                calibrators = _calibration.EngineCalibrators(
                    converted, goal, options, self._outputs
                )
                options["calibration-tables"] = self._calibrate(calibrators, calibration)
                converted = self._convert(folder, options)
                _calibration.add_choices(self.report, calibrators.reports)
        trt_convert._log_report(self.report)
        self.engines = [node.name for node in _calibration.engine_nodes(converted)]
        self._function = self._wrap(converted)

    def _convert(self, folder, options):
        converted = trt_convert._ConvertedModel(folder, [_export.TAG], _export.SIGNATURE, options)
        self.report = converted.report
        outputs = converted.signature.outputs
        self._outputs = [outputs[key].name for key in sorted(outputs)]
        self._export.import_back(converted.graph_def)
        names = {node.name for node in converted.graph_def.node}
        self._captures = {
            name: outside for name, outside in self._export.captures.items() if name in names
        }
        self.keeps_resources = bool(self._captures)
        return converted.graph_def

    def _wrap(self, graph_def):
        return wrap_function.function_from_graph_def(
            graph_def, self._inputs, self._outputs, self._captures
        )

    def _calibrate(self, calibrators, batches):
        function = self._wrap(calibrators.graph_def)
        engine_inputs = calibrators.inputs_in(function.graph)
        names = sorted(engine_inputs)
        feeds = [function.graph.get_tensor_by_name(name) for name in self._inputs]
        # All outputs, so that what lies between engines runs.
        outputs = [function.graph.get_tensor_by_name(name) for name in self._outputs]
        read = function.prune(feeds, [[engine_inputs[name] for name in names], outputs])
        for batch in batches:
            values, _ = read(*[tf.convert_to_tensor(x) for x in batch])
            calibrators.add(dict(zip(names, values)))
        return calibrators.tables()

    def __call__(self, tensors):
        results = iter(tf.nest.flatten(self._function(*tensors)))
        packed = [
            next(results) if isinstance(leaf, tf.Tensor) else leaf
            for leaf in _flatten(self._structure)
        ]
        return tf.nest.pack_sequence_as(self._structure, packed, expand_composites=True)


class Optimized(tf.Module):
    """What graft.optimize gives.

    report: of the last conversion, as `graft convert --json` writes it; None before the first.
    fallbacks: how many calls the original function answered, by reason. In a graph a call is counted when it is traced.
    """

    def __init__(self, original, source, precision, calibration_data, inputs, options, goal):
        super().__init__(name="optimized")
        _op_library.load()
        # Without NoDependency TensorFlow would save them too, and put wrappers in their place.
        self.report = None
        self.fallbacks = NoDependency(collections.Counter())
        self._original = NoDependency(original)
        self._source = NoDependency(source)  # kept alive
        self._precision = precision
        self._options = NoDependency(options)
        self._goal = NoDependency(goal)
        self._batches = None
        self._lock = threading.RLock()
        self._conversions = NoDependency({})  # by what they take
        self._refusals = NoDependency({})
        self._traced = NoDependency(set())
        # Of this name, loaded objects are callable by it.
        self.__call__ = tf.function(self._trace)
        if goal is not None and calibration_data is None:
            raise ValueError("min_sqnr_db, max_drop and labels need calibration_data")
        if calibration_data is not None:
            if precision != trt_convert.TrtPrecisionMode.INT8:
                raise ValueError("calibration_data is for INT8")
            if _is_tensor(calibration_data):
                raise ValueError("calibration_data is one array, not batches: [array] is one batch of it")
            batches = [_call_of(batch, inputs) for batch in calibration_data]
            if not batches:
                raise ValueError("calibration_data is empty")
            self._batches = NoDependency([self._tensors_of(batch) for batch in batches])
            if inputs is None:
                inputs = batches[0]
        if inputs is not None:
            if goal is not None:
                # Not by AutoGraph, which puts errors of its own in the place of those that say what cannot be judged.
                self._convert(*self._for_any_batch(*inputs))
            concrete = self._trace_for_any_batch(*inputs)
            if _is_flat(concrete.structured_outputs):
                # TensorFlow's name for what becomes serving_default.
                self._default_save_signature = concrete

    def __call__(self, *args, **kwargs):
        results = self._traced_function()(*args, **kwargs)
        if self._refusals:
            reason = self._refusals.get(self._key(args, kwargs))
            if reason is not None:
                self.fallbacks[reason] += 1
        return results

    def _traced_function(self):
        return vars(self)["__call__"]

    def statistics(self):
        """graft.engine_statistics() of its engines."""
        names = {name for c in self._conversions.values() for name in c.engines}
        return {n: s for n, s in _op_library.statistics().items() if n.split("/")[-1] in names}

    @staticmethod
    def _key(args, kwargs):
        leaves = [_spec(x) if _is_tensor(x) else repr(x) for x in _flatten((args, kwargs))]
        shape = tf.nest.map_structure(lambda _: 0, (args, kwargs), expand_composites=True)
        return repr(shape), tuple(leaves)

    def _trace(self, *args, **kwargs):
        with tf.init_scope(), self._lock:
            key = self._key(args, kwargs)
            if key not in self._traced:
                try:
                    self._trace_for_any_batch(args, kwargs)
                except Exception:
                    if key not in self._refusals:
                        raise
            conversion = self._convert(args, kwargs)
        if conversion is None:
            return self._original(*args, **kwargs)
        return conversion(self._tensors_of((args, kwargs)))

    @staticmethod
    def _tensors_of(call):
        return [x for x in _flatten(call) if _is_tensor(x)]

    @staticmethod
    def _for_any_batch(args, kwargs):
        return tf.nest.map_structure(
            lambda x: _spec(x, named=True) if _is_tensor(x) else x,
            (args, kwargs),
            expand_composites=True,
        )

    def _trace_for_any_batch(self, args, kwargs):
        """So that calls with other batches find a trace. (reduce_retracing would do it, but in TensorFlow 2.21 it raises IndexError
        for calls with more arguments than those before.)"""
        self._traced.add(self._key(args, kwargs))
        args, kwargs = self._for_any_batch(args, kwargs)
        return self._traced_function().get_concrete_function(*args, **kwargs)

    def _convert(self, args, kwargs):
        """The conversion for such arguments; none: the original function answers."""
        key = self._key(args, kwargs)
        if key in self._conversions:
            return self._conversions[key]
        if key in self._refusals:
            return None
        structure = (args, kwargs)
        leaves = _flatten(structure)
        places = [i for i, leaf in enumerate(leaves) if _is_tensor(leaf)]

        @tf.function(autograph=False)
        def flat(tensors):
            filled = list(leaves)
            for place, tensor in zip(places, tensors):
                filled[place] = tensor
            a, k = tf.nest.pack_sequence_as(structure, filled, expand_composites=True)
            return self._original(*a, **k)

        try:
            concrete = flat.get_concrete_function([_spec(leaves[i]) for i in places])
        except Exception as error:  # whatever it raises for dimensions that are not known
            return self._refuse(key, "it cannot be traced for any batch", error)
        try:
            conversion = _Conversion(
                concrete, self._options, self._precision, self._batches, self._goal
            )
        except _calibration.BadGoal:
            raise
        except (NotImplementedError, ValueError, RuntimeError) as error:
            return self._refuse(key, "it cannot be converted", error)
        self._conversions[key] = conversion
        self.report = NoDependency(conversion.report)
        if conversion.keeps_resources:
            self.source = self._source  # saved with it
        return conversion

    def _refuse(self, key, fact, error):
        """From now on the original function answers calls of that kind."""
        self._refusals[key] = f"{fact}: {type(error).__name__}: {error}"
        _log.warning("the original function answers: %s", self._refusals[key])
