"""What a server runs: a plan, or a signature of a SavedModel, with its inputs and outputs by name."""

import os
from typing import NamedTuple, Optional, Tuple

import numpy


class Tensor(NamedTuple):
    """An input or output. shape: None where the dimension is not fixed, or for the whole where the rank is not."""

    name: str
    dtype: numpy.dtype  # object: strings
    shape: Optional[Tuple[Optional[int], ...]]
    has_default: bool = False


class Plan:
    """Runs an engine by itself; TensorFlow is not imported."""

    def __init__(self, path, threads=0, device=None):
        import graft

        self._engine = graft.Engine(path, threads=threads, device=device)
        self.inputs = [Tensor(b.name, b.dtype, b.shape, b.has_default) for b in self._engine.inputs]
        self.outputs = [Tensor(b.name, b.dtype, b.shape) for b in self._engine.outputs]

    def run(self, inputs):
        return self._engine.run(inputs)


class SavedModel:
    """Runs a signature of a SavedModel inside TensorFlow, converted or not."""

    def __init__(self, path, threads=0, signature="serving_default"):
        import tensorflow as tf

        import graft

        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        self._tf = tf
        self._loaded = graft.load_saved_model(path)  # its variables live as long as it does
        if signature not in self._loaded.signatures:
            names = ", ".join(sorted(self._loaded.signatures)) or "none"
            raise ValueError(f"{path}: no signature '{signature}'; there are: {names}")
        self._function = self._loaded.signatures[signature]
        _, by_name = self._function.structured_input_signature
        self.inputs = [self._tensor(name, spec) for name, spec in sorted(by_name.items())]
        outputs = self._function.structured_outputs
        self.outputs = [self._tensor(name, spec) for name, spec in sorted(outputs.items())]

    def _tensor(self, name, spec):
        shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
        # NumPy's type of TensorFlow's strings is object.
        return Tensor(name, numpy.dtype(spec.dtype.as_numpy_dtype), shape)

    def run(self, inputs):
        tensors = {name: self._tf.constant(value) for name, value in inputs.items()}
        try:
            outputs = self._function(**tensors)
        except self._tf.errors.InvalidArgumentError as error:
            raise ValueError(error.message) from error
        return {name: value.numpy() for name, value in outputs.items()}


def load(path, **options):
    """A plan where `path` is a file, a SavedModel where it is a folder."""
    if os.path.isdir(path):
        options.pop("device", None)
        return SavedModel(path, **options)
    options.pop("signature", None)
    return Plan(path, **options)
