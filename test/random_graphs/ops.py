"""What a random graph is made of: for each op a way to choose its operands and attributes among what is there. Whether the choice is
legal, TensorFlow says."""

import dataclasses
import functools
import typing

import numpy as np
import tensorflow as tf

from grid.case import has_cpu_kernel, node, op_def
from grid.elementwise import BINARY, UNARY
from grid.table import BF16, BOOL, F16, F32, F64, FLOATS, I32, I64, I8, U8

# Mostly what models hold.
DTYPES = [F32] * 8 + [I32, I64, BOOL, F16, BF16, F64, U8]
SHAPES = [(4, 6), (2, 8, 8, 3), (3, 8, 8, 4), (2, 5, 6), (3, 4), (2, 6, 6, 6, 2), (4,), (), (1, 7, 5, 2), (2, 3, 4, 2), (6, 4), (2, 1, 6)]


@dataclasses.dataclass
class Proposal:
    op: str
    make: typing.Callable  # Generator -> Node
    rounds: bool  # whether its results are rounded, not only moved or chosen
    results: int | None = None  # how many may be read; none: all


PROPOSALS = []


def propose(op, make, rounds=True, weight=1, results=None):
    PROPOSALS.extend([Proposal(op, make, rounds, results)] * weight)


def is_float(v):
    return v.dtype in FLOATS


def rank(*ranks):
    return lambda v: v.rank in ranks


def floats_of(*ranks):
    return lambda v: is_float(v) and v.rank in ranks


def some_axes(g, v):
    axes = [a for a in range(v.rank) if g.random.random() < 0.5]
    return g.constant(axes, g.choose(I32, I64))


def axis_of(g, v):
    if v.rank == 0:
        raise LookupError
    return g.random.randrange(-v.rank, v.rank)


# ---- element-wise

NOT_ROUNDED = set("Abs Neg Relu Relu6 Identity Snapshot StopGradient PreventGradient ZerosLike OnesLike Sign Floor Ceil Round Rint Invert "
                  "LogicalNot IsFinite IsInf IsNan Maximum Minimum".split())

# Op -> why no graph has it.
NOT_GROWN = {
    "BatchNormWithGlobalNormalization": "TensorFlow runs it in old graphs alone",
    "Const": "every constant operand is one",
    "FusedConv2DBiasActivation": "TensorFlow's CPU has no kernel",
    "NoOp": "it has no results",
    "ParallelConcat": "TensorFlow runs it under another name",
    "_CopyFromHostToGpu": "TensorFlow's CPU has no kernel",
}


# TensorFlow 2.21 rounds every integer to zero.
FLOATS_ONLY = {"Round"}
# What saturates gives one exactly, or almost: no noise tells whether two such numbers are equal.
NO_FLOATS = {"Equal", "NotEqual"}


@functools.cache
def has_kernel(op, dtype):
    return has_cpu_kernel(node(op, *[np.zeros((), dtype)] * len(op_def(op).input_arg)))


# The sign of a zero decides between angles apart by π, and no op promises it.
NO_ZEROS = {"Atan2"}


def fits_elements_of(op):
    """Whether the element-wise op takes a tensor."""
    return lambda v: (
        has_kernel(op, v.dtype)
        and not (is_float(v) and op in NO_FLOATS or not is_float(v) and op in FLOATS_ONLY)
        and not (op in NO_ZEROS and (v.plain == 0).any())
    )


for name in sorted(UNARY.keys() - NOT_GROWN.keys()):
    propose(name, lambda g, op=name: node(op, g.pick(fits_elements_of(op))), rounds=name not in NOT_ROUNDED)
# A place where it is defined.
propose("Acosh", lambda g: (lambda x: node("Acosh", g.constant(1.5 + g.numbers.random(x.shape), x.dtype)))(g.pick(fits_elements_of("Acosh"))))


def binary(op):
    def make(g):
        x = g.pick(fits_elements_of(op))
        if g.random.random() < 0.25:
            small = np.asarray(g.numbers.integers(1, 4, x.shape[-1:]))
            return node(op, x, g.constant(small, x.dtype))
        return node(op, x, g.pick_broadcast(x))

    return make


for name in BINARY:
    propose(name, binary(name), rounds=name not in NOT_ROUNDED)
for name in ("AddV2", "Mul", "Sub"):
    propose(name, binary(name), weight=3)
propose("LeakyRelu", lambda g: node("LeakyRelu", g.pick(is_float), alpha=g.choose(0.1, 0.3)))
propose("AddN", lambda g: (lambda x: node("AddN", [x, g.pick_like(x), g.pick_like(x)]))(g.pick()))
propose("ClipByValue", lambda g: (lambda x: node("ClipByValue", x, g.constant(0, x.dtype), g.constant(2, x.dtype)))(g.pick()), rounds=False)


def cast(g):
    """What C++ defines: floats that lie within the integers' range."""
    to = g.random.choice(DTYPES)
    limits = np.iinfo(to) if to in (I32, I64, I8, U8) else None
    inside = lambda v: limits.min <= float(v.plain.min(initial=0)) and float(v.plain.max(initial=0)) <= limits.max
    return node("Cast", g.pick(lambda v: limits is None or not is_float(v) or inside(v)), DstT=to)


propose("Cast", cast, weight=3)


def select(op):
    def make(g):
        x = g.pick()
        y = g.pick_like(x)
        return node(op, g.pick(lambda v: v.dtype == BOOL and v.shape in (x.shape, ())), x, y)

    return make


propose("Select", select("Select"), rounds=False)
propose("SelectV2", select("SelectV2"), rounds=False)
propose("CheckNumerics", lambda g: node("CheckNumerics", g.pick(is_float), message="bad"), rounds=False)
# The bytes of floats are no integers that survive noise.
propose("Bitcast", lambda g: node("Bitcast", g.pick(lambda v: v.dtype in (I32, I64, U8, I8)), type=g.choose(I32, U8, I8)), rounds=False)
propose("IdentityN", lambda g: node("IdentityN", [g.pick(), g.pick()]), rounds=False)


# ---- products


def scaled(g, shape, x, terms):
    """Weights that keep a sum of products about as large as its terms."""
    return g.weights(shape, x.dtype, 1 / np.sqrt(max(terms, 1)))


def conv_2d(g):
    x = g.pick(floats_of(4))
    k, c = g.choose(1, 2, 3), x.shape[3]
    s = g.choose(1, 1, 2)
    w = scaled(g, (k, k, c, g.choose(2, 4, 5)), x, k * k * c)
    return node("Conv2D", x, w, strides=[1, s, s, 1], padding=g.choose("SAME", "VALID"), dilations=[1, d := 1 if s > 1 else g.choose(1, 2), d, 1])


def depthwise(g):
    x = g.pick(floats_of(4))
    k, s = g.choose(2, 3), g.choose(1, 2)
    return node("DepthwiseConv2dNative", x, scaled(g, (k, k, x.shape[3], g.choose(1, 2)), x, k * k), strides=[1, s, s, 1], padding=g.choose("SAME", "VALID"))


def conv_backprop(g):
    x = g.pick(floats_of(4))
    n, h, w, c = x.shape
    filters = scaled(g, (3, 3, 3, c), x, 9 * c)
    return node("Conv2DBackpropInput", g.constant([n, h * 2, w * 2, 3]), filters, x, strides=[1, 2, 2, 1], padding="SAME")


def fused_ops(g, x, channels, *activations):
    """Attributes of what TensorFlow's rewriter fuses, and the bias."""
    activation = g.choose([], *([a] for a in activations))
    return {"fused_ops": ["BiasAdd", *activation]}, [g.weights((channels,), x.dtype)]


def fused_conv(g):
    x = g.pick(lambda v: v.rank == 4 and v.dtype in (F32, F64))
    attributes, bias = fused_ops(g, x, 4, "Relu", "Relu6", "Elu", "LeakyRelu")
    w = scaled(g, (2, 2, x.shape[3], 4), x, 4 * x.shape[3])
    return node("_FusedConv2D", x, w, bias, [], strides=[1, 1, 1, 1], padding=g.choose("SAME", "VALID"), TArgs=[x.dtype], num_args=1, num_host_args=0,
                **attributes)


def fused_mat_mul(g):
    # TensorFlow forgets the bias of a product of no terms.
    x = g.pick(lambda v: v.rank == 2 and v.shape[1] > 0 and v.dtype in (F32, F64))
    attributes, bias = fused_ops(g, x, 5, "Relu", "Relu6", "Elu", "LeakyRelu", "Tanh", "Sigmoid")
    return node("_FusedMatMul", x, scaled(g, (x.shape[1], 5), x, x.shape[1]), bias, **attributes)


def conv_3d_backprop(g):
    # TensorFlow divides by the number of channels.
    x = g.pick(lambda v: v.rank == 5 and v.shape[4] > 0 and v.dtype in (F32, F64))
    n, *sizes, c = x.shape
    filters = scaled(g, (2, 2, 2, 3, c), x, 8 * c)
    return node("Conv3DBackpropInputV2", g.constant([n, *(2 * size for size in sizes), 3]), filters, x, strides=[1, 2, 2, 2, 1], padding="SAME")


def conv_3d(g):
    x = g.pick(floats_of(5))
    w = scaled(g, (2, 2, 2, x.shape[4], 3), x, 8 * x.shape[4])
    return node("Conv3D", x, w, strides=[1, 1, 1, 1, 1], padding=g.choose("SAME", "VALID"))


def pool(op):
    def make(g):
        x = g.pick(rank(4))
        return node(op, x, ksize=[1, 2, g.choose(2, 3), 1], strides=[1, g.choose(1, 2), 2, 1], padding=g.choose("SAME", "VALID"))

    return make


def max_pool_v2(g):
    return node("MaxPoolV2", g.pick(rank(4)), g.constant([1, 2, 3, 1]), g.constant([1, 2, 1, 1]), padding=g.choose("SAME", "VALID"))


def pool_with_argmax(g):
    k, s = g.choose(1, 2, 3), g.choose(1, 2)
    return node("MaxPoolWithArgmax", g.pick(rank(4)), ksize=[1, k, 2, 1], strides=[1, s, s, 1], padding=g.choose("SAME", "VALID"), Targmax=g.choose(I32, I64))


def pool_3d(op):
    return lambda g: node(op, g.pick(rank(5)), ksize=[1, 2, 2, 2, 1], strides=[1, 2, 1, 2, 1], padding=g.choose("SAME", "VALID"))


def mat_mul(g):
    a = g.pick(rank(2))
    k = a.shape[0 if (ta := g.choose(False, True)) else 1]
    if g.random.random() < 0.5:
        return node("MatMul", a, scaled(g, (k, 5), a, k), transpose_a=ta)
    b = g.pick(lambda v: v.rank == 2 and v.dtype == a.dtype and k in v.shape)
    return node("MatMul", a, b, transpose_a=ta, transpose_b=b.shape[1] == k)


def sparse_mat_mul(g):
    a = g.pick(lambda v: v.rank == 2 and v.dtype in (F32, BF16))
    return node("SparseMatMul", a, scaled(g, (a.shape[1], 3), a, a.shape[1]), a_is_sparse=g.choose(False, True))


def batch_mat_mul(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 2)
        y = g.pick(lambda v: v.rank >= 2 and v.dtype == x.dtype and x.shape[-1] in v.shape[-2:])
        return node(op, x, y, adj_y=y.shape[-1] == x.shape[-1], **({"Tout": x.dtype} if op == "BatchMatMulV3" else {}))

    return make


def einsum(g):
    x = g.pick(floats_of(3))
    return node("Einsum", [x, scaled(g, (x.shape[2], 4), x, x.shape[2])], equation=g.choose("abc,cd->abd", "abc,cd->dba", "abc,cd->ad"))


for op, make in {
    "Conv2D": conv_2d, "DepthwiseConv2dNative": depthwise, "Conv2DBackpropInput": conv_backprop, "MatMul": mat_mul,
    "BatchMatMulV2": batch_mat_mul("BatchMatMulV2"),
}.items():
    propose(op, make, weight=4)
for op in ("BatchMatMul", "BatchMatMulV3"):
    propose(op, batch_mat_mul(op))
propose("Conv3D", conv_3d)
propose("SparseMatMul", sparse_mat_mul)
propose("Conv3DBackpropInputV2", conv_3d_backprop)
propose("_FusedConv2D", fused_conv)
propose("_FusedMatMul", fused_mat_mul)
propose("Einsum", einsum)
propose("MaxPool", pool("MaxPool"), rounds=False, weight=2)
propose("MaxPoolV2", max_pool_v2, rounds=False)
propose("MaxPoolWithArgmax", pool_with_argmax, rounds=False)
propose("AvgPool", pool("AvgPool"), weight=2)
propose("MaxPool3D", pool_3d("MaxPool3D"), rounds=False)
propose("AvgPool3D", pool_3d("AvgPool3D"))


# ---- channels


def batch_norm(op):
    def make(g):
        x = g.pick(floats_of(4))
        c = x.shape[3]
        parameters = [g.weights((c,), F32 if x.dtype in (F16, BF16) else x.dtype) for _ in range(3)]
        variance = g.constant(np.abs(g.numbers.standard_normal(c)) + 0.5, parameters[0].array.dtype)
        return node(op, x, *parameters, variance, is_training=False, epsilon=1e-3)

    return make


def fake_quant_vars(op):
    def make(g):
        x = g.pick(lambda v: v.dtype == F32 and v.rank >= 1)
        shape = x.shape[-1:] if op.endswith("PerChannel") else ()
        return node(op, x, *(g.constant(np.full(shape, bound), F32) for bound in (-3, 3)))

    return make


def quantize_and_dequantize(op):
    def make(g):
        bits = [g.constant(8)] if op.endswith("V3") else []
        return node(op, g.pick(is_float), g.constant(-4, F32), g.constant(4, F32), *bits, range_given=True)

    return make


for op, weight in {"BiasAdd": 3, "BiasAddV1": 1}.items():
    propose(op, lambda g, op=op: (lambda x: node(op, x, g.weights(x.shape[-1:], x.dtype)))(g.pick(floats_of(2, 3, 4, 5))), weight=weight)
for op, weight in {"FusedBatchNorm": 1, "FusedBatchNormV2": 1, "FusedBatchNormV3": 2}.items():
    propose(op, batch_norm(op), weight=weight, results=1)  # the others serve training
propose("Softmax", lambda g: node("Softmax", g.pick(floats_of(1, 2, 3, 4))))
propose("LogSoftmax", lambda g: node("LogSoftmax", g.pick(floats_of(1, 2, 3, 4))))
propose("LRN", lambda g: node("LRN", g.pick(floats_of(4)), depth_radius=2))
for op in ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4"):
    propose(op, quantize_and_dequantize(op))
propose("QuantizeAndDequantize", lambda g: node("QuantizeAndDequantize", g.pick(lambda v: v.dtype in (F32, F64)), range_given=True, input_min=-4.0, input_max=4.0))
# Where levels are further apart than the noise is large.
QUANTIZED = [tf.qint8, tf.quint8]
QUANTIZE_MODES = ["MIN_COMBINED", "MIN_FIRST", "SCALED"]
propose("QuantizeV2", lambda g: node("QuantizeV2", g.pick(lambda v: v.dtype == F32), g.constant(-4, F32), g.constant(4, F32), T=g.choose(*QUANTIZED),
                                     mode=g.choose(*QUANTIZE_MODES), narrow_range=g.choose(False, True)), weight=2)
propose("Dequantize", lambda g: node("Dequantize", g.pick_quantized(), g.constant(-4, F32), g.constant(4, F32), dtype=F32,
                                     mode=g.choose(*QUANTIZE_MODES)), weight=2)
propose("FakeQuantWithMinMaxArgs", lambda g: node("FakeQuantWithMinMaxArgs", g.pick(lambda v: v.dtype == F32)))
for op in ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"):
    propose(op, fake_quant_vars(op))


# ---- reductions

for name in ("Sum", "Mean", "Max", "Min", "Prod", "EuclideanNorm"):
    propose(name, lambda g, op=name: (lambda x: node(op, x, some_axes(g, x), keep_dims=g.choose(False, True)))(g.pick()), rounds=name not in ("Max", "Min"))
for name in ("All", "Any"):
    propose(name, lambda g, op=name: (lambda x: node(op, x, some_axes(g, x), keep_dims=g.choose(False, True)))(g.pick(lambda v: v.dtype == BOOL)), rounds=False)
for name in ("ArgMax", "ArgMin"):
    propose(name, lambda g, op=name: (lambda x: node(op, x, g.constant(axis_of(g, x)), output_type=g.choose(I32, I64)))(g.pick()), rounds=False)
propose("TopKV2", lambda g: node("TopKV2", g.pick(rank(1, 2, 3)), g.constant(2)), rounds=False)
propose("Cumsum", lambda g: (lambda x: node("Cumsum", x, g.constant(axis_of(g, x)), exclusive=g.choose(False, True), reverse=g.choose(False, True)))(g.pick()))


# ---- elements moved and chosen


def moves(op, make, weight=1, results=None):
    propose(op, make, rounds=False, weight=weight, results=results)


def reshape(g):
    x = g.pick()
    n = x.plain.size
    split = next((d for d in (4, 3, 2, 1) if n % d == 0), 1)
    shapes = [[-1], [split, -1], [n // split, split], list(x.shape) + [1], [1, -1, split]]
    return node("Reshape", x, g.constant(g.random.choice(shapes), g.choose(I32, I64)))


def transpose(g):
    x = g.pick()
    permutation = list(range(x.rank))
    g.random.shuffle(permutation)
    return node("Transpose", x, g.constant(permutation))


def concat(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 1)
        axis = g.random.randrange(x.rank)
        fits = lambda v: v.dtype == x.dtype and v.rank == x.rank and all(a == axis or v.shape[a] == x.shape[a] for a in range(x.rank))
        parts = [x, g.pick(fits), *([g.pick(fits)] if g.random.random() < 0.3 else [])]
        return node(op, *([g.constant(axis), parts] if op == "Concat" else [parts, g.constant(axis)]))

    return make


def strided_slice(g):
    x = g.pick(lambda v: v.rank >= 1)
    n = g.random.randint(1, x.rank)
    bits = lambda p: sum((g.random.random() < p) << i for i in range(n))
    # What may be a shape is not turned around: TensorFlow's shape inference refuses some such slices that it runs.
    may_be_shape = x.rank == 1 and x.dtype in (I32, I64)
    strides = [g.choose(1, 1, 1, 2, 1 if may_be_shape else -1) for _ in range(n)]
    begin = [g.random.randint(-2, 2) for _ in range(n)]
    end = [g.random.randint(-2, 6) for _ in range(n)]
    shrink = bits(0.2)
    strides = [1 if shrink >> i & 1 else s for i, s in enumerate(strides)]
    return node("StridedSlice", x, *(g.constant(v) for v in (begin, end, strides)), begin_mask=bits(0.5), end_mask=bits(0.5), shrink_axis_mask=shrink,
                new_axis_mask=bits(0.1))


def slice_(g):
    x = g.pick(lambda v: v.rank >= 1)
    begin = [g.random.randrange(n) if n else 0 for n in x.shape]
    size = [g.choose(-1, g.random.randint(0 if g.random.random() < 0.05 else 1, max(n - b, 1))) for n, b in zip(x.shape, begin)]
    return node("Slice", x, g.constant(begin), g.constant(size))


def split(g):
    x = g.pick(lambda v: v.rank >= 1)
    axis = axis_of(g, x)
    return node("Split", g.constant(axis), x, num_split=g.random.choice([d for d in (2, 3, 1) if x.shape[axis] % d == 0]))


def unpack(g):
    x = g.pick(lambda v: v.rank >= 1)
    axis = axis_of(g, x)
    if not 1 <= x.shape[axis] <= 4:
        raise LookupError
    return node("Unpack", x, axis=axis, num=x.shape[axis])


def gather(g):
    x = g.pick(lambda v: v.rank >= 1)
    axis = axis_of(g, x)
    indices = g.numbers.integers(0, max(x.shape[axis], 1), g.random.choice([(), (3,), (2, 2)]))
    return node("GatherV2", x, g.constant(indices, g.choose(I32, I64)), g.constant(axis))


def gather_computed(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 1)
        indices = g.pick(lambda v: v.dtype in (I32, I64) and v.plain.size and v.plain.min() >= 0 and v.plain.max() < x.shape[0])
        return node(op, x, indices, *([g.constant(0)] if op == "GatherV2" else []))

    return make


def pad(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 1)
        paddings = g.constant([[g.choose(0, 0, 1), g.choose(0, 1, 2)] for _ in x.shape])
        if op == "PadV2":
            return node(op, x, paddings, g.constant(1, x.dtype))
        return node(op, x, paddings, **({"mode": "REFLECT"} if op == "MirrorPad" else {}))

    return make


def expand_dims(g):
    x = g.pick(lambda v: v.rank <= 4)
    return node("ExpandDims", x, g.constant(g.random.randint(-x.rank - 1, x.rank)))


def squeeze(g):
    x = g.pick(lambda v: 1 in v.shape)
    return node("Squeeze", x, squeeze_dims=[g.random.choice([a for a, n in enumerate(x.shape) if n == 1])])


def pack(g):
    x = g.pick(lambda v: v.rank <= 3)
    return node("Pack", [x, g.pick_like(x)], axis=g.random.randint(-x.rank - 1, x.rank))


def reverse(g):
    x = g.pick()
    return node("Reverse", x, g.constant([g.choose(False, True) for _ in x.shape], BOOL))


def reverse_sequence(g):
    x = g.pick(lambda v: v.rank >= 2)
    batch, along = g.random.sample(range(x.rank), 2)
    return node("ReverseSequence", x, g.constant(g.numbers.integers(0, x.shape[along] + 1, x.shape[batch])), seq_dim=along, batch_dim=batch)


def roll(g):
    x = g.pick(lambda v: v.rank >= 1)
    return node("Roll", x, g.constant(g.random.randint(-4, 4)), g.constant(axis_of(g, x)))


def extract_image_patches(g):
    return node("ExtractImagePatches", g.pick(rank(4)), ksizes=[1, 2, 2, 1], strides=[1, g.choose(1, 2), 2, 1], rates=[1, g.choose(1, 2), 1, 1],
                padding=g.choose("SAME", "VALID"))


def vec_permute(g):
    x = g.pick(lambda v: v.dtype in (I32, I64) and v.rank in (1, 2) and v.shape[0] in (2, 4))
    return node("DataFormatVecPermute", x, src_format="NHWC", dst_format="NCHW")


def broadcast_args(g):
    a = g.pick(lambda v: v.dtype in (I32, I64) and v.rank == 1)
    return node("BroadcastArgs", a, g.pick(lambda v: v.dtype == a.dtype and v.rank == 1))


def resize(op):
    def make(g):
        centers = g.choose((False, False), (True, False), (False, True))
        return node(op, g.pick(rank(4)), g.constant([g.random.randint(1, 9), g.random.randint(1, 9)]), align_corners=centers[0], half_pixel_centers=centers[1])

    return make


moves("Reshape", reshape, weight=4)
moves("Transpose", transpose, weight=3)
moves("Concat", concat("Concat"))
moves("ConcatV2", concat("ConcatV2"), weight=4)
moves("StridedSlice", strided_slice, weight=4)
moves("Slice", slice_, weight=2)
moves("Split", split, weight=2)
moves("Unpack", unpack)
moves("Pack", pack, weight=2)
moves("GatherV2", gather, weight=2)
for op in ("Gather", "GatherV2"):
    moves(op, gather_computed(op))
moves("GatherNd", lambda g: (lambda x: node("GatherNd", x, g.constant(g.numbers.integers(0, max(min(x.shape), 1), (3, 2)))))(g.pick(lambda v: v.rank >= 2)))
moves("OneHot", lambda g: node("OneHot", g.pick(lambda v: v.dtype in (I32, I64, U8)), g.constant(4), g.constant(1, F32), g.constant(0, F32)))
for name in ("Pad", "PadV2", "MirrorPad"):
    moves(name, pad(name))
moves("ExpandDims", expand_dims, weight=2)
moves("Squeeze", squeeze, weight=2)
moves("Tile", lambda g: (lambda x: node("Tile", x, g.constant([g.choose(1, 1, 2) for _ in x.shape])))(g.pick(lambda v: v.rank >= 1)))
moves("ReverseV2", lambda g: (lambda x: node("ReverseV2", x, g.constant([axis_of(g, x)])))(g.pick()))
moves("Reverse", reverse)
moves("ReverseSequence", reverse_sequence)
moves("Roll", roll)
moves("ExtractImagePatches", extract_image_patches)
moves("DataFormatVecPermute", vec_permute)
moves("BroadcastArgs", broadcast_args)
moves("InvertPermutation", lambda g: node("InvertPermutation", g.constant(g.numbers.permutation(g.random.randint(1, 6)), g.choose(I32, I64))))
moves("BroadcastTo", lambda g: (lambda x: node("BroadcastTo", x, g.constant([2, *x.shape])))(g.pick(lambda v: v.rank <= 3)))
moves("Fill", lambda g: node("Fill", g.constant([2, 3]), g.pick(rank(0))))
moves("DepthToSpace", lambda g: node("DepthToSpace", g.pick(lambda v: v.rank == 4 and v.shape[3] % 4 == 0), block_size=2))
moves("SpaceToDepth", lambda g: node("SpaceToDepth", g.pick(lambda v: v.rank == 4 and v.shape[1] % 2 == v.shape[2] % 2 == 0), block_size=2))
moves("SpaceToBatch", lambda g: node("SpaceToBatch", g.pick(rank(4)), g.constant([[0, 0], [1, 1]]), block_size=2))
moves("BatchToSpace", lambda g: node("BatchToSpace", g.pick(lambda v: v.rank == 4 and v.shape[0] % 4 == 0), g.constant([[0, 0], [1, 1]]), block_size=2))
moves("SpaceToBatchND", lambda g: node("SpaceToBatchND", g.pick(rank(4)), g.constant([2, 2]), g.constant([[0, 0], [0, 0]])))
moves("ResizeNearestNeighbor", resize("ResizeNearestNeighbor"))
propose("ResizeBilinear", resize("ResizeBilinear"), weight=2)
propose("ResizeBicubic", resize("ResizeBicubic"))
moves("Where", lambda g: node("Where", g.pick(lambda v: v.dtype == BOOL and v.rank >= 1)), weight=2)
for op in ("Unique", "UniqueWithCounts"):
    moves(op, lambda g, op=op: node(op, g.pick(lambda v: v.rank == 1 and not is_float(v))))
# TensorFlow takes the positions of slices for those of elements when it infers shapes: nobody reads them.
for op in ("UniqueV2", "UniqueWithCountsV2"):
    moves(op, lambda g, op=op: node(op, g.pick(lambda v: v.rank >= 1 and v.dtype in (I32, I64)), g.constant([0], I64)), results=1)


# ---- shapes as data

moves("Shape", lambda g: node("Shape", g.pick(), out_type=g.choose(I32, I64)), weight=2)
moves("Size", lambda g: node("Size", g.pick()))
moves("Rank", lambda g: node("Rank", g.pick()))


def reshape_as(g):
    """To the shape of another tensor, as models compute it."""
    shapes = [v for v in g.pool if v.dtype in (I32, I64) and v.rank == 1 and len(v.plain) <= 5]
    if not shapes:
        raise LookupError
    target = g.random.choice(shapes)
    size = int(np.prod(target.plain))
    return node("Reshape", g.pick(lambda v: v.plain.size == size), target)


def fill_as(g):
    dims = g.pick(lambda v: v.dtype in (I32, I64) and v.rank == 1 and (v.plain >= 0).all() and np.prod(v.plain.astype(F64)) <= 1000)
    return node("Fill", dims, g.pick(rank(0)))


def range_to(g):
    return node("Range", g.constant(0), g.pick(lambda v: v.dtype == I32 and v.rank == 0 and 0 <= v.plain <= 64), g.constant(1))


def first_of(g):
    """As many as a computed number says."""
    n = g.pick(lambda v: v.dtype == I32 and v.rank == 0 and 0 <= v.plain <= 8)
    return node("TopKV2", g.pick(lambda v: v.rank >= 1 and v.shape[-1] >= n.plain and not is_float(v) and v.dtype != BOOL), n)


def slice_to(g):
    end = g.pick(lambda v: v.dtype in (I32, I64) and v.shape == (1,) and abs(v.plain[0]) <= 8)
    return node("StridedSlice", g.pick(lambda v: v.rank >= 1), g.constant([g.choose(0, 1)], end.dtype), end, g.constant([1], end.dtype))


def tile_by(g):
    multiples = g.pick(lambda v: v.dtype in (I32, I64) and v.rank == 1 and 1 <= v.shape[0] <= 4 and (v.plain >= 0).all() and (v.plain <= 3).all())
    return node("Tile", g.pick(rank(multiples.shape[0])), multiples)


moves("TopKV2", first_of)
moves("StridedSlice", slice_to)
moves("Tile", tile_by)
moves("Reshape", reshape_as, weight=3)
moves("Fill", fill_as)
moves("Range", range_to)


# ---- results whose number the data decides, and updates at computed places


def boxes(g, shape):
    """Corners in the unit square."""
    low = g.numbers.uniform(0, 0.7, (*shape, 2))
    return g.constant(np.concatenate([low, low + g.numbers.uniform(0.05, 0.3, low.shape)], -1), F32)


# Op -> how many of the overlap's, the score's and the softness's bounds are operands.
NON_MAX_SUPPRESSIONS = {"NonMaxSuppression": 0, "NonMaxSuppressionV2": 1, "NonMaxSuppressionV3": 2, "NonMaxSuppressionV4": 2, "NonMaxSuppressionV5": 3}


def non_max_suppression(op, bounds):
    def make(g):
        scores = g.pick(lambda v: v.dtype == F32 and v.rank == 1 and 3 <= v.shape[0] <= 64)
        given = [g.constant(v, F32) for v in (0.3, -1e3, g.choose(0, 0.5))[:bounds]]
        padded = {"pad_to_max_output_size": g.choose(False, True)} if op[-1] in "45" else {}
        return node(op, boxes(g, scores.shape), scores, g.constant(5), *given, **padded)

    return make


def with_overlaps(g):
    scores = g.pick(lambda v: v.dtype == F32 and v.rank == 1 and 3 <= v.shape[0] <= 64)
    overlaps = g.numbers.uniform(0, 1, (scores.shape[0], scores.shape[0]))
    return node("NonMaxSuppressionWithOverlaps", g.constant(overlaps, F32), scores, g.constant(3), g.constant(0.7, F32), g.constant(-1e3, F32))


def combined_non_max_suppression(g):
    scores = g.pick(lambda v: v.dtype == F32 and v.rank == 3)
    batch, count, classes = scores.shape
    return node("CombinedNonMaxSuppression", boxes(g, (batch, count, g.choose(1, classes))), scores, g.constant(2), g.constant(4), g.constant(0.3, F32),
                g.constant(-1e3, F32), pad_per_class=g.choose(False, True))


def scatter_nd(g):
    x = g.pick(lambda v: v.rank >= 1 and 1 <= v.shape[0] <= 8)
    return node("ScatterNd", g.constant(g.numbers.integers(0, 9, (x.shape[0], 1))), x, g.constant([9, *x.shape[1:]]))


def tensor_scatter(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 2 and v.shape[0] >= 1)
        rows = g.pick(lambda v: v.dtype == x.dtype and v.shape == x.shape[1:])
        # One update, a constant.
        return node(op, x, g.constant([[g.random.randrange(x.shape[0])]]), g.constant(rows.plain[None], rows.dtype))

    return make


def stitch(op):
    def make(g):
        x = g.pick(lambda v: 1 <= v.rank and v.shape[0] <= 16)
        y = g.pick(lambda v: v.dtype == x.dtype and v.rank == x.rank and v.shape[1:] == x.shape[1:])
        rows = g.numbers.permutation(x.shape[0] + y.shape[0])
        return node(op, [g.constant(rows[: x.shape[0]]), g.constant(rows[x.shape[0] :])], [x, y])

    return make


def unsorted_segment(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 1)
        return node(op, x, g.constant(g.numbers.integers(-1, 2, x.shape[:1])), g.constant(2))

    return make


def small_counts(v):
    return v.dtype in (I32, I64) and v.rank in (1, 2) and (v.plain >= 0).all()


def bincount(g):
    values = g.pick(lambda v: small_counts(v) and v.dtype == I32)
    return node("Bincount", values, g.constant(5), g.weights(values.shape))


def dense_bincount(g):
    values = g.pick(small_counts)
    return node("DenseBincount", values, g.constant(5, values.dtype), g.weights((0,)), binary_output=g.choose(False, True))


def sparse_to_dense(g):
    values = g.pick(lambda v: v.rank == 1 and v.shape[0] <= 9)
    at = np.sort(g.numbers.permutation(9)[: values.shape[0]])
    return node("SparseToDense", g.constant(at[:, None]), g.constant([9]), values, g.constant(0, values.dtype))


def dynamic_partition(g):
    x = g.pick(lambda v: v.rank >= 1)
    return node("DynamicPartition", x, g.constant(g.numbers.integers(0, 3, x.shape[:1])), num_partitions=3)


def bound(op):
    def make(g):
        x = g.pick(lambda v: v.rank == 2 and v.dtype != BOOL)
        return node(op, g.constant(np.sort(g.numbers.integers(0, 9, (x.shape[0], 4)), 1), x.dtype), x)

    return make


def lin_space(g):
    start = g.pick(lambda v: v.rank == 0 and is_float(v))
    return node("LinSpace", start, g.constant(2, start.dtype), g.constant(g.random.randint(1, 6)))


def dim_map(g):
    x = g.pick(lambda v: v.dtype in (I32, I64) and ((v.plain >= -4) & (v.plain < 4)).all())
    return node("DataFormatDimMap", x, src_format="NHWC", dst_format="NCHW")


def of_three_channels(*ranks):
    return lambda v: is_float(v) and v.rank in ranks and v.shape[-1] == 3


def adjust(op):
    """Colours are constants: noise around a gray is any hue."""

    def make(g):
        x = g.pick(of_three_channels(3, 4))
        fixed = g.constant(g.numbers.random(x.shape), F32)
        return node(op, x if op == "AdjustContrastv2" else fixed, g.constant(g.choose(0.2, 1.5), F32))

    return make


def split_v(g):
    x = g.pick(lambda v: v.rank >= 1)
    axis = axis_of(g, x)
    if x.shape[axis] < 2:
        raise LookupError
    first = g.random.randint(1, x.shape[axis] - 1)
    return node("SplitV", x, g.constant([first, x.shape[axis] - first]), g.constant(axis), num_split=2)


def crop_and_resize(g):
    x = g.pick(lambda v: v.rank == 4 and v.shape[0] >= 1 and v.dtype == F32)
    return node("CropAndResize", x, g.constant([[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0]], F32), g.constant([0, x.shape[0] - 1]), g.constant([3, 4]))


def gather_of_batches(g):
    x = g.pick(lambda v: v.rank >= 2 and v.shape[1] >= 1)
    indices = g.constant(g.numbers.integers(0, x.shape[1], (x.shape[0], 2)))
    return node("GatherV2", x, indices, g.constant(1), batch_dims=1)


for op, bounds in NON_MAX_SUPPRESSIONS.items():
    moves(op, non_max_suppression(op, bounds))
moves("NonMaxSuppressionWithOverlaps", with_overlaps)
moves("CombinedNonMaxSuppression", combined_non_max_suppression)
propose("ScatterNd", scatter_nd)
moves("TensorScatterUpdate", tensor_scatter("TensorScatterUpdate"))
propose("TensorScatterAdd", tensor_scatter("TensorScatterAdd"))
moves("SplitV", split_v)
propose("CropAndResize", crop_and_resize)
moves("GatherV2", gather_of_batches)
for name in ("DynamicStitch", "ParallelDynamicStitch"):
    moves(name, stitch(name))
for name in ("UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin"):
    propose(name, unsorted_segment(name))
propose("Bincount", bincount)
propose("DenseBincount", dense_bincount)
moves("SparseToDense", sparse_to_dense)
moves("DynamicPartition", dynamic_partition)
moves("Bucketize", lambda g: node("Bucketize", g.pick(lambda v: v.dtype != BOOL), boundaries=[-0.7, 0.1, 1.3]))
for name in ("LowerBound", "UpperBound"):
    moves(name, bound(name))
propose("LinSpace", lin_space)
for name in ("AdjustContrastv2", "AdjustHue", "AdjustSaturation"):
    propose(name, adjust(name))
for name in ("HSVToRGB", "RGBToHSV"):
    propose(name, lambda g, op=name: node(op, g.pick(of_three_channels(2, 3, 4, 5))))
moves("DataFormatDimMap", dim_map)
propose("ScatterNdNonAliasingAdd", tensor_scatter("ScatterNdNonAliasingAdd"))
for name in ("TensorScatterMax", "TensorScatterMin"):
    moves(name, tensor_scatter(name))
propose("TensorScatterSub", tensor_scatter("TensorScatterSub"))
moves("ShapeN", lambda g: node("ShapeN", [g.pick(), g.pick()]))
moves("BatchToSpaceND", lambda g: node("BatchToSpaceND", g.pick(lambda v: v.rank == 4 and v.shape[0] % 4 == 0), g.constant([2, 2]), g.constant([[0, 0], [0, 0]])))
propose("Cumprod", lambda g: (lambda x: node("Cumprod", x, g.constant(axis_of(g, x))))(g.pick()))
propose("L2Loss", lambda g: node("L2Loss", g.pick(is_float)))


def diag(op):
    def make(g):
        x = g.pick(rank(1, 2))
        k = g.choose(0, 0, 1, -2)
        # Of an unknown length TensorFlow infers a wrong size.
        diagonal = x if k == 0 else g.constant(g.numbers.integers(0, 5, x.shape), x.dtype)
        return node(op, diagonal, g.constant(k), g.constant(-1), g.constant(-1), g.constant(1, x.dtype))

    return make


def diag_part(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 2)
        return node(op, x, g.constant(g.choose(0, 0, 1, -1, [-1, 1], [0, 1])), g.constant(0, x.dtype))

    return make


def set_diag(op):
    def make(g):
        x = g.pick(lambda v: v.rank >= 2)
        k = 0 if op == "MatrixSetDiag" else g.choose(0, 0, 1, -1)
        *batch, rows, columns = x.shape
        diagonal = g.numbers.integers(0, 5, (*batch, max(min(rows + min(k, 0), columns - max(k, 0)), 0)))
        return node(op, x, g.constant(diagonal, x.dtype), *([] if op == "MatrixSetDiag" else [g.constant(k)]))

    return make


for version in ("V2", "V3"):
    moves(f"MatrixDiag{version}", diag(f"MatrixDiag{version}"))
    moves(f"MatrixDiagPart{version}", diag_part(f"MatrixDiagPart{version}"))
for op in ("MatrixSetDiag", "MatrixSetDiagV2", "MatrixSetDiagV3"):
    moves(op, set_diag(op))
moves("MatrixDiag", lambda g: node("MatrixDiag", g.pick(rank(1, 2))))
moves("MatrixDiagPart", lambda g: node("MatrixDiagPart", g.pick(lambda v: v.rank >= 2)))
moves("MatrixBandPart", lambda g: node("MatrixBandPart", g.pick(lambda v: v.rank >= 2), g.constant(g.choose(-1, 0, 1)), g.constant(g.choose(-1, 0, 1))))
moves("EnsureShape", lambda g: (lambda x: node("EnsureShape", x, shape=list(x.shape)))(g.pick()))
propose("ResizeArea", lambda g: node("ResizeArea", g.pick(rank(4)), g.constant([g.random.randint(1, 6), g.random.randint(1, 6)])))
