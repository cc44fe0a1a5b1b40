"""Models of the kinds that people report about, small: python situations.py FOLDER [NAME…] makes them.

FOLDER/NAME/native is the SavedModel; FOLDER/NAME/feeds.pkl holds {signature: [{input: array}, …]}, FOLDER/NAME/about.json the tags.
"""

import collections
import inspect
import json
import pathlib
import pickle
import sys

import numpy as np

Situation = collections.namedtuple("Situation", ["build", "tags", "random"])
SITUATIONS = {}


def situation(tags=("serve",), random=()):
    """Registers a function (folder) → feeds that saves a model. `random`: outputs that differ from call to call."""

    def register(build):
        SITUATIONS[build.__name__] = Situation(build, list(tags), list(random))
        return build

    return register


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def texts(*values):
    return np.array([v.encode() for v in values], object)


def batches(make, *sizes):
    return [{"x": make(size)} for size in sizes]


def rows(width, *sizes):
    return [{"x": floats(size, width, seed=size)} for size in sizes]


def save(model, folder, **signatures):
    import tensorflow as tf

    tf.saved_model.save(model, str(folder), signatures)


def variable(*shape, seed=0):
    import tensorflow as tf

    return tf.Variable(floats(*shape, seed=seed) / np.sqrt(shape[0], dtype=np.float32))


def module(call, signature, **attributes):
    """A tf.Module with the attributes; `call(module, *tensors)` is its method `call`."""
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in signature.items()]

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            for name, value in attributes.items():
                setattr(self, name, value)

        @tf.function(input_signature=specs)
        def call(self, *tensors):
            return call(self, *tensors)

    return Model()


# ---- what is no number


@situation()
def strings_and_ids_pass_through(folder):
    import tensorflow as tf

    def call(self, name, id, x):
        return {
            "name": tf.strings.lower(name),
            "id": id,
            "score": tf.nn.softmax(tf.matmul(x, self.w)),
        }

    signature = {
        "name": ([None], tf.string),
        "id": ([None], tf.int64),
        "x": ([None, 8], tf.float32),
    }
    model = module(call, signature, w=variable(8, 4))
    save(model, folder, serving_default=model.call)
    return {
        "serving_default": [
            {"name": texts(*"AB"[:n]), "id": np.arange(n) + 2**40, "x": floats(n, 8)}
            for n in (2, 1, 0)
        ]
    }


@situation()
def vocabulary_from_a_file(folder):
    import tensorflow as tf

    file = folder.parent / "vocabulary.txt"
    file.write_text("a\nb\nc\n")
    table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(file),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        ),
        num_oov_buckets=1,
    )

    def call(self, words):
        x = tf.gather(self.embedding, self.table.lookup(words))
        return {"y": tf.nn.relu(tf.matmul(tf.reduce_mean(x, 1), self.w)) + 1.0}

    model = module(
        call,
        {"words": ([None, 3], tf.string)},
        table=table,
        embedding=variable(4, 8),
        w=variable(8, 5),
    )
    save(model, folder, serving_default=model.call)
    file.unlink()
    return {
        "serving_default": [
            {"words": texts(*"abcxyaaab").reshape(3, 3)},
            {"words": texts(*"bbz").reshape(1, 3)},
        ]
    }


@situation()
def a_table_that_was_filled_by_hand(folder):
    import tensorflow as tf

    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(tf.constant(["a", "b"]), tf.constant([2, 1], tf.int64))

    def call(self, word, x):
        key = self.table.lookup(word)
        return {"key": key, "y": tf.nn.relu(tf.matmul(x, self.w)) + tf.cast(key, tf.float32)}

    model = module(
        call,
        {"word": ([1], tf.string), "x": ([None, 4], tf.float32)},
        table=table,
        w=variable(4, 4),
    )
    save(model, folder, serving_default=model.call)
    return {
        "serving_default": [{"word": texts("a"), "x": floats(2, 4)}, {"word": texts("q"), "x": floats(1, 4)}]
    }


@situation()
def keras_lookup_layers(folder):
    import keras

    words = keras.Input([2], dtype="string", name="words")
    ids = keras.layers.StringLookup(vocabulary=["red", "green", "blue"])(words)
    x = keras.layers.Embedding(4, 8)(ids)
    x = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(x))
    model = keras.Model(words, keras.layers.Dense(2)(x))
    model.export(str(folder), verbose=False)
    name = model.inputs[0].name
    feeds = [
        {name: texts("red", "blue", "pink", "green").reshape(2, 2)},
        {name: texts("red", "red").reshape(1, 2)},
    ]
    return {"serving_default": feeds, "serve": feeds}


# ---- state


@situation()
def custom_gradients(folder):
    import tensorflow as tf

    @tf.custom_gradient
    def swish(x):
        return x * tf.sigmoid(x), lambda upstream: upstream

    def call(self, x):
        x = tf.nn.silu(tf.matmul(x, self.w))
        return {"y": swish(tf.matmul(x, self.w)) + 1.0}

    model = module(call, {"x": ([None, 8], tf.float32)}, w=variable(8, 8))
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(8, 3, 1, 0)}


@situation()
def a_counter(folder):
    import tensorflow as tf

    def call(self, x):
        self.count.assign_add(1.0)
        return {"y": tf.nn.relu(tf.matmul(x, self.w) + 1.0) * 2.0, "count": self.count.read_value()}

    model = module(
        call, {"x": ([None, 4], tf.float32)}, w=variable(4, 4), count=tf.Variable(5.0)
    )
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(4, 3, 1, 2)}


@situation()
def batch_function_with_captures(folder):
    import tensorflow as tf

    def call(self, x):
        @tf.nondifferentiable_batch_function(1, 8, 1000)
        def batched(x):
            return tf.nn.relu(tf.matmul(x, self.w) + 1.0)

        return {"y": tf.nn.softmax(tf.matmul(batched(tf.nn.relu(x * 2.0) - 0.5), self.w))}

    model = module(call, {"x": ([None, 4], tf.float32)}, w=variable(4, 4))
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(4, 3, 1)}


@situation()
def tables_of_tensorflow_1(folder):
    import tensorflow as tf

    v1 = tf.compat.v1
    file = folder.parent / "labels.txt"
    file.write_text("cat\ndog\nbird\n")
    with tf.Graph().as_default(), v1.Session() as session:
        word = v1.placeholder(tf.string, [None], name="word")
        table = v1.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(file),
                *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            ),
            default_value=-1,
        )
        scale = v1.get_local_variable("scale", initializer=tf.constant(3.0), use_resource=False)
        x = tf.one_hot(table.lookup(word), 4)
        weights = v1.get_variable("w", initializer=floats(4, 4), use_resource=False)
        y = tf.nn.relu(tf.matmul(x, weights) + 0.5) * scale
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        session.run(v1.tables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": v1.saved_model.predict_signature_def(
                    {"word": word}, {"y": y}
                )
            },
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(v1.tables_initializer(), v1.local_variables_initializer()),
        )
        builder.save()
    file.unlink()
    return {"serving_default": [{"word": texts("dog", "cow")}, {"word": texts("bird")}]}


@situation(tags=())
def a_hub_module_without_tags(folder):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        weights = v1.get_variable("w", initializer=floats(4, 4))
        y = tf.nn.relu(tf.matmul(x, weights) + 0.5) * 2.0
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"default": y})
        builder.add_meta_graph_and_variables(session, [], {"default": signature})
        builder.save()
    return {"default": rows(4, 2, 1, 0)}


def main():
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:] or list(SITUATIONS)
    for name in names:
        build, tags, random = SITUATIONS[name]
        home = folder / name
        home.mkdir()
        about = {"tags": tags, "random": random, "line": inspect.getsourcelines(build)[1]}
        try:
            (home / "feeds.pkl").write_bytes(pickle.dumps(build(home / "native")))
        except Exception as error:  # the others are built all the same
            about["error"] = f"cannot be built: {error!r}"
        (home / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
