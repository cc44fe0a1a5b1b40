"""What the importer is tried on: ALL, a list of harness.Case."""

import itertools

import numpy as np
import tensorflow as tf

from harness import BATCH, RANKS, STATIC, Case

raw = tf.raw_ops
rng = np.random.default_rng(7)
ALL = []


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def integers(*shape, low=-9, high=10, dtype=np.int32):
    return rng.integers(low, high, shape).astype(dtype)


def add(op, inputs, build, **options):
    ALL.append(Case(op, inputs, build, **options))


def channels_first(x):
    """An oracle's tensor; TensorFlow's CPU kernels know NHWC alone."""
    axes = list(range(x.shape.rank))
    return tf.transpose(x, [0, axes[-1], *axes[1:-1]])


def channels_last(x):
    axes = list(range(x.shape.rank))
    return tf.transpose(x, [0, *axes[2:], 1])


def to_first(array):
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


# ---- convolutions


def conv_2d():
    for padding, stride, dilation, kernel in itertools.product(
        ["SAME", "VALID", [[0, 0], [1, 2], [0, 3], [0, 0]]], [1, 2, 3], [1, 2], [(1, 1), (3, 3), (2, 5)]
    ):
        if stride > 1 and dilation > 1:
            continue
        w = normal(*kernel, 3, 4)
        x = normal(2, 11, 12, 3)

        def build(x, w=w, s=stride, p=padding, d=dilation):
            return tf.nn.conv2d(x, w, s, p, dilations=d)

        add("Conv2D", [x], build)

        def build_first(x, w=w, s=stride, p=padding, d=dilation):
            p = p if isinstance(p, str) else [p[0], p[3], p[1], p[2]]
            return tf.nn.conv2d(x, w, s, p, "NCHW", d)

        if kernel == (3, 3):
            add(
                "Conv2D",
                [to_first(x)],
                build_first,
                oracle=lambda x, b=build: channels_first(b(channels_last(x))),
            )
    w = normal(3, 3, 3, 4)
    add("Conv2D", [normal(1, 8, 8, 6)], lambda x: tf.nn.conv2d(x, w, 1, "SAME"), shapes=(STATIC, BATCH))
    add(
        "Conv2D",
        [normal(1, 8, 8, 3), w],
        lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"),
        shapes=(RANKS,),
    )


def conv_3d():
    for padding, stride in itertools.product(["SAME", "VALID"], [1, 2]):
        w = normal(2, 3, 3, 3, 4)
        x = normal(2, 5, 7, 6, 3)

        def build(x, w=w, s=stride, p=padding):
            return tf.nn.conv3d(x, w, [1, s, s, s, 1], p)

        add("Conv3D", [x], build)
        add(
            "Conv3D",
            [to_first(x)],
            lambda x, w=w, s=stride, p=padding: tf.nn.conv3d(x, w, [1, 1, s, s, s], p, "NCDHW"),
            oracle=lambda x, b=build: channels_first(b(channels_last(x))),
        )
        y = build(tf.constant(x)).numpy()
        add(
            "Conv3DBackpropInputV2",
            [y],
            lambda y, w=w, s=stride, p=padding: raw.Conv3DBackpropInputV2(
                input_sizes=[2, 5, 7, 6, 3], filter=w, out_backprop=y, strides=[1, s, s, s, 1], padding=p
            ),
            shapes=(STATIC, RANKS),
        )


def depthwise_conv():
    for padding, stride, dilation, multiplier in itertools.product(
        ["SAME", "VALID", [[0, 0], [2, 1], [0, 1], [0, 0]]], [1, 2], [1, 2], [1, 3]
    ):
        if stride > 1 and dilation > 1:
            continue
        w = normal(3, 3, 5, multiplier)
        x = normal(2, 9, 10, 5)

        def build(x, w=w, s=stride, p=padding, d=dilation):
            p, explicit = (p, []) if isinstance(p, str) else ("EXPLICIT", sum(p, []))
            return raw.DepthwiseConv2dNative(
                input=x, filter=w, strides=[1, s, s, 1], padding=p, explicit_paddings=explicit, dilations=[1, d, d, 1]
            )

        def oracle(x, w=w, s=stride, p=padding, d=dilation):
            # Dilation in a formula that the CPU kernel knows.
            return tf.nn.depthwise_conv2d(x, w, [1, s, s, 1], p, dilations=[d, d])

        add("DepthwiseConv2dNative", [x], build, oracle=oracle)
    w = normal(3, 3, 5, 2)
    add(
        "DepthwiseConv2dNative",
        [normal(2, 5, 9, 9)],
        lambda x: tf.nn.depthwise_conv2d(x, w, [1, 1, 2, 2], "SAME", data_format="NCHW"),
        oracle=lambda x: channels_first(tf.nn.depthwise_conv2d(channels_last(x), w, [1, 2, 2, 1], "SAME")),
    )


def conv_backprop():
    for padding, stride, size in itertools.product(
        ["SAME", "VALID", [[0, 0], [1, 0], [1, 2], [0, 0]]], [1, 2, 3], [(9, 10), (8, 7)]
    ):
        w = normal(3, 3, 4, 5)
        forward = tf.nn.conv2d(normal(2, *size, 4), w, stride, padding)
        y = normal(*forward.shape)

        def build(y, w=w, s=stride, p=padding, size=size):
            return tf.nn.conv2d_transpose(y, w, [2, *size, 4], s, p)

        add("Conv2DBackpropInput", [y], build, shapes=(STATIC, RANKS))

        # Keras takes the batch from the input's shape.
        def build_dynamic(y, w=w, s=stride, p=padding, size=size):
            return tf.nn.conv2d_transpose(y, w, tf.stack([tf.shape(y)[0], *size, 4]), s, p)

        add("Conv2DBackpropInput", [y], build_dynamic)
    w = normal(3, 3, 4, 5)
    add(
        "Conv2DBackpropInput",
        [normal(2, 5, 4, 4)],
        lambda y: tf.nn.conv2d_transpose(y, w, [2, 4, 8, 8], 2, "SAME", "NCHW"),
        oracle=lambda y: channels_first(tf.nn.conv2d_transpose(channels_last(y), w, [2, 8, 8, 4], 2, "SAME")),
    )


def pooling():
    for op, padding, window, stride in itertools.product(
        ["MaxPool", "AvgPool"], ["SAME", "VALID"], [(2, 2), (3, 3), (1, 4)], [1, 2, 3]
    ):
        x = normal(2, 9, 10, 3)

        def build(x, op=op, k=window, s=stride, p=padding):
            argument = {"input": x} if op == "MaxPool" else {"value": x}
            return getattr(raw, op)(**argument, ksize=[1, *k, 1], strides=[1, s, s, 1], padding=p)

        def build_first(x, op=op, k=window, s=stride, p=padding):
            argument = {"input": x} if op == "MaxPool" else {"value": x}
            return getattr(raw, op)(**argument, ksize=[1, 1, *k], strides=[1, 1, s, s], padding=p, data_format="NCHW")
        add(op, [x], build)
        if stride == 2:
            add(
                op,
                [to_first(x)],
                build_first,
                oracle=lambda x, b=build: channels_first(b(channels_last(x))),
            )
    for stride in (1, 2):
        add(
            "MaxPool",
            [normal(2, 9, 10, 3)],
            lambda x, s=stride: tf.nn.max_pool2d(x, 3, s, [[0, 0], [1, 1], [0, 2], [0, 0]]),
        )
    for padding, window, stride in itertools.product(["SAME", "VALID"], [(2, 2), (3, 1)], [1, 2]):
        add(
            "MaxPoolV2",
            [normal(2, 9, 10, 3)],
            lambda x, k=window, s=stride, p=padding: raw.MaxPoolV2(input=x, ksize=[1, *k, 1], strides=[1, s, s, 1], padding=p),
        )
    for op, padding in itertools.product(["MaxPool3D", "AvgPool3D"], ["SAME", "VALID"]):
        add(
            op,
            [normal(2, 5, 6, 7, 3)],
            lambda x, op=op, p=padding: getattr(raw, op)(
                input=x, ksize=[1, 2, 3, 3, 1], strides=[1, 2, 2, 1, 1], padding=p
            ),
        )
    add(
        "MaxPool",
        [normal(2, 8, 8, 4)],
        lambda x: raw.MaxPool(input=x, ksize=[1, 1, 1, 2], strides=[1, 1, 1, 2], padding="VALID"),
        shapes=(STATIC, BATCH),
    )
    add(
        "AvgPool",
        [normal(2, 8, 8, 4)],
        lambda x: raw.AvgPool(value=x, ksize=[1, 1, 1, 2], strides=[1, 1, 1, 2], padding="VALID"),
        oracle=lambda x: x,
        refused="ksize [1,1,1,2]: channel ksize must be 1",
    )


# ---- element-wise


def unary():
    everywhere = """Abs Atan Asinh Cos Cosh Elu Erf Erfc Exp Expm1 Floor Ceil IsFinite IsInf IsNan Neg Relu Relu6 Rint Round
        Selu Sigmoid Sign Sin Sinh Softplus Softsign Square Tan Tanh""".split()
    positive = "Log Log1p Rsqrt Sqrt Reciprocal Inv".split()
    inside = "Acos Asin Atanh".split()
    argument = {
        **dict.fromkeys("Elu Relu Relu6 Selu Softplus Softsign".split(), "features"),
    }
    for names, values in (
        (everywhere, lambda *s: normal(*s) * 3),
        (positive, lambda *s: np.abs(normal(*s)) + 0.1),
        (inside, lambda *s: np.tanh(normal(*s))),
        (["Acosh"], lambda *s: 1 + np.abs(normal(*s))),
    ):
        for name in names:
            for shape in [(4, 5), (2, 3, 4, 5), ()]:
                x = np.asarray(values(*shape), np.float32)
                add(
                    name,
                    [x],
                    lambda x, n=name: getattr(raw, n)(**{argument.get(n, "x"): x}),
                    shapes=(STATIC, RANKS),
                )
    for name in "Abs Neg Sign Square".split():
        add(name, [integers(3, 4)], lambda x, n=name: getattr(raw, n)(x=x))
    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1], np.float32)
    for name in "Relu Relu6 Elu IsNan IsInf IsFinite Sign Sigmoid Tanh".split():
        add(name, [special], lambda x, n=name: getattr(raw, n)(**{argument.get(n, "x"): x}))
    for alpha in (0.0, 0.1, 0.2, 1.5):
        add("LeakyRelu", [normal(3, 4)], lambda x, a=alpha: raw.LeakyRelu(features=x, alpha=a))
    add("LogicalNot", [integers(5, low=0, high=2).astype(bool)], lambda x: tf.logical_not(x))
    add("Invert", [integers(5)], lambda x: raw.Invert(x=x))


def binary():
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((0, 3), (1, 3))]
    for name in """Add AddV2 Sub Mul Div RealDiv DivNoNan FloorDiv FloorMod Mod Minimum Maximum SquaredDifference Atan2 Xdivy
        Greater GreaterEqual Less LessEqual Equal NotEqual""".split():
        for a, b in shapes:
            x, y = normal(*a) * 5, normal(*b)
            add(name, [np.asarray(x), np.asarray(y, np.float32)], lambda x, y, n=name: getattr(raw, n)(x=x, y=y))
    for name in """AddV2 Sub Mul FloorDiv FloorMod Div TruncateDiv TruncateMod Minimum Maximum Greater Less Equal NotEqual
        BitwiseAnd BitwiseOr BitwiseXor SquaredDifference""".split():
        for dtype in (np.int32, np.int64):
            x, y = integers(4, 5, dtype=dtype), integers(5, low=1, dtype=dtype)
            add(name, [x, y], lambda x, y, n=name: getattr(raw, n)(x=x, y=y))
            add(name, [x, -y], lambda x, y, n=name: getattr(raw, n)(x=x, y=y))
    for name in ("LogicalAnd", "LogicalOr"):
        x, y = (integers(4, 5, low=0, high=2).astype(bool) for _ in range(2))
        add(name, [x, y], lambda x, y, n=name: getattr(raw, n)(x=x, y=y))
    add("Pow", [np.abs(normal(3, 4)), normal(4)], lambda x, y: tf.pow(x, y))
    add("Pow", [normal(3, 4), np.float32(2)], lambda x, y: tf.pow(x, y))
    add("Pow", [integers(3, 4), integers(4, low=0, high=4)], lambda x, y: tf.pow(x, y))
    add("Xlogy", [normal(3, 4), np.abs(normal(4)) + 0.1], lambda x, y: raw.Xlogy(x=x, y=y))
    add("DivNoNan", [normal(6), np.array([0, 1, 0, 2, 0, 3], np.float32)], lambda x, y: raw.DivNoNan(x=x, y=y))
    for count in (1, 2, 5):
        add("AddN", [normal(3, 4) for _ in range(count)], lambda *x: raw.AddN(inputs=list(x)))
    add("ClipByValue", [normal(3, 4)], lambda x: raw.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.7))
    add("ClipByValue", [normal(3, 4), np.float32(-0.1), np.float32(0.2)], lambda x, a, b: raw.ClipByValue(t=x, clip_value_min=a, clip_value_max=b))
    add("ClipByValue", [integers(3, 4)], lambda x: raw.ClipByValue(t=x, clip_value_min=-3, clip_value_max=4))
    for a, b in [((3, 4), (3, 4)), ((3,), (3, 4)), ((), (3, 4))]:
        condition = np.asarray(integers(*a, low=0, high=2)).astype(bool)
        add("Select", [condition, normal(*b), normal(*b)], lambda c, x, y: raw.Select(condition=c, x=x, y=y))
    for a, b, c in [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), (1, 4)), ((), (2, 3), ())]:
        condition = np.asarray(integers(*a, low=0, high=2)).astype(bool)
        add("SelectV2", [condition, np.asarray(normal(*b), np.float32), np.asarray(normal(*c), np.float32)], lambda c, x, y: raw.SelectV2(condition=c, t=x, e=y))


def casts():
    values = {
        np.float32: np.array([0, 1.5, -2.5, 7.9, 100.2], np.float32),
        np.int32: np.array([0, 1, -2, 7, 100], np.int32),
        np.int64: np.array([0, 1, -2, 7, 100], np.int64),
        np.uint8: np.array([0, 1, 2, 7, 200], np.uint8),
        np.bool_: np.array([True, False, True]),
    }
    for source, target in itertools.permutations(values, 2):
        x = values[source]
        if np.dtype(target).kind == "u":
            x = np.abs(x)
        add("Cast", [x], lambda x, t=target: raw.Cast(x=x, DstT=t))


# ---- channels


def normalization():
    c = 5
    scale, offset, mean = normal(c), normal(c), normal(c)
    variance = np.abs(normal(c)) + 0.1
    for op in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
        for epsilon in (1e-3, 1e-5):

            def build(x, op=op, epsilon=epsilon, form="NHWC"):
                return getattr(raw, op)(
                    x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=epsilon,
                    is_training=False, data_format=form,
                ).y

            add(op, [normal(2, 4, 3, c)], build)
            add(
                op,
                [normal(2, c, 4, 3)],
                lambda x, b=build: b(x, form="NCHW"),
                oracle=lambda x, b=build: channels_first(b(channels_last(x))),
            )
    add(
        "FusedBatchNormV3",
        [normal(2, 4, 3, c), scale, offset, mean, variance],
        lambda x, s, o, m, v: raw.FusedBatchNormV3(x=x, scale=s, offset=o, mean=m, variance=v, is_training=False).y,
    )
    add(
        "FusedBatchNormV3",
        [normal(2, 4, 3, c)],
        lambda x: raw.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=[], variance=[], is_training=True).y,
    )
    add(
        "FusedBatchNormV3",
        [normal(2, 4, 3, c)],
        lambda x: raw.FusedBatchNormV3(
            x=x, scale=scale, offset=offset, mean=[], variance=[], is_training=True
        ).batch_mean,
        refused="only supports is_training=false",
    )
    for shape in [(3, c), (2, 3, c), (2, 3, 4, c), (2, 3, 4, 2, c)]:
        add("BiasAdd", [normal(*shape)], lambda x: tf.nn.bias_add(x, offset))
    for shape in [(2, c, 3), (2, c, 3, 4), (2, c, 3, 4, 2)]:
        add("BiasAdd", [normal(*shape)], lambda x: raw.BiasAdd(value=x, bias=offset, data_format="NCHW"))
    for shape in [(4,), (3, 7), (2, 3, 5), (2, 1, 3, 4)]:
        add("Softmax", [normal(*shape) * 5], lambda x: raw.Softmax(logits=x))
        add("LogSoftmax", [normal(*shape) * 5], lambda x: raw.LogSoftmax(logits=x))


def create(op, inputs, **attributes):
    """An op that only TensorFlow's own rewriter makes, of float."""
    attrs = {"T": tf.compat.v1.AttrValue(type=tf.float32.as_datatype_enum)}
    for key, value in attributes.items():
        attrs[key] = attr = tf.compat.v1.AttrValue()
        if isinstance(value, str):
            attr.s = value.encode()
        elif isinstance(value, float):
            attr.f = value
        elif isinstance(value, int):
            attr.i = value
        elif isinstance(value[0], str):
            attr.list.s.extend(v.encode() for v in value)
        elif isinstance(value[0], tf.DType):
            attr.list.type.extend(v.as_datatype_enum for v in value)
        else:
            attr.list.i.extend(value)
    graph = tf.compat.v1.get_default_graph()
    inputs = [tf.convert_to_tensor(x) for x in inputs]
    return graph._create_op_internal(op, inputs, [tf.float32], attrs=attrs, name="fused").outputs[0]


def fused():
    w, m, bias = normal(3, 3, 3, 4), normal(6, 4), normal(4)
    for activation in ["", "Relu", "Relu6", "Elu", "LeakyRelu"]:
        attributes = {
            "fused_ops": ["BiasAdd"] + ([activation] if activation else []),
            "num_args": 1,
            "leakyrelu_alpha": 0.3,
        }

        def reference(y, a=activation):
            y = tf.nn.bias_add(y, bias)
            if a == "LeakyRelu":
                return tf.nn.leaky_relu(y, 0.3)
            return getattr(tf.nn, a.lower())(y) if a else y

        add(
            "_FusedConv2D",
            [normal(1, 6, 5, 3)],
            lambda x, a=attributes: create(
                "_FusedConv2D", [x, w, bias], strides=[1, 1, 1, 1], padding="SAME", TArgs=[tf.float32], num_host_args=0, **a
            ),
            oracle=lambda x, r=reference: r(tf.nn.conv2d(x, w, 1, "SAME")),
        )
        add(
            "_FusedMatMul",
            [normal(3, 6)],
            lambda x, a=attributes: create("_FusedMatMul", [x, m, bias], **a),
            oracle=lambda x, r=reference: r(tf.matmul(x, m)),
        )


def quantization():
    x = normal(4, 6) * 3
    for (low, high), signed, narrow, bits in itertools.product(
        [(-2.0, 2.0), (-1.0, 3.0), (-4.0, 0.5), (0.0, 3.0)], [True, False], [True, False], [8, 4]
    ):
        if low < 0 and not signed:
            continue
        options = {"signed_input": signed, "range_given": True, "narrow_range": narrow}
        add(
            "QuantizeAndDequantizeV2",
            [x],
            lambda x, a=low, b=high, n=bits, o=options: raw.QuantizeAndDequantizeV2(
                input=x, input_min=a, input_max=b, num_bits=n, **o
            ),
        )
        add(
            "QuantizeAndDequantizeV3",
            [x],
            lambda x, a=low, b=high, n=bits, o=options: raw.QuantizeAndDequantizeV3(
                input=x, input_min=a, input_max=b, num_bits=n, **o
            ),
        )
    for mode, axis, given in itertools.product(["HALF_TO_EVEN", "HALF_UP"], [-1, 0, 1], [True, False]):
        low = -1.0 if axis < 0 else -1 - np.arange(x.shape[axis], dtype=np.float32)
        high = np.float32(1.5) if axis < 0 else 2 + np.arange(x.shape[axis], dtype=np.float32) / 3
        for op in ("QuantizeAndDequantizeV2", "QuantizeAndDequantizeV4"):
            if given and axis >= 0:  # TensorFlow's kernels take a vector of ranges in V3 alone
                continue
            add(
                op,
                [x],
                lambda x, op=op, m=mode, a=axis, g=given, l=low, h=high: getattr(raw, op)(
                    input=x, input_min=l, input_max=h, range_given=g, round_mode=m, axis=a
                ),
            )
        add(
            "QuantizeAndDequantizeV3",
            [x, np.asarray(low, np.float32), np.asarray(high, np.float32)],
            lambda x, l, h, a=axis, g=given: raw.QuantizeAndDequantizeV3(
                input=x, input_min=l, input_max=h, num_bits=8, range_given=g, axis=a
            ),
        )
    add(
        "QuantizeAndDequantizeV2",
        [np.zeros((3, 4), np.float32)],
        lambda x: raw.QuantizeAndDequantizeV2(input=x, input_min=0.0, input_max=0.0, range_given=False),
    )
    # Ties and both ends: what is rounded decides.
    y = (np.arange(-300, 300) / 64).astype(np.float32).reshape(100, 6)
    for (low, high), narrow, bits in itertools.product(
        [(-2.0, 2.0), (-1.0, 3.0), (0.0, 3.0), (-4.0, 0.0), (1.0, 2.0), (-6.0, 6.0)], [True, False], [8, 4, 16]
    ):
        options = {"num_bits": bits, "narrow_range": narrow}
        add("FakeQuantWithMinMaxArgs", [y], lambda x, a=low, b=high, o=options: raw.FakeQuantWithMinMaxArgs(inputs=x, min=a, max=b, **o))
        add("FakeQuantWithMinMaxVars", [y], lambda x, a=low, b=high, o=options: raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b, **o))
        lows, highs = (np.float32(v) * (1 + np.arange(6, dtype=np.float32) / 7) for v in (low, high))
        add(
            "FakeQuantWithMinMaxVarsPerChannel",
            [y],
            lambda x, a=lows, b=highs, o=options: raw.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=a, max=b, **o),
        )
    add("FakeQuantWithMinMaxVars", [y, np.float32(-1), np.float32(2)], lambda x, a, b: raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b))
    # Ranges of nothing, and what is no number. A reciprocal tells the signs of zeros apart.
    strange = np.array([-3, -1, -0.0, 0.0, 1, 3, np.nan, np.inf, -np.inf], np.float32)
    for low, high in [(0.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (-0.1, 0.1), (0.1, 6.0), (-6.0, -1.0)]:
        for signs in (False, True):
            if signs and (low, high) != (0.0, 0.0):
                continue
            last = tf.math.reciprocal if signs else tf.identity
            add("FakeQuantWithMinMaxVars", [strange], lambda x, a=low, b=high, l=last: l(raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b)))
            add(
                "FakeQuantWithMinMaxVars",
                [strange, np.float32(low), np.float32(high)],
                lambda x, a, b, l=last: l(raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b)),
            )
            for version, options in itertools.product(["2", "4"], [{}, {"round_mode": "HALF_UP"}, {"signed_input": False}]):
                if low > 0 and low == high:
                    continue
                add(
                    f"QuantizeAndDequantizeV{version}",
                    [strange],
                    lambda x, v=version, a=low, b=high, o=options, l=last: l(
                        getattr(raw, f"QuantizeAndDequantizeV{v}")(input=x, input_min=a, input_max=b, range_given=True, **o)
                    ),
                )
    add("FakeQuantWithMinMaxVars", [y], lambda x: raw.FakeQuantWithMinMaxVars(inputs=x, min=0.0, max=0.0))


# ---- products and reductions


def products():
    for ta, tb in itertools.product([False, True], repeat=2):
        a = normal(*((5, 3) if ta else (3, 5)))
        b = normal(*((4, 5) if tb else (5, 4)))
        add("MatMul", [a], lambda a, b=b, ta=ta, tb=tb: raw.MatMul(a=a, b=b, transpose_a=ta, transpose_b=tb))
        add("MatMul", [a, b], lambda a, b, ta=ta, tb=tb: raw.MatMul(a=a, b=b, transpose_a=ta, transpose_b=tb))
        for op, left, right in [
            ("BatchMatMul", (2, 3), (2, 3)),
            ("BatchMatMulV2", (2, 1), (3,)),
            ("BatchMatMulV2", (), (2, 2)),
            ("BatchMatMulV2", (2, 3), (2, 3)),
        ]:
            x, y = normal(*left, *a.shape), normal(*right, *b.shape)
            add(op, [x, y], lambda x, y, op=op, ta=ta, tb=tb: getattr(raw, op)(x=x, y=y, adj_x=ta, adj_y=tb))
    for equation, a, b in [
        ("ij,jk->ik", (3, 4), (4, 5)),
        ("ij,jk->ki", (3, 4), (4, 5)),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
        ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
        ("abc,cde->abde", (2, 3, 4), (4, 5, 6)),
        ("abcd,cde->abe", (2, 3, 4, 5), (4, 5, 6)),
        ("i,j->ij", (3,), (4,)),
        ("ij,ij->", (3, 4), (3, 4)),
        ("aecd,abcd->acbe", (2, 3, 4, 5), (2, 6, 4, 5)),
        ("ijk,j->ik", (2, 3, 4), (3,)),
        ("ij,kl->il", (3, 4), (5, 6)),
    ]:
        add("Einsum", [normal(*a), normal(*b)], lambda x, y, e=equation: raw.Einsum(inputs=[x, y], equation=e))
    for equation in ("ij->ji", "ij->i", "ij->", "ij->ij"):
        add("Einsum", [normal(3, 4)], lambda x, e=equation: raw.Einsum(inputs=[x], equation=e))
    for equation, a in [
        ("ii->i", (3, 3)), ("ii->", (3, 3)), ("iij->ji", (3, 3, 4)), ("iii->i", (2, 2, 2)), ("ijj->i", (2, 3, 3)), ("i->ii", (3,)),
        ("ij->jij", (2, 3)), ("...ij->...ji", (2, 5, 3, 4)), ("...i->i...", (2, 3, 4)), ("i...->...", (2, 3, 4)), ("...->...", (2, 3)),
        ("->", ()),
    ]:
        add("Einsum", [np.asarray(normal(*a), np.float32)], lambda x, e=equation: raw.Einsum(inputs=[x], equation=e))
    for equation, a, b in [
        ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
        ("...ij,...jk->...ik", (2, 1, 3, 4), (6, 4, 5)),
        ("...ij,jk->...ik", (2, 6, 3, 4), (4, 5)),
        ("i...j,j...->i...", (3, 2, 4), (4, 2)),
        ("...,...->...", (2, 1, 3), (5, 3)),
        ("bhwc,bc->bhwc", (2, 3, 4, 5), (2, 5)),
        ("bhwc,hkc->bhwk", (2, 3, 4, 5), (3, 6, 5)),
        ("ij,ij->ij", (3, 4), (3, 4)),
        ("ij,->ij", (3, 4), ()),
        (",->", (), ()),
        ("iij,jk->ik", (3, 3, 4), (4, 5)),
        ("ii,jj->ij", (3, 3), (4, 4)),
        ("ij,kj->iik", (2, 3), (4, 3)),
        ("ji,jk->ik", (4, 3), (4, 5)),
        ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ]:
        x, y = (np.asarray(normal(*shape), np.float32) for shape in (a, b))
        add("Einsum", [x, y], lambda x, y, e=equation: raw.Einsum(inputs=[x, y], equation=e))


def reductions():
    x = normal(2, 3, 4, 5)
    for op, keep, axes in itertools.product(
        ["Sum", "Mean", "Max", "Min", "Prod"], [False, True], [[1, 2], [0], [-1], [3, 0], [0, 1, 2, 3], 2, []]
    ):
        add(op, [x], lambda x, op=op, a=axes, k=keep: getattr(raw, op)(input=x, axis=tf.constant(a, tf.int32), keep_dims=k))
    for op in ("Sum", "Max", "Min", "Prod"):
        add(op, [integers(3, 4)], lambda x, op=op: getattr(raw, op)(input=x, axis=[1]))
    for op in ("Sum", "Max", "Min", "Prod", "Mean"):
        add(op, [normal(3, 0)], lambda x, op=op: getattr(raw, op)(input=x, axis=[1]), shapes=(STATIC, BATCH))
    for op, keep in itertools.product(["All", "Any"], [False, True]):
        bits = integers(3, 4, low=0, high=2).astype(bool)
        add(op, [bits], lambda x, op=op, k=keep: getattr(raw, op)(input=x, axis=[1], keep_dims=k))
    for op, axis, dtype in itertools.product(["ArgMax", "ArgMin"], [0, 1, -1], [tf.int16, tf.uint16, tf.int32, tf.int64]):
        if op == "ArgMin" and dtype.size == 2:
            continue
        add(op, [normal(3, 4, 5)], lambda x, op=op, a=axis, t=dtype: getattr(raw, op)(input=x, dimension=a, output_type=t))
        add(op, [integers(3, 4, 5)], lambda x, op=op, a=axis, t=dtype: getattr(raw, op)(input=x, dimension=a, output_type=t))
    for k, shape in [(1, (7,)), (3, (2, 5)), (5, (2, 3, 5)), (0, (2, 5))]:
        add("TopKV2", [normal(*shape)], lambda x, k=k: list(raw.TopKV2(input=x, k=k)))
        add("TopKV2", [integers(*shape, low=0, high=3)], lambda x, k=k: list(raw.TopKV2(input=x, k=k)))
        for k_type, index_type in [(np.int16, tf.int16), (np.int64, tf.int64), (np.int32, tf.int64)]:
            add(
                "TopKV2",
                [normal(*shape)],
                lambda x, k=k, t=k_type, i=index_type: list(raw.TopKV2(input=x, k=t(k), index_type=i)),
            )
    # The order of what is not sorted is open: the values as a set are not.
    add("TopKV2", [normal(3, 9)], lambda x: tf.reduce_sum(raw.TopKV2(input=x, k=4, sorted=False)[0], -1))
    add("TopKV2", [normal(2, 9)], lambda x: list(raw.TopKV2(input=x, k=tf.minimum(tf.shape(x)[1], 4))))


def cumulative():
    for op, exclusive, reverse, axis in itertools.product(
        ["Cumsum", "Cumprod"], [False, True], [False, True], [0, 1, -1]
    ):
        for x in (normal(3, 4, 5), integers(3, 4, 5)):
            add(
                op,
                [x],
                lambda x, op=op, e=exclusive, r=reverse, a=axis: getattr(raw, op)(x=x, axis=a, exclusive=e, reverse=r),
            )
    for shape in [(0, 3), (3, 0), (1,)]:
        add("Cumsum", [normal(*shape)], lambda x: tf.cumsum(x), shapes=(STATIC, RANKS))


def scatters():
    x, indices = normal(5, 6, 7), integers(4, 2, low=0, high=5)
    for dtype in (np.float32, np.int32, np.int64):
        updates = integers(4, 7, dtype=np.int32).astype(dtype)
        for index_type in (np.int32, np.int64):
            add(
                "ScatterNd",
                [indices.astype(index_type), updates],
                lambda i, u: raw.ScatterNd(indices=i, updates=u, shape=tf.constant([5, 6, 7], i.dtype)),
                shapes=(STATIC, BATCH),
            )
    add("ScatterNd", [indices, normal(4, 7), np.array([5, 6, 7], np.int32)], lambda i, u, s: tf.scatter_nd(i, u, s), shapes=(STATIC,))
    add("ScatterNd", [indices, normal(4, 7), x], lambda i, u, x: tf.scatter_nd(i, u, tf.shape(x)), shapes=(STATIC, BATCH))
    add("ScatterNd", [integers(6, 1, low=0, high=3), integers(6, low=0, high=2).astype(bool)], lambda i, u: tf.scatter_nd(i, u, [4]), shapes=(STATIC, BATCH))
    add("ScatterNd", [integers(0, 1), normal(0, 3)], lambda i, u: tf.scatter_nd(i, u, [4, 3]), shapes=(STATIC, BATCH))
    for kind in "Update Add Sub Min Max".split():
        op = "TensorScatter" + kind
        for depth in (1, 2, 3):
            at = np.unique(integers(6, depth, low=0, high=5), axis=0)
            updates = normal(len(at), *x.shape[depth:])
            add(
                op,
                [x, at, updates],
                lambda x, i, u, op=op: getattr(raw, op)(tensor=x, indices=i, updates=u),
                shapes=(STATIC, BATCH),
            )
        at = integers(3, 2, 1, low=0, high=5).astype(np.int64)
        add(
            op,
            [integers(5, 4), at, integers(3, 2, 4)],
            lambda x, i, u, op=op: getattr(raw, op)(tensor=x, indices=i, updates=u),
            shapes=(STATIC, BATCH),
        )
    add(
        "ScatterNd",
        [indices, normal(4, 7)],
        lambda i, u: raw.ScatterNd(indices=i, updates=u, shape=[5, 6, 7], bad_indices_policy="IGNORE"),
        shapes=(STATIC,),
        refused="bad_indices_policy IGNORE is not supported",
    )


# ---- parts and joins


def slices():
    x = normal(5, 6, 7)
    specs = [
        np.s_[1:3], np.s_[::2], np.s_[::-1], np.s_[-3:], np.s_[:-2], np.s_[1], np.s_[-1], np.s_[..., 0], np.s_[..., -2:],
        np.s_[:, 1:-1, ::3], np.s_[:, None, 2], np.s_[None], np.s_[..., None], np.s_[4:1:-1, ::-2], np.s_[-1:-4:-1],
        np.s_[2:100, -100:4], np.s_[3:1], np.s_[0, 1, 2], np.s_[1:2, ..., 3:4], np.s_[:, ::-1, None, -3], np.s_[100:],
        np.s_[-100::-1], np.s_[1:5:3, 0:6:4], np.s_[None, 0, ..., None, 1],
    ]
    for spec in specs:
        add("StridedSlice", [x], lambda x, s=spec: x[s])
        add("StridedSlice", [integers(5, 6, 7)], lambda x, s=spec: x[s])
    # Bounds that depend on shapes.
    add("StridedSlice", [x], lambda x: x[: tf.shape(x)[0] - 1])
    add("StridedSlice", [x], lambda x: x[tf.shape(x)[0] // 2 :])
    add("StridedSlice", [x], lambda x: x[:, tf.shape(x)[1] - 2 : tf.shape(x)[1], ::2])
    add("StridedSlice", [x], lambda x: x[tf.shape(x)[0] - 1])
    add("StridedSlice", [x, normal(3, 2)], lambda x, y: x[: tf.shape(y)[0], 1 - tf.shape(y)[0] :])
    # Bounds that the caller feeds.
    for begin, end in [(1, 3), (-3, -1), (0, 100), (-100, 2)]:
        add(
            "StridedSlice",
            [x, np.array([begin], np.int32), np.array([end], np.int32)],
            lambda x, b, e: tf.strided_slice(x, b, e, [1]),
            shapes=(STATIC,),
        )
    for begin, size in [([0, 0, 0], [5, 6, 7]), ([1, 2, 3], [2, 2, 2]), ([1, 0, 3], [-1, 6, -1]), ([4, 5, 6], [1, 1, 1]), ([2, 0, 0], [0, 6, 7])]:
        add("Slice", [x], lambda x, b=begin, s=size: tf.slice(x, b, s))
        add("Slice", [integers(5, 6, 7)], lambda x, b=begin, s=size: tf.slice(x, b, s))
        add(
            "Slice",
            [x, np.array(begin, np.int32), np.array(size, np.int32)],
            lambda x, b, s: tf.slice(x, b, s),
            shapes=(STATIC,),
        )
    add("Slice", [x], lambda x: tf.slice(x, [1, 0, 0], tf.shape(x) - [1, 2, 3]))
    for axis, count in [(0, 5), (1, 3), (-1, 7), (1, 1)]:
        add("Split", [x], lambda x, a=axis, n=count: tf.split(x, n, a))
    for axis, sizes in [(0, [2, 3]), (1, [1, -1, 2]), (-1, [7]), (2, [0, 3, 4])]:
        add("SplitV", [x], lambda x, a=axis, s=sizes: raw.SplitV(value=x, size_splits=s, axis=a, num_split=len(s)))
    for axis in (0, 1, -1):
        add("Unpack", [x], lambda x, a=axis: raw.Unpack(value=x, num=x.shape[a] or (5, 6, 7)[a], axis=a))
    for axes in ([0], [1, -1], []):
        add("ReverseV2", [x], lambda x, a=axes: raw.ReverseV2(tensor=x, axis=tf.constant(a, tf.int32)))


def computed(*values):
    """Integers that a run computes, and that shapes do not."""
    return tf.stack([raw.Maximum(x=v, y=v) if tf.is_tensor(v) else v for v in values])


def sizes_that_are_data():
    x = normal(5, 6, 7)
    n = np.int32(3)
    add("Slice", [x, n], lambda x, n: tf.slice(x, [1, 0, 0], computed(n, -1, 2 * n - 4)))
    add("Slice", [x, n], lambda x, n: tf.slice(x, computed(n, 0, n), [2, -1, 1]))
    add("Slice", [x, n, -n], lambda x, n, m: tf.slice(x, [0, 2, 1], computed(n, n, m + 2)))
    for value in (2, 0, 100, -2, -100):
        n = np.int32(value)
        add("StridedSlice", [x, n], lambda x, n: x[: computed(n)[0]])
        add("StridedSlice", [x, n], lambda x, n: x[:, computed(n)[0] :: 2])
        add("StridedSlice", [x, n], lambda x, n: x[..., computed(n)[0] : 1 : -1])
    add("StridedSlice", [x, np.int32(-2)], lambda x, n: x[computed(n)[0]])
    # The number of what is positive, as detectors count their boxes.
    y = normal(20, 4)
    count = lambda y: tf.reduce_sum(tf.cast(y[:, 0] > 0, tf.int32))
    add("Slice", [y], lambda y: tf.slice(y, [0, 0], tf.stack([count(y), 4])))
    add("Slice", [y], lambda y: tf.nn.relu(tf.slice(y, [0, 0], tf.stack([tf.minimum(count(y), 7), -1]))))
    add("Range", [y], lambda y: tf.range(count(y)))
    add("Range", [y], lambda y: tf.range(3, count(y) + 30, 4))
    add("Range", [y], lambda y: tf.cast(tf.range(count(y)), tf.float32) * tf.slice(y[:, 1], [0], [count(y)]))
    add("Fill", [y], lambda y: tf.fill(tf.stack([count(y), 2]), y[0, 0]))
    add("Pad", [y], lambda y: tf.pad(y, tf.stack([[0, 30 - count(y)], [1, 0]])))
    add("Reshape", [y, np.int32(8)], lambda y, n: tf.reshape(y, computed(n, -1)))
    add("Reshape", [y, np.int32(-1)], lambda y, n: tf.reshape(y, computed(n, 2, 4)))
    add("BroadcastTo", [normal(1, 3), np.int64(4)], lambda x, n: raw.BroadcastTo(input=x, shape=computed(n, 3)), shapes=(STATIC,))
    add("Tile", [y], lambda y: tf.tile(y[:3], tf.stack([1, count(y)])))
    add("TopKV2", [y], lambda y: list(tf.math.top_k(y[:, 0], count(y))))
    add("OneHot", [y], lambda y: tf.one_hot([1, 3], count(y)))
    add("ScatterNd", [normal(3), np.int32(7)], lambda u, n: raw.ScatterNd(indices=[[1], [3], [1]], updates=u, shape=computed(n)), shapes=(STATIC,))
    add("ResizeBilinear", [normal(1, 4, 5, 2), n], lambda x, n: raw.ResizeBilinear(images=x, size=computed(n + 106, 9)))
    add("SplitV", [y, np.int32(3)], lambda y, n: raw.SplitV(value=y, size_splits=computed(n, -1, 20 - 2 * n), axis=0, num_split=3))
    # One after the other.
    add("Slice", [y], lambda y: tf.range(tf.reduce_sum(tf.cast(tf.slice(y[:, 1], [0], [count(y)]) > 0, tf.int32))))
    add("Slice", [y], lambda y: [tf.slice(y, [0, 0], [count(y), 4]), tf.shape(tf.where(y[: count(y), 1] > 0))])
    boxes = np.sort(rng.uniform(size=(20, 2, 2)).astype(np.float32), axis=1).reshape(20, 4)
    add(
        "NonMaxSuppressionV3",
        [boxes, np.abs(y[:, 1])],
        lambda b, s: tf.gather(b, tf.image.non_max_suppression(b, s, tf.reduce_sum(tf.cast(s > 0.5, tf.int32)), 0.6)),
        shapes=(STATIC, BATCH),
    )
    # More than a shape has.
    add("Fill", [integers(17, low=0, high=2)], lambda d: tf.fill(raw.Maximum(x=d, y=d), 1.0), refused="must be a constant or have at most 16 integers")
    # Sizes whose own number is unknown where they come from.
    add("Fill", [integers(2, low=0, high=3)], lambda d: tf.fill(tf.reshape(raw.Maximum(x=d, y=d), [2]), 1.0))


def joins():
    for axis in (0, 1, -1):
        parts = [normal(2, 3, 4), normal(2, 3, 4)]
        add("ConcatV2", parts, lambda x, y, a=axis: tf.concat([x, y], a))
        add("Concat", parts, lambda x, y, a=axis: raw.Concat(concat_dim=a, values=[x, y]))
        add("Pack", parts, lambda x, y, a=axis: tf.stack([x, y], a))
    add("ConcatV2", [normal(2, 3), normal(2, 5)], lambda x, y: tf.concat([x, y, x], 1), shapes=(STATIC, BATCH))
    add("ConcatV2", [normal(2, 3)], lambda x: tf.concat([x, np.ones((2, 1), np.float32)], 1), shapes=(STATIC, RANKS))
    add("Pack", [np.float32(1), np.float32(2)], lambda x, y: tf.stack([x, y]))
    x = normal(5, 6, 7)
    for axis in (0, 1, 2, -1):
        for indices in (np.array([0, 3, 2, 2]), np.array([[1, 4], [0, 2]], np.int64), np.array(3)):
            add("GatherV2", [x], lambda x, a=axis, i=indices: raw.GatherV2(params=x, indices=i.astype(np.int32), axis=a))
            add("GatherV2", [x, indices], lambda x, i, a=axis: raw.GatherV2(params=x, indices=i, axis=a))
    add("GatherV2", [normal(3, 4, 5), integers(3, 2, low=0, high=4)], lambda x, i: tf.gather(x, i, batch_dims=1), shapes=(STATIC, RANKS))
    add("GatherV2", [normal(3, 4, 5), integers(3, 2, low=0, high=5)], lambda x, i: tf.gather(x, i, axis=2, batch_dims=1), shapes=(STATIC, RANKS))
    add("Gather", [x, integers(4, low=0, high=5)], lambda x, i: raw.Gather(params=x, indices=i))
    for depth in (1, 2, 3):
        add("GatherNd", [x, integers(4, depth, low=0, high=5)], lambda x, i: tf.gather_nd(x, i), shapes=(STATIC, BATCH))
        add("GatherNd", [x, integers(2, 3, depth, low=0, high=5)], lambda x, i: tf.gather_nd(x, i), shapes=(STATIC, BATCH))
    for axis in (-1, 0, 1):
        add("OneHot", [integers(3, 4, low=-1, high=6)], lambda i, a=axis: tf.one_hot(i, 5, 2.0, -1.0, a))
    add("OneHot", [integers(3, 4, low=-1, high=6)], lambda i: tf.one_hot(i, tf.shape(i)[1], True, False, dtype=tf.bool))
    add("OneHot", [integers(5, low=-1, high=6), np.int32(4)], lambda i, d: tf.one_hot(i, d), shapes=(STATIC,))
    for dtype in (np.uint8, np.int64):
        add("OneHot", [integers(5, low=0, high=6).astype(dtype)], lambda i: tf.one_hot(i, 4, axis=0))
    for permutation in itertools.permutations(range(3)):
        add("Transpose", [x], lambda x, p=permutation: tf.transpose(x, p))
    for multiples in ([1, 1, 1], [2, 1, 3], [0, 1, 2]):
        add("Tile", [x], lambda x, m=multiples: tf.tile(x, m))
    add("Tile", [x, np.array([1, 2, 2], np.int32)], lambda x, m: tf.tile(x, m), shapes=(STATIC,))


def padding():
    for shape, paddings in [
        ((4, 5), [[1, 2], [0, 3]]),
        ((2, 3, 4, 5), [[0, 0], [1, 1], [2, 0], [0, 0]]),
        ((3,), [[0, 0]]),
        ((2, 3, 4), [[1, 1], [1, 1], [1, 1]]),
    ]:
        x = normal(*shape)
        add("Pad", [x], lambda x, p=paddings: tf.pad(x, p))
        add("Pad", [integers(*shape)], lambda x, p=paddings: tf.pad(x, p))
        for value in (-1.5, np.inf):
            add("PadV2", [x], lambda x, p=paddings, v=value: raw.PadV2(input=x, paddings=p, constant_values=v))
        add("PadV2", [integers(*shape)], lambda x, p=paddings: raw.PadV2(input=x, paddings=p, constant_values=7))
    pads = np.array([[1, 2], [0, 3]], np.int32)
    add("Pad", [normal(4, 5), pads], lambda x, p: tf.pad(x, p), shapes=(STATIC,))
    add("PadV2", [normal(4, 5), pads, np.float32(2)], lambda x, p, v: raw.PadV2(input=x, paddings=p, constant_values=v), shapes=(STATIC,))
    add("PadV2", [normal(4, 5), normal(1)], lambda x, v: raw.PadV2(input=x, paddings=pads, constant_values=v[0]))
    add("PadV2", [integers(4, 5, dtype=np.int64)], lambda x: raw.PadV2(input=x, paddings=pads, constant_values=np.int64(2**60 + 1)))
    for mode, paddings in itertools.product(["REFLECT", "SYMMETRIC"], [[[1, 2], [0, 3]], [[0, 0], [2, 1]]]):
        add("MirrorPad", [normal(4, 5)], lambda x, p=paddings, m=mode: raw.MirrorPad(input=x, paddings=p, mode=m))


def matrices():
    for shape in [(4, 4), (3, 5), (5, 3), (2, 3, 4, 5)]:
        x = normal(*shape)
        for lower, upper in [(0, 0), (1, 2), (-1, 0), (0, -1), (-1, -1), (2, -1)]:
            add("MatrixBandPart", [x], lambda x, l=lower, u=upper: tf.linalg.band_part(x, l, u))
        add("MatrixBandPart", [integers(*shape)], lambda x: tf.linalg.band_part(x, 1, 1))
        add("MatrixDiagPart", [x], lambda x: raw.MatrixDiagPart(input=x))
        add("MatrixDiagPartV3", [x], lambda x: tf.linalg.diag_part(x))
        add("MatrixDiag", [x], lambda x: raw.MatrixDiag(diagonal=x))
        add("MatrixDiagV3", [x], lambda x: tf.linalg.diag(x))
        add("MatrixDiagV3", [x], lambda x: tf.linalg.diag(x, padding_value=7.0))
        add("MatrixDiagV2", [x], lambda x: raw.MatrixDiagV2(diagonal=x, k=0, num_rows=-1, num_cols=-1, padding_value=2.0))
        add("MatrixDiagV2", [x[..., :0]], lambda x: raw.MatrixDiagV2(diagonal=x, k=1, num_rows=-1, num_cols=-1, padding_value=2.0))
        add("MatrixDiagPartV2", [x], lambda x: raw.MatrixDiagPartV2(input=x, k=0, padding_value=0.0))
    for shape in [(4, 4), (3, 5), (5, 3), (2, 4, 4)]:
        x, diagonal = normal(*shape), normal(*shape[:-2], min(shape[-2:]))
        for op in ("MatrixSetDiag", "MatrixSetDiagV2", "MatrixSetDiagV3"):
            more = {} if op == "MatrixSetDiag" else {"k": 0}
            add(op, [x, diagonal], lambda x, d, op=op, m=more: getattr(raw, op)(input=x, diagonal=d, **m), shapes=(STATIC,))
    add("MatrixSetDiag", [normal(3, 4), normal(3)], lambda x, d: raw.MatrixSetDiag(input=x, diagonal=d), shapes=(RANKS,))
    add("MatrixDiagPart", [integers(3, 4, low=0, high=2).astype(bool)], lambda x: raw.MatrixDiagPart(input=x))
    add("MatrixDiagV3", [normal(3)], lambda x: tf.linalg.diag(x, k=1))
    for align in ("LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT"):
        # From a matrix to its band and back.
        def band_and_back(x, align=align):
            band = tf.linalg.diag_part(x, k=(-1, 2), padding_value=5.0, align=align)
            return [band, tf.linalg.set_diag(x * 2.0, band, k=(-1, 2), align=align), tf.linalg.diag(band, k=(-1, 2), padding_value=7.0, align=align)]

        # Of what it does not know, TensorFlow infers a wrong rank.
        add("MatrixDiagPartV3", [normal(2, 4, 5)], band_and_back, shapes=(STATIC,))
        add("MatrixDiagPartV3", [normal(5, 3)], band_and_back, shapes=(STATIC,))
    for batch, axis, shape in [(0, 1, (3, 5)), (1, 0, (5, 3, 2)), (0, 2, (3, 2, 5)), (2, 1, (2, 5, 3))]:
        for dtype in (np.int32, np.int64):
            add(
                "ReverseSequence",
                [normal(*shape), np.array([5, 0, 3], dtype)],
                lambda x, n, b=batch, s=axis: raw.ReverseSequence(input=x, seq_lengths=n, seq_dim=s, batch_dim=b),
            )
    x = normal(2, 3, 4)
    for dims in ([True, False, True], [False, False, False]):
        add("Reverse", [x], lambda x, d=dims: raw.Reverse(tensor=x, dims=d))
    for source, target in [(np.float32, tf.int32), (np.int32, tf.float32), (np.float32, tf.uint8), (np.int64, tf.int16)]:
        add("Bitcast", [integers(3, 4).astype(source)], lambda x, t=target: tf.bitcast(x, t))
    add("Bitcast", [integers(3, 4, low=0, high=255, dtype=np.uint8)], lambda x: tf.bitcast(x, tf.int32), shapes=(STATIC, BATCH))
    for dtype in (np.int32, np.int64):
        add("InvertPermutation", [normal(1)], lambda x, t=dtype: tf.math.invert_permutation(np.array([2, 0, 3, 1], t)))
    for shape in [(3, 4), (5,), (), (0, 2)]:
        add("L2Loss", [np.asarray(normal(*shape), np.float32)], lambda x: tf.nn.l2_loss(x))
    zero = np.array([0, 1, 0, 2, 0, -3], np.float32)
    add("Xlog1py", [zero, np.array([-1, 0, np.nan, 3, np.inf, 0.5], np.float32)], lambda x, y: raw.Xlog1py(x=x, y=y))
    add("Xlog1py", [normal(3, 4), np.abs(normal(4))], lambda x, y: raw.Xlog1py(x=x, y=y))
    for shift, axis in [(1, 0), (-2, 1), (7, -1), ([1, -1], [0, 2]), ([1, 2], [1, 1]), (0, 0), (3, 1)]:
        add("Roll", [x], lambda x, s=shift, a=axis: tf.roll(x, s, a))
    for padding, window, stride, rate in itertools.product(["SAME", "VALID"], [(2, 2), (3, 1)], [1, 2, 3], [1, 2]):
        add(
            "ExtractImagePatches",
            [normal(2, 6, 8, 3)],
            lambda x, p=padding, k=window, s=stride, r=rate: tf.image.extract_patches(
                x, [1, *k, 1], [1, s, s, 1], [1, r, r, 1], p
            ),
        )
    add("ExtractImagePatches", [normal(2, 32, 16, 3)], lambda x: tf.image.extract_patches(x, [1, 16, 16, 1], [1, 16, 16, 1], [1, 1, 1, 1], "VALID"), shapes=(STATIC, BATCH))
    add(
        "ExtractImagePatches",
        [normal(2, 33, 16, 3)],
        lambda x: tf.image.extract_patches(x, [1, 9, 9, 1], [1, 1, 1, 1], [1, 1, 1, 1], "SAME"),
        refused="overlapping windows of 9x9",
    )
    for shape in ([None, 3, 4], [2, 3, 4], [2, None, None], [None, None, 4]):
        known = (STATIC, BATCH, RANKS) if shape != [2, 3, 4] else (STATIC, BATCH)
        add("EnsureShape", [x], lambda x, s=shape: raw.EnsureShape(input=x, shape=s), shapes=known if shape != [None, 3, 4] else (STATIC, BATCH))
    add("EnsureShape", [x], lambda x: raw.EnsureShape(input=x, shape=[2, 3, 4]), shapes=(RANKS,), refused="has the shape [2,3,4] is not known")
    add("BroadcastArgs", [normal(3, 1), normal(2, 1, 4)], lambda x, y: raw.BroadcastArgs(s0=tf.shape(x), s1=tf.shape(y)))


# ---- shapes


def shapes():
    x = normal(2, 3, 4)
    for shape in ([6, 4], [-1], [2, -1, 2], [24, 1], [1, 2, 3, 4], [3, -1]):
        add("Reshape", [x], lambda x, s=shape: tf.reshape(x, s), shapes=(STATIC, RANKS))
        add("Reshape", [x, np.array(shape, np.int32)], lambda x, s: tf.reshape(x, s), shapes=(STATIC,))
    add("Reshape", [x], lambda x: tf.reshape(x, [tf.shape(x)[0], -1]))
    add("Reshape", [x], lambda x: tf.reshape(x, [-1, tf.shape(x)[1] * tf.shape(x)[2]]))
    add("Reshape", [x], lambda x: tf.reshape(x, tf.concat([tf.shape(x)[:1], [12]], 0)))
    add("Reshape", [x], lambda x: tf.reshape(x, [tf.reduce_prod(tf.shape(x)[:2]), 4]))
    add("Reshape", [x], lambda x: tf.reshape(x, tf.cast(tf.gather(tf.shape(x, tf.int64), [2, 0, 1]), tf.int32)))
    for axis in (0, 1, -1, -2):
        add("ExpandDims", [x], lambda x, a=axis: tf.expand_dims(x, a))
    for axes in ([1], [-1], [1, 3], []):
        y = normal(2, 1, 3, 1)
        known = (STATIC,) if not axes else (STATIC, BATCH, RANKS)
        add("Squeeze", [y], lambda y, a=axes: raw.Squeeze(input=y, axis=a), shapes=known)
    add("Squeeze", [normal(2, 1)], lambda y: raw.Squeeze(input=y), shapes=(RANKS,), refused="squeeze_dims is empty")
    for dtype in (tf.int32, tf.int64):
        add("Shape", [x], lambda x, t=dtype: tf.shape(x, t))
        add("Size", [x], lambda x, t=dtype: tf.size(x, t))
        add("ShapeN", [x, normal(5, 1)], lambda x, y, t=dtype: raw.ShapeN(input=[x, y], out_type=t))
    add("Rank", [x], lambda x: raw.Rank(input=x))
    for value in (x, integers(2, 3), integers(4, low=0, high=2).astype(bool)):
        add("ZerosLike", [value], lambda x: raw.ZerosLike(x=x))
        add("OnesLike", [value], lambda x: raw.OnesLike(x=x))
    for dims, value in (([2, 3], 1.5), ([], 2.0), ([0, 4], 3.0), ([2], 7)):
        add("Fill", [x], lambda x, d=dims, v=value: raw.Fill(dims=tf.constant(d, tf.int32), value=v), shapes=(STATIC,))
    add("Fill", [x], lambda x: tf.fill(tf.shape(x)[1:], x[0, 0, 0]))
    add("Fill", [np.array([2, 3], np.int32), np.float32(4)], lambda d, v: tf.fill(d, v), shapes=(STATIC,))
    add("BroadcastTo", [normal(3, 1)], lambda x: tf.broadcast_to(x, [2, 3, 4]), shapes=(STATIC, BATCH))
    add("BroadcastTo", [x], lambda x: tf.broadcast_to(x[:1], tf.shape(x)))
    for start, limit, delta in [(0, 5, 1), (3, 18, 4), (5, 0, -2), (3, 3, 1), (0.0, 1.0, 0.1), (2.0, -1.0, -0.5)]:
        add("Range", [x], lambda x, a=start, b=limit, d=delta: tf.range(a, b, d), shapes=(STATIC,))
    add("Range", [x], lambda x: tf.range(tf.shape(x)[0], tf.shape(x)[0] + 4))
    add("Range", [x], lambda x: tf.range(tf.shape(x)[0]), shapes=(STATIC,))
    add("Range", [x], lambda x: tf.range(tf.shape(x)[0]))
    add("Range", [x], lambda x: tf.range(tf.shape(x)[1], 20, tf.shape(x)[0]))
    add("Range", [normal(100)], lambda x: tf.range(3, tf.shape(x)[0], 1))
    add("Range", [normal(100)], lambda x: tf.range(tf.shape(x, tf.int64)[0], 0, -3))
    for start, limit, delta in [(0, 5, 1), (9, -3, -4), (2, 2, 1), (-7, 200, 2)]:
        add("Range", [np.int32(v) for v in (start, limit, delta)], lambda a, b, d: tf.range(a, b, d), shapes=(STATIC,))
    for source, target in (("NHWC", "NCHW"), ("NCHW", "NHWC")):
        for value in (integers(4), integers(2), integers(4, 2)):
            add("DataFormatVecPermute", [value], lambda x, s=source, t=target: raw.DataFormatVecPermute(x=x, src_format=s, dst_format=t), shapes=(STATIC,))


# ---- images


def images():
    x = normal(2, 5, 6, 3)
    for op, size, (corners, centers) in itertools.product(
        ["ResizeBilinear", "ResizeNearestNeighbor"],
        [(10, 12), (3, 4), (5, 6), (7, 1), (1, 1), (13, 5)],
        [(False, False), (True, False), (False, True)],
    ):
        add(
            op,
            [x],
            lambda x, op=op, s=size, c=corners, h=centers: getattr(raw, op)(
                images=x, size=s, align_corners=c, half_pixel_centers=h
            ),
        )
    for op in ("ResizeBilinear", "ResizeNearestNeighbor"):
        add(op, [x], lambda x, op=op: getattr(raw, op)(images=x, size=tf.shape(x)[1:3] * 2))
        add(op, [x, np.array([4, 9], np.int32)], lambda x, s, op=op: getattr(raw, op)(images=x, size=s), shapes=(STATIC,))
        add(op, [integers(1, 4, 4, 2, low=0, high=255, dtype=np.uint8)], lambda x, op=op: getattr(raw, op)(images=x, size=[7, 5]))
    for size, (corners, centers) in itertools.product(
        [(10, 12), (3, 4), (5, 6), (7, 1), (1, 1), (13, 5)], [(False, False), (True, False), (False, True)]
    ):
        add(
            "ResizeBicubic",
            [x],
            lambda x, s=size, c=corners, h=centers: raw.ResizeBicubic(
                images=x, size=s, align_corners=c, half_pixel_centers=h
            ),
        )
        if not centers:
            add("ResizeArea", [x], lambda x, s=size, c=corners: raw.ResizeArea(images=x, size=s, align_corners=c))
    for op in ("ResizeArea", "ResizeBicubic"):
        add(op, [x], lambda x, op=op: getattr(raw, op)(images=x, size=tf.shape(x)[1:3] * 2))
        for dtype in (np.uint8, np.int32):
            y = integers(1, 4, 4, 2, low=0, high=255, dtype=dtype)
            add(op, [y], lambda x, op=op: getattr(raw, op)(images=x, size=[7, 5]))
    boxes = np.array([[0, 0, 1, 1], [0.2, 0.3, 0.7, 0.6], [1, 1, 0, 0], [-0.5, 0.2, 1.7, 0.9], [0.5, 0.5, 0.5, 0.5]], np.float32)
    image = np.array([0, 1, 1, 0, 1], np.int32)
    for method, size, outside in itertools.product(["bilinear", "nearest"], [(4, 5), (1, 3), (9, 1), (1, 1)], [0.0, -7.5]):
        add(
            "CropAndResize",
            [x, boxes, image],
            lambda x, b, i, m=method, s=size, o=outside: raw.CropAndResize(
                image=x, boxes=b, box_ind=i, crop_size=s, method=m, extrapolation_value=o
            ),
        )
    y = integers(2, 4, 5, 2, low=0, high=255, dtype=np.uint8)
    add("CropAndResize", [y, boxes, image], lambda x, b, i: raw.CropAndResize(image=x, boxes=b, box_ind=i, crop_size=[3, 3]))
    add("CropAndResize", [x, boxes, image, np.array([3, 2], np.int32)], lambda x, b, i, s: tf.image.crop_and_resize(x, b, i, s), shapes=(STATIC,))
    add("CropAndResize", [x, boxes[:0], image[:0]], lambda x, b, i: tf.image.crop_and_resize(x, b, i, [3, 3]))
    for radius, bias, alpha, beta in [(5, 1.0, 1.0, 0.5), (2, 2.0, 1e-4, 0.75), (0, 0.5, 3.0, 1.0), (9, 1.0, 0.1, 2.0)]:
        for channels in (3, 16):
            add(
                "LRN",
                [normal(2, 3, 4, channels)],
                lambda x, r=radius, b=bias, a=alpha, e=beta: raw.LRN(input=x, depth_radius=r, bias=b, alpha=a, beta=e),
            )
    for block in (2, 3):
        y, z = normal(2, 3, 4, 2 * block * block), normal(2, 2 * block, 3 * block, 4)
        add("DepthToSpace", [y], lambda x, b=block: raw.DepthToSpace(input=x, block_size=b))
        add("SpaceToDepth", [z], lambda x, b=block: raw.SpaceToDepth(input=x, block_size=b))
        add(
            "DepthToSpace", [to_first(y)], lambda x, b=block: raw.DepthToSpace(input=x, block_size=b, data_format="NCHW"),
            oracle=lambda x, b=block: channels_first(raw.DepthToSpace(input=channels_last(x), block_size=b)),
        )
        add(
            "SpaceToDepth", [to_first(z)], lambda x, b=block: raw.SpaceToDepth(input=x, block_size=b, data_format="NCHW"),
            oracle=lambda x, b=block: channels_first(raw.SpaceToDepth(input=channels_last(x), block_size=b)),
        )
    for blocks, pads in [([2, 2], [[0, 0], [0, 0]]), ([2, 3], [[1, 1], [0, 3]]), ([2], [[0, 0]]), ([1, 1], [[0, 0], [0, 0]])]:
        y = normal(2, 4, 6, 3)
        add("SpaceToBatchND", [y], lambda x, b=blocks, p=pads: raw.SpaceToBatchND(input=x, block_shape=b, paddings=p))
    for blocks, crops in [([2, 2], [[0, 0], [0, 0]]), ([2, 3], [[1, 0], [2, 3]]), ([2], [[0, 1]])]:
        y = normal(12, 4, 5, 3)
        add("BatchToSpaceND", [y], lambda x, b=blocks, c=crops: raw.BatchToSpaceND(input=x, block_shape=b, crops=c))
    for edges in ([[0, 0], [0, 0]], [[1, 1], [2, 0]]):
        add("SpaceToBatch", [normal(2, 4, 6, 3)], lambda x, p=edges: raw.SpaceToBatch(input=x, paddings=p, block_size=2))
        add("BatchToSpace", [normal(8, 4, 5, 3)], lambda x, c=edges: raw.BatchToSpace(input=x, crops=c, block_size=2))


# ---- chosen by their values


def boxes(count, *, ties=False):
    """Boxes that overlap, some empty, their corners in any order, and scores."""
    corners = rng.uniform(0, 1, (count, 2)) + np.stack([np.zeros(count), rng.uniform(0, 1, count)], 1)
    box = np.concatenate([corners, corners + rng.uniform(-0.1, 0.9, (count, 2))], 1).astype(np.float32)
    scores = rng.uniform(0, 1, count).astype(np.float32)
    return np.round(box, 1) if ties else box, np.round(scores, 1) if ties else scores


def where():
    mask = rng.uniform(0, 1, (4, 6)) > 0.6
    values = normal(4, 6)
    for dtype in (bool, np.float32, np.float64, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64):
        add("Where", [mask.astype(dtype)], lambda x: raw.Where(condition=x))
    for shape in ((7,), (2, 3, 4), (2, 1, 3, 2), (0,), (3, 0), (2, 2, 2, 2, 2)):
        add("Where", [rng.uniform(0, 1, shape) > 0.5], lambda x: raw.Where(condition=x))
    add("Where", [np.array([0.0, -0.0, np.nan, np.inf, 2], np.float32)], lambda x: raw.Where(condition=x))
    for fill in (np.zeros, np.ones):
        add("Where", [fill((3, 5), bool)], lambda x: [raw.Where(condition=x), tf.shape(raw.Where(condition=x))])
    # What follows it in real graphs.
    add("Where", [values, mask], lambda x, m: tf.boolean_mask(x, m))
    add("Where", [values, mask[:, 0]], lambda x, m: tf.boolean_mask(x, m), shapes=(STATIC, RANKS))
    add("Where", [values, mask[0]], lambda x, m: tf.boolean_mask(x, m, axis=1), shapes=(STATIC, RANKS))
    add("Where", [values], lambda x: tf.gather_nd(x, tf.where(x > 0)))
    add("Where", [values], lambda x: tf.gather(x, tf.squeeze(tf.where(x[:, 1] > -9), 1)) * 2 + 1)
    add("Where", [values], lambda x: tf.where(tf.gather_nd(x, tf.where(x > 0)) > 0.5))
    add("Where", [values], lambda x: tf.concat([tf.boolean_mask(x, x > 1), tf.boolean_mask(x, x < 0)], 0))
    add("Where", [values], lambda x: [tf.size(tf.where(x > 0)), tf.reduce_sum(tf.boolean_mask(x, x > 0))])
    add("Where", [values], lambda x: tf.fill([tf.shape(tf.where(x > 0))[0], 2], 3.0))


def unique():
    for dtype in (np.float32, np.float64, np.int8, np.uint8, np.int16, np.int32, np.int64):
        for out in (tf.int32, tf.int64):
            add("Unique", [integers(40, low=0, high=12).astype(dtype)], lambda x, o=out: list(raw.Unique(x=x, out_idx=o)))
    add("Unique", [np.array([0.0, np.nan, -0.0, np.nan, 1, np.inf, 1], np.float32)], lambda x: list(raw.Unique(x=x)))
    add("Unique", [integers(0)], lambda x: list(raw.Unique(x=x)))
    add("Unique", [integers(9)], lambda x: raw.Unique(x=x).idx)
    add("Unique", [integers(9)], lambda x: tf.gather(tf.cast(tf.unique(x)[0], tf.float32), [0, 0]) * 2)
    for axis in (0, 1, -1):
        x = integers(6, 5, 7, low=0, high=2)
        x[4], x[:, 3], x[:, :, 2], x[:, :, 5] = x[1], x[:, 0], x[:, :, 6], x[:, :, 6]
        for dtype in (np.float32, np.int64, bool):
            add("UniqueV2", [x.astype(dtype)], lambda x, a=axis: list(raw.UniqueV2(x=x, axis=[a])))
        add("UniqueWithCountsV2", [x], lambda x, a=axis: list(raw.UniqueWithCountsV2(x=x, axis=[a])))
    add("UniqueWithCounts", [integers(30)], lambda x: list(raw.UniqueWithCounts(x=x, out_idx=tf.int64)))
    for axis in ([], [0], [-1]):
        add("UniqueV2", [integers(20)], lambda x, a=axis: list(raw.UniqueV2(x=x, axis=np.array(a, np.int64))))
        add("UniqueWithCountsV2", [integers(20)], lambda x, a=axis: list(raw.UniqueWithCountsV2(x=x, axis=np.array(a, np.int32))))


def non_max_suppression():
    for ties, most, iou, score in itertools.product([False, True], [5, 100], [0.0, 0.4, 1.0], [-np.inf, 0.3]):
        box, scores = boxes(50, ties=ties)
        add("NonMaxSuppression", [box, scores], lambda b, s, m=most, i=iou: raw.NonMaxSuppression(boxes=b, scores=s, max_output_size=m, iou_threshold=i))
        add("NonMaxSuppressionV2", [box, scores], lambda b, s, m=most, i=iou: raw.NonMaxSuppressionV2(boxes=b, scores=s, max_output_size=m, iou_threshold=i))
        add(
            "NonMaxSuppressionV3", [box, scores],
            lambda b, s, m=most, i=iou, t=score: raw.NonMaxSuppressionV3(boxes=b, scores=s, max_output_size=m, iou_threshold=i, score_threshold=t),
        )
        for pad in (False, True):
            add(
                "NonMaxSuppressionV4", [box, scores],
                lambda b, s, m=most, i=iou, t=score, p=pad: list(
                    raw.NonMaxSuppressionV4(boxes=b, scores=s, max_output_size=m, iou_threshold=i, score_threshold=t, pad_to_max_output_size=p)
                ),
            )
            for sigma in (0.0, 0.3):
                add(
                    "NonMaxSuppressionV5", [box, scores],
                    lambda b, s, m=most, i=iou, t=score, p=pad, g=sigma: list(
                        raw.NonMaxSuppressionV5(
                            boxes=b, scores=s, max_output_size=m, iou_threshold=i, score_threshold=t, soft_nms_sigma=g, pad_to_max_output_size=p
                        )
                    ),
                )
        overlaps = rng.uniform(0, 1, (50, 50)).astype(np.float32)
        add(
            "NonMaxSuppressionWithOverlaps", [overlaps, scores],
            lambda o, s, m=most, i=iou, t=score: raw.NonMaxSuppressionWithOverlaps(
                overlaps=o, scores=s, max_output_size=m, overlap_threshold=i, score_threshold=t
            ),
        )
    for ties, iou, sigma in itertools.product([False, True], [0.3, 0.6], [0.0, 0.4]):
        box, scores = (x.astype(np.float16) for x in boxes(40, ties=ties))
        add("NonMaxSuppressionV2", [box, scores], lambda b, s, i=iou: raw.NonMaxSuppressionV2(boxes=b, scores=s, max_output_size=20, iou_threshold=i))
        add(
            "NonMaxSuppressionV5", [box, scores],
            lambda b, s, i=np.float16(iou), g=np.float16(sigma): list(
                raw.NonMaxSuppressionV5(boxes=b, scores=s, max_output_size=20, iou_threshold=i, score_threshold=np.float16(0.1), soft_nms_sigma=g)
            ),
        )
    for dtype in (np.float16, tf.bfloat16.as_numpy_dtype):
        add("Unique", [integers(40, low=0, high=12).astype(dtype)], lambda x: list(raw.Unique(x=x)))
    box, scores = boxes(30)
    odd, odd_scores = boxes(8)
    odd[1, 2], odd[3], odd[5, 0], odd_scores[2:5] = np.nan, np.inf, -np.inf, [np.nan, np.inf, -np.inf]

    def v3(b, s, most=10, iou=0.5, score=-1.0):
        return raw.NonMaxSuppressionV3(boxes=b, scores=s, max_output_size=most, iou_threshold=iou, score_threshold=score)

    add("NonMaxSuppressionV3", [odd, odd_scores], v3)
    add("NonMaxSuppressionV2", [odd, odd_scores], lambda b, s: raw.NonMaxSuppressionV2(boxes=b, scores=s, max_output_size=9, iou_threshold=0.5))
    add("NonMaxSuppressionV3", [box[:0], scores[:0]], v3)
    add("NonMaxSuppressionV3", [box, scores], lambda b, s: v3(b, s, most=0))
    add("NonMaxSuppressionV3", [box, scores, np.int32(7)], lambda b, s, m: v3(b, s, most=m), shapes=(STATIC, RANKS))
    add("NonMaxSuppressionV3", [box, scores], lambda b, s: v3(b, s, most=tf.shape(b)[0] // 2))
    add("NonMaxSuppressionV3", [box, scores], lambda b, s: tf.gather(b, v3(b, s)) + tf.expand_dims(tf.gather(s, v3(b, s)), 1))
    add("NonMaxSuppressionV3", [box, scores], lambda b, s: v3(b, s, iou=1.5), refused="must be in [0, 1]")
    # Thresholds that are fed or computed.
    add("NonMaxSuppressionV3", [box, scores, np.float32(0.5)], lambda b, s, t: v3(b, s, iou=t))
    add("NonMaxSuppressionV3", [box, scores], lambda b, s: v3(b, s, score=tf.reduce_mean(s)))
    add("NonMaxSuppressionV5", [box, scores, np.float32(0.5)], lambda b, s, t: list(raw.NonMaxSuppressionV5(
        boxes=b, scores=s, max_output_size=tf.shape(b)[0], iou_threshold=t, score_threshold=t / 4, soft_nms_sigma=t, pad_to_max_output_size=True)))
    add("NonMaxSuppressionV4", [box, scores], lambda b, s: (lambda r: tf.gather(b, r.selected_indices[: r.valid_outputs]))(
        raw.NonMaxSuppressionV4(boxes=b, scores=s, max_output_size=50, iou_threshold=0.3, score_threshold=0.1, pad_to_max_output_size=True)))
    add("NonMaxSuppressionV5", [box, scores], lambda b, s: tf.image.non_max_suppression_with_scores(b, s, 12, soft_nms_sigma=0.5)[1])


def combined_non_max_suppression():
    for groups, ties, (per_class, size), pad, clip in itertools.product([1, 3], [False, True], [(4, 6), (50, 200)], [False, True], [False, True]):
        box = np.stack([np.stack([boxes(40, ties=ties)[0] for _ in range(groups)], 1) for _ in range(2)])
        scores = rng.uniform(0, 1, (2, 40, 3)).astype(np.float32)
        scores = np.round(scores, 1) if ties else scores
        add(
            "CombinedNonMaxSuppression", [box, scores],
            lambda b, s, n=per_class, m=size, p=pad, c=clip: list(
                raw.CombinedNonMaxSuppression(
                    boxes=b, scores=s, max_output_size_per_class=n, max_total_size=m, iou_threshold=0.4, score_threshold=0.2, pad_per_class=p, clip_boxes=c
                )
            ),
        )


for family in (
    conv_2d, conv_3d, depthwise_conv, conv_backprop, pooling, unary, binary, casts, normalization, fused, quantization, products,
    reductions, cumulative, scatters, slices, sizes_that_are_data, joins, padding, matrices, shapes, images,
    where, unique, non_max_suppression, combined_non_max_suppression,
):
    family()
