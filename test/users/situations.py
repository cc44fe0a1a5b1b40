"""Models of the kinds that people report about, small: python situations.py FOLDER [NAME…] makes them.

FOLDER/NAME/native is the SavedModel; FOLDER/NAME/feeds.pkl holds {signature: [{input: array}, …]}, FOLDER/NAME/about.json the tags.
"""

import collections
import functools
import inspect
import json
import os
import pathlib
import pickle
import sys

import numpy as np

Situation = collections.namedtuple("Situation", ["build", "tags", "random", "alike", "unloadable"])
SITUATIONS = {}
SLOWER = 1.05  # than native, as a share: no converted model may be

# {situation: {way: why it cannot take it}}, a part of what is said.
REFUSED = {}

# {situation: {way: why it does not convert what the program does}}
DIFFERS = {
    "strings_and_ids_pass_through": {
        "online": "a weight is a variable to the pass, and none of the nodes that make a segment large enough"
    },
    "tables_of_tensorflow_1": {
        "optimize": "TensorFlow 2 leaves reference variables inside of the functions that it loads, where they are not constant"
    },
}


def situation(tags=("serve",), random=(), alike=True, unloadable=None):
    """Registers a function (folder) → feeds that saves a model. `random`: outputs that differ from call to call;
    `alike`: whether all its signatures compute the same; `unloadable`: {loader: what TensorFlow says} where it cannot run its own model.
    """

    def register(build):
        SITUATIONS[build.__name__] = Situation(build, list(tags), list(random), alike, unloadable or {})
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


def export(model, folder, feeds):
    """As Keras does: two signatures of one function."""
    model.export(str(folder), verbose=False)
    return {"serving_default": feeds, "serve": feeds}


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
    feeds = [
        {"words": texts("red", "blue", "pink", "green").reshape(2, 2)},
        {"words": texts("red", "red").reshape(1, 2)},
    ]
    return export(model, folder, feeds)


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


@situation(unloadable={"tf1": "Could not find variable"})
def keras_layers_in_a_module_that_writes(folder):
    """The restore op fills copies of the layers' variables, which no signature reads; those that are written stay variables."""
    import keras
    import tensorflow as tf

    lstm, norm = keras.layers.LSTM(4, stateful=True), keras.layers.BatchNormalization()
    lstm(tf.zeros([2, 3, 8]))
    norm.build((None, 8))

    def call(self, x):
        self.calls.assign_add(1.0)
        rows = self.norm(tf.matmul(x[:, 0], self.w), training=True)
        return {
            "y": tf.matmul(tf.nn.tanh(rows * 2.0 + 1.0), self.w),
            "h": self.lstm(tf.nn.relu(x)),
            "calls": self.calls.read_value(),
        }

    counter = tf.Variable(0.0)
    model = module(call, {"x": ([2, 3, 8], tf.float32)}, lstm=lstm, norm=norm, calls=counter, w=variable(8, 8))
    save(model, folder, serving_default=model.call)
    return {"serving_default": [{"x": floats(2, 3, 8, seed=i)} for i in range(3)]}


@situation()
def layers_in_functions_of_their_own(folder):
    """Freezing leaves a NoOp around each call of a function that reads a variable."""
    import tensorflow as tf

    class Layer(tf.Module):
        def __init__(self, seed):
            super().__init__()
            self.w = variable(1024, 1024, seed=seed)

        @tf.function
        def __call__(self, x):
            return tf.nn.relu(tf.matmul(x, self.w))

    def call(self, x):
        for layer in self.layers:
            x = layer(x)
        return {"y": x}

    model = module(call, {"x": ([None, 1024], tf.float32)}, layers=[Layer(seed) for seed in range(6)])
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(1024, 1, 32)}


# ---- what stands in front of a model


@situation()
def ragged_rows(folder):
    import tensorflow as tf

    def call(self, values, lengths):
        ragged = tf.RaggedTensor.from_row_lengths(values, lengths)
        x = tf.gather(self.embedding, ragged.to_tensor(default_value=0))
        return {"y": tf.nn.relu(tf.matmul(tf.reduce_sum(x, 1), self.w)) + 1.0}

    model = module(
        call,
        {"values": ([None], tf.int64), "lengths": ([None], tf.int64)},
        embedding=variable(10, 8),
        w=variable(8, 4),
    )
    save(model, folder, serving_default=model.call)
    return {
        "serving_default": [
            {"values": np.array([1, 2, 3, 9]), "lengths": np.array([3, 0, 1])},
            {"values": np.array([5]), "lengths": np.array([1])},
        ]
    }


@situation()
def sparse_features(folder):
    import tensorflow as tf

    def call(self, indices, values, x):
        sparse = tf.SparseTensor(indices, values, [2, 6])
        y = tf.sparse.sparse_dense_matmul(sparse, self.wide) + tf.matmul(x, self.deep)
        return {"y": tf.sigmoid(tf.matmul(tf.nn.relu(y), self.w))}

    model = module(
        call,
        {"indices": ([None, 2], tf.int64), "values": ([None], tf.float32), "x": ([2, 5], tf.float32)},
        wide=variable(6, 4),
        deep=variable(5, 4),
        w=variable(4, 1),
    )
    save(model, folder, serving_default=model.call)
    return {
        "serving_default": [
            {"indices": np.array([[0, 1], [1, 5]]), "values": floats(2), "x": floats(2, 5)},
            {"indices": np.zeros((0, 2), np.int64), "values": floats(0), "x": floats(2, 5, seed=1)},
        ]
    }


@situation()
def sparse_placeholders_of_tensorflow_1(folder):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        wide = v1.sparse_placeholder(tf.float32, [None, 6], name="wide")
        x = v1.placeholder(tf.float32, [None, 5], name="x")
        y = tf.sparse.sparse_dense_matmul(wide, v1.get_variable("wide_w", initializer=floats(6, 4)))
        y += tf.matmul(x, v1.get_variable("deep_w", initializer=floats(5, 4)))
        y = tf.sigmoid(tf.matmul(tf.nn.relu(y), v1.get_variable("w", initializer=floats(4, 1))))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"wide": wide, "x": x}, {"y": y})

    def sparse(rows, *indices):
        return {
            "indices": np.array(indices, np.int64).reshape(-1, 2),
            "values": floats(len(indices)),
            "dense_shape": np.array([rows, 6]),
        }

    return {
        "serving_default": [
            {"wide": sparse(2, (0, 1), (1, 5)), "x": floats(2, 5)},
            {"wide": sparse(1), "x": floats(1, 5, seed=1)},
        ]
    }


@situation()
def parsed_examples(folder):
    import tensorflow as tf

    def call(self, examples):
        features = {
            "age": tf.io.FixedLenFeature([1], tf.float32),
            "color": tf.io.FixedLenFeature([], tf.string, default_value="none"),
            "pixels": tf.io.FixedLenFeature([6], tf.float32),
        }
        parsed = tf.io.parse_example(examples, features)
        color = tf.one_hot(tf.strings.to_hash_bucket_fast(parsed["color"], 5), 5)
        x = tf.concat([parsed["age"], color, parsed["pixels"]], 1)
        return {"y": tf.nn.softmax(tf.matmul(tf.nn.relu(tf.matmul(x, self.w1) + 0.5), self.w2))}

    model = module(
        call, {"examples": ([None], tf.string)}, w1=variable(12, 8), w2=variable(8, 3)
    )
    save(model, folder, serving_default=model.call)

    def example(seed):
        x = floats(7, seed=seed)
        feature = {
            "age": tf.train.Feature(float_list=tf.train.FloatList(value=x[:1])),
            "pixels": tf.train.Feature(float_list=tf.train.FloatList(value=x[1:])),
        }
        if seed % 2:
            feature["color"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"red"]))
        features = tf.train.Features(feature=feature)
        return tf.train.Example(features=features).SerializeToString()

    return {
        "serving_default": [
            {"examples": np.array([example(i) for i in range(n)], object)} for n in (3, 1)
        ]
    }


@situation()
def image_bytes(folder):
    import tensorflow as tf

    def call(self, image_bytes):
        def decode(data):
            image = tf.image.decode_png(data, channels=3)
            return tf.image.resize(tf.cast(image, tf.float32) / 255.0, [16, 16])

        x = tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32)
        x.set_shape([None, 16, 16, 3])
        x = tf.nn.relu(tf.nn.conv2d(x, self.filters, 2, "SAME") + 0.1)
        return {"y": tf.nn.softmax(tf.matmul(tf.reduce_mean(x, [1, 2]), self.w))}

    model = module(
        call,
        {"image_bytes": ([None], tf.string)},
        filters=variable(3, 3, 3, 8),
        w=variable(8, 4),
    )
    save(model, folder, serving_default=model.call)
    pictures = np.random.default_rng(0).integers(0, 255, (2, 20, 24, 3), np.uint8)
    data = [tf.io.encode_png(p).numpy() for p in pictures]
    return {
        "serving_default": [
            {"image_bytes": np.array(data, object)},
            {"image_bytes": np.array(data[:1], object)},
        ]
    }


@situation()
def audio_spectra(folder):
    import tensorflow as tf

    def call(self, wave):
        spectrum = tf.abs(tf.signal.stft(wave, 64, 32, 64))
        mel = tf.signal.linear_to_mel_weight_matrix(8, 33, 8000, 100.0, 3800.0)
        x = tf.math.log(tf.tensordot(spectrum, mel, 1) + 1e-3)
        x = tf.nn.relu(tf.nn.conv1d(x, self.filters, 2, "SAME") + 0.1)
        return {"y": tf.nn.softmax(tf.matmul(tf.reduce_mean(x, 1), self.w))}

    model = module(
        call, {"wave": ([None, 1024], tf.float32)}, filters=variable(3, 8, 8), w=variable(8, 4)
    )
    save(model, folder, serving_default=model.call)
    return {"serving_default": [{"wave": floats(n, 1024, seed=n)} for n in (2, 1)]}


# ---- sequences


@situation()
def a_stateful_lstm(folder):
    """One signature: two over the same state would depend on which is called first."""
    import keras
    import tensorflow as tf

    inputs = keras.Input(batch_shape=(2, 5, 4), name="x")
    x = keras.layers.LSTM(8, stateful=True)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = [tf.TensorSpec([2, 5, 4], tf.float32, "x")]
    archive.add_endpoint("serving_default", lambda x: model(x), input_signature=spec)
    archive.write_out(str(folder), verbose=False)
    return {"serving_default": [{"x": floats(2, 5, 4, seed=i)} for i in range(3)]}


@situation(unloadable={"tf1": "Could not find variable"})
def bidirectional_lstm_with_viterbi(folder):
    """A Keras model in a module: its restore op fills other variables than the signature reads."""
    import keras
    import tensorflow as tf

    inputs = keras.Input((6, 4), name="x")
    x = keras.layers.Bidirectional(keras.layers.LSTM(8, return_sequences=True))(inputs)
    scorer = keras.Model(inputs, keras.layers.Dense(3)(x))

    def call(self, x):
        scores = self.scorer(x)

        def step(state, score):
            paths = tf.expand_dims(state, 2) + self.transitions
            return tf.reduce_max(paths, 1) + score

        best = tf.scan(step, tf.transpose(scores[:, 1:], [1, 0, 2]), scores[:, 0])
        return {"scores": scores, "last": tf.argmax(best[-1], 1)}

    model = module(
        call, {"x": ([None, 6, 4], tf.float32)}, scorer=scorer, transitions=variable(3, 3)
    )
    save(model, folder, serving_default=model.call)
    return {"serving_default": [{"x": floats(n, 6, 4, seed=n)} for n in (3, 1)]}


@situation()
def ctc_decoding(folder):
    import tensorflow as tf

    def call(self, x):
        logits = tf.matmul(tf.nn.relu(tf.matmul(x, self.w1)), self.w2)
        batch = tf.shape(x)[0]
        lengths = tf.fill([batch], 7)
        decoded, _ = tf.nn.ctc_beam_search_decoder(tf.transpose(logits, [1, 0, 2]), lengths, 4)
        return {"logits": logits, "text": tf.sparse.to_dense(decoded[0], default_value=-1)}

    model = module(
        call,
        {"x": ([None, 7, 4], tf.float32)},
        w1=tf.Variable(floats(1, 4, 8)),
        w2=tf.Variable(floats(1, 8, 5, seed=1)),
    )
    save(model, folder, serving_default=model.call)
    return {"serving_default": [{"x": floats(n, 7, 4, seed=n)} for n in (2, 1)]}


@situation()
def beam_search(folder):
    import tensorflow as tf

    def call(self, x):
        beams = tf.nn.log_softmax(tf.matmul(x, self.w))
        scores, tokens = tf.math.top_k(beams, 3)

        def step(i, scores, tokens):
            hidden = tf.tanh(tf.gather(self.embedding, tokens))
            logp = tf.nn.log_softmax(tf.tensordot(hidden, self.output, 1))
            both = tf.reshape(tf.expand_dims(scores, 2) + logp, [tf.shape(scores)[0], -1])
            scores, flat = tf.math.top_k(both, 3)
            return i + 1, scores, flat % 10

        _, scores, tokens = tf.while_loop(lambda i, *_: i < 4, step, [0, scores, tokens])
        return {"scores": scores, "tokens": tokens}

    model = module(
        call,
        {"x": ([None, 6], tf.float32)},
        w=variable(6, 10),
        embedding=variable(10, 8),
        output=variable(8, 10, seed=1),
    )
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(6, 2, 1)}


@situation()
def masked_sequences(folder):
    import keras

    words = keras.Input([5], dtype="int32", name="words")
    x = keras.layers.Embedding(12, 8, mask_zero=True)(words)
    x = keras.layers.GRU(6)(x)
    model = keras.Model(words, keras.layers.Dense(2)(x))
    feeds = [
        {"words": np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 7]], np.int32)},
        {"words": np.array([[0, 0, 0, 0, 0]], np.int32)},
    ]
    return export(model, folder, feeds)


# ---- what training leaves in a model


@situation()
def mixed_float16(folder):
    import keras

    inputs = keras.Input((8, 8, 3), name="x")
    x = keras.layers.Conv2D(8, 3, dtype="mixed_float16", activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D(dtype="mixed_float16")(x)
    x = keras.layers.Dense(4, dtype="mixed_float16")(x)
    model = keras.Model(inputs, keras.layers.Softmax(dtype="float32")(x))
    return export(model, folder, [{"x": floats(n, 8, 8, 3, seed=n)} for n in (2, 1)])


@situation()
def batch_norm_in_training_mode(folder):
    import keras

    inputs = keras.Input((4, 4, 3), name="x")
    x = keras.layers.Conv2D(3, 3, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x, training=True)
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    return export(model, folder, [{"x": floats(n, 4, 4, 3, seed=n)} for n in (3, 2)])


@situation(random=["sampled"])
def monte_carlo_dropout(folder):
    import tensorflow as tf

    def call(self, x):
        x = tf.nn.relu(tf.matmul(x, self.w) + 0.1)
        dropped = tf.nn.dropout(x, 0.5)
        seeded = tf.nn.experimental.stateless_dropout(x, 0.5, seed=[1, 2])
        return {"sampled": tf.matmul(dropped, self.w), "y": tf.nn.softmax(tf.matmul(seeded, self.w))}

    model = module(call, {"x": ([None, 8], tf.float32)}, w=variable(8, 8))
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(8, 3, 1)}


@situation()
def asserts_and_checks(folder):
    import tensorflow as tf

    def call(self, x):
        tf.debugging.assert_greater(tf.shape(x)[0], 0)
        x = tf.debugging.check_numerics(tf.matmul(x, self.w), "product")
        tf.debugging.assert_all_finite(x, "finite")
        return {"y": tf.nn.relu(tf.matmul(x, self.w) + 0.5)}

    model = module(call, {"x": ([None, 8], tf.float32)}, w=variable(8, 8))
    save(model, folder, serving_default=model.call)
    return {"serving_default": rows(8, 3, 1)}


@situation()
def blocks_that_were_not_trained(folder):
    """Two signatures, and in each of them nodes that compute the same: statistics that are all ones."""
    import keras

    inputs = keras.Input((8, 8, 4), name="x")
    x = inputs
    for _ in range(3):
        x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
        x = keras.layers.Activation("silu")(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    return export(model, folder, [{"x": floats(n, 8, 8, 4, seed=n)} for n in (2, 1, 0)])


@situation()
def tied_embeddings(folder):
    import tensorflow as tf

    def call(self, words):
        x = tf.reduce_mean(tf.gather(self.embedding, words), 1)
        x = tf.nn.relu(tf.matmul(x, self.w) + 0.1)
        return {"logits": tf.matmul(x, self.embedding, transpose_b=True)}

    model = module(
        call, {"words": ([None, 3], tf.int32)}, embedding=variable(20, 8), w=variable(8, 8)
    )
    save(model, folder, serving_default=model.call)
    return {
        "serving_default": [
            {"words": np.array([[1, 2, 3], [4, 5, 19]], np.int32)},
            {"words": np.array([[0, 0, 7]], np.int32)},
        ]
    }


# ---- signatures


@situation(alike=False)
def several_endpoints(folder):
    import keras
    import tensorflow as tf

    inputs = keras.Input((8,), name="x")
    features = keras.layers.Dense(6, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(features))
    encoder = keras.Model(inputs, features)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.track(encoder)
    spec = [tf.TensorSpec([None, 8], tf.float32, "x")]
    archive.add_endpoint("serve", lambda x: model(x), input_signature=spec)
    archive.add_endpoint("encode", lambda x: encoder(x), input_signature=spec)
    archive.write_out(str(folder), verbose=False)
    return {key: rows(8, 2, 1) for key in ("serve", "encode")}


@situation(alike=False)
def a_loss_beside_the_prediction(folder):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 8], name="x")
        label = v1.placeholder(tf.int32, [None], name="label")
        hidden = tf.nn.relu(tf.matmul(x, v1.get_variable("w1", initializer=floats(8, 16))) + 0.1)
        logits = tf.matmul(hidden, v1.get_variable("w2", initializer=floats(16, 4)))
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits))
        session.run(v1.global_variables_initializer())
        predict = v1.saved_model.predict_signature_def
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": predict({"x": x}, {"y": tf.nn.softmax(logits)}),
                "eval": predict({"x": x, "label": label}, {"loss": loss}),
            },
        )
        builder.save()
    return {
        "serving_default": rows(8, 2, 1),
        "eval": [{"x": floats(2, 8), "label": np.array([0, 3], np.int32)}],
    }


@situation()
def a_fed_default(folder):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 8], name="x")
        keep = v1.placeholder_with_default(1.0, [], name="keep_prob")
        hidden = tf.nn.relu(tf.matmul(x, v1.get_variable("w1", initializer=floats(8, 16))) * keep)
        y = tf.nn.softmax(tf.matmul(hidden, v1.get_variable("w2", initializer=floats(16, 4))))
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"x": x, "keep_prob": keep}, {"y": y})
    return {
        "serving_default": [
            {"x": floats(2, 8), "keep_prob": np.float32(0.5)},
            {"x": floats(1, 8), "keep_prob": np.float32(1)},
        ]
    }


@situation()
def a_default_argument(folder):
    """A placeholder with a default in the graph, which SavedModels know of: of a tensor, and not of a Python number."""
    import tensorflow as tf

    model = tf.Module()
    model.w1, model.w2 = variable(8, 16), variable(16, 4)
    specs = [tf.TensorSpec([None, 8], name="x"), tf.TensorSpec([], name="scale")]

    @tf.function(input_signature=specs)
    def call(x, scale=tf.constant(2.0)):
        hidden = tf.nn.relu(tf.matmul(x, model.w1) * scale)
        return {"y": tf.nn.softmax(tf.matmul(hidden, model.w2))}

    model.call = call
    save(model, folder, serving_default=call)
    return {
        "serving_default": [
            {"x": floats(2, 8), "scale": np.float32(0.5)},
            {"x": floats(1, 8), "scale": np.float32(2)},
        ]
    }


@situation()
def unknown_rank(folder):
    import tensorflow as tf

    def call(self, x):
        x = tf.reshape(x * 2.0 + 1.0, [-1, 8])
        return {"y": tf.nn.softmax(tf.matmul(tf.nn.relu(x), self.w))}

    model = module(call, {"x": (None, tf.float32)}, w=variable(8, 4))
    save(model, folder, serving_default=model.call)
    return {"serving_default": [{"x": floats(2, 8)}, {"x": floats(2, 3, 8)}, {"x": floats(8)}]}


@situation()
def empty_batches(folder):
    """Nothing was found, and the next model in line is called all the same."""
    import tensorflow as tf

    def call(self, images, words):
        x = tf.nn.relu(tf.nn.conv2d(images, self.filters, 2, "SAME") + 0.1)
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        text = tf.reduce_sum(tf.gather(self.embedding, words), 1)
        y = tf.matmul(tf.concat([tf.reduce_mean(x, [1, 2]), text], 1), self.w)
        return {"y": tf.nn.softmax(y), "best": tf.argmax(y, 1), "count": tf.shape(y)[0]}

    signature = {"images": ([None, 8, 8, 3], tf.float32), "words": ([None, None], tf.int32)}
    model = module(
        call,
        signature,
        filters=variable(3, 3, 3, 8),
        embedding=variable(10, 4),
        w=variable(12, 5),
    )
    save(model, folder, serving_default=model.call)

    def feed(batch, length):
        words = np.arange(batch * length, dtype=np.int32).reshape(batch, length) % 10
        return {"images": floats(batch, 8, 8, 3), "words": words}

    return {"serving_default": [feed(2, 3), feed(0, 3), feed(1, 0), feed(0, 0), feed(3, 2)]}


@situation()
def a_detector_of_tensorflow_1(folder):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_control_flow_v2()
        image = v1.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        filters = v1.get_variable("filters", initializer=floats(3, 3, 3, 5) / 5)
        x = tf.nn.relu(tf.nn.conv2d(image, filters, 2, "SAME"))
        x = tf.reshape(tf.sigmoid(x), [-1, 64, 5])
        boxes = tf.concat([x[..., :2], x[..., :2] + x[..., 2:4] + 0.1], 2)

        def keep(arguments):
            boxes, scores = arguments
            kept = tf.image.non_max_suppression(boxes, scores, 4, 0.5)
            return tf.pad(tf.gather(boxes, kept), [[0, 4 - tf.shape(kept)[0]], [0, 0]])

        found = v1.map_fn(keep, (boxes, x[..., 4]), dtype=tf.float32)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(folder), {"image": image}, {"boxes": found})
        v1.enable_control_flow_v2()
    return {"serving_default": [{"image": floats(n, 16, 16, 3, seed=n)} for n in (2, 1)]}


# ---- whole networks (`make test-models`)

NETWORKS = set()


def network(name, build):
    NETWORKS.add(name)
    SITUATIONS[name] = Situation(build, ["serve"], [], True, {})


def keras_application(name, folder):
    """Of random weights with which layers keep the variance of what they read: with Keras's own, logits are all but equal."""
    import keras
    import tensorflow as tf

    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    for i, weight in enumerate(model.weights):
        if "kernel" in weight.name:
            depthwise = len(weight.shape) == 4 and weight.shape[-1] == 1
            terms = np.prod(weight.shape[:2] if depthwise else weight.shape[:-1])
            weight.assign(floats(*weight.shape, seed=i) * np.sqrt(2 / terms, dtype=np.float32))
    model.export(str(folder), verbose=False)
    (argument,) = tf.saved_model.load(str(folder)).signatures["serving_default"].structured_input_signature[1]
    return {"serving_default": [{argument: floats(n, *model.input_shape[1:], seed=n)} for n in (1, 2)]}


def trained_network(path, folder):
    """A frozen graph with its stored inputs (docs/testing.md)."""
    import tensorflow as tf

    v1 = tf.compat.v1
    about = json.loads(path.with_suffix(".json").read_text())
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(path.read_bytes()), name="")
        inputs = {one["name"]: graph.get_tensor_by_name(f"{one['name']}:0") for one in about["inputs"]}
        outputs = {one["tensor"].replace(":", "_"): graph.get_tensor_by_name(one["tensor"]) for one in about["outputs"]}
        v1.saved_model.simple_save(session, str(folder), inputs, outputs)
    stored = [reference["inputs"] for reference in about["references"]]
    return {
        "serving_default": [
            {name: np.load(path.with_suffix("") / part["file"]) for name, part in parts.items()} for parts in stored
        ]
    }


for name in ("DenseNet121", "EfficientNetB0", "InceptionV3", "MobileNetV2", "NASNetMobile", "ResNet50"):
    network(name, functools.partial(keras_application, name))
if "GRAFT_MODELS" in os.environ:
    for path in sorted(pathlib.Path(os.environ["GRAFT_MODELS"]).glob("*.json")):
        network(path.stem, functools.partial(trained_network, path.with_suffix(".pb")))


def main():
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:] or list(SITUATIONS)
    for name in names:
        build, tags, random, alike, unloadable = SITUATIONS[name]
        home = folder / name
        home.mkdir()
        about = {"tags": tags, "random": random, "alike": alike, "unloadable": unloadable}
        about["line"] = inspect.getsourcelines(getattr(build, "func", build))[1]
        try:
            (home / "feeds.pkl").write_bytes(pickle.dumps(build(home / "native")))
        except Exception as error:  # the others are built all the same
            about["error"] = f"cannot be built: {error!r}"
        (home / "about.json").write_text(json.dumps(about))


if __name__ == "__main__":
    main()
