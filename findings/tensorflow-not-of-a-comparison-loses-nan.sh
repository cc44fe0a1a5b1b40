#!/usr/bin/env bash
# In a tf.function "not x <= limit" is false for NaN, as "x <= limit" is: the form that is chosen because of NaN does not
# see it.
#
# One would guess: every comparison with NaN is false, so its negation is true. It is why one writes "not x <= limit"
# where NaN can occur, and why no compiler without a fast-math switch makes "x > limit" of it.
# What happens: Grappler's arithmetic optimisation, on by default, makes Greater of LogicalNot(LessEqual), and so for the other
# orderings and all float types; == and != are safe. Plain Python counts too, as AutoGraph makes LogicalNot of "not". Eager
# mode, XLA, and the same function once it also returns the comparison (which then has to stay) answer as IEEE does.
# What follows: a mask that was right in eager tests is another one where the model is served, and right again as soon as
# somebody fetches the comparison to debug it. tf.math.is_finite, or tf.where(x <= limit, x, safe), does not depend on it. Where NaN can
# occur, TensorFlow's own graph is no oracle for a converter that keeps the negation.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
cat >"$folder/masks.py" <<'PYTHON'
import sys

import numpy as np
import tensorflow as tf

print("TensorFlow", tf.__version__)
X = np.array([np.nan, 0.5, 1, 2], np.float32)


def saved(f):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": f(x)}, input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    tf.saved_model.save(module, sys.argv[1] + "/model", signatures=module.f)
    return tf.saved_model.load(sys.argv[1] + "/model").signatures["serving_default"](x=tf.constant(X))["y"]


def unoptimised(f):
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    result = tf.function(f)(X)
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": True})
    return result


comparisons = {
    "<=": lambda x: x <= 1.0,
    "<": lambda x: x < 1.0,
    ">": lambda x: x > 1.0,
    ">=": lambda x: x >= 1.0,
    "==": lambda x: x == 1.0,
    "!=": lambda x: x != 1.0,
}
for name, compare in comparisons.items():
    negated = lambda x: tf.logical_not(compare(x))
    right = ~compare(X)
    results = {
        "eager": negated(tf.constant(X)),
        "function": tf.function(negated)(X),
        "SavedModel": saved(negated),
        "XLA": tf.function(negated, jit_compile=True)(X),
        "not optimised": unoptimised(negated),
        "comparison returned too": tf.function(lambda x: (negated(x), compare(x)))(X)[0],
    }
    print(f"not NaN {name} 1:", ", ".join(f"{mode} {bool(y[0])}" for mode, y in results.items()))
    wrong = {mode for mode, y in results.items() if y.numpy()[0] != right[0]}
    assert all((y.numpy()[1:] == right[1:]).all() for y in results.values()), "numbers are compared otherwise now"
    assert wrong == (set() if name in ("==", "!=") else {"function", "SavedModel"}), f"wrong in {wrong} now"

others = {}
for dtype in (tf.float16, tf.bfloat16, tf.float64):
    one, nan = tf.constant(1, dtype), tf.constant([np.nan], dtype)
    others[dtype.name] = bool(tf.function(lambda x: tf.logical_not(x <= one))(nan)[0])
print("not NaN <= 1 in a function:", ", ".join(f"{name} {value}" for name, value in others.items()))
assert not any(others.values()), "other types have changed"


def limited(x, limit):
    if not x <= limit:
        return tf.zeros([])
    return x


got = {"as Python": limited(tf.constant(np.nan), 6.0), "tf.function": tf.function(limited)(tf.constant(np.nan), 6.0)}
print("'if not x <= 6: return 0' of NaN:", ", ".join(f"{how} {float(y)}" for how, y in got.items()))
assert got["as Python"] == 0 and np.isnan(got["tf.function"]), "this has changed"
print("as described")
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/masks.py" "$folder" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
