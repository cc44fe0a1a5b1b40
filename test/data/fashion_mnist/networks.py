"""The three networks, for whatever computes them.

`net` has the layers: conv, dense, value (a value between layers, quantised in quantisation-aware networks), relu, relu6, mean, pool,
flatten. Names of layers name their weights.
"""


def residual(net, x):
    """Residual blocks with batch norm, as ResNet."""
    x = net.value("images_quant", x)
    x = net.value("stem/out", net.conv("stem", x, 16, activation=net.relu))
    for stage, (channels, blocks) in enumerate(((16, 1), (32, 2), (48, 2))):
        for block in range(blocks):
            name = f"block{stage}{block}"
            stride = 2 if block == 0 else 1
            short = x
            if block == 0:
                short = net.conv(f"{name}/short", x, channels, 1, stride)
                short = net.value(f"{name}/short/out", short)
            y = net.conv(f"{name}/first", x, channels, stride=stride, activation=net.relu)
            y = net.conv(f"{name}/second", net.value(f"{name}/first/out", y), channels)
            y = net.value(f"{name}/second/out", y)
            x = net.value(f"{name}/out", net.relu(y + short))
    return net.dense("logits_dense", net.value("mean/out", net.mean(x)), 10)


def mobile(net, x):
    """Inverted residuals with ReLU6 around depthwise convolutions, as MobileNet v2."""
    x = net.value("images_quant", x)
    x = net.value("stem/out", net.conv("stem", x, 16, stride=2, activation=net.relu6))
    for stage, (channels, blocks, stride) in enumerate(((16, 1, 1), (24, 2, 2), (40, 3, 1))):
        for block in range(blocks):
            name, step = f"block{stage}{block}", stride if block == 0 else 1
            y = net.conv(f"{name}/expand", x, 4 * net.channels(x), 1, activation=net.relu6)
            y = net.value(f"{name}/expand/out", y)
            y = net.conv(f"{name}/depthwise", y, 0, 3, step, net.relu6, depthwise=True)
            y = net.conv(f"{name}/project", net.value(f"{name}/depthwise/out", y), channels, 1)
            y = net.value(f"{name}/project/out", y)
            if block > 0:
                y = net.value(f"{name}/add/out", y + x)
            x = y
    x = net.value("last/out", net.conv("last", x, 96, 1, activation=net.relu6))
    return net.dense("logits_dense", net.value("mean/out", net.mean(x)), 10)


def vgg(net, x):
    """Plain 3×3 convolutions with biases, max pooling and dense layers, as VGG."""
    x = net.value("images_quant", x)
    for stage, (channels, layers) in enumerate(((16, 1), (32, 2), (48, 2))):
        for layer in range(layers):
            name = f"conv{stage}{layer}"
            x = net.conv(name, x, channels, activation=net.relu, norm=False)
            x = net.value(f"{name}/out", x)
        x = net.pool(x)
    x = net.value("hidden/out", net.dense("hidden", net.flatten(x), 96, net.relu))
    return net.dense("logits_dense", x, 10)


NETWORKS = {"residual": residual, "mobile": mobile, "vgg": vgg}
# How the quantisation-aware ones carry their ranges (graphs.py).
QUANTISED = {"residual": "per channel", "mobile": "per tensor", "vgg": "by hand"}
EPSILON = 1e-3  # of batch norms
