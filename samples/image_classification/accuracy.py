"""What each precision costs in accuracy: model x (TensorFlow, FP32, FP16, INT8 by each calibrator), top-1 in %.

    python accuracy.py [--count 10000]

The models are the repository's three classifiers of Fashion-MNIST and their quantisation-aware forms, whose ranges are
their own. Ends with 1 where a precision is further from TensorFlow than it may be.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

import models

sys.path.insert(0, str(models.ROOT / "test/data/fashion_mnist"))
import dataset

GRAFT = models.ROOT / "build/release/bin/graft"
CALIBRATORS = ("entropy", "percentile", "minmax", "mse")
ALL_IMAGES, CALIBRATION_IMAGES, BATCH = 10_000, 512, 500
# Points of top-1 that a precision may lose. Other calibrators than the default are shown, not held to anything.
MOST_DROP = {"FP32": 0.01, "FP16": 0.05, "INT8 entropy": 0.3, "INT8 nodes": 0.3}


def by_tensorflow(graph, images):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(graph.read_bytes()), name="")
        return [session.run("logits:0", {"images:0": part}) for part in images]


def by_graft(graph, images, plan, *arguments):
    import graft

    command = [GRAFT, "convert", graph, "--plan", plan, "--opt-level", "0", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{graph.name}: {done.stderr or done.stdout}")
    engine = graft.Engine(str(plan))
    return [engine.run({"images": part})["logits"] for part in images]


def columns(name, scratch):
    """The columns of a model: name, and arguments of the program."""
    yield "FP32", ()
    yield "FP16", ("--precision", "fp16")
    if name.endswith("_qat"):
        yield "INT8 nodes", ("--precision", "int8", "--strict-int8")
        return
    data = ("--calibration-data", scratch / "calibration.npz", "--strict-int8")
    for calibrator in CALIBRATORS:
        yield f"INT8 {calibrator}", ("--precision", "int8", *data, "--calibrator", calibrator)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=ALL_IMAGES, help="test images; nothing is demanded of fewer")
    count = parser.parse_args().count
    images, labels = dataset.load("t10k", count)
    parts = [images[i : i + BATCH] for i in range(0, count, BATCH)]
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        np.savez(scratch / "calibration.npz", images=dataset.load("train", CALIBRATION_IMAGES)[0])
        for name, graph in sorted(models.NAMED.items()):

            def top_1(logits):
                return 100 * float(np.mean(np.concatenate(logits).argmax(1) == labels))

            native = top_1(by_tensorflow(graph, parts))
            line = f"{name:14} native {native:6.2f}"
            for column, arguments in columns(name, scratch):
                value = top_1(by_graft(graph, parts, scratch / "plan", *arguments))
                line += f"   {column} {value:6.2f} ({value - native:+.2f})"
                # Of fewer images than the bars are made for, one is more than a bar.
                allowed = MOST_DROP.get(column, 100) if count == ALL_IMAGES else 100
                if native - value > allowed + 1e-9:
                    failed.append(f"{name}, {column}: {native - value:.2f} points lost, {allowed} allowed")
            print(line, flush=True)
    for text in failed:
        print("FAILED", text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
