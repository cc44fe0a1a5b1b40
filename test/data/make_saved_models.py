#!/usr/bin/env python3
"""Makes the small SavedModels and checkpoints under test/data/tf with TensorFlow.

    .venv/bin/python test/data/make_saved_models.py

Weights count up from 1 in steps of 1, so that tests can tell them apart. Each model computes
relu(x · w + b) on an x of [?, 2] with w [2, 3] and b [3], unless it says otherwise.
"""

import os
import pathlib
import shutil
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parent / "tf"
W = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
B = np.arange(7, 10, dtype=np.float32)


def tf1(name, use_resource):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        w = v1.get_variable("w", initializer=W, use_resource=use_resource)
        b = v1.get_variable("b", initializer=B, use_resource=use_resource)
        y = tf.nn.relu(x @ w + b, name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(OUT / name), {"x": x}, {"y": y})
        if not use_resource:
            v1.train.Saver().save(session, str(OUT / "meta" / "model"))


def partitioned():
    """A variable of [5, 2] stored in two slices; y = w[ids]."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable(
            "w",
            shape=[5, 2],
            initializer=lambda shape, dtype, partition_info=None: np.arange(10, dtype=np.float32)
            .reshape(5, 2)[partition_info.var_offset[0] :][: int(shape[0])],
            partitioner=v1.fixed_size_partitioner(2),
            use_resource=False,
        )
        tf.identity(tf.convert_to_tensor(w), name="y")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(OUT / "partitioned" / "model"), write_state=False)


def module():
    """Nested functions, a captured constant, a table with an asset, a counter that a signature
    changes, a branch that captures a variable."""
    import tensorflow as tf

    # The table's shared name holds this path: it must be the same for everybody.
    vocabulary = pathlib.Path("/tmp/graft-test-vocabulary/vocabulary.txt")
    vocabulary.parent.mkdir(exist_ok=True)
    vocabulary.write_text("zero\none\ntwo\n")

    class Inner(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(W)

        @tf.function
        def __call__(self, x):
            return x @ self.w

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()
            self.b = tf.Variable(B)
            self.scale = tf.constant(np.full((3,), 2, np.float32))
            self.count = tf.Variable(0, dtype=tf.int64)
            self.branch = tf.Variable(5.0)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER), -1)

        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def serve(self, x):
            return {"y": tf.nn.relu(self.inner(x) + self.b) * self.scale}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def look_up(self, words):
            return {"ids": self.table.lookup(words)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="by")])
        def add(self, by):
            return {"count": self.count.assign_add(by)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
        def choose(self, x):
            return {"y": tf.cond(x > 0, lambda: x * self.branch, lambda: x)}

    model = Model()
    tf.saved_model.save(
        model,
        str(OUT / "module"),
        signatures={"serving_default": model.serve, "look_up": model.look_up, "add": model.add,
                    "choose": model.choose},
    )
    shutil.rmtree(vocabulary.parent)


def keras3():
    import keras

    model = keras.Sequential([keras.Input([2], name="x"), keras.layers.Dense(3, "relu")])
    model.set_weights([W, B])
    model.export(str(OUT / "keras3"), verbose=False)


def keras2():
    import tensorflow as tf
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input([2], name="x"), tf_keras.layers.Dense(3, "relu")])
    model.set_weights([W, B])
    tf.saved_model.save(model, str(OUT / "keras2"))


def graph():
    """The GraphDef of the keras3 model alone: a .pb with a function library."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((OUT / "keras3" / "saved_model.pb").read_bytes())
    graph_def = model.meta_graphs[0].graph_def
    (OUT / "functions.pb").write_bytes(graph_def.SerializeToString(deterministic=True))


MAKERS = {
    "tf1_ref": lambda: tf1("tf1_ref", False),
    "tf1_resource": lambda: tf1("tf1_resource", True),
    "partitioned": partitioned,
    "module": module,
    "keras3": keras3,
    "keras2": keras2,
    "graph": graph,
}


def main():
    if len(sys.argv) > 1:
        MAKERS[sys.argv[1]]()
        return
    shutil.rmtree(OUT, ignore_errors=True)
    for folder in ("meta", "partitioned"):
        (OUT / folder).mkdir(parents=True)
    for name in MAKERS:  # a process each: TensorFlow numbers functions by process
        subprocess.run([sys.executable, __file__, name], check=True)
    for leftover in [*OUT.glob("*/fingerprint.pb"), *OUT.glob("*/keras_metadata.pb"),
                     *OUT.glob("*/checkpoint")]:
        leftover.unlink()


if __name__ == "__main__":
    main()
