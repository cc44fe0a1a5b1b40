#!/usr/bin/env bash
# A signature's default argument is saved only where it is a tensor, and then half of the loaders ask for it all the same.
#
# One would guess: def f(x, scale=2.0) with an input signature keeps its default in a SavedModel, since the loaded function
# keeps it; or loses it, for every loader alike. A float and a constant of the same number make no difference.
# What happens: with scale=2.0 the signature has a plain placeholder that must be fed. With scale=tf.constant(2.0) it has a
# PlaceholderWithDefault and an entry in SignatureDef.defaults, and a session runs without it; but the signature that
# tf.saved_model.load gives demands it in both cases. The restored function itself has its default in both.
# What follows: whether a served model may be called without an argument depends on how its author wrote a number and on the
# loader. A converter has to keep PlaceholderWithDefault and SignatureDef.defaults, and must test with a session: the loaded
# signature never takes the path.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorflow-cpu==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import sys

import tensorflow as tf

print("TensorFlow", tf.__version__)
X = [1.0, 2.0]


def answer(call):
    """What a call without the argument gives: its numbers, or the name of the error."""
    try:
        return [float(y) for y in call()]
    except (TypeError, tf.errors.InvalidArgumentError) as error:
        return type(error).__name__


def by_session(path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], path)
        signature = loaded.signature_def["serving_default"]
        (op,) = {n.op for n in loaded.graph_def.node if n.name == signature.inputs["scale"].name.split(":")[0]}
        fed = {signature.inputs["x"].name: X}
        return op, list(signature.defaults), answer(lambda: session.run(signature.outputs["y"].name, fed))


def saved(name, default):
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([], tf.float32, "scale")])
        def f(self, x, scale=default):
            return {"y": x * scale}

    path = f"{sys.argv[1]}/{name}"
    model = Model()
    tf.saved_model.save(model, path, signatures=model.f)
    return path


expected = {
    "a float": ("Placeholder", [], "InvalidArgumentError"),
    "a tensor": ("PlaceholderWithDefault", ["scale"], [2.0, 4.0]),
}
for name, default in (("a float", 2.0), ("a tensor", tf.constant(2.0))):
    path = saved(name, default)
    loaded = tf.saved_model.load(path)
    function = answer(lambda: loaded.f(tf.constant(X))["y"])
    signature = answer(lambda: loaded.signatures["serving_default"](x=tf.constant(X))["y"])
    op, defaults, session = by_session(path)
    print(f"default {name}: {op}, SignatureDef.defaults {defaults}; called without it: "
          f"function {function}, loaded signature {signature}, session {session}")
    assert (op, defaults, session) == expected[name], "this has changed"
    assert function == [2.0, 4.0] and signature == "TypeError", "the loaders have changed"
print("as described")
PYTHON
