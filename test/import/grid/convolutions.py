"""Convolutions of all kinds, and pooling."""

import dataclasses
import itertools

import numpy as np

from grid.case import STATIC, UNKNOWN, Case, Node, const, node
from grid.table import ALL, FLOATS, NUMBERS, channels_first, dilate, extremes, move_channels

FILTER = ["const", "fed"]
FORMATS = ["last", "first"]
EXPLICIT = [0, 0, 1, 2, 0, 3, 0, 0]


def padded(padding):
    """Attributes of SAME, VALID or a list."""
    if isinstance(padding, str):
        return {"padding": padding}
    return {"padding": "EXPLICIT", "explicit_paddings": list(padding)}


def in_format(p, n, images=(0,)):
    return channels_first(n, images) if p.get("format") == "first" else Case(n)


def with_filter(p, case, index=1):
    """The filter as the axis says: fed, or a constant of the graph."""
    for n in {id(n): n for n in (case.node, case.oracle) if n is not None}.values():
        n.operands[index] = p.give(p.filter, n.operands[index])
    return case


def dilated_by_hand(case, dilations, index=1):
    """For kernels that know no dilation: the oracle's filter has zeros between its taps."""
    n = case.oracle or case.node
    operands = list(n.operands)
    operands[index] = dilate(operands[index], dilations)
    plain = Node(n.op, operands, {**n.attributes, "dilations": [1] * len(n.attributes["dilations"])})
    return dataclasses.replace(case, oracle=plain)


def emptied(case):
    """Without images. TensorFlow 2.21 now and then gives the input's shape for these, so its result for some is cut down."""
    whole = case.oracle or case.node
    operands = [case.node.operands[0][:0], *case.node.operands[1:]]
    finish = case.finish or (lambda results: results)
    return dataclasses.replace(
        case, node=Node(case.op, operands, case.node.attributes), oracle=whole, finish=lambda results: [r[:0] for r in finish(results)]
    )


def conv_2d(p):
    x = p.fill((2, 9, 14, 4))
    w = p.fill((*p.kernel, 4 // p.groups, 6), key="w")
    s, d = p.stride, p.dilation
    n = node("Conv2D", x, w, strides=[1, *s, 1], dilations=[1, *d, 1], **padded(p.padding))
    case = with_filter(p, in_format(p, n))
    if p.batch == 0:
        case = emptied(case)
    if p.groups > 1:
        case.shapes = (STATIC,)  # the number of groups is that of channels over the filter's
    return case


def depthwise(p):
    x = p.fill((2, 9, 10, 5))
    w = p.fill((*p.kernel, 5, p.multiplier), key="w")
    s, d = p.stride, p.dilation
    n = node("DepthwiseConv2dNative", x, w, strides=[1, s, s, 1], dilations=[1, d, d, 1], **padded(p.padding))
    case = in_format(p, n)
    if d > 1:
        case = dilated_by_hand(case, [d, d])
    return with_filter(p, case)


def conv_3d(p):
    x, w = p.fill((2, 5, 6, 7, 3)), p.fill((2, 3, 2, 3, 4), key="w")
    s, d = p.stride, p.dilation
    n = node("Conv3D", x, w, strides=[1, *s, 1], dilations=[1, d, d, d, 1], padding=p.padding)
    case = in_format(p, n)
    if d > 1:
        case = dilated_by_hand(case, [d] * 3)
    return with_filter(p, case)


def fused_conv_bias_activation(p):
    """TensorFlow's CPU has the convolution; the rest is added here."""
    x, w = p.fill((2, 6, 5, 3)), p.fill((3, 3, 3, 4), key="w")
    s, (scale, side_scale) = p.stride, p.scales
    conv = node("Conv2D", x, w, strides=[1, s, s, 1], padding=p.padding)
    size = {"SAME": (-(-6 // s), -(-5 // s)), "VALID": ((6 - 3) // s + 1, (5 - 3) // s + 1)}[p.padding]
    bias, side = p.fill((4,), key="b"), p.fill((2, *size, 4), key="side")

    def finish(results):
        y = results[0].astype(np.float64) * scale + bias.astype(np.float64) + side.astype(np.float64) * side_scale
        y = (np.maximum(y, 0) if p.activation == "Relu" else y).astype(p.T)
        return [move_channels(y) if p.format == "first" else y]

    operands = [x, const(w if p.filter_format == "HWIO" else np.ascontiguousarray(w.transpose(3, 2, 0, 1))), const(bias),
                side if side_scale else np.zeros((0,), p.T), const(scale, np.float32), const(side_scale, np.float32)]
    attributes = {"strides": [1, s, s, 1], "padding": p.padding, "dilations": [1] * 4, "data_format": "NHWC",
                  "filter_format": p.filter_format, "activation_mode": p.activation}
    if p.format == "first":
        operands[0] = move_channels(x)
        operands[3] = move_channels(side) if side_scale else operands[3]
        attributes |= {"strides": [1, 1, s, s], "data_format": "NCHW"}
    return Case(Node(p.op, operands, attributes), oracle=conv, finish=finish)


def forward_size(size, kernel, stride, dilation, padding, before_after=(0, 0)):
    reach = (kernel - 1) * dilation + 1
    if padding == "SAME":
        return -(-size // stride)
    return (size + sum(before_after) - reach) // stride + 1


def conv_2d_backprop(p):
    """The sizes of the forward input are an operand: fixed, fed, or with the batch unknown."""
    size, kernel = (9, 10), p.kernel
    pads = [(0, 0)] * 2 if isinstance(p.padding, str) else [tuple(p.padding[2:4]), tuple(p.padding[4:6])]
    name = p.padding if isinstance(p.padding, str) else "EXPLICIT"
    out = [forward_size(n, k, p.stride, p.dilation, name, around) for n, k, around in zip(size, kernel, pads)]
    w = p.fill((*kernel, 4, 5), key="w")
    y = p.fill((2, *out, 5))
    s, d = p.stride, p.dilation
    sizes = np.array([2, *size, 4], np.int32)
    n = node("Conv2DBackpropInput", sizes, w, y, strides=[1, s, s, 1], dilations=[1, d, d, 1], **padded(p.padding))
    case = in_format(p, n, images=(2,))
    if d > 1:
        case = dilated_by_hand(case, [d, d])
    sizes_first = case.node.attributes.get("data_format") == "NCHW"
    case.node = Node(case.node.op, list(case.node.operands), case.node.attributes)
    if sizes_first:
        case.node.operands[0] = sizes[[0, 3, 1, 2]]
    case.node.operands[0] = p.give(p.sizes, case.node.operands[0])
    case.node.operands[1] = p.give(p.filter, case.node.operands[1])
    return case


def conv_3d_backprop(p):
    size, kernel = (5, 6, 7), (2, 3, 2)
    out = [forward_size(n, k, p.stride, p.dilation, p.padding) for n, k in zip(size, kernel)]
    w, y = p.fill((*kernel, 3, 4), key="w"), p.fill((2, *out, 4))
    s, d = p.stride, p.dilation
    sizes = np.array([2, *size, 3], p.Tshape)
    n = node("Conv3DBackpropInputV2", sizes, w, y, strides=[1, s, s, s, 1], dilations=[1, d, d, d, 1], padding=p.padding)
    case = in_format(p, n, images=(2,))
    if d > 1:
        case = dilated_by_hand(case, [d] * 3)
    case.node = Node(case.node.op, list(case.node.operands), case.node.attributes)
    if p.format == "first":
        case.node.operands[0] = sizes[[0, 4, 1, 2, 3]]
    case.node.operands[0] = const(case.node.operands[0])
    case.node.operands[1] = p.give(p.filter, case.node.operands[1])
    return case


def pool(p):
    x = p.fill(p.get("shape", (2, 9, 10, 3)))
    s = p.stride
    n = node(p.op, x, ksize=[1, *p.window, 1], strides=[1, *([s] * len(p.window)), 1], **padded(p.padding))
    return in_format(p, n)


def fill(grid):
    grid.add("Conv2D", conv_2d, T=NUMBERS, padding=["SAME", "VALID", EXPLICIT], stride=[(1, 1), (2, 2), (1, 3)],
             dilation=[(1, 1), (2, 2), (1, 3)], kernel=[(1, 1), (3, 3), (2, 5)], groups=[1, 2], batch=[2, 0], format=FORMATS,
             filter=FILTER, where=lambda p: p.batch or (p.kernel == (3, 3) and p.groups == 1), limit=260)
    grid.add("DepthwiseConv2dNative", depthwise, T=NUMBERS, padding=["SAME", "VALID", [0, 0, 2, 1, 0, 1, 0, 0]], stride=[1, 2],
             dilation=[1, 2], kernel=[(1, 1), (3, 3), (5, 2)], multiplier=[1, 3], format=FORMATS, filter=FILTER, limit=200,
             where=lambda p: p.stride == 1 or p.dilation == 1)
    grid.add("Conv3D", conv_3d, T=NUMBERS, padding=["SAME", "VALID"], stride=[(1, 1, 1), (2, 2, 2), (1, 2, 3)], dilation=[1, 2],
             format=FORMATS, filter=FILTER, where=lambda p: p.stride == (1, 1, 1) or p.dilation == 1)
    grid.add("Conv2DBackpropInput", conv_2d_backprop, T=FLOATS + [np.int32], padding=["SAME", "VALID", [0, 0, 1, 0, 1, 2, 0, 0]],
             stride=[1, 2, 3], dilation=[1, 2], kernel=[(3, 3), (2, 4)], format=FORMATS, filter=FILTER, sizes=["const", "sized"],
             where=lambda p: p.stride == 1 or p.dilation == 1, limit=200)
    grid.add("Conv3DBackpropInputV2", conv_3d_backprop, T=FLOATS, padding=["SAME", "VALID"], stride=[1, 2], dilation=[1, 2],
             format=FORMATS, filter=FILTER, Tshape=[np.int32, np.int64], where=lambda p: p.stride == 1 or p.dilation == 1)

    grid.add("FusedConv2DBiasActivation", fused_conv_bias_activation, T=[np.float32, np.float16], padding=["SAME", "VALID"], stride=[1, 2],
             scales=[(1, 0), (2, 0), (1, 1), (0.5, 2)], activation=["None", "Relu"], filter_format=["HWIO", "OIHW"], format=FORMATS)

    pads = ["SAME", "VALID", [0, 0, 1, 1, 0, 2, 0, 0]]
    for op in ("MaxPool", "AvgPool"):
        grid.add(op, pool, T=NUMBERS, padding=pads if op == "MaxPool" else pads[:2], window=[(2, 2), (3, 3), (1, 4)],
                 stride=[1, 2, 3], shape=[(2, 9, 10, 3), (0, 9, 10, 3)], format=FORMATS, limit=200,
                 where=lambda p: isinstance(p.padding, str) or p.window == (3, 3))
    grid.add("MaxPool", lambda p: node("MaxPool", p.fill((2, 4, 4, 6)), ksize=[1, 1, 1, 2], strides=[1, 1, 1, 2], padding="VALID"),
             T=NUMBERS, window=["channels"])
    # Pooling of images passes NaN over, that of volumes does not.
    def pool_of_nan(p):
        x = p.fill((1, 4, 6, 9))
        x[0, :2, 2], x[0, 2:], x[0, 1, 5] = np.nan, np.nan, -np.inf
        return node("MaxPool", x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID")

    grid.add("MaxPool", pool_of_nan, T=FLOATS, values=["NaN"])
    grid.add("MaxPoolV2", lambda p: node("MaxPoolV2", p.fill((2, 9, 10, 3)), const([1, *p.window, 1], np.int32), const([1, p.stride, p.stride, 1], np.int32),
                                         padding=p.padding), T=NUMBERS, padding=["SAME", "VALID"], window=[(2, 2), (1, 4)], stride=[1, 2])
    # Whether a padding is empty is known only with the sizes.
    def pool_with_argmax(p):
        n = node("MaxPoolWithArgmax", p.fill((2, 6, 8, 3)), ksize=[1, *p.window, 1], strides=[1, p.stride, p.stride, 1], padding=p.padding,
                 Targmax=p.index, include_batch_in_index=p.batch)
        return Case(n, shapes=(STATIC,) if p.padding == "SAME" else (STATIC, UNKNOWN))

    grid.add("MaxPoolWithArgmax", pool_with_argmax, T=NUMBERS, window=[(2, 2), (3, 2), (1, 1)], stride=[1, 2, 3], padding=["VALID", "SAME"],
             index=[np.int32, np.int64], batch=[False, True])
    for op in ("MaxPool3D", "AvgPool3D"):
        grid.add(op, pool, T=NUMBERS, padding=["SAME", "VALID"], window=[(2, 2, 2), (1, 3, 2), (3, 1, 1)],
                 stride=[1, 2], shape=[(2, 5, 6, 7, 3), (1, 4, 4, 4, 9)], format=FORMATS)
