"""Images, channels, normalisation, quantisation and detection."""

import itertools

import numpy as np

from grid.case import STATIC, UNKNOWN, Case, Node, const, node
from grid.table import (
    ALL, BF16, BOOL, F16, F32, F64, FLOATS, I32, I64, NUMBERS, U8, channels_first, extremes, inside, is_float, move_channels, normal, positive,
    wide,
)

GIVEN = ["const", "fed"]
SIZED = ["const", "sized"]


def resize(p):
    corners, centers = p.centers
    return node(p.op, p.fill(p.shape), p.give(p.how, np.array(p.size, I32)), align_corners=corners, half_pixel_centers=centers)


def boxes(rng, count):
    """Corners of boxes in the unit square."""
    low = rng.uniform(0, 0.7, (*count, 2))
    return np.concatenate([low, low + rng.uniform(0.05, 0.3, (*count, 2))], -1)


def non_max_suppression(p):
    rng = p.rng()
    count = p.count
    inputs = [boxes(rng, (count,)).astype(p.T), rng.permutation(count).astype(p.T) / np.asarray(max(count, 1), p.T), p.give(p.how, np.asarray(p.most, I32))]
    version = p.op.removeprefix("NonMaxSuppression")
    threshold = lambda v: p.give(p.how, np.asarray(v, p.T if version in ("V3", "V4", "V5") else F32))
    attributes = {}
    if version == "":
        attributes["iou_threshold"] = p.iou
    else:
        inputs.append(threshold(p.iou))
    if version in ("V3", "V4", "V5"):
        inputs.append(threshold(p.score))
    if version == "V5":
        inputs.append(threshold(p.sigma))
    if version in ("V4", "V5"):
        attributes["pad_to_max_output_size"] = p.pad
    return node(p.op, *inputs, **attributes)


def combined_non_max_suppression(p):
    rng = p.rng()
    batch, count, classes = p.sizes
    q = classes if p.per_class else 1
    scores = rng.permutation(batch * count * classes).reshape(batch, count, classes) / (batch * count * classes)
    return node("CombinedNonMaxSuppression", boxes(rng, (batch, count, q)).astype(F32), scores.astype(F32), *(p.give(p.how, np.asarray(v, I32)) for v in p.most),
                *(p.give(p.how, np.asarray(v, F32)) for v in (p.iou, p.score)), pad_per_class=p.pad, clip_boxes=p.clip)


def batch_norm(p):
    c = 5
    x = p.fill((2, 4, 3, c))
    u = F32 if p.op != "FusedBatchNorm" else p.T
    scale, offset, mean = (p.fill((c,), dtype=u, key=k) for k in "som")
    variance = p.fill((c,), positive, dtype=u, key="v")
    if p.training:  # the statistics are the batch's own
        mean, variance = mean[:0], variance[:0]
    parameters = [p.give(p.how, v) for v in (scale, offset, mean, variance)]
    n = node(p.op, x, *parameters, epsilon=p.epsilon, is_training=p.training)
    case = channels_first(n) if p.format == "first" else Case(n)
    if case.oracle:
        finish = case.finish
        case.finish = lambda results: finish(results)[:1]
    case.outputs = (0,)
    return case


def global_normalization(p):
    x, c = p.fill((2, 4, 3, 5)), (5,)
    parameters = (p.fill(c, key="m"), p.fill(c, positive, key="v"), p.fill(c, key="b"), p.fill(c, key="g"))
    return node(p.op, x, *(p.give(p.how, v) for v in parameters), variance_epsilon=p.epsilon, scale_after_normalization=p.scale)


def bias_add(p):
    x = p.fill(p.shape)
    b = p.fill(p.shape[-1:], key="b")
    n = node(p.op, x, p.give(p.how, b))
    if p.format == "first":
        return Case(Node("BiasAdd", [move_channels(x), n.operands[1]], {"data_format": "NCHW"}), oracle=n,
                    finish=lambda results: [move_channels(r) for r in results])
    return n


def blocks(p):
    b = p.block
    shape = (2, 3, 4, 2 * b * b) if p.op == "DepthToSpace" else (2, 2 * b, 3 * b, 4)
    n = node(p.op, p.fill(shape), block_size=b)
    return channels_first(n) if p.format == "first" else n


def quantize_and_dequantize(p):
    # Along an axis each range is another.
    ends = [end * (1 + np.arange((4, 6)[p.axis]) / 4) if p.axis >= 0 else end for end in p.range]
    operands = [p.fill((4, 6), wide), *(const(end, p.T) for end in ends)]
    if p.op == "QuantizeAndDequantizeV3":
        operands.append(const(p.bits, I32))
        attributes = {}
    else:
        attributes = {"num_bits": p.bits, "round_mode": p.round}
    return node(p.op, *operands, signed_input=p.signed, range_given=p.given, narrow_range=p.narrow, axis=p.axis, **attributes)


def colors(rng, shape, dtype):
    """From black to white, not all of them within 0 and 1; grays and single channels too."""
    values = rng.uniform(0, 1.25, shape)
    values[..., 0, :] = values[..., 0, :1]
    values[..., 1, 1:] = 0
    values[..., 2, :] = 0
    return values.astype(dtype)


def color_ops(grid):
    # How many channels there are is not known where no dimension is.
    for op in ("RGBToHSV", "HSVToRGB"):
        grid.add(op, lambda p: node(op, p.fill(p.shape, colors)), T=FLOATS, shape=[(4, 3), (2, 5, 4, 3), (0, 3, 3)], shapes=(STATIC,))
    for op, amounts in {"AdjustHue": [0.0, 0.3, -0.7, 1.0], "AdjustSaturation": [0.0, 0.5, 2.0], "AdjustContrastv2": [0.0, 0.5, -2.0]}.items():
        shapes = (STATIC, UNKNOWN) if op == "AdjustContrastv2" else (STATIC,)
        grid.add(op, lambda p: node(op, p.fill(p.shape, colors), p.give(p.how, np.asarray(p.amount, F32))), T=FLOATS,
                 shape=[(5, 4, 3), (2, 5, 4, 3), (0, 3, 3, 3)], amount=amounts, how=GIVEN, shapes=shapes)


def fill(grid):
    color_ops(grid)
    for op in ("ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"):
        grid.add(op, resize, T=NUMBERS, shape=[(2, 5, 6, 3), (1, 1, 1, 2), (0, 4, 4, 1)], how=SIZED,
                 size=[(10, 12), (3, 4), (5, 6), (7, 1), (1, 1), (13, 5)],
                 centers=[(False, False), (True, False), (False, True)], limit=240)

    def crop_and_resize(p):
        rng = p.rng()
        at = np.concatenate([boxes(rng, (3,)), [[-0.2, 0.1, 1.3, 0.8], [0.9, 0.9, 0.1, 0.1]]]).astype(F32)
        return node("CropAndResize", p.fill((2, 6, 7, 3)), at, np.array([0, 1, 1, 0, 1], I32), p.give(p.how, np.array(p.size, I32)),
                    method=p.method, extrapolation_value=p.value)

    grid.add("CropAndResize", crop_and_resize, T=NUMBERS, size=[(4, 5), (1, 1), (9, 3)], method=["bilinear", "nearest"], value=[0.0, 0.5], how=SIZED)
    for op in ("DepthToSpace", "SpaceToDepth"):
        grid.add(op, blocks, T=ALL, block=[2, 3], format=["last", "first"])
    grid.add("SpaceToBatchND", lambda p: node("SpaceToBatchND", p.fill((2, 4, 6, 3)), const(p.form[0], p.Tb), const(p.form[1], p.Tp)), T=ALL,
             form=[([2, 2], [[0, 0], [0, 0]]), ([2, 3], [[1, 1], [0, 3]]), ([2], [[0, 0]]), ([1, 1], [[0, 0], [0, 0]]), ([2, 2, 3], [[0, 0]] * 3)],
             Tb=[I32, I64], Tp=[I32, I64])
    grid.add("BatchToSpaceND", lambda p: node("BatchToSpaceND", p.fill((12, 4, 5, 3)), const(p.form[0], p.Tb), const(p.form[1], p.Tc)), T=ALL,
             form=[([2, 2], [[0, 0], [0, 0]]), ([2, 3], [[1, 0], [2, 3]]), ([2], [[0, 1]]), ([3, 2, 2], [[1, 1], [0, 0], [2, 1]])], Tb=[I32, I64], Tc=[I32, I64])
    grid.add("SpaceToBatch", lambda p: node("SpaceToBatch", p.fill((2, 4, 6, 3)), const(p.paddings, p.Tpaddings), block_size=2), T=ALL,
             paddings=[[[0, 0], [0, 0]], [[1, 1], [0, 2]]], Tpaddings=[I32, I64])
    grid.add("BatchToSpace", lambda p: node("BatchToSpace", p.fill((8, 3, 4, 3)), const(p.crops, p.Tidx), block_size=2), T=ALL,
             crops=[[[0, 0], [0, 0]], [[1, 1], [0, 2]]], Tidx=[I32, I64])
    grid.add("ResizeArea", lambda p: node("ResizeArea", p.fill((2, 6, 8, 3)), p.give(p.how, np.array(p.size, I32)), align_corners=p.corners),
             T=NUMBERS, size=[(3, 4), (6, 8), (2, 3), (9, 12), (1, 1)], corners=[False, True], how=SIZED)
    grid.add("ExtractImagePatches", lambda p: node("ExtractImagePatches", p.fill((2, 6, 8, 3)), ksizes=[1, *p.window, 1],
                                                   strides=[1, p.stride, p.stride, 1], rates=[1, p.rate, p.rate, 1], padding=p.padding),
             T=NUMBERS, window=[(2, 2), (3, 1), (1, 1)], stride=[1, 2, 3], rate=[1, 2], padding=["SAME", "VALID"], limit=160)
    grid.add("LRN", lambda p: node("LRN", p.fill(p.shape), depth_radius=p.radius, bias=p.bias, alpha=p.alpha, beta=p.beta), T=FLOATS,
             shape=[(2, 3, 4, 7), (1, 1, 1, 1), (0, 2, 2, 3)], radius=[1, 2, 5], bias=[1.0, 2.0], alpha=[1.0, 0.001], beta=[0.5, 0.75])

    for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        grid.add(op, batch_norm, T=FLOATS, epsilon=[1e-3, 1e-5], format=["last", "first"], how=GIVEN,
                 training=[False, True])
    grid.add("BatchNormWithGlobalNormalization", global_normalization, T=FLOATS, epsilon=[1e-3, 1e-5], scale=[False, True], how=GIVEN)
    for op in ("BiasAdd", "BiasAddV1"):
        grid.add(op, bias_add, T=ALL, shape=[(3, 5), (2, 3, 5), (2, 3, 4, 5), (2, 3, 4, 2, 5), (0, 5)], how=GIVEN,
                 format=["last", "first"] if op == "BiasAdd" else ["last"], where=lambda p: p.format == "last" or len(p.shape) > 2)
    for op in ("Softmax", "LogSoftmax"):
        grid.add(op, lambda p: node(op, p.fill(p.shape, wide)), T=FLOATS, shape=[(4,), (3, 7), (2, 3, 5), (2, 1, 3, 4), (0, 3), (3, 0), (2, 65), (3, 1)])

    ranges = [(-2.0, 2.0), (-1.0, 3.0), (-4.0, 0.5), (0.0, 3.0)]
    for op in ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4"):
        grid.add(op, quantize_and_dequantize, T=FLOATS, range=ranges, signed=[True, False], narrow=[False, True], bits=[8, 4],
                 given=[True, False], round=[""] if op.endswith("V3") else ["HALF_TO_EVEN", "HALF_UP"], axis=[-1, 0, 1],
                 # TensorFlow's kernels take a vector of ranges in V3 alone.
                 where=lambda p: (p.signed or p.range[0] >= 0) and (p.axis < 0 or not p.given or p.op.endswith("V3")), limit=600)
    grid.add("FakeQuantWithMinMaxArgs",
             lambda p: node("FakeQuantWithMinMaxArgs", p.fill((4, 6), wide, dtype=F32), min=p.range[0], max=p.range[1], num_bits=p.bits, narrow_range=p.narrow),
             range=[(-2.0, 2.0), (-1.0, 3.0), (0.0, 6.0), (-0.1, 5.9)], bits=[8, 4, 16], narrow=[False, True])
    grid.add("FakeQuantWithMinMaxVars",
             lambda p: node("FakeQuantWithMinMaxVars", p.fill((4, 6), wide, dtype=F32), p.give(p.how, np.asarray(p.range[0], F32)),
                            p.give(p.how, np.asarray(p.range[1], F32)), num_bits=p.bits, narrow_range=p.narrow),
             range=[(-2.0, 2.0), (-1.0, 3.0), (0.0, 6.0), (-0.1, 5.9)], bits=[8, 4, 16], narrow=[False, True], how=GIVEN)

    grid.add("FakeQuantWithMinMaxVarsPerChannel",
             lambda p: node("FakeQuantWithMinMaxVarsPerChannel", p.fill((*p.shape, 3), wide, dtype=F32), p.give(p.how, np.array([-2, -1, 0], F32)),
                            p.give(p.how, np.array([2, 3, 6], F32)), num_bits=p.bits, narrow_range=p.narrow),
             shape=[(), (4,), (2, 3, 4)], bits=[8, 4], narrow=[False, True], how=GIVEN)

    for op in ("NonMaxSuppression", "NonMaxSuppressionV2", "NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"):
        scored, soft = op[-1] in "345", op[-1] == "5"
        grid.add(op, non_max_suppression, T=[F32, F16], count=[20, 1, 0], most=[0, 5, 50], iou=[0.0, 0.3, 1.0], how=GIVEN,
                 score=[-1.0, 0.5] if scored else [None], sigma=[0.0, 0.5] if soft else [None],
                 pad=[False, True] if op[-1] in "45" else [None], limit=120)
    def with_overlaps(p):
        overlaps = p.rng().permutation(144).reshape(12, 12) / 144
        overlaps = (np.maximum(overlaps, overlaps.T) * (1 - np.eye(12)) + np.eye(12)).astype(F32)
        scores = (p.rng("scores").permutation(12) / 12).astype(F32)
        return node("NonMaxSuppressionWithOverlaps", overlaps, scores, p.give(p.how, np.asarray(p.most, I32)), *(p.give(p.how, np.asarray(v, F32)) for v in (p.overlap, p.score)))

    grid.add("NonMaxSuppressionWithOverlaps", with_overlaps, most=[0, 3, 20], overlap=[0.3, 0.9], score=[-1.0, 0.5], how=GIVEN)
    grid.add("CombinedNonMaxSuppression", combined_non_max_suppression, sizes=[(2, 20, 3), (1, 7, 1)], per_class=[False, True], most=[(5, 10), (3, 3), (30, 100)],
             iou=[0.3, 0.6], score=[0.0, 0.4], pad=[False, True], clip=[False, True], how=GIVEN, limit=120)
