"""How an op's entry unfolds: the product of its axes, a point of it at a time."""

import itertools
import math
import random

import ml_dtypes
import numpy as np

from grid.case import Case, Node, Sized, const, generator, has_cpu_kernel, node, show

F16, BF16, F32, F64 = np.float16, ml_dtypes.bfloat16, np.float32, np.float64
I8, U8, I16, U16, I32, I64, BOOL = np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.bool_
FLOATS = [F32, F16, BF16, F64]
INTEGERS = [I32, I64, U8, I8]
NUMBERS = FLOATS + INTEGERS
ALL = NUMBERS + [BOOL]


def is_float(dtype):
    return dtype in FLOATS


# ---- values of operands


def normal(rng, shape, dtype):
    if dtype == BOOL:
        return rng.integers(0, 2, shape).astype(BOOL)
    if not is_float(dtype):
        low = 0 if dtype == U8 else -9
        return rng.integers(low, 10, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def wide(rng, shape, dtype):
    """Both sides of where activations bend."""
    return normal(rng, shape, dtype) if not is_float(dtype) else (rng.standard_normal(shape) * 4).astype(dtype)


def positive(rng, shape, dtype):
    if not is_float(dtype):
        return rng.integers(1, 10, shape).astype(dtype)
    return (np.abs(rng.standard_normal(shape)) + 0.125).astype(dtype)


def nonzero(rng, shape, dtype):
    """Divisors."""
    sign = 1 if dtype == U8 else rng.choice([-1, 1], shape)
    return (positive(rng, shape, dtype) * np.asarray(sign)).astype(dtype)


def inside(rng, shape, dtype):
    """Within (-1, 1)."""
    return np.tanh(rng.standard_normal(shape)).astype(dtype) * np.asarray(0.9375, dtype)


def above_one(rng, shape, dtype):
    return (1.0625 + np.abs(rng.standard_normal(shape))).astype(dtype)


def small_integers(rng, shape, dtype):
    return rng.integers(0, 4, shape).astype(dtype)


def extremes(dtype):
    """NaN, infinities, signed zeros, the ends of the range. No denormals: an engine counts them as zero."""
    if dtype == BOOL:
        return np.array([False, True])
    if not is_float(dtype):
        info = np.iinfo(dtype)
        return np.array([info.min, info.max, 0, 1, info.max - 1, 2, 100], dtype)
    info = ml_dtypes.finfo(dtype)
    return np.array(
        [np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -1, info.max, info.min, info.smallest_normal, 0.5, -2.5], dtype
    )


class Point(dict):
    """One value of each axis, by name."""

    __getattr__ = dict.__getitem__

    def rng(self, *key):
        return generator({k: show(v) for k, v in self.items()}, *key)

    def fill(self, shape, kind=normal, dtype=None, key=0):
        """An operand of the point's dtype T."""
        return np.asarray(kind(self.rng(key, tuple(shape)), tuple(shape), dtype or self.T))

    def give(self, how, array):
        """As the axis says: part of the graph, or fed."""
        return {"const": const, "fed": np.asarray, "sized": Sized}[how](array)


class Grid:
    """Entries of ops and their cases."""

    def __init__(self):
        self.cases = []
        self.without_kernel = {}  # op -> combinations that TensorFlow's CPU does not have

    def add(self, op, build, *, where=None, limit=160, shapes=None, **axes):
        """`build` makes a Node or Case of a point; `where` says which points exist. Of more than `limit` points that many are
        taken, always the same."""
        points = [Point(op=op, **dict(zip(axes, values))) for values in itertools.product(*axes.values())]
        points = [p for p in points if where is None or where(p)]
        kept = []
        for p in points:
            made = build(p)
            case = made if isinstance(made, Case) else Case(made)
            case.point = p
            if shapes is not None:
                case.shapes = shapes
            if has_cpu_kernel(case.oracle or case.node):
                kept.append(case)
            else:
                self.without_kernel[op] = self.without_kernel.get(op, 0) + 1
        if not kept:
            raise ValueError(f"{op}: TensorFlow has a kernel for none of {len(points)} cases")
        if len(kept) > limit:
            chosen = random.Random(op).sample(range(len(kept)), limit)
            kept = [kept[i] for i in sorted(chosen)]
        self.cases += kept


# ---- NCHW, which TensorFlow's CPU does not have


def move_channels(array):
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def channels_first(n, images=(0,), outputs=1):
    """The case of an NHWC node with its image operands and attributes in NCHW."""
    attributes = dict(n.attributes)
    rank = 5 if "3D" in n.op else 4
    attributes["data_format"] = "NCDHW" if rank == 5 else "NCHW"
    for key in ("strides", "dilations", "ksize"):
        if key in attributes:
            values = attributes[key]
            attributes[key] = [values[0], values[-1], *values[1:-1]]
    if "explicit_paddings" in attributes:
        pads = attributes["explicit_paddings"]
        attributes["explicit_paddings"] = [*pads[:2], *pads[-2:], *pads[2:-2]] if pads else []
    operands = [move_channels(o) if i in images else o for i, o in enumerate(n.operands)]
    moved = lambda results: [move_channels(r) if i < outputs else r for i, r in enumerate(results)]
    return Case(Node(n.op, operands, attributes), oracle=n, finish=moved)


def dilate(filters, dilations):
    """The filter with zeros between its taps, for kernels that know no dilation."""
    spatial = filters.shape[: len(dilations)]
    shape = [(n - 1) * d + 1 for n, d in zip(spatial, dilations)]
    wide_filter = np.zeros((*shape, *filters.shape[len(dilations) :]), filters.dtype)
    wide_filter[tuple(slice(None, None, d) for d in dilations)] = filters
    return wide_filter
