"""Loads the op library into TensorFlow, once a process, and tells what its engine nodes did."""

import atexit
import ctypes
import gc
import json
import os
import threading

from graft import _graft, _old_models

_lock = threading.Lock()
_library = None
_operations = None


def _path():
    folder = os.path.dirname(os.path.abspath(__file__))
    return os.path.join(folder, "libgraft_tf_op.so")


def _check_version(found, built):
    """An op library works with the TensorFlow that it was compiled against: symbols and the layout of objects change from
    release to release. Patches of a release keep them."""
    if not built:
        raise ImportError("this build of Graft has no op library: there was no TensorFlow when it was built")
    if found.split(".")[:2] != built.split(".")[:2]:
        raise ImportError(
            f"this build of Graft works with TensorFlow {built}, and TensorFlow {found} is installed; "
            f"install tensorflow-cpu=={built}, or build Graft where TensorFlow {found} is"
        )


def load():
    """Registers TRTEngineOp and its companions, and has tf.saved_model.load read models of old releases (_old_models.py). Loading
    twice would abort the process, so it happens once."""
    global _library, _operations
    with _lock:
        if _library is None:
            import tensorflow as tf

            _check_version(tf.__version__, _graft.tensorflow_version)
            _operations = tf.load_op_library(_path())
            _old_models.amend_loader()
            _library = ctypes.CDLL(_path())
            _library.graft_tf_statistics.restype = ctypes.c_int64
            _library.graft_tf_statistics.argtypes = [ctypes.c_char_p, ctypes.c_int64]
            _library.graft_tf_trim.restype = ctypes.c_int64
            # Before anything that builds use is destroyed.
            atexit.register(_library.graft_tf_stop_work)
    return _library


class _Functions:
    """What a loaded model has in TensorFlow's runtime; it goes when this does."""

    def __init__(self, names):
        from tensorflow.python.eager import context

        self._runtime = context.context()
        self._names = [name for name in names if self._runtime.has_function(name)]
        for name in self._names:
            definition = self._runtime.get_function_def(name)
            while self._runtime.has_function(name):  # once for each time that it was registered
                self._runtime.remove_function(name)
            self._runtime.add_function_def(definition)

    def __del__(self):
        for name in self._names:
            if self._runtime.has_function(name):  # not when the process ends
                self._runtime.remove_function(name)


def load_saved_model(folder, tags=None):
    """tf.saved_model.load of a converted model, or of any other. Its functions, and with them its weights and engines, go when the
    last reference to the model and to its signatures does.

    TensorFlow keeps them: the loader of the form of TensorFlow 1 registers a model's functions, takes that back in the end, and
    registers them again for each signature, which nothing takes back."""
    import tensorflow as tf

    load()
    model = tf.saved_model.load(os.fspath(folder), tags)
    gc.collect()  # takes back the first
    functions = _Functions(getattr(getattr(model, "graph", None), "_functions", ()))
    for holder in (model, *model.signatures.values()):
        holder.graft_functions = functions
    return model


def operations():
    """The library's ops as Python functions."""
    load()
    return _operations


def statistics():
    """Of each engine node of this process: {"engine_calls": n, "fallbacks": n, "reasons": {reason: n}}; how often an engine was
    built at run time ("builds", "build_seconds"), loaded ("loads", "load_seconds") or tuned in the background ("tunings"); and the native runs that are no fallbacks:
    "native_while_building" with GRAFT_TF_BUILD=background, "native_for_calibration" before INT8 ranges are known.
    """
    library = load()
    size = library.graft_tf_statistics(None, 0)
    while True:
        # Other threads may count meanwhile: leave room, and try again if it was not enough.
        buffer = ctypes.create_string_buffer(size + 1024)
        size = library.graft_tf_statistics(buffer, len(buffer))
        if size <= len(buffer):
            return json.loads(buffer.value.decode())


def trim():
    """Frees the memory that the engines of this process keep from one call to the next. Gives how many contexts had some; the next
    call of each makes it again."""
    return load().graft_tf_trim()
