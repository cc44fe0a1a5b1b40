"""Images and labels for the classification samples: TFRecords in ImageNet's layout, folders of JPEGs, noise.

Each reader gives a tf.data.Dataset of (images f32 [batch, height, width, channels], labels int64 [batch]).
"""

import pathlib

import numpy as np
import tensorflow as tf

# Of ImageNet's training images, as slim's VGG and ResNet v1 models subtract them; of Fashion-MNIST's, scaled to 0…1.
_CHANNEL_MEANS = (123.68, 116.78, 103.94)
_FASHION_MEAN, _FASHION_DEVIATION = 0.2860, 0.3530


def _vgg(image, height, width):
    """The shorter side to 256 for 224, in proportion otherwise; the middle; the means subtracted."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = tf.maximum(height / size[0], width / size[1]) * (256 / 224)
    resized = tf.image.resize(image, tf.cast(tf.math.rint(size * scale), tf.int32))
    return tf.image.resize_with_crop_or_pad(resized, height, width) - tf.constant(_CHANNEL_MEANS)


def _inception(image, height, width):
    """The middle 87.5 % of each side, resized; pixels from -1 to 1."""
    middle = tf.image.central_crop(image, 0.875)
    return tf.image.resize(middle, (height, width)) / 127.5 - 1.0


def _fashion(image, height, width):
    resized = tf.image.resize(image, (height, width))
    return (resized / 255.0 - _FASHION_MEAN) / _FASHION_DEVIATION


def _scaled(image, height, width):
    return tf.image.resize(image, (height, width)) / 255.0


PREPROCESSING = {"vgg": _vgg, "inception": _inception, "fashion_mnist": _fashion, "scale": _scaled}


def _decoder(shape, preprocessing):
    height, width, channels = shape

    def decode(encoded, label):
        image = tf.io.decode_jpeg(encoded, channels=channels)
        image = PREPROCESSING[preprocessing](tf.cast(image, tf.float32), height, width)
        return tf.ensure_shape(image, shape), tf.cast(label, tf.int64)

    return decode


def from_tfrecords(folder, shape, preprocessing):
    """ImageNet's layout: files NAME-00000-of-00128 with `image/encoded` and `image/class/label`."""
    files = sorted(str(path) for path in pathlib.Path(folder).glob("*-of-*"))
    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record):
        parsed = tf.io.parse_single_example(record, features)
        return parsed["image/encoded"], parsed["image/class/label"]

    return tf.data.TFRecordDataset(files).map(parse).map(_decoder(shape, preprocessing))


def from_jpegs(folder, shape, preprocessing):
    """A folder for each class, its JPEGs in it. Classes are numbered in the order of their folders' names."""
    classes = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_dir())
    files = [(str(file), k) for k, of_class in enumerate(classes) for file in sorted(of_class.glob("*.jp*g"))]
    if not files:
        raise ValueError(f"{folder}: no CLASS/IMAGE.jpg in it")
    names, labels = zip(*files)
    dataset = tf.data.Dataset.from_tensor_slices((list(names), list(labels)))
    return dataset.map(lambda name, label: (tf.io.read_file(name), label)).map(_decoder(shape, preprocessing))


def synthetic(shape, batch, count):
    """One batch of noise, again and again: nothing is read while times are measured. Labels are -1."""
    noise = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    one = tf.data.Dataset.from_tensors((noise, np.full(batch, -1, np.int64)))
    return one.cache().repeat(max(1, count // batch))


def load(source, shape, preprocessing, batch, count):
    """At most `count` samples of `source`: "synthetic", a folder of TFRecords or a folder of JPEGs."""
    if source == "synthetic":
        return synthetic(shape, batch, count)
    folder = pathlib.Path(source)
    if not folder.is_dir():
        raise ValueError(f"{source}: not a folder")
    read = from_tfrecords if any(folder.glob("*-of-*")) else from_jpegs
    return read(folder, shape, preprocessing).take(count).batch(batch).prefetch(2)
