#!/usr/bin/env bash
# A tf.function of *args or **kwargs with reduce_retracing=True cannot be called with more arguments than before.
#
# One would guess: reduce_retracing only lets TensorFlow trace less often, by relaxing shapes; what cannot be relaxed is traced
# anew, as without it. "Excessive retracing" warnings recommend it for any function.
# What happens: the second call of a function with another number of arguments raises "IndexError: list index out of range" from
# inside TensorFlow, if it has more than the first, by position or by name. With fewer, or in the other order, all is well,
# so a test that happens to make the larger call first passes.
# What follows: wrappers that hand on whatever they are given (decorators, optimisers, servers) must not set it; they can trace
# once with relaxed TensorSpecs instead, which later calls then find.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import sys

import tensorflow as tf

print("TensorFlow", tf.__version__)
x, mask = tf.ones([3]), tf.ones([2])
one, by_position, by_name = ((x,), {}), ((x, mask), {}), ((x,), {"mask": mask})
orders = {
    "more, by position": (one, by_position),
    "more, by name": (one, by_name),
    "fewer, by position": (by_position, one),
    "fewer, by name": (by_name, one),
}


def outcome(calls, **options):
    function = tf.function(lambda *args, **kwargs: 2.0 * args[0], **options)
    try:
        for args, kwargs in calls:
            function(*args, **kwargs)
        return "works"
    except IndexError as error:
        return f"IndexError: {error}"


raises = "IndexError: list index out of range"
as_before = True
for name, calls in orders.items():
    plain, reduced = outcome(calls), outcome(calls, reduce_retracing=True)
    print(f"{name:20} by default: {plain:8} reduce_retracing=True: {reduced}")
    as_before &= plain == "works" and reduced == (raises if "more" in name else "works")
sys.exit(not as_before)
PYTHON
