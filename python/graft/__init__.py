"""Graft makes trained TensorFlow models run fast.

graft.Engine runs a plan and does not import TensorFlow; graft.trt_convert converts models inside TensorFlow.
"""

from graft._binding import Binding
from graft._graft import Engine, version

__version__ = version()
__all__ = ["Binding", "Engine"]
