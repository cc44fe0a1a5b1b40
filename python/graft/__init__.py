"""Graft makes trained TensorFlow models run fast.

graft.Engine runs a plan and does not import TensorFlow; graft.trt_convert converts models inside TensorFlow;
graft.load_op_library makes converted models loadable there, graft.engine_statistics tells what their engines did.
"""

from graft._binding import Binding
from graft._graft import Engine, version
from graft._op_library import load as load_op_library
from graft._op_library import statistics as engine_statistics

__version__ = version()
__all__ = ["Binding", "Engine", "engine_statistics", "load_op_library"]
