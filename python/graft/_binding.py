"""What an engine tells of its inputs and outputs."""

from typing import NamedTuple, Optional, Tuple

import numpy


class Binding(NamedTuple):
    """One input or output of an engine.

    name: as the model calls it. binding_name: TensorRTInputPH_<i> or TensorRTOutputPH_<i>; both are accepted by
    Engine.run. shape: None where the dimension is not fixed. has_default: an input that Engine.run need not be given.
    """

    name: str
    binding_name: str
    dtype: numpy.dtype
    shape: Tuple[Optional[int], ...]
    has_default: bool = False
