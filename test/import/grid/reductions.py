"""Reductions, indices of extremes, sorting, scans."""

import numpy as np

from grid.case import Case, const, node
from grid.table import ALL, BF16, BOOL, F16, F32, F64, FLOATS, I32, I64, I8, NUMBERS, U8, extremes, inside, is_float, normal, small_integers

AXES = [[1, 2], [0], [-1], [3, 0], [0, 1, 2, 3], 2, -4, []]


def signs_and_halves(rng, shape, dtype):
    """Values whose products are exact and stay within the range."""
    choices = [1, 2] if dtype == U8 else [1, -1, 2, -2] if not is_float(dtype) else [1, -1, 2, -0.5]
    if dtype == F16:
        choices = [1, -1]  # TensorFlow's product of many would leave f16's range on its way
    return rng.choice(np.array(choices, np.float64), shape).astype(dtype)


def fill(grid):
    for op in ("Sum", "Mean", "Max", "Min", "Prod"):
        kind = signs_and_halves if op == "Prod" else normal
        grid.add(op, lambda p: node(op, p.fill((2, 3, 2, 5), kind), const(p.axis, p.Tidx), keep_dims=p.keep),
                 T=NUMBERS, axis=AXES, keep=[False, True], Tidx=[I32, I64], limit=200)
        grid.add(op, lambda p: node(op, p.fill(p.shape, kind), const(p.axis, I32), keep_dims=p.keep), T=NUMBERS, keep=[False, True],
                 shape=[(3, 0), (0, 3), (0,)], axis=[-1, [0]])
        grid.add(op, lambda p: node(op, p.fill((), kind), const([], I32)), T=NUMBERS, shape=[()])
        grid.add(op, lambda p: node(op, p.fill((130, 5), kind), const([0], I32)), T=NUMBERS, shape=["long"])
        grid.add(op, lambda p: node(op, extremes(p.T)[None, :], const(p.axis, I32)), T=FLOATS, axis=[0, 1])
    grid.add("EuclideanNorm", lambda p: node("EuclideanNorm", p.fill((2, 3, 2, 5)), const(p.axis, p.Tidx), keep_dims=p.keep),
             T=NUMBERS, axis=AXES, keep=[False, True], Tidx=[I32, I64])
    for op in ("All", "Any"):
        grid.add(op, lambda p: node(op, p.fill((2, 3, 2, 5), dtype=BOOL), const(p.axis, p.Tidx), keep_dims=p.keep),
                 axis=AXES, keep=[False, True], Tidx=[I32, I64])
        grid.add(op, lambda p: node(op, p.fill(p.shape, dtype=BOOL), const(p.axis, I32)), shape=[(3, 0), (0, 3), (0,)], axis=[-1, [0]])
    for op in ("ArgMax", "ArgMin"):
        grid.add(op, lambda p: node(op, p.fill(p.shape[0]), const(p.shape[1], p.Tidx), output_type=p.output), T=ALL,
                 shape=[((3, 4, 5), 0), ((3, 4, 5), 1), ((3, 4, 5), -1), ((7,), 0), ((7,), -1), ((0, 3), 1), ((2, 130), 1)],
                 Tidx=[I32, I64], output=[I32, I64], limit=200)
        grid.add(op, lambda p: node(op, extremes(p.T)[1:].copy(), const(0, I32)), T=NUMBERS)
    grid.add("TopKV2", lambda p: node("TopKV2", p.fill(p.shape), p.give(p.how, np.asarray(p.k, p.Tk)), index_type=p.index),
             T=NUMBERS, shape=[(7,), (2, 5), (2, 3, 5), (0, 5)], k=[0, 1, 3, 5], Tk=[np.int32], index=[I32, I64],
             how=["const", "fed"], limit=200)
    grid.add("TopKV2", lambda p: node("TopKV2", extremes(p.T)[1:].copy(), const(4, I32)), T=NUMBERS)
    for op, kind in (("Cumsum", normal), ("Cumprod", signs_and_halves)):
        grid.add(op, lambda p: node(op, p.fill(p.shape, kind), const(p.axis, p.Tidx), exclusive=p.exclusive, reverse=p.reverse),
                 T=NUMBERS, shape=[(2, 3, 4), (0, 2, 3), (1, 1, 9)], axis=[0, 1, -1], exclusive=[False, True], reverse=[False, True],
                 Tidx=[I32, I64])
        grid.add(op, lambda p: node(op, p.fill((5,), kind), const(0, I32)), T=NUMBERS, shape=[(5,)])
    grid.add("L2Loss", lambda p: node("L2Loss", p.fill(p.shape)), T=FLOATS, shape=[(3, 4), (), (7,), (0, 2)])
