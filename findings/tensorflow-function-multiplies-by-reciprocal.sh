#!/usr/bin/env bash
# A tf.function does not divide by a constant: it multiplies by the rounded reciprocal.
#
# One would guess: IEEE division is one correctly rounded operation, so x / 255 gives the same bits in eager mode, in a
# tf.function, in a loaded SavedModel and under XLA; a compiler may replace it only where the reciprocal is exact (a
# power of two), unless some fast-math switch is set.
# What happens: Grappler's constant folding turns the division by a constant into a multiplication in every graph, and
# XLA does so too. With 255, the divisor of most image pipelines, 7 of 10 float32 results change their last bit; float64
# and float16 are affected too. The same function divides when its divisor is an eager tensor made outside (it is
# captured, and so an input), though it prints as the same Python, or when constant folding is off.
# What follows: the reference for "the same bits as TensorFlow" depends on the mode in which it was computed; eager
# results are no oracle for a graph, and a pre-processing moved out of the model is not bit-equal to the one inside.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import numpy as np
import tensorflow as tf

print("TensorFlow", tf.__version__)
random = np.random.default_rng(0)


def differing(x, divisor):
    """The share of x / divisor that is not correctly rounded, by mode."""
    exact = x / x.dtype.type(divisor)
    constant = tf.constant(divisor, x.dtype)
    modes = {
        "eager": tf.constant(x) / constant,
        "function": tf.function(lambda v: v / divisor)(x),
        "captured": tf.function(lambda v: v / constant)(x),
        "XLA": tf.function(lambda v: v / divisor, jit_compile=True)(x),
    }
    tf.config.optimizer.set_experimental_options({"constant_folding": False})
    modes["no folding"] = tf.function(lambda v: v / divisor)(x)
    tf.config.optimizer.set_experimental_options({"constant_folding": True})
    return {mode: float((y.numpy() != exact).mean()) for mode, y in modes.items()}


for dtype in (np.float32, np.float64, np.float16):
    pixels = random.uniform(1, 255, 100_000).astype(dtype)
    for divisor in (255.0, 3.0, 4.0):
        share = differing(pixels, divisor)
        print(np.dtype(dtype).name, f"x / {divisor:g}:", ", ".join(f"{m} {s:.3f}" for m, s in share.items()))
        assert share["eager"] == share["captured"] == share["no folding"] == 0, "a plain division is not exact now"
        if divisor == 4.0:
            assert share["function"] == share["XLA"] == 0, "dividing by a power of two is not exact now"
        else:
            assert share["function"] > 0.01 and share["XLA"] > 0.01, "graphs divide now"
print("as described")
PYTHON
