#!/usr/bin/env bash
# A Keras 3 model saved by tf.saved_model.save has no weights when it is loaded into a session.
#
# One would guess: a SavedModel is a SavedModel. It carries its restore op, tf.saved_model.load gives the right numbers,
# and so does whatever loads it by that op: tf.compat.v1.saved_model.load, and the loaders of C and C++.
# What happens: the graph holds every variable of a Keras 3 layer twice, as the layer's ("…/kernel") and as one named
# "Variable". The restore op fills the second set, the signature reads the first: the session answers "Could not find
# variable". It concerns whole models and a layer kept in a tf.Module; a tf.Variable, Keras 2 and Keras's own
# model.export() are well, although the exported graph holds two sets of names as well.
# What follows: who serves through a session has to use model.export(), or load and test the file in one before it is
# shipped; a tool that reads weights by the name of the variable's node must not expect that the restore op knows it. The
# checkpoint's object graph does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorflow==2.21.0 keras==3.15.1 tf_keras==2.21.0 numpy==2.4.6 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - "$folder" 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import sys

import keras
import numpy as np
import tensorflow as tf
import tf_keras

print("TensorFlow", tf.__version__, "Keras", keras.__version__)
x = np.ones((2, 4), np.float32)


def module(apply, **members):
    """A tf.Module with a signature over its members."""
    made = tf.Module()
    for name, member in members.items():
        setattr(made, name, member)
    made.call = tf.function(apply, input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")])
    return made


def save_module(made, path):
    tf.saved_model.save(made, path, signatures=made.call)


def sequential(library):
    return library.Sequential([library.Input((4,), name="x"), library.layers.Dense(3)])


layer = keras.layers.Dense(3)
layer.build((None, 4))
variable = tf.Variable(tf.ones((4, 3)))
cases = {
    "Keras 3, tf.saved_model.save": (lambda path: tf.saved_model.save(sequential(keras), path), False),
    "Keras 3 layer in a tf.Module": (lambda path: save_module(module(lambda x: layer(x), layer=layer), path), False),
    "Keras 3, model.export": (lambda path: sequential(keras).export(path, verbose=False), True),
    "tf.Variable in a tf.Module": (lambda path: save_module(module(lambda x: x @ variable, w=variable), path), True),
    "Keras 2, tf.saved_model.save": (lambda path: tf.saved_model.save(sequential(tf_keras), path), True),
}
for number, (name, (save, works)) in enumerate(cases.items()):
    path = f"{sys.argv[1]}/{number}"
    save(path)
    signature = tf.saved_model.load(path).signatures["serving_default"]
    (eager,) = signature(tf.constant(x)).values()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
        ((_, fed),) = loaded.inputs.items()
        ((_, fetched),) = loaded.outputs.items()
        try:
            result = session.run(fetched.name, {fed.name: x})
            answer = "the same" if np.allclose(result, eager.numpy()) else "other numbers"
        except tf.errors.OpError as error:
            answer = next(line for line in error.message.splitlines() if "variable" in line).split(".")[0]
        handles = [n.name for n in session.graph.as_graph_def().node if n.op == "VarHandleOp"]
    print(f"{name}: variables {handles}; by session: {answer}")
    assert (answer == "the same") == works, "this has changed"
print("as described")
PYTHON
