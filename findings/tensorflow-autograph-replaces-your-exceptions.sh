#!/usr/bin/env bash
# An exception class of one's own loses its type on the way out of a tf.function, its base class with it.
#
# One would guess: what a Python function raises while TensorFlow traces it is what the caller catches. So it is for
# ValueError, and for KeyError and TensorFlow's own errors nearly: they come as private subclasses that have two parents.
# What happens: a subclass of ValueError that is not one of a fixed list comes out as StagingError, which is a plain
# Exception: "except ValueError" does not catch it, nor does its own name, and __cause__ is empty. So in tf.function and in
# tf.data.Dataset.map; a Keras layer that is called eagerly, and tf.function(autograph=False), let it through as it is.
# What follows: code that may run under somebody's tf.function, such as a converter, a layer or an input pipeline, has to
# raise built-in exceptions or TensorFlow's where callers are to catch them; a subclass that only adds a name takes the type
# away. Tests that call the code eagerly do not see it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
cat >"$folder/raises.py" <<'PYTHON'
import tensorflow as tf

print("TensorFlow", tf.__version__)


class BadGoal(ValueError):
    pass


def fail(error):
    raise error


def caught(call, kind):
    """The class of what arrives, and whether a handler of the class that was raised, or of its base, takes it."""
    try:
        call()
    except Exception as error:
        return type(error).__name__, isinstance(error, kind), isinstance(error, kind.__base__), error.__cause__
    raise AssertionError("nothing was raised")


def in_function(error, **options):
    @tf.function(**options)
    def traced(x):
        fail(error)
        return x

    return caught(lambda: traced(1.0), type(error))


def in_map(error):
    return caught(lambda: tf.data.Dataset.range(2).map(lambda x: fail(error)), type(error))


for name, got, expected in (
    ("ValueError in tf.function", in_function(ValueError("x")), ("ValueError", True, True, None)),
    ("KeyError in tf.function", in_function(KeyError("x")), ("KeyError", True, True, None)),
    ("BadGoal(ValueError) in tf.function", in_function(BadGoal("x")), ("StagingError", False, False, None)),
    ("BadGoal(ValueError) in Dataset.map", in_map(BadGoal("x")), ("StagingError", False, False, None)),
    ("BadGoal(ValueError), autograph=False", in_function(BadGoal("x"), autograph=False), ("BadGoal", True, True, None)),
):
    print(f"{name}: arrives as {got[0]}; caught by its class: {got[1]}, by its base: {got[2]}")
    assert got == expected, (name, got)
print("as described")
PYTHON
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" "$folder/raises.py" 2>"$folder/log" || { cat "$folder/log" >&2; exit 1; }
