#!/usr/bin/env python3
"""networks.py FOLDER [NAME...]: frozen graphs of well-known image classifiers with random weights,
for timings where no trained model is at hand. Needs numpy alone: a GraphDef is written as its bytes.

Weights come from a seed, so that a name is the same graph everywhere; their scale keeps values near
one through all layers. Batch normalisation is folded. Names: resnet50 (version 1.5), mobilenet_v2
(width 1.4), vgg16."""

import pathlib
import sys

import numpy as np

# DataType of TensorFlow's types.proto, and the wire types of protocol buffers.
FLOAT, INT32 = 1, 3
VARINT, BYTES = 0, 2


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3 | VARINT) + varint(content)
    if isinstance(content, str):
        content = content.encode()
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def shape_proto(dims):
    return b"".join(field(2, field(1, int(d))) for d in dims)


# AttrValue of attr_value.proto.
def text(value):
    return field(2, value)


def flag(value):
    return field(5, int(value))


def dtype(value):
    return field(6, value)


def integers(values):
    return field(1, field(3, b"".join(varint(v) for v in values)))


def tensor(array):
    kind = INT32 if array.dtype == np.int32 else FLOAT
    proto = field(1, kind) + field(2, shape_proto(array.shape)) + field(4, array.tobytes())
    return field(8, proto)


class Graph:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.parts = []

    def node(self, op, name, inputs, **attributes):
        proto = field(1, name) + field(2, op)
        proto += b"".join(field(3, i) for i in inputs)
        for key, value in sorted(attributes.items()):
            proto += field(5, field(1, key) + field(2, value))
        self.parts.append(field(1, proto))
        return name

    def constant(self, name, array):
        kind = INT32 if array.dtype == np.int32 else FLOAT
        return self.node("Const", name, [], dtype=dtype(kind), value=tensor(array))

    def weights(self, name, shape, fan_in, gain=2.0):
        scale = np.float32(np.sqrt(gain / fan_in))
        return self.constant(name, self.random.standard_normal(shape, np.float32) * scale)

    def image(self):
        kind = {"dtype": dtype(FLOAT), "shape": field(7, shape_proto([-1, 224, 224, 3]))}
        return self.node("Placeholder", "image", [], **kind)

    def biased(self, x, name, channels, activation):
        values = self.random.standard_normal(channels, np.float32) * 0.1
        bias = self.constant(f"{name}/bias", values)
        x = self.node("BiasAdd", f"{name}/add", [x, bias], T=dtype(FLOAT))
        return self.node(activation, name, [x], T=dtype(FLOAT)) if activation else x

    def conv(self, x, name, size, channels, out, stride=1, activation="Relu", gain=2.0):
        w = self.weights(f"{name}/w", (size, size, channels, out), size * size * channels, gain)
        steps = integers([1, stride, stride, 1])
        x = self.node(
            "Conv2D", f"{name}/conv", [x, w], T=dtype(FLOAT), strides=steps, padding=text("SAME")
        )
        return self.biased(x, name, out, activation)

    def depthwise(self, x, name, channels, stride):
        w = self.weights(f"{name}/w", (3, 3, channels, 1), 9)
        kinds = {"T": dtype(FLOAT), "strides": integers([1, stride, stride, 1])}
        op = "DepthwiseConv2dNative"
        x = self.node(op, f"{name}/conv", [x, w], padding=text("SAME"), **kinds)
        return self.biased(x, name, channels, "Relu6")

    def pool(self, x, name, size):
        attributes = {"ksize": integers([1, size, size, 1]), "strides": integers([1, 2, 2, 1])}
        return self.node("MaxPool", name, [x], T=dtype(FLOAT), padding=text("SAME"), **attributes)

    def add(self, x, y, name):
        return self.node("AddV2", name, [x, y], T=dtype(FLOAT))

    def relu(self, x, name):
        return self.node("Relu", name, [x], T=dtype(FLOAT))

    def mean(self, x):
        axes = self.constant("axes", np.array([1, 2], np.int32))
        kinds = {"T": dtype(FLOAT), "Tidx": dtype(INT32)}
        return self.node("Mean", "mean", [x, axes], keep_dims=flag(False), **kinds)

    def flatten(self, x, size):
        shape = self.constant("flat/shape", np.array([-1, size], np.int32))
        return self.node("Reshape", "flat", [x, shape], T=dtype(FLOAT), Tshape=dtype(INT32))

    def dense(self, x, name, size, out, activation="Relu"):
        w = self.weights(f"{name}/w", (size, out), size)
        x = self.node("MatMul", f"{name}/product", [x, w], T=dtype(FLOAT))
        return self.biased(x, name, out, activation)

    def softmax(self, x):
        return self.node("Softmax", "probabilities", [x], T=dtype(FLOAT))

    def write(self, path):
        path.write_bytes(b"".join(self.parts))


def resnet50():
    g = Graph(50)
    x = g.pool(g.conv(g.image(), "stem", 7, 3, 64, stride=2), "pool", 3)
    channels = 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        width = 64 << stage
        for block in range(blocks):
            name = f"stage{stage}/block{block}"
            stride = 2 if block == 0 and stage > 0 else 1
            y = g.conv(x, f"{name}/a", 1, channels, width)
            y = g.conv(y, f"{name}/b", 3, width, width, stride=stride)
            y = g.conv(y, f"{name}/c", 1, width, 4 * width, activation=None, gain=0.5)
            if block == 0:
                x = g.conv(x, f"{name}/d", 1, channels, 4 * width, stride=stride, activation=None)
            channels = 4 * width
            x = g.relu(g.add(y, x, f"{name}/sum"), name)
    g.softmax(g.dense(g.mean(x), "logits", channels, 1000, activation=None))
    return g


def mobilenet_v2():
    g = Graph(2)
    x = g.conv(g.image(), "stem", 3, 3, 48, stride=2, activation="Relu6")
    channels = 48
    rows = [(1, 24, 1, 1), (6, 32, 2, 2), (6, 48, 3, 2), (6, 88, 4, 2), (6, 136, 3, 1)]
    for row, (times, out, blocks, stride) in enumerate(rows + [(6, 224, 3, 2), (6, 448, 1, 1)]):
        for block in range(blocks):
            name = f"row{row}/block{block}"
            y, inner = x, channels * times
            if times > 1:
                y = g.conv(y, f"{name}/expand", 1, channels, inner, activation="Relu6")
            y = g.depthwise(y, f"{name}/depthwise", inner, stride if block == 0 else 1)
            y = g.conv(y, f"{name}/project", 1, inner, out, activation=None, gain=1.0)
            x = g.add(y, x, f"{name}/sum") if block > 0 else y
            channels = out
    x = g.mean(g.conv(x, "head", 1, channels, 1792, activation="Relu6"))
    g.softmax(g.dense(x, "logits", 1792, 1001, activation=None))
    return g


def vgg16():
    g = Graph(16)
    x, channels = g.image(), 3
    for block, (layers, out) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]):
        for layer in range(layers):
            x = g.conv(x, f"block{block}/conv{layer}", 3, channels, out)
            channels = out
        x = g.pool(x, f"block{block}/pool", 2)
    x = g.dense(g.flatten(x, 25088), "dense0", 25088, 4096)
    x = g.dense(x, "dense1", 4096, 4096)
    g.softmax(g.dense(x, "logits", 4096, 1000, activation=None))
    return g


NETWORKS = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2, "vgg16": vgg16}


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or NETWORKS:
        NETWORKS[name]().write(folder / f"{name}.pb")


if __name__ == "__main__":
    main()
