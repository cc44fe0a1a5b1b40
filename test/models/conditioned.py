"""Gives a Keras model weights that make a useful test, and saves it with reference outputs.

Used by guide_models.py, which says why and what is written.
"""

import json
import pathlib
import sys
import tempfile
import zlib

import architectures
import guide_models
import keras
import keras_models
import numpy as np
import tensorflow as tf
from keras.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    DepthwiseConv2D,
    LayerNormalization,
    MaxPooling2D,
    MultiHeadAttention,
    ReLU,
    RNN,
)
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

SEED = 20
# Few images of a small side say too little of a variance.
CONDITIONING_BATCH, SMALL_SIDE, SMALL_SIDE_BATCH = 8, 200, 48
LOGIT_DEVIATION = 2.0
MIRRORED = 0.98
CLASSES = 1000


def random_images(rng, count, side):
    """Images with structure at several scales. Plain noise averages out in the first pooling
    layers, after which all images look alike to the network."""
    images = np.zeros((count, side, side, 3), np.float32)
    for cells in (6, 24, 96, side):
        grid = rng.standard_normal((count, cells, cells, 3), np.float32)
        images += tf.image.resize(grid, (side, side), "bilinear").numpy()
    return (images - images.mean((1, 2, 3), keepdims=True)) / images.std((1, 2, 3), keepdims=True)


def he_normal(rng, shape, depthwise, mirror_outputs):
    """Kernels of He's variance, in mirrored pairs of channels: output channel 2k+1 is nearly the
    negative of 2k, and the next kernel subtracts the two, so that ReLU(x) - ReLU(-x) = x gets
    through. Without it a random network this deep is chaotic: it multiplies any difference by 1.2 a
    layer, and two correct implementations end up 1e-3 apart."""
    normal = rng.standard_normal(shape, np.float32)
    if depthwise:
        # [height, width, channel, 1]: a pair must stay a pair, and a blur keeps the signal.
        normal[:, :, 1::2] = normal[:, :, : shape[2] // 2 * 2 : 2]
        return (1 + normal) * np.float32(np.sqrt(1.0 / np.prod(shape[:2])))
    mirrored = rng.standard_normal(shape, np.float32)
    mirrored[..., 1::2, :] = -mirrored[..., : shape[-2] // 2 * 2 : 2, :]
    if mirror_outputs:
        mirrored[..., 1::2] = -mirrored[..., : shape[-1] // 2 * 2 : 2]
    kernel = MIRRORED * mirrored + np.sqrt(1 - MIRRORED**2) * normal
    return kernel * np.float32(np.sqrt(2.0 / np.prod(shape[:-1])))


def condition_batch_norm(layer, rng, x):
    """Random scale and shift; mean and variance as measured."""
    channels = x.shape[-1]
    flat = x.numpy().reshape(-1, channels)
    mean, variance = flat.mean(0), flat.var(0)
    # A channel that this batch leaves constant must not amplify what another image puts there.
    variance = np.maximum(variance, 0.01 * variance.mean())
    if layer.gamma is not None:
        layer.gamma.assign(rng.uniform(0.5, 1.5, channels))
    if layer.beta is not None:
        layer.beta.assign(rng.uniform(-0.5, 0.5, channels))
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)


def condition_kernels(layer, rng, x, is_last):
    """Random kernels; with a bias, the output before the activation gets a known deviation and a
    small random mean. Without one, a batch norm follows and does that."""
    for weight in layer.weights:
        if len(weight.shape) == 1:
            weight.assign(np.zeros(weight.shape))
            continue
        depthwise = isinstance(layer, DepthwiseConv2D) or weight.name == "depthwise_kernel"
        weight.assign(he_normal(rng, weight.shape, depthwise, mirror_outputs=not is_last))
    if not layer.use_bias:
        return
    activation, layer.activation = layer.activation, keras.activations.linear
    y = layer(x).numpy()
    layer.activation = activation
    squeezed = y.ndim == 4 and y.shape[1:3] == (1, 1)
    y = y.reshape(-1, y.shape[-1])
    mean = y.mean(0)
    deviation = (y - mean).std()
    # What was averaged over the image is nearly the same for all images, and mostly becomes a gate:
    # it must not amplify what a few images differ by.
    if squeezed:
        deviation = 3 * max(deviation, 0.5 * y.std())
    scale = (LOGIT_DEVIATION if is_last else 1.0) / deviation
    layer.kernel.assign(layer.kernel * scale)
    layer.bias.assign(rng.uniform(-0.5, 0.5, mean.shape) - mean * scale)


def condition_others(layer, rng):
    """Layers that are normalised inside, attention and recurrent ones: their own kernels, random scales and offsets."""
    for weight in layer.weights:
        if weight.name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias"):
            weight.assign(rng.uniform(-0.5, 0.5, weight.shape))


def condition(model, batch):
    """Gives every layer its weights in data-flow order, from what those before it make of it."""
    # Not model.layers: sums and products that are written as such are operations, but no layers.
    nodes = [operation._inbound_nodes[0] for operation in model.operations]
    values = {id(model.input): tf.constant(batch)}
    readers = {}
    for node in nodes:
        for tensor in node.input_tensors:
            readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    for node in nodes:
        if node.is_input:
            continue
        layer = node.operation
        arguments, options = node.arguments.fill_in(values)
        rng = np.random.default_rng([SEED, zlib.crc32(layer.name.encode())])
        if isinstance(layer, BatchNormalization):
            condition_batch_norm(layer, rng, arguments[0])
        elif hasattr(layer, "use_bias") and not isinstance(layer, (MultiHeadAttention, RNN)):
            condition_kernels(layer, rng, arguments[0], is_last=layer is model.layers[-1])
        elif isinstance(layer, keras.Layer):
            condition_others(layer, rng)
        outputs = tf.nest.flatten(layer(*arguments, **options))
        for tensor, y in zip(node.outputs, outputs):
            size = np.abs(y.numpy())
            denormal = np.mean((size > 0) & (size < np.finfo(np.float32).tiny))
            assert denormal <= 1e-3, f"{layer.name}: {denormal:.2%} of the output is denormal"
            values[id(tensor)] = y
        # Only what is still to be read stays in memory.
        for tensor in node.input_tensors:
            readers[id(tensor)] -= 1
            if readers[id(tensor)] == 0:
                del values[id(tensor)]


def choose_inner(model):
    """Three tensors, a quarter, half and three quarters of the way, where fused groups end."""
    kinds = (Activation, ReLU, Add, Concatenate, MaxPooling2D)
    tensors = [
        layer.output
        for layer in model.layers
        if isinstance(layer, kinds) and len(layer.output.shape) == 4
    ]
    tensors = tensors or [layer.output for layer in model.layers[1:-1]]
    return [tensors[len(tensors) * quarter // 4] for quarter in (1, 2, 3)]


def choose_kernel(model):
    """The middle one of the convolutions, or of what there is. Where layers are normalised, the last:
    a normalisation undoes the growth of a kernel before it, and one of many branches counts for little.
    """
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, Conv2D)] or [
        weight for weight in model.weights if weight.name == "kernel"
    ]
    if any(isinstance(layer, LayerNormalization) for layer in model.layers):
        return model.layers[-1].kernel
    return kernels[len(kernels) // 2]


def save_npz(path, **arrays):
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})


def freeze(folder):
    """Writes frozen.pb and returns its input and outputs."""
    # The function does not keep its variables alive: the model has to stay.
    model = tf.saved_model.load(folder / "saved_model")
    function = model.signatures["inner"]
    keys = sorted(function.structured_outputs)
    # Loops stay functions, as in the SavedModel.
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    (folder / "frozen.pb").write_bytes(
        frozen.graph.as_graph_def().SerializeToString(deterministic=True)
    )
    return {
        "inputs": {"image": frozen.inputs[0].name},
        "outputs": {key: tensor.name for key, tensor in zip(keys, frozen.outputs)},
    }


def make(name, folder):
    """Builds, conditions, checks and saves one model."""
    family, side, millions, options = {**guide_models.MODELS, **architectures.MODELS}[name]
    keras.utils.set_random_seed(SEED)
    module = keras_models if hasattr(keras_models, family) else keras.applications
    model = getattr(module, family)(
        input_shape=(side, side, 3),
        classes=CLASSES,
        classifier_activation=None,
        weights=None,
        **options,
    )
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert abs(trained / 1e6 - millions) <= max(0.06, 0.005 * millions), (
        f"{name} has {trained} parameters"
    )
    rng = np.random.default_rng(SEED)
    batch = SMALL_SIDE_BATCH if side < SMALL_SIDE else CONDITIONING_BATCH
    condition(model, random_images(rng, batch, side))

    inner = choose_inner(model)
    probe = keras.Model(
        model.input,
        {"logits": model.output, **{f"inner_{i}": tensor for i, tensor in enumerate(inner, 1)}},
    )
    images = random_images(rng, 5, side)
    reference = {batch: probe(images[:batch], training=False) for batch in (1, 5)}
    for batch, outputs in reference.items():
        save_npz(folder / f"reference_b{batch}.npz", image=images[:batch], **outputs)
    logits = reference[5]["logits"].numpy()
    spread = np.abs(logits[0] - logits[1]).max()
    assert spread >= 0.1 * np.ptp(logits), f"{name}: two images give logits that differ by {spread}"

    signature = [tf.TensorSpec((None, side, side, 3), tf.float32, name="image")]
    archive = keras.export.ExportArchive()
    archive.track(probe)
    archive.add_endpoint(
        "serving_default", lambda image: {"logits": model(image, training=False)}, signature
    )
    archive.add_endpoint("inner", lambda image: probe(image, training=False), signature)
    archive.write_out(folder / "saved_model", verbose=False)

    kernel = choose_kernel(model)
    kernel.assign(kernel * 1.01)
    perturbed = probe(images[:1], training=False)
    change = np.abs(perturbed["logits"] - logits[:1]).max() / np.abs(logits[:1]).max()
    assert change > 1e-3, f"{name}: a 1 % larger {kernel.path} moves the logits by {change} only"
    save_npz(folder / "perturbed_b1.npz", **perturbed)

    print(
        f"{name}: {trained} parameters; logits up to {np.abs(logits).max():.1f}, "
        f"those of two images {spread:.2f} apart; "
        f"a 1 % larger {kernel.path} moves them by {change:.1e} of that"
    )
    (folder / "model.json").write_text(
        json.dumps(
            {
                "name": name,
                "image": [side, side, 3],
                "trained_parameters": trained,
                "outputs": sorted(reference[1]),
            },
            indent=1,
        )
    )


def main():
    """conditioned.py NAME FOLDER [--frozen-pb]: a step leaves its files complete or not at all."""
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if not (folder / "model.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = pathlib.Path(scratch) / "model"
            made.mkdir()
            make(name, made)
            made.rename(folder)
    if "--frozen-pb" in sys.argv:
        (folder / "frozen.json").write_text(json.dumps(freeze(folder), indent=1))


if __name__ == "__main__":
    main()
