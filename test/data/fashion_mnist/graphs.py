"""Makes TensorFlow's graphs of trained weights.

    python graphs.py FOLDER

reads NAME.npz and NAME_qat.npz there (train.py) and writes frozen graphs beside this file: placeholder `images` [?, 28, 28, 1],
standardised (dataset.py), result `logits` [?, 10]. Batch norms are nodes of their own. The quantisation-aware ones hold their ranges
as the tools of the field write them:

  residual  as TensorFlow Model Optimization: FakeQuantWithMinMaxVars on values, FakeQuantWithMinMaxVarsPerChannel on weights
  mobile    as tf.contrib.quantize: FakeQuantWithMinMaxVars on values, and on weights that hold the batch norm's scale
  vgg       by hand, as the guide of TF-TRT: quantize_and_dequantize_v2 on values alone
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import networks

tf.compat.v1.disable_eager_execution()
HERE = pathlib.Path(__file__).resolve().parent


class Graph:
    """The layers of a network as ops of the default graph."""

    relu = staticmethod(tf.nn.relu)
    relu6 = staticmethod(tf.nn.relu6)

    def __init__(self, arrays, quantise):
        self.arrays, self.quantise = arrays, quantise

    @staticmethod
    def channels(x):
        return x.shape[-1]

    @staticmethod
    def mean(x):
        return tf.reduce_mean(x, [1, 2])

    @staticmethod
    def pool(x):
        return tf.nn.max_pool2d(x, 2, 2, "VALID")

    @staticmethod
    def flatten(x):
        return tf.reshape(x, [-1, np.prod(x.shape[1:])])

    def constant(self, name, array=None):
        array = self.arrays[name] if array is None else array
        return tf.constant(np.asarray(array, np.float32), name=name)

    def value(self, name, x):
        if self.quantise is None:
            return x
        low, high = float(self.arrays[f"{name}/min"]), float(self.arrays[f"{name}/max"])
        if self.quantise == "by hand":
            return tf.quantization.quantize_and_dequantize_v2(
                x, low, high, range_given=True, narrow_range=True, name=f"{name}/qdq"
            )
        low, high = self.constant(f"{name}/min"), self.constant(f"{name}/max")
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high, name=f"{name}/fake_quant")

    def quantised(self, name, kernel, by_channel):
        per_channel = self.quantise == "per channel" and by_channel
        values = self.constant(f"{name}/kernel", kernel)
        if not per_channel and self.quantise != "per tensor":
            return values
        if per_channel:
            emulate = tf.quantization.fake_quant_with_min_max_vars_per_channel
            peak = np.abs(kernel).max(tuple(range(kernel.ndim - 1)))
        else:
            emulate = tf.quantization.fake_quant_with_min_max_vars
            peak = np.abs(kernel).max()
        low, high = self.constant(f"{name}/kernel/min", -peak), self.constant(f"{name}/kernel/max", peak)
        return emulate(values, low, high, narrow_range=True, name=f"{name}/kernel/fake_quant")

    def conv(self, name, x, channels, size=3, stride=1, activation=None, depthwise=False, norm=True):
        kernel = self.arrays[f"{name}/kernel"]
        fold = norm and self.quantise == "per tensor"
        if norm:
            names = ("gamma", "beta", "mean", "variance")
            gamma, beta, mean, variance = (self.arrays[f"{name}/{n}"] for n in names)
        if fold:
            scale = gamma / np.sqrt(variance + np.float32(networks.EPSILON))
            kernel = kernel * scale.reshape([1, 1, -1, 1] if depthwise else [-1])
        kernel = self.quantised(name, kernel, by_channel=not depthwise)
        if depthwise:
            y = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME", name=name)
        else:
            y = tf.nn.conv2d(x, kernel, stride, "SAME", name=name)
        if fold:
            y = tf.nn.bias_add(y, self.constant(f"{name}/bias", beta - mean * scale))
        elif norm:
            operands = [self.constant(f"{name}/{n}") for n in names]
            y = tf.compat.v1.nn.fused_batch_norm(
                y, *operands, networks.EPSILON, is_training=False, name=f"{name}/norm"
            )[0]
        else:
            y = tf.nn.bias_add(y, self.constant(f"{name}/bias"))
        return activation(y) if activation else y

    def dense(self, name, x, channels, activation=None):
        kernel = self.quantised(name, self.arrays[f"{name}/kernel"], by_channel=True)
        y = tf.nn.bias_add(tf.matmul(x, kernel, name=name), self.constant(f"{name}/bias"))
        return activation(y) if activation else y


def main(folder):
    for name, describe in networks.NETWORKS.items():
        for kind, quantise in (("", None), ("_qat", networks.QUANTISED[name])):
            arrays = dict(np.load(pathlib.Path(folder) / f"{name}{kind}.npz"))
            with tf.Graph().as_default() as graph:
                images = tf.compat.v1.placeholder(tf.float32, [None, 28, 28, 1], name="images")
                tf.identity(describe(Graph(arrays, quantise), images), name="logits")
            path = HERE / f"{name}{kind}.pb"
            path.write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(sys.argv[1])
