"""Ops over elements: one operand, two with broadcasting, several, and casts."""

import ml_dtypes
import numpy as np

from grid.case import STATIC, Case, const, node
from grid.table import (
    ALL, BF16, BOOL, F16, F32, F64, FLOATS, I32, I64, NUMBERS, U8, above_one, extremes, inside, is_float, nonzero, normal, positive,
    small_integers, wide,
)

# Op -> the values to give it. The dtypes are those that TensorFlow has kernels for.
UNARY = {
    **dict.fromkeys("""Abs Atan Asinh Cos Cosh Erf Erfc Exp Expm1 Floor Ceil IsFinite IsInf IsNan Neg Rint Round Sigmoid Sign Sin
        Sinh Square Tan Tanh Invert LogicalNot Identity Snapshot StopGradient ZerosLike OnesLike Elu Selu Relu Relu6 Softplus
        Softsign PreventGradient _CopyFromHostToGpu""".split(), wide),
    **dict.fromkeys("Log Log1p Rsqrt Sqrt Reciprocal Inv".split(), positive),
    **dict.fromkeys("Acos Asin Atanh".split(), inside),
    "Acosh": above_one,
}
SHAPES = [(), (7,), (2, 3, 4), (0, 3), (1, 2, 1, 3, 2)]

# Op -> (values of x, values of y).
BINARY = {
    **dict.fromkeys("""Add AddV2 Sub Mul Minimum Maximum SquaredDifference Greater GreaterEqual Less LessEqual Equal NotEqual
        LogicalAnd LogicalOr BitwiseAnd BitwiseOr BitwiseXor Atan2 LeftShift RightShift""".split(), (normal, normal)),
    **dict.fromkeys("Div RealDiv DivNoNan FloorDiv FloorMod TruncateDiv TruncateMod Mod Xdivy".split(), (wide, nonzero)),
    "Pow": (positive, small_integers),
    "Xlogy": (normal, positive),
    "Xlog1py": (normal, positive),
}
PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((2, 3), ()), ((0, 3), (1, 3)), ((), ()),
         ((2, 1, 3, 1, 2), (1, 2, 1, 2, 1))]
DIVIDES = set("Div RealDiv FloorDiv FloorMod TruncateDiv TruncateMod Mod DivNoNan Xdivy".split())
# TensorFlow rounds a quotient of halves before it takes the floor: one that is too small for a half becomes zero.
ROUNDS_QUOTIENT = {"FloorDiv", "FloorMod"}
# What a sum or product beyond the range gives is the compiler's in TensorFlow, as is a power of it.
NO_EXTREMES = {"Pow"}
# Large angles: how many digits of pi are used is each library's own.
PERIODIC = {"Sin", "Cos", "Tan"}


# TensorFlow 2.21 gives NaN for the erf of large numbers in f64.
SMALL_ONLY = {(op, dtype) for op in PERIODIC for dtype in FLOATS} | {("Erf", F64)}


def special(op, dtype):
    values = extremes(dtype)
    if (op, dtype) in SMALL_ONLY:
        with np.errstate(invalid="ignore"):
            values = values[~(np.abs(values.astype(F64)) > 10)]
    return values


def special_pair(op, dtype):
    """Every extreme with every other; integers are divided by small ones only."""
    x = extremes(dtype)
    if op in ROUNDS_QUOTIENT and dtype in (F16, BF16):
        x = x[x != ml_dtypes.finfo(dtype).smallest_normal]
    y = x if op not in DIVIDES or is_float(dtype) else np.array([1, 2, 3, 100], dtype)
    return np.repeat(x, len(y)), np.tile(y, len(x))


def unary(op, x):
    # The copy has no CPU kernel; rounding gives zero for every integer in TensorFlow 2.21.
    is_identity = op == "_CopyFromHostToGpu" or op == "Round" and x.dtype.kind == "i"
    return Case(node(op, x), oracle=node("Identity", x) if is_identity else None)


def fill(grid):
    for op, kind in UNARY.items():
        grid.add(op, lambda p: unary(op, p.fill(p.shape, kind)), T=ALL, shape=SHAPES)
        grid.add(op, lambda p: unary(op, special(op, p.T)), T=ALL, values=["extremes"])
    grid.add("LeakyRelu", lambda p: node("LeakyRelu", p.fill(p.shape, wide), alpha=p.alpha),
             T=FLOATS, shape=SHAPES, alpha=[0.0, 0.2, 1.5])
    grid.add("LeakyRelu", lambda p: node("LeakyRelu", extremes(p.T), alpha=p.alpha), T=FLOATS, alpha=[0.1])

    for op, (of_x, of_y) in BINARY.items():
        grid.add(op, lambda p: node(op, p.fill(p.pair[0], of_x), p.fill(p.pair[1], of_y, key="y")), T=ALL, pair=PAIRS)
        grid.add(op, lambda p: node(op, p.fill((3, 4), of_x), const(p.fill((4,), of_y, key="y"))), T=ALL, y=["const"])
        grid.add(op, lambda p: node(op, const(p.fill((4,), of_x)), p.fill((3, 4), of_y, key="y")), T=ALL, x=["const"])
        if op not in NO_EXTREMES:
            grid.add(op, lambda p: node(op, *special_pair(op, p.T)), T=ALL, values=["extremes"])
    grid.add("DivNoNan", lambda p: node("DivNoNan", p.fill((6,)), np.array([0, 1, 0, 2, 0, 3], p.T)), T=FLOATS)
    grid.add("Pow", lambda p: node("Pow", p.fill((3, 4)), np.asarray(p.y, p.T)), T=NUMBERS, y=[0, 1, 2, 3])
    for op in ("Equal", "NotEqual"):
        grid.add(op, lambda p: node(op, p.fill(p.pair[0]), p.fill(p.pair[1], key="y"), incompatible_shape_error=False),
                 T=ALL, pair=PAIRS[:4], shapes=(STATIC,))
        # Whether they broadcast decides the result's rank; TensorFlow does not know it either.
        grid.add(op, lambda p: node(op, p.fill((3, 4)), p.fill((4,), key="y"), incompatible_shape_error=False), T=[F32])

    grid.add("AddN", lambda p: node("AddN", [p.fill(p.shape, key=i) for i in range(p.count)]),
             T=NUMBERS, shape=SHAPES, count=[1, 2, 5])
    grid.add("AddN", lambda p: node("AddN", [p.fill((3, 4)), const(p.fill((3, 4), key=1))]), T=NUMBERS)
    grid.add("ClipByValue", lambda p: node("ClipByValue", p.fill(p.shape, wide), *(p.give(p.bounds, np.asarray(v, p.T)) for v in (1, 3))),
             T=NUMBERS, shape=SHAPES, bounds=["const", "fed"])
    grid.add("ClipByValue", lambda p: node("ClipByValue", p.fill((3, 4), wide), np.full((3, 4), 1, p.T), np.full((3, 4), 3, p.T)),
             T=NUMBERS, bounds=["elementwise"])
    grid.add("ClipByValue", lambda p: node("ClipByValue", extremes(p.T), const(0, p.T), const(1, p.T)), T=NUMBERS)

    grid.add("Select", lambda p: node("Select", p.fill(p.condition, dtype=BOOL), p.fill(p.shape), p.fill(p.shape, key="y")),
             T=ALL, condition=[(), (3,), (3, 4), (0, 2), (3, 4, 2)], shape=[(), (3, 4), (3,), (0, 2), (3, 4, 2)],
             where=lambda p: p.condition in ((), p.shape, p.shape[:1]))
    grid.add("SelectV2",
             lambda p: node("SelectV2", p.fill(p.triple[0], dtype=BOOL), p.fill(p.triple[1]), p.fill(p.triple[2], key="e")),
             T=ALL, triple=[((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), (1, 4)), ((), (2, 3), ()), ((2,), (), ()),
                            ((0, 1), (3,), ()), ((2, 1, 1), (1, 3, 1), (1, 1, 4))])
    for op in ("Select", "SelectV2"):
        grid.add(op, lambda p: node(op, np.arange(len(extremes(p.T))) % 2 == 0, extremes(p.T), extremes(p.T)[::-1].copy()), T=ALL)

    # Infinities and NaNs are what it fails for.
    grid.add("CheckNumerics", lambda p: node("CheckNumerics", p.fill(p.shape), message="bad"), T=FLOATS, shape=SHAPES)
    grid.add("IdentityN", lambda p: node("IdentityN", [p.fill(p.shape), p.fill((2,), dtype=I32)]), T=ALL, shape=SHAPES)

    grid.add("Bitcast", lambda p: node("Bitcast", p.fill(p.shape), type=p.type), T=NUMBERS, type=NUMBERS, shape=[(3, 4), (2, 2), (8,)],
             where=lambda p: np.dtype(p.T).itemsize >= np.dtype(p.type).itemsize or p.shape[-1] * np.dtype(p.T).itemsize == np.dtype(p.type).itemsize)

    # From floats: what lies within both ranges. To integers, cut at zero.
    def cast(p):
        low = 0 if U8 in (p.T, p.to) else -100
        values = p.rng().uniform(low, 100, p.shape)
        return node("Cast", values.astype(p.T) if p.T != BOOL else values > 20, DstT=p.to)

    grid.add("Cast", cast, T=ALL, to=ALL, shape=[(), (3, 4)], limit=200)
    grid.add("Cast", lambda p: node("Cast", extremes(p.T), DstT=p.to), T=ALL, to=ALL,
             where=lambda p: not (is_float(p.T) and not is_float(p.to)))

    # Out of range. TensorFlow's vectors give other numbers than the rest behind them: few elements where an integer is narrow,
    # whole vectors where it is not.
    def cast_out_of_range(p):
        with np.errstate(over="ignore"):
            values = np.array([300, -1, 1e10, -1e10, np.nan, np.inf, -np.inf][: 4 if p.values == "finite" else None][-4:], p.T)
        return node("Cast", np.tile(values, 1 if np.dtype(p.to).itemsize < 4 else 8), DstT=p.to)

    grid.add("Cast", cast_out_of_range, T=FLOATS, to=[t for t in NUMBERS if not is_float(t)], values=["finite", "special"])
