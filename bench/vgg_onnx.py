"""Writes a VGG as ONNX from its variables: tf2onnx needs over 20 GB for the 138 million of them."""

import onnx
import tensorflow as tf
from onnx import helper, numpy_helper


def from_saved_model(folder):
    variables = {
        v.name.removesuffix(":0"): v.numpy() for v in tf.saved_model.load(folder).variables
    }
    layers = [name.removesuffix("/kernel") for name in variables if name.endswith("/kernel")]
    nodes, weights = [], []

    def constant(name, array):
        weights.append(numpy_helper.from_array(array, name))
        return name

    def node(op, *inputs, **attributes):
        nodes.append(helper.make_node(op, inputs, [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    x = node("Transpose", "image", perm=[0, 3, 1, 2])
    for index, layer in enumerate(layers):
        kernel = variables[f"{layer}/kernel"]
        bias = constant(f"{layer}/bias", variables[f"{layer}/bias"])
        if kernel.ndim == 4:
            packed = constant(f"{layer}/kernel", kernel.transpose(3, 2, 0, 1).copy())
            x = node("Relu", node("Conv", x, packed, bias, pads=[1, 1, 1, 1]))
            # Layers are named block1_conv1, block1_conv2, block2_conv1 ...; a block ends in a pool.
            if layer.split("_")[0] != layers[index + 1].split("_")[0]:
                x = node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        else:
            if layers[index - 1].startswith("block"):
                x = node("Flatten", node("Transpose", x, perm=[0, 2, 3, 1]))
            x = node("Gemm", x, constant(f"{layer}/kernel", kernel), bias)
            if layer != layers[-1]:
                x = node("Relu", x)
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes,
        "vgg",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 224, 224, 3])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, kernel.shape[1]])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
