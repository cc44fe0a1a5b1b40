"""A plan or a SavedModel as a worker of a cluster runs it."""

import os

import numpy as np

import graft


class Plan:
    """The plan's file is mapped: the workers of a machine share the weights that are used as they lie there."""

    def __init__(self, path, threads):
        self._engine = graft.Engine(path, threads=threads)
        self.inputs = {binding.name: binding.dtype for binding in self._engine.inputs}

    def run(self, inputs):
        return self._engine.run(inputs)


class SavedModel:
    """The serving signature of a SavedModel, converted or not."""

    def __init__(self, path, threads):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._model = graft.load_saved_model(path)
        self._tensor, self._errors = tf.constant, tf.errors
        self._function = self._model.signatures["serving_default"]
        specs = self._function.structured_input_signature[1]
        self.inputs = {name: np.dtype(spec.dtype.as_numpy_dtype) for name, spec in specs.items()}

    def run(self, inputs):
        try:
            outputs = self._function(**{name: self._tensor(value) for name, value in inputs.items()})
        except self._errors.InvalidArgumentError as error:
            raise ValueError(error.message) from error
        return {name: value.numpy() for name, value in outputs.items()}


def load(path, threads):
    """A plan where `path` is a file, a SavedModel where it is a folder. `threads`: of each run."""
    return SavedModel(path, threads) if os.path.isdir(path) else Plan(path, threads)
