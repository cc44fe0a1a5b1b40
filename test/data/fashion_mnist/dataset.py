"""Fashion-MNIST as Debian's package dataset-fashion-mnist installs it."""

import gzip
import os
import pathlib

import numpy as np

FOLDER = pathlib.Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))

# Of the pixels of the 60,000 training images, scaled to 0…1.
MEAN, DEVIATION = 0.2860, 0.3530


def _read(name, header):
    return np.frombuffer(gzip.decompress((FOLDER / name).read_bytes()), np.uint8, offset=header)


def load(part, count=None):
    """(images, labels) of `part`, "train" (60,000) or "t10k" (10,000); the first `count` of them.

    Images are f32 [count, 28, 28, 1], standardised; labels int64 [count], 0 to 9.
    """
    pixels = _read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:count]
    labels = _read(f"{part}-labels-idx1-ubyte.gz", 8)[:count]
    images = ((pixels / np.float32(255)) - np.float32(MEAN)) / np.float32(DEVIATION)
    return images.astype(np.float32), labels.astype(np.int64)
