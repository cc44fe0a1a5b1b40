"""Finds hands and faces: an SSD with its loop and non-max suppression, in TensorFlow and converted.

    python hands.py --model handtrack_ssd.pb IMAGE.jpg [--output FOUND.png]

The model is the frozen graph of handtrack's detector (TensorFlow's Object Detection API): uint8 images of any size in,
boxes out. Its preprocessing loop stays native, the rest is one engine. IMAGE is a JPEG, a PNG or an array (.npy).
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

import graft

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDE = 320  # that the model was trained with
CLASSES = ("", "open hand", "closed hand", "pinch", "point", "face", "tip", "pinch tip")
INPUT, BOXES, CLASS, SCORES = "input_tensor:0", "Identity_1:0", "Identity_2:0", "Identity_4:0"


def read_image(path):
    """uint8 [1, SIDE, SIDE, 3]."""
    if path.endswith(".npy"):
        image = np.load(path).reshape((-1, *np.load(path).shape[-2:]))
    else:
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    resized = tf.image.resize(image, (SIDE, SIDE), antialias=True)
    return tf.cast(tf.math.rint(resized), tf.uint8)[None].numpy()


class Detector:
    def __init__(self, graph):
        self.graph = tf.Graph()
        with self.graph.as_default():
            tf.import_graph_def(tf.compat.v1.GraphDef.FromString(pathlib.Path(graph).read_bytes()), name="")
        self.session = tf.compat.v1.Session(graph=self.graph)

    def run(self, image):
        """Boxes [n, 4] (top, left, bottom, right, of 1), names, scores; the best first."""
        boxes, kinds, scores = self.session.run((BOXES, CLASS, SCORES), {INPUT: image})
        return boxes[0], kinds[0], scores[0]

    def milliseconds(self, image, times=10):
        self.run(image)
        seconds = []
        for _ in range(times):
            begin = time.perf_counter()
            self.run(image)
            seconds.append(time.perf_counter() - begin)
        return 1e3 * float(np.median(seconds))


def convert(model, converted):
    command = [ROOT / "build/release/bin/graft", "convert", model, "--output", converted, "--opt-level", "0"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"hands: {done.stderr}")
    print(next(line for line in done.stdout.splitlines() if "ops converted" in line))


def draw(image, boxes, path):
    colours = [[0, 230, 0], [255, 140, 0], [0, 140, 255]]
    drawn = tf.image.draw_bounding_boxes(tf.cast(image, tf.float32), boxes[None], colours)
    part = f"{path}.part"
    tf.io.write_file(part, tf.io.encode_png(tf.cast(drawn[0], tf.uint8)))
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", metavar="IMAGE")
    parser.add_argument("--model", required=True, help="the frozen graph")
    parser.add_argument("--output", metavar="FOUND.png", help="write the image with its boxes there")
    parser.add_argument("--threshold", type=float, default=0.5, help="the least score that is shown")
    options = parser.parse_args()
    image = read_image(options.image)
    graft.load_op_library()
    with tempfile.TemporaryDirectory() as scratch:
        converted = os.path.join(scratch, "converted.pb")
        convert(options.model, converted)
        detectors = {"TensorFlow": Detector(options.model), "Graft": Detector(converted)}
    found = {name: detector.run(image) for name, detector in detectors.items()}
    for name, (boxes, kinds, scores) in found.items():
        print(f"by {name}, {detectors[name].milliseconds(image):.1f} ms:")
        for box, kind, score in zip(boxes, kinds, scores):
            if score >= options.threshold:
                # Numbers between two classes come from boxes that were merged.
                print(f"  {CLASSES[round(float(kind))]:12} {score:4.0%}  at " + " ".join(f"{v:.3f}" for v in box))
    boxes, _, scores = found["Graft"]
    difference = np.abs(scores - found["TensorFlow"][2]).max()
    print(f"largest difference of a score: {difference:.1e}")
    if options.output:
        draw(image, boxes[scores >= options.threshold], options.output)
    return 0 if difference <= 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
