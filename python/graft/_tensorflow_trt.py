"""Lets the TF-TRT interface that is still in TensorFlow's own package run, with Graft's engines.

    import graft
    graft.enable_tensorflow_tensorrt()
    from tensorflow.python.compiler.tensorrt import trt_convert as trt
"""

import importlib
import logging
import sys
import threading

import tensorflow as tf

from graft import _op_library

_log = logging.getLogger("graft.trt_convert")

_INTERFACE = "tensorflow.python.compiler.tensorrt.trt_convert"
_BINDING = "tensorflow.compiler.tf2tensorrt._pywrap_py_utils"
_OPS = "tensorflow.compiler.tf2tensorrt.ops.gen_trt_ops"
_DEVICE = "/job:localhost/replica:0/task:0/device:GPU:0"

# The last release before 8.4, with which TF-TRT's default of max_workspace_size_bytes became "all there is": with this one it is
# the user guide's, 1 GiB.
TENSORRT_VERSION = (8, 2, 5)

_lock = threading.Lock()
_patched = None


class _OnGpu:
    device = _DEVICE


class _ArrayOps:
    """TensorFlow's array_ops for the converter, which asks by zeros([]).device on which device it would place a tensor, and
    refuses to work on a CPU."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)

    def zeros(self, shape, *args, **kwargs):
        made = self._module.zeros(shape, *args, **kwargs)
        return made if "gpu" in made.device.lower() else _OnGpu


def enable_tensorflow_tensorrt():
    """Makes tensorflow.python.compiler.tensorrt.trt_convert work in this process; gives what it replaced, name by name. A second
    call changes nothing.

    Raises ImportError where TensorFlow has that interface no more, or never had it.
    """
    global _patched
    with _lock:
        if _patched is None:
            _patched = _patch()
            for name, why in _patched.items():
                _log.info("replaced %s: %s", name, why)
        return dict(_patched)


def _patch():
    _op_library.load()
    binding = importlib.import_module(_BINDING)
    ops = importlib.import_module(_OPS)
    patched = {}

    answers = {
        "is_tensorrt_enabled": lambda: True,
        "get_linked_tensorrt_version": lambda: TENSORRT_VERSION,
        "get_loaded_tensorrt_version": lambda: TENSORRT_VERSION,
    }
    for name, answer in answers.items():
        setattr(binding, name, answer)
        patched[f"{_BINDING}.{name}"] = f"it answers {answer()}"
    for name in ("trt_engine_op", "create_trt_resource_handle", "initialize_trt_resource") + (
        "serialize_trt_resource",
        "get_calibration_data_op",
    ):
        setattr(ops, name, getattr(_op_library.operations(), name))
        patched[f"{_OPS}.{name}"] = "the op of Graft's library"
    _op_library.load().graft_tf_gather_calibration_data()

    imported_before = _INTERFACE in sys.modules
    interface = importlib.import_module(_INTERFACE)
    if imported_before:
        # It looked around when it was imported, and remembers.
        for name, answer in answers.items():
            setattr(interface._pywrap_py_utils, name, answer)
    interface.array_ops = _ArrayOps(interface.array_ops)
    patched[f"{_INTERFACE}.array_ops"] = "zeros() is on a GPU, which convert() asks for"
    return patched
