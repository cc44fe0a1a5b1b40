"""Classifies images with a model in TensorFlow and converted by Graft: speed of both, accuracy of both.

    python image_classification.py --model residual --data_dir JPEGS --preprocessing fashion_mnist --precision INT8
    python image_classification.py --model SAVED_MODEL --data_dir synthetic --batch_size 8 --num_iterations 100

The options and the names of the figures are those of TF-TRT's samples.
"""

import argparse
import json
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
import tensorflow as tf

import data
import models
from graft.trt_convert import TrtGraphConverterV2


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a name, a file, a folder or an address (models.py)")
    parser.add_argument("--sha256", help="of what is at an address")
    parser.add_argument("--data_dir", default="synthetic", help="TFRecords, folders of JPEGs, or 'synthetic'")
    parser.add_argument("--calib_data_dir", help="for INT8; default: --data_dir")
    parser.add_argument("--preprocessing", default="vgg", choices=sorted(data.PREPROCESSING))
    parser.add_argument("--label_offset", type=int, default=0, help="of the model's classes against the labels")
    parser.add_argument("--precision", default="FP32", choices=["native", "FP32", "FP16", "INT8"])
    parser.add_argument("--input_size", type=int, default=224, help="where the model leaves it open")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_iterations", type=int, default=1000, help="batches at most")
    parser.add_argument("--num_warmup_iterations", type=int, default=10)
    parser.add_argument("--num_calib_inputs", type=int, default=512)
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--json", help="writes the figures there, too")
    return parser.parse_args(arguments)


def load(folder):
    """The serving signature as a function of a batch of images that gives logits or probabilities."""
    model = tf.saved_model.load(str(folder))
    function = model.signatures["serving_default"]
    ((name, spec),) = function.structured_input_signature[1].items()

    def classify(images):
        # One row a sample: the classes. Other outputs, if there are any, are not of them.
        (rows,) = [y for y in function(**{name: images}).values() if y.shape.rank == 2]
        return rows

    classify.model = model  # what the signature refers to
    return classify, spec.shape


def image_shape(shape, size):
    height, width, channels = shape[1:]
    return (height or size, width or size, channels or 3)


def convert(folder, options, calibration, scratch):
    """The folder of the converted model, and which share of its nodes is in engines, in %."""
    int8 = options.precision == "INT8"
    converter = TrtGraphConverterV2(str(folder), precision_mode=options.precision, use_calibration=int8)
    # Batches of the data one after the other; a model with nodes that say ranges would need none.
    converter.convert((lambda: ([images] for images, _ in calibration)) if int8 else None)
    converter.save(os.path.join(scratch, "converted"))
    lines = []
    converter.summary(print_fn=lines.append, detailed=False)
    return os.path.join(scratch, "converted"), float(lines[-1].split(":")[1].split("%")[0])


def correct(rows, labels, k):
    return int(np.sum(np.any(np.argsort(-rows, axis=1)[:, :k] == labels[:, None], axis=1)))


class Measured:
    """Latencies and hits of one function."""

    def __init__(self, classify):
        self.classify = classify
        self.seconds, self.samples, self.hits = [], 0, {1: 0, 5: 0}

    def run(self, images, labels, counts):
        start = time.perf_counter()
        rows = self.classify(images).numpy()
        seconds = time.perf_counter() - start
        if not counts:
            return
        self.seconds.append(seconds)
        self.samples += len(rows)
        for k in self.hits:
            self.hits[k] += correct(rows, labels, k)

    def figures(self):
        milliseconds = 1e3 * np.array(self.seconds)
        figures = {
            "Throughput (samples/sec)": self.samples / sum(self.seconds),
            "Latency Mean (ms)": milliseconds.mean(),
            "Latency Median (ms)": np.median(milliseconds),
        }
        for share in (90, 99):
            figures[f"Latency {share}th_percentile (ms)"] = np.percentile(milliseconds, share)
        return figures

    def accuracy(self):
        return {f"Top-{k} Accuracy (%)": 100 * hits / self.samples for k, hits in self.hits.items()}


def main(arguments=None):
    options = parse(arguments)
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        folder = models.as_saved_model(options.model, options.sha256, scratch)
        native, shape = load(folder)
        shape = image_shape(shape, options.input_size)

        def images(source, count):
            return data.load(source, shape, options.preprocessing, options.batch_size, count)

        functions, figures = {"native": Measured(native)}, {}
        if options.precision != "native":
            source = options.calib_data_dir or options.data_dir
            folder, share = convert(folder, options, images(source, options.num_calib_inputs), scratch)
            functions[options.precision] = Measured(load(folder)[0])
            figures["Node Conversion Rate (%)"] = share

        batches = images(options.data_dir, options.num_iterations * options.batch_size)
        for warm, _ in batches.take(1).repeat(options.num_warmup_iterations):
            for measured in functions.values():
                measured.run(warm, None, counts=False)
        # In turns, so that what else the machine does falls on all alike.
        for batch, labels in batches:
            for measured in functions.values():
                measured.run(batch, labels.numpy() + options.label_offset, counts=True)

        measured = functions[options.precision]
        figures.update(measured.figures())
        reference = functions["native"]
        if measured is not reference:
            figures["Speedup"] = sum(reference.seconds) / sum(measured.seconds)
        if options.data_dir != "synthetic":
            figures["Samples"] = measured.samples
            figures.update(measured.accuracy())
            if measured is not reference:
                for name, value in reference.accuracy().items():
                    figures[f"{name[:5]} Difference to Native"] = figures[name] - value
    figures["Total Time (s)"] = time.perf_counter() - start
    print(f"{options.model}, {options.precision}, batch {options.batch_size}")
    for name, value in figures.items():
        print(f"  {name}: {value:.2f}" if isinstance(value, float) else f"  {name}: {value}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({name: float(value) for name, value in figures.items()}, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f"image_classification: {error}")
