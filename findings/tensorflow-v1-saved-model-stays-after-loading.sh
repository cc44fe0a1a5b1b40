#!/usr/bin/env bash
# TensorFlow 2 never frees the functions of a SavedModel in TensorFlow 1's form, and with them its constants.
#
# One would guess: what tf.saved_model.load made goes with the last reference to it, as it does for a model that TensorFlow 2
# saved; or else tf.compat.v1.reset_default_graph() frees it, as is said of loading in a loop.
# What happens: the loader registers each function of such a model once (and takes that back), and then once more for each
# function that it wraps: the whole graph, and every signature. Registrations are counted, and nothing takes those back. A
# model of 16 MB whose weights are constants of a function costs 16 MB more each time it is loaded and dropped. The same
# function saved by tf.saved_model.save leaves nothing behind.
# What follows: a server that loads new versions of models with frozen weights grows until it is killed. The functions must be
# unregistered by hand, as often as they were registered; a memory test of a converter has to load its models twice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import ctypes
import gc
import sys

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

print("TensorFlow", tf.__version__)
v1 = tf.compat.v1
weights = np.random.default_rng(0).standard_normal((2048, 2048), np.float32)
signature = [tf.TensorSpec([None, 2048], tf.float32, "x")]


@tf.function(input_signature=signature)
def product(x):
    return {"y": x @ tf.constant(weights)}


def megabytes():
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6


def left_behind(path):
    """Megabytes for each time that the model is loaded and dropped, and the functions that are still registered."""
    sizes = []
    for _ in range(6):
        tf.saved_model.load(path)
        gc.collect()
        v1.reset_default_graph()
        gc.collect()
        sizes.append(megabytes())
    names = {name for name in context.context().list_function_names() if "product" in name}
    return (sizes[-1] - sizes[1]) / 4, len(names) - len(before)


module = tf.Module()
module.product = product
tf.saved_model.save(module, f"{sys.argv[1]}/two", signatures=product)
with tf.Graph().as_default(), v1.Session() as session:
    x = v1.placeholder(tf.float32, [None, 2048], "x")
    v1.saved_model.simple_save(session, f"{sys.argv[1]}/one", {"x": x}, product(x))
before = {name for name in context.context().list_function_names() if "product" in name}
found = {form: left_behind(f"{sys.argv[1]}/{form}") for form in ("two", "one")}
for form, (grown, functions) in found.items():
    print(f"form of TensorFlow {form}: {grown:.0f} MB more each time, {functions} functions registered after six times")
assert found["two"][0] < 2 and found["two"][1] == 0, "the newer form has changed"
assert found["one"][0] > 14 and found["one"][1] == 6, "the older form has changed"
print("as described")
PYTHON
