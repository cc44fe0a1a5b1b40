"""Classifies a folder of images by Ray Data: workers in processes of their own, on as many machines as the cluster has.

    python classify_folder.py --model mobile.plan --images JPEGS --output classes [--workers 2] [--threads 1]

Writes Parquet files of path, class and probability; the model takes one batch of images and gives logits. Where a cluster
runs already, RAY_ADDRESS says where; then all paths, and Graft, have to be there on each of its machines.
"""

import argparse
import os
import shutil
import sys

import numpy as np
import pyarrow.parquet
import ray

from model import load


class Classifier:
    """One worker: its model is loaded once."""

    def __init__(self, path, threads, mean, deviation):
        self._model = load(path, threads)
        (self._input,) = self._model.inputs
        self._mean, self._deviation = mean, deviation

    def __call__(self, batch):
        images = (batch["image"].astype(np.float32) / 255 - self._mean) / self._deviation
        if images.ndim == 3:  # grey images have no channels
            images = images[..., None]
        (logits,) = self._model.run({self._input: images.astype(np.float32)}).values()
        weights = np.exp(logits - logits.max(1, keepdims=True))
        probabilities = weights / weights.sum(1, keepdims=True)
        return {"path": batch["path"], "class": logits.argmax(1), "probability": probabilities.max(1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a plan or a SavedModel of one input")
    parser.add_argument("--images", required=True, help="a folder, with folders in it or without")
    parser.add_argument("--output", required=True, help="a folder that is not there yet")
    parser.add_argument("--size", type=int, nargs=2, default=(28, 28), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--mode", default="L", help="of Pillow: L is grey, RGB has three channels")
    parser.add_argument("--mean", type=float, default=0.2860, help="of pixels from 0 to 1; default: Fashion-MNIST's")
    parser.add_argument("--deviation", type=float, default=0.3530)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    options = parser.parse_args()
    if os.path.exists(options.output):
        sys.exit(f"classify_folder: {options.output} is there already")
    ray.init(log_to_driver=False, logging_level="WARNING")
    # Workers may hold every processor of the cluster: readers and writers that wanted one would wait for ever.
    images = ray.data.read_images(
        os.path.abspath(options.images),
        size=tuple(options.size),
        mode=options.mode,
        include_paths=True,
        num_cpus=0,
    )
    found = images.map_batches(
        Classifier,
        fn_constructor_args=(os.path.abspath(options.model), options.threads, options.mean, options.deviation),
        batch_size=options.batch_size,
        compute=ray.data.ActorPoolStrategy(size=options.workers),
        num_cpus=options.threads,
    )
    part = f"{os.path.abspath(options.output)}.part"
    try:
        found.write_parquet(part, mode=ray.data.SaveMode.OVERWRITE, ray_remote_args={"num_cpus": 0})
        os.rename(part, options.output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    classes = pyarrow.parquet.read_table(options.output)["class"].to_numpy()
    for number, count in zip(*np.unique(classes, return_counts=True)):
        print(f"class {number}: {count} images")


if __name__ == "__main__":
    main()
