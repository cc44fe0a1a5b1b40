"""Graft makes trained TensorFlow models run fast.

graft.Engine runs a plan and does not import TensorFlow; on a GPU it takes and gives arrays of other libraries as they lie
there. graft.trt_convert converts models inside TensorFlow; graft.load_op_library makes converted models loadable there,
graft.load_saved_model loads one, graft.engine_statistics tells what their engines did, and graft.trim frees what they keep
between calls.
"""

import importlib

from graft._binding import Binding
from graft._graft import DeviceArray, Engine, version
from graft._op_library import load as load_op_library
from graft._op_library import load_saved_model
from graft._op_library import statistics as engine_statistics
from graft._op_library import trim

__version__ = version()

# What needs TensorFlow is imported when it is first asked for.
_IN_TENSORFLOW = {
    "enable_tensorflow_tensorrt": "graft._tensorflow_trt",
    "get_tensorrt_rewriter_config": "graft.trt_convert",
    "online_conversion": "graft.trt_convert",
    "optimize": "graft._optimize",
}
_MODULES_IN_TENSORFLOW = ("tensorrt", "trt_convert")
__all__ = [
    "Binding",
    "DeviceArray",
    "Engine",
    "engine_statistics",
    "load_op_library",
    "load_saved_model",
    "trim",
    *_IN_TENSORFLOW,
]


def __getattr__(name):
    if name in _MODULES_IN_TENSORFLOW:
        return importlib.import_module(f"graft.{name}")
    if name not in _IN_TENSORFLOW:
        raise AttributeError(f"module 'graft' has no attribute '{name}'")
    return getattr(importlib.import_module(_IN_TENSORFLOW[name]), name)
