"""Writes test images of Fashion-MNIST as the samples read them: TFRecords in ImageNet's layout, and a folder of JPEGs.

    python write_data.py FOLDER [--count 10000] [--shards 2]

makes FOLDER/tfrecords and FOLDER/jpegs. The images are those of Debian's package dataset-fashion-mnist.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

import models

sys.path.insert(0, str(models.ROOT / "test/data/fashion_mnist"))
import dataset


def write_tfrecords(encoded, labels, shards, folder):
    def feature(kind, field, value):
        return tf.train.Feature(**{field: kind(value=[value])})

    folder.mkdir(parents=True)
    for shard in range(shards):
        with tf.io.TFRecordWriter(str(folder / f"validation-{shard:05}-of-{shards:05}")) as writer:
            for image, label in zip(encoded[shard::shards], labels[shard::shards]):
                features = {
                    "image/encoded": feature(tf.train.BytesList, "bytes_list", image),
                    "image/class/label": feature(tf.train.Int64List, "int64_list", label),
                }
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())


def write_jpegs(encoded, labels, folder):
    for label in range(10):  # of classes without an image too: readers number the folders
        (folder / str(label)).mkdir(parents=True)
    for i, (image, label) in enumerate(zip(encoded, labels)):
        (folder / str(label) / f"{i:05}.jpg").write_bytes(image)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    images, labels = dataset.load("t10k", options.count)
    pixels = np.rint((images * dataset.DEVIATION + dataset.MEAN) * 255).astype(np.uint8)
    encoded = [tf.io.encode_jpeg(image, format="grayscale", quality=95).numpy() for image in pixels]
    write_tfrecords(encoded, labels, options.shards, options.folder / "tfrecords")
    write_jpegs(encoded, labels, options.folder / "jpegs")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"write_data: {error}")
