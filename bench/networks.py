#!/usr/bin/env python3
"""networks.py FOLDER [NAME...]: frozen graphs of well-known image classifiers with random weights,
for timings where no trained model is at hand. Needs numpy alone: a GraphDef is written as its bytes.

Weights come from a seed, so that a name is the same graph everywhere; their scale keeps values near
one through all layers. Batch normalisation is folded. Names: resnet50 (version 1.5), mobilenet_v2
(width 1.4), vgg16, inception_v3, nasnet_mobile. Images are of 224 x 224 pixels, inception_v3's of
299 x 299 (`networks.py --size NAME` prints it)."""

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

    def image(self, size=224):
        kind = {"dtype": dtype(FLOAT), "shape": field(7, shape_proto([-1, size, size, 3]))}
        return self.node("Placeholder", "image", [], **kind)

    def biased(self, x, name, channels, activation):
        values = self.random.standard_normal(channels, np.float32) * 0.1
        bias = self.constant(f"{name}/bias", values)
        x = self.node("BiasAdd", f"{name}/add", [x, bias], T=dtype(FLOAT))
        return self.node(activation, name, [x], T=dtype(FLOAT)) if activation else x

    def conv(
        self, x, name, size, channels, out, stride=1, activation="Relu", gain=2.0, padding="SAME"
    ):
        height, width = (size, size) if isinstance(size, int) else size
        shape = (height, width, channels, out)
        w = self.weights(f"{name}/w", shape, height * width * channels, gain)
        steps = integers([1, stride, stride, 1])
        x = self.node(
            "Conv2D", f"{name}/conv", [x, w], T=dtype(FLOAT), strides=steps, padding=text(padding)
        )
        return self.biased(x, name, out, activation)

    def depthwise_product(self, x, name, size, channels, stride, gain=2.0):
        w = self.weights(f"{name}/w", (size, size, channels, 1), size * size, gain)
        kinds = {"T": dtype(FLOAT), "strides": integers([1, stride, stride, 1])}
        op = "DepthwiseConv2dNative"
        return self.node(op, f"{name}/conv", [x, w], padding=text("SAME"), **kinds)

    def depthwise(self, x, name, channels, stride):
        x = self.depthwise_product(x, name, 3, channels, stride)
        return self.biased(x, name, channels, "Relu6")

    def pool(self, x, name, size, stride=2, kind="MaxPool", padding="SAME"):
        kinds = {"ksize": integers([1, size, size, 1])}
        kinds["strides"] = integers([1, stride, stride, 1])
        return self.node(kind, name, [x], T=dtype(FLOAT), padding=text(padding), **kinds)

    def concat(self, parts, name):
        axis = self.constant(f"{name}/axis", np.array(3, np.int32))
        kinds = {"N": field(3, len(parts)), "T": dtype(FLOAT), "Tidx": dtype(INT32)}
        return self.node("ConcatV2", name, [*parts, axis], **kinds)

    def shifted(self, x, name):
        """Each pixel is the one below and to the right of it, past the edges zero."""
        borders = self.constant(
            f"{name}/borders", np.array([[0, 0], [0, 1], [0, 1], [0, 0]], np.int32)
        )
        kinds = {"T": dtype(FLOAT), "Tpaddings": dtype(INT32)}
        x = self.node("Pad", f"{name}/pad", [x, borders], **kinds)
        begin = self.constant(f"{name}/begin", np.array([0, 1, 1, 0], np.int32))
        size = self.constant(f"{name}/size", np.array([-1, -1, -1, -1], np.int32))
        return self.node("Slice", name, [x, begin, size], T=dtype(FLOAT), Index=dtype(INT32))

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


def inception_v3():
    g = Graph(3)
    x = g.conv(g.image(299), "stem0", 3, 3, 32, stride=2, padding="VALID")
    x = g.conv(x, "stem1", 3, 32, 32, padding="VALID")
    x = g.pool(g.conv(x, "stem2", 3, 32, 64), "pool0", 3, padding="VALID")
    x = g.conv(g.conv(x, "stem3", 1, 64, 80), "stem4", 3, 80, 192, padding="VALID")
    x = g.pool(x, "pool1", 3, padding="VALID")

    def chain(x, name, channels, layers):
        for i, (size, out, *stride) in enumerate(layers):
            kinds = {"stride": 2, "padding": "VALID"} if stride else {}
            x = g.conv(x, f"{name}{i}", size, channels, out, **kinds)
            channels = out
        return x

    channels = 192
    for block, pooled in enumerate([32, 64, 64]):
        name = f"a{block}"
        average = g.pool(x, f"{name}/pool", 3, 1, "AvgPool")
        parts = [
            chain(x, f"{name}/one", channels, [(1, 64)]),
            chain(x, f"{name}/five", channels, [(1, 48), (5, 64)]),
            chain(x, f"{name}/three", channels, [(1, 64), (3, 96), (3, 96)]),
            chain(average, f"{name}/pooled", channels, [(1, pooled)]),
        ]
        x, channels = g.concat(parts, name), 224 + pooled
    parts = [
        chain(x, "b/one", channels, [(3, 384, 2)]),
        chain(x, "b/two", channels, [(1, 64), (3, 96), (3, 96, 2)]),
        g.pool(x, "b/pool", 3, padding="VALID"),
    ]
    x, channels = g.concat(parts, "b"), 768
    line, column = (1, 7), (7, 1)
    for block, inner in enumerate([128, 160, 160, 192]):
        name = f"c{block}"
        average = g.pool(x, f"{name}/pool", 3, 1, "AvgPool")
        twice = [(1, inner), (column, inner), (line, inner), (column, inner), (line, 192)]
        parts = [
            chain(x, f"{name}/one", channels, [(1, 192)]),
            chain(x, f"{name}/seven", channels, [(1, inner), (line, inner), (column, 192)]),
            chain(x, f"{name}/twice", channels, twice),
            chain(average, f"{name}/pooled", channels, [(1, 192)]),
        ]
        x = g.concat(parts, name)
    parts = [
        chain(x, "d/three", channels, [(1, 192), (3, 320, 2)]),
        chain(x, "d/seven", channels, [(1, 192), (line, 192), (column, 192), (3, 192, 2)]),
        g.pool(x, "d/pool", 3, padding="VALID"),
    ]
    x, channels = g.concat(parts, "d"), 1280
    for block in range(2):
        name = f"e{block}"
        average = g.pool(x, f"{name}/pool", 3, 1, "AvgPool")
        three = chain(x, f"{name}/three", channels, [(1, 384)])
        twice = chain(x, f"{name}/twice", channels, [(1, 448), (3, 384)])
        parts = [chain(x, f"{name}/one", channels, [(1, 320)])]
        for branch, y in [("three", three), ("twice", twice)]:
            for size in [(1, 3), (3, 1)]:
                parts.append(chain(y, f"{name}/{branch}/{size[0]}", 384, [(size, 384)]))
        parts.append(chain(average, f"{name}/pooled", channels, [(1, 192)]))
        x, channels = g.concat(parts, name), 2048
    g.softmax(g.dense(g.mean(x), "logits", channels, 1000, activation=None))
    return g


def nasnet_mobile():
    g = Graph(7)

    # A value is its name, its pixels along an axis, and its channels.
    def conv(x, name, filters):
        y = g.relu(x[0], f"{name}/relu")
        y = g.conv(y, name, 1, x[2], filters, activation=None, gain=1.0)
        return (y, x[1], filters)

    def separable(x, name, filters, size, stride=1):
        for half in "ab":
            y = g.relu(x[0], f"{name}/{half}/relu")
            y = g.depthwise_product(y, f"{name}/{half}/depthwise", size, x[2], stride, gain=1.0)
            y = g.conv(y, f"{name}/{half}", 1, x[2], filters, activation=None, gain=1.0)
            x, stride = (y, (x[1] + stride - 1) // stride, filters), 1
        return x

    def pool(x, name, kind, stride):
        y = g.pool(x[0], name, 3, stride, kind)
        return (y, (x[1] + stride - 1) // stride, x[2])

    def add(x, y, name):
        return (g.add(x[0], y[0], name), x[1], x[2])

    def concat(parts, name):
        y = g.concat([part[0] for part in parts], name)
        return (y, parts[0][1], sum(part[2] for part in parts))

    def adjust(p, x, name, filters):
        if p[1] == x[1]:
            return p if p[2] == filters else conv(p, name, filters)
        y = g.relu(p[0], f"{name}/relu")
        halves = []
        for half, source in enumerate([y, g.shifted(y, f"{name}/shifted")]):
            z = g.pool(source, f"{name}/pool{half}", 1, 2, "AvgPool", "VALID")
            z = g.conv(z, f"{name}/half{half}", 1, p[2], filters // 2, activation=None)
            halves.append((z, x[1], filters // 2))
        return concat(halves, name)

    def normal(x, p, name, filters):
        p = adjust(p, x, f"{name}/p", filters)
        h = conv(x, f"{name}/h", filters)
        parts = [
            p,
            add(
                separable(h, f"{name}/1l", filters, 5),
                separable(p, f"{name}/1r", filters, 3),
                f"{name}/1",
            ),
            add(
                separable(p, f"{name}/2l", filters, 5),
                separable(p, f"{name}/2r", filters, 3),
                f"{name}/2",
            ),
            add(pool(h, f"{name}/3l", "AvgPool", 1), p, f"{name}/3"),
            add(
                pool(p, f"{name}/4l", "AvgPool", 1),
                pool(p, f"{name}/4r", "AvgPool", 1),
                f"{name}/4",
            ),
            add(separable(h, f"{name}/5l", filters, 3), h, f"{name}/5"),
        ]
        return concat(parts, name), x

    def reduction(x, p, name, filters):
        p = adjust(p, x, f"{name}/p", filters) if p else x
        h = conv(x, f"{name}/h", filters)
        largest = pool(h, f"{name}/max", "MaxPool", 2)
        one = add(
            separable(h, f"{name}/1l", filters, 5, 2),
            separable(p, f"{name}/1r", filters, 7, 2),
            f"{name}/1",
        )
        two = add(largest, separable(p, f"{name}/2r", filters, 7, 2), f"{name}/2")
        three = add(
            pool(h, f"{name}/3l", "AvgPool", 2),
            separable(p, f"{name}/3r", filters, 5, 2),
            f"{name}/3",
        )
        four = add(two, pool(one, f"{name}/4l", "AvgPool", 1), f"{name}/4")
        five = add(separable(one, f"{name}/5l", filters, 3), largest, f"{name}/5")
        return concat([two, three, four, five], name), x

    stem = g.conv(g.image(), "stem", 3, 3, 32, stride=2, activation=None, padding="VALID")
    filters = 44
    x, p = reduction((stem, 111, 32), None, "stem1", filters // 4)
    x, p = reduction(x, p, "stem2", filters // 2)
    for stage in range(3):
        if stage > 0:
            x, p = reduction(x, p, f"reduce{stage}", filters << stage)
        for block in range(4):
            x, p = normal(x, p, f"stage{stage}/block{block}", filters << stage)
    y = g.mean(g.relu(x[0], "last"))
    g.softmax(g.dense(y, "logits", x[2], 1000, activation=None))
    return g


NETWORKS = {
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "vgg16": vgg16,
    "inception_v3": inception_v3,
    "nasnet_mobile": nasnet_mobile,
}


def main():
    if sys.argv[1] == "--size":
        print(299 if sys.argv[2] == "inception_v3" else 224)
        return
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or NETWORKS:
        NETWORKS[name]().write(folder / f"{name}.pb")


if __name__ == "__main__":
    main()
