#!/usr/bin/env bash
# XLA on the CPU: a NaN makes argmax forget all elements before it, and max does not see it.
#
# One would guess: compiled and plain TensorFlow agree on a NaN, in one of two ways: numpy's (max is NaN, argmax is the
# index of the NaN) or that of IEEE's maxNum (NaN is passed over by both), and that x[argmax(x)] is max(x) or NaN.
# What happens: plain TensorFlow already mixes them: reduce_max gives NaN, argmax passes the NaN over. With
# jit_compile=True it is the other way round and worse: reduce_max passes NaN over, and argmax gives the largest element
# *behind* the last NaN, be it ever so small: [9, 8, NaN, 1] has maximum 9 and argmax 3. No mode gives the index of the NaN
# unless it stands last.
# What follows: jit_compile=True is no oracle for another compiler where NaN can occur, a NaN in one class score moves the
# predicted class silently and differently in each mode, and x[argmax(x)] in place of max(x) is not a safe rewriting.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import numpy as np
import tensorflow as tf

print("TensorFlow", tf.__version__)
rows = [
    [9.0, 8.0, np.nan, 1.0],
    [np.nan, 8.0, 9.0, 1.0],
    [3.0, np.nan, 5.0, np.nan, 2.0, 4.0, 1.0],
    list(np.where(np.arange(37) == 20, np.nan, 37.0 - np.arange(37))),
]
for row in rows:
    x = np.asarray(row, np.float32)
    got = {}
    for mode, jit in (("plain", False), ("XLA", True)):
        top = tf.function(tf.reduce_max, jit_compile=jit)(x).numpy()
        index = int(tf.function(tf.argmax, jit_compile=jit)(x).numpy())
        got[mode] = top, index
    text = np.array2string(x, threshold=8, edgeitems=3, separator=" ")
    print(text, "; ".join(f"{m}: max {top:g}, argmax {index}, x[argmax] {x[index]:g}" for m, (top, index) in got.items()))
    last = int(np.flatnonzero(np.isnan(x))[-1])
    assert np.isnan(got["plain"][0]) and got["plain"][1] == np.nanargmax(x), "plain TensorFlow has changed"
    assert got["XLA"][0] == np.nanmax(x), "XLA's maximum has changed"
    assert got["XLA"][1] == last + 1 + np.argmax(x[last + 1 :]), "XLA's argmax has changed"
print("as described")
PYTHON
