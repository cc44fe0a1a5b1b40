"""TensorFlow's quantized dtypes: what makes them, what reads them, what moves them."""

import numpy as np
import tensorflow as tf

from grid.case import Sized, const, node
from grid.table import BF16, F32, F64, I8, I16, I32, U16, U8, wide

QUANTIZED = [tf.qint8, tf.quint8, tf.qint16, tf.quint16, tf.qint32]
STORAGE = {tf.qint8: I8, tf.quint8: U8, tf.qint16: I16, tf.quint16: U16, tf.qint32: I32}
# A shape and the axis of the ranges.
FORMS = [((4, 6), -1), ((), -1), ((33,), -1), ((0, 3), -1), ((2, 3, 4), 1), ((3, 5), 0), ((2, 2, 3), 2), ((2, 1, 4), 1), ((0, 3), 1)]
RANGES = [(-2.0, 2.0), (-1.3, 2.7), (0.0, 6.0), (-5.0, -1.0), (0.5, 0.5), (0.0, 0.0)]
ROUND_MODES = ["HALF_AWAY_FROM_ZERO", "HALF_TO_EVEN"]


def fill_quantized(p, shape, key=0):
    """Integers from all over the range, its ends first."""
    info = np.iinfo(STORAGE[p.T])
    values = p.rng(key, shape).integers(info.min, info.max, shape, STORAGE[p.T], endpoint=True)
    ends = [info.min, info.max, 0, info.min + 1, info.max - 1]
    values.flat[: len(ends)] = ends[: values.size]
    return values.view(p.T.as_numpy_dtype)


def ranges(p):
    """The ends of the ranges: along an axis each is another."""
    shape, axis = p.form
    scales = np.ones((), F32) if axis < 0 else (1 + np.arange(shape[axis]) / 2).astype(F32)
    return [p.give(p.how, (scales * np.float32(end)).astype(F32)) for end in p.range]


def count(p):
    shape, axis = p.form
    return 1 if axis < 0 else shape[axis]


def dequantize(p):
    shape, axis = p.form
    x = fill_quantized(p, shape)
    # Its shape function holds an axis against a rank that it does not know.
    return node("Dequantize", x if axis < 0 else Sized(x), *ranges(p), mode=p.mode, narrow_range=p.narrow, axis=axis, dtype=p.to)


def quantize(p):
    x = p.fill(p.form[0], wide, dtype=F32)
    # The ends, halves between levels, far outside.
    special = [p.range[0], p.range[1], 0, -0.0, 1.5, 2.5, -0.5, np.inf, -np.inf, 3e38]
    if p.form[1] < 0:
        x.flat[: len(special)] = special[: x.size]
    return node("QuantizeV2", x, *ranges(p), T=p.T, mode=p.mode, round_mode=p.round, narrow_range=p.narrow, axis=p.form[1],
                ensure_minimum_range=p.least)


def fill(grid):
    modes = ["MIN_COMBINED", "MIN_FIRST", "SCALED"]
    grid.add("Dequantize", dequantize, T=QUANTIZED, mode=modes, form=FORMS, range=RANGES, narrow=[False, True], to=[F32, BF16], how=["const", "fed"],
             where=lambda p: (p.to == F32 or p.mode == "MIN_COMBINED") and (p.mode != "MIN_FIRST" or count(p) == 1), limit=500)
    grid.add("QuantizeV2", quantize, T=QUANTIZED, mode=modes, form=FORMS, range=RANGES, narrow=[False, True], round=ROUND_MODES,
             least=[0.01, 0.0, 0.5], how=["const", "fed"],
             where=lambda p: (p.round != "HALF_TO_EVEN" or p.mode == "SCALED") and (p.mode != "MIN_FIRST" or count(p) == 1)
             # Over a range of nothing an infinite scale makes NaN.
             and (p.least > 0 or p.range != (0.0, 0.0) or p.mode == "SCALED"), limit=500)
    grid.add("QuantizeV2", quantize, T=QUANTIZED, mode=["MIN_FIRST"], form=[((), -1)], range=[(0.0, 0.0)], narrow=[False], round=ROUND_MODES[:1],
             least=[0.0], how=["const", "fed"])
    grid.add("QuantizeAndDequantize",
             lambda p: node("QuantizeAndDequantize", p.fill((4, 6), wide), signed_input=p.signed, num_bits=p.bits, range_given=p.given,
                            input_min=p.range[0], input_max=p.range[1]),
             T=[F32, F64], range=[(-2.0, 2.0), (-1.0, 3.0), (-4.0, 0.5), (0.0, 3.0)], signed=[True, False], bits=[8, 4], given=[True, False],
             where=lambda p: p.signed or p.range[0] >= 0)

    x = lambda p, key=0: fill_quantized(p, (3, 4), key)
    moved = {
        "Bitcast": lambda p: node("Bitcast", x(p), type=STORAGE[p.T]),
        "ConcatV2": lambda p: node("ConcatV2", [x(p), x(p, 1)], const(1, I32)),
        "Equal": lambda p: node("Equal", x(p), x(p, 1)),
        "ExpandDims": lambda p: node("ExpandDims", x(p), const(1, I32)),
        "Fill": lambda p: node("Fill", const([2, 3], I32), fill_quantized(p, ())),
        "GatherNd": lambda p: node("GatherNd", x(p), const([[0, 1], [2, 3]], I32)),
        "GatherV2": lambda p: node("GatherV2", x(p), const([2, 0], I32), const(0, I32)),
        "Identity": lambda p: node("Identity", x(p)),
        "MirrorPad": lambda p: node("MirrorPad", x(p), const([[1, 1], [0, 2]], I32), mode="REFLECT"),
        "NotEqual": lambda p: node("NotEqual", x(p), x(p, 1)),
        "Pack": lambda p: node("Pack", [x(p), x(p, 1)], axis=1),
        "Pad": lambda p: node("Pad", x(p), const([[1, 1], [0, 2]], I32)),
        "PadV2": lambda p: node("PadV2", x(p), const([[1, 1], [0, 2]], I32), const(fill_quantized(p, ()))),
        "Reshape": lambda p: node("Reshape", x(p), const([2, -1], I32)),
        "Shape": lambda p: node("Shape", x(p)),
        "Size": lambda p: node("Size", x(p)),
        "Slice": lambda p: node("Slice", x(p), const([1, 0], I32), const([2, 3], I32)),
        "Split": lambda p: node("Split", const(1, I32), x(p), num_split=2),
        "Squeeze": lambda p: node("Squeeze", fill_quantized(p, (3, 1, 4)), squeeze_dims=[1]),
        "StridedSlice": lambda p: node("StridedSlice", x(p), const([0, 1], I32), const([3, 4], I32), const([2, 1], I32)),
    }
    for op, build in moved.items():
        grid.add(op, build, T=QUANTIZED)
