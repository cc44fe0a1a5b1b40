"""Models that keras.applications does not have, called as its own are, but that there are no trained
weights to name."""

import keras
from keras import layers


def conv_bn_relu(x, filters, size, strides=1, padding="same"):
    """Inception's unit. TF-Slim's batch norm has no scale here: the ReLU makes it redundant."""
    x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(scale=False, epsilon=1e-3)(x)
    return layers.ReLU()(x)


def ResNet50V15(*, input_shape, classes, classifier_activation, weights=None):
    """ResNet-50 v1.5: the stride of a down-sampling block sits in its 3x3 convolution, not in the
    1x1 before it. Padding is explicit and symmetric, as in the reference implementations."""

    def conv_bn(x, filters, size, strides=1):
        if size > 1:
            x = layers.ZeroPadding2D(size // 2)(x)
        x = layers.Conv2D(filters, size, strides=strides, use_bias=False)(x)
        return layers.BatchNormalization(epsilon=1e-5)(x)

    def bottleneck(x, filters, strides, project):
        shortcut = conv_bn(x, 4 * filters, 1, strides) if project else x
        x = layers.ReLU()(conv_bn(x, filters, 1))
        x = layers.ReLU()(conv_bn(x, filters, 3, strides))
        x = conv_bn(x, 4 * filters, 1)
        return layers.ReLU()(layers.Add()([x, shortcut]))

    image = layers.Input(input_shape, name="image")
    x = layers.ReLU()(conv_bn(image, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            x = bottleneck(x, 64 << stage, 2 if block == 0 and stage > 0 else 1, project=block == 0)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation=classifier_activation)(x))


def InceptionV4(*, input_shape, classes, classifier_activation, weights=None):
    """Inception v4 (Szegedy et al., 2016), as TF-Slim builds it, without the auxiliary head."""

    def branch(x, *convolutions):
        """A chain of convolutions (filters, size[, strides]), VALID where strides are given."""
        for filters, size, *strides in convolutions:
            x = conv_bn_relu(x, filters, size, *strides, padding="valid" if strides else "same")
        return x

    def pooled(x, filters):
        return branch(layers.AveragePooling2D(3, 1, padding="same")(x), (filters, 1))

    def concat(*parts):
        return layers.Concatenate()(list(parts))

    def stem(x):
        x = branch(x, (32, 3, 2), (32, 3, 1), (64, 3))
        x = concat(layers.MaxPooling2D(3, 2)(x), branch(x, (96, 3, 2)))
        x = concat(
            branch(x, (64, 1), (96, 3, 1)),
            branch(x, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1)),
        )
        return concat(branch(x, (192, 3, 2)), layers.MaxPooling2D(3, 2)(x))

    def block_a(x):
        return concat(
            branch(x, (96, 1)),
            branch(x, (64, 1), (96, 3)),
            branch(x, (64, 1), (96, 3), (96, 3)),
            pooled(x, 96),
        )

    def reduction_a(x):
        return concat(
            branch(x, (384, 3, 2)),
            branch(x, (192, 1), (224, 3), (256, 3, 2)),
            layers.MaxPooling2D(3, 2)(x),
        )

    def block_b(x):
        return concat(
            branch(x, (384, 1)),
            branch(x, (192, 1), (224, (1, 7)), (256, (7, 1))),
            branch(x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
            pooled(x, 128),
        )

    def reduction_b(x):
        return concat(
            branch(x, (192, 1), (192, 3, 2)),
            branch(x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)),
            layers.MaxPooling2D(3, 2)(x),
        )

    def block_c(x):
        two = branch(x, (384, 1))
        three = branch(x, (384, 1), (448, (3, 1)), (512, (1, 3)))
        return concat(
            branch(x, (256, 1)),
            branch(two, (256, (1, 3))),
            branch(two, (256, (3, 1))),
            branch(three, (256, (1, 3))),
            branch(three, (256, (3, 1))),
            pooled(x, 256),
        )

    image = layers.Input(input_shape, name="image")
    x = stem(image)
    for block, count, reduction in (
        (block_a, 4, reduction_a),
        (block_b, 7, reduction_b),
        (block_c, 3, None),
    ):
        for _ in range(count):
            x = block(x)
        if reduction:
            x = reduction(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation=classifier_activation)(x))


def RegNet(*, input_shape, classes, classifier_activation, depths, widths, squeeze=0, weights=None):
    """RegNet (Radosavovic et al., 2020) with groups of 8 channels: X, and with squeeze Y."""

    def conv_bn(x, filters, size, strides=1, groups=1):
        x = layers.Conv2D(
            filters, size, strides=strides, groups=groups, padding="same", use_bias=False
        )(x)
        return layers.BatchNormalization(epsilon=1e-5)(x)

    def excite(x, filters):
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        y = layers.Conv2D(filters, 1, activation="relu")(y)
        return layers.Multiply()([x, layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(y)])

    def block(x, filters, strides):
        y = layers.ReLU()(conv_bn(x, filters, 1))
        y = layers.ReLU()(conv_bn(y, filters, 3, strides, groups=filters // 8))
        if squeeze:
            y = excite(y, int(x.shape[-1] * squeeze))
        y = conv_bn(y, filters, 1)
        if strides > 1 or x.shape[-1] != filters:
            x = conv_bn(x, filters, 1, strides)
        return layers.ReLU()(layers.Add()([x, y]))

    image = layers.Input(input_shape, name="image")
    x = layers.ReLU()(conv_bn(image, 32, 3, 2))
    for depth, filters in zip(depths, widths):
        for i in range(depth):
            x = block(x, filters, 2 if i == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, activation=classifier_activation)(x))


def rows(image):
    """The rows of an image as a sequence."""
    height, width, channels = image.shape[1:]
    return layers.Reshape((height, width * channels))(image)


def Transformer(*, input_shape, classes, classifier_activation, weights=None):
    """Two encoder blocks, normalised before each part, over the rows of an image."""
    image = layers.Input(input_shape, name="image")
    x = layers.Dense(96)(rows(image))
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(num_heads=4, key_dim=24)(y, y)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(96)(layers.Dense(192, activation="gelu")(y))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(image, layers.Dense(classes, activation=classifier_activation)(x))


def Recurrent(*, input_shape, classes, classifier_activation, layer, unroll=False, weights=None):
    """A recurrent layer over the rows of an image: a loop, or its steps one after the other."""
    image = layers.Input(input_shape, name="image")
    x = layers.Dense(64, activation="relu")(rows(image))
    x = getattr(layers, layer)(96, unroll=unroll)(x)
    return keras.Model(image, layers.Dense(classes, activation=classifier_activation)(x))
