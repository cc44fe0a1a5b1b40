"""A transformer that tells which language a line of source is in; its tokenizer stays in TensorFlow.

    python line_language.py [--steps 400] [LINE …]

The model is trained first, in half a minute, on three quarters of this repository's files; strings go in, probabilities come
out. Converted, the tokenizer (a regular expression, a split, a lookup in a table) stays native, and the transformer behind
it is one engine. Lines of the other files are then classified by both; with LINEs, those.
"""

import argparse
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

from graft.trt_convert import TrtGraphConverterV2

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("src", "include", "tf_op", "tools", "python", "test", "bench", "docs", "samples")
LANGUAGES = {
    "C++": (".cc", ".h"),
    "CUDA": (".cu", ".cuh"),
    "Python": (".py",),
    "CMake": ("CMakeLists.txt",),
    "English": (".md",),
}
TOKENS, VOCABULARY, WIDTH, HEADS, BLOCKS = 24, 2000, 64, 4, 2  # tokens: of a line, at most


def read_lines(held_out):
    """Lines and the numbers of their languages, of the files that are trained with or of the others."""
    files = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.*"))
    lines, labels = [], []
    for label, endings in enumerate(LANGUAGES.values()):
        chosen = [file for file in files if file.name.endswith(endings)]
        for k, file in enumerate(chosen):
            if (k % 4 == 3) != held_out:
                continue
            text = file.read_text(errors="replace").splitlines()
            found = [line.strip() for line in text if len(line.split()) >= 3]
            lines += found
            labels += [label] * len(found)
    return np.array(lines), np.array(labels)


def tokens(lines):
    """Words, and every sign by itself. Ragged: lines are as long as they are."""
    return tf.strings.split(tf.strings.regex_replace(lines, r"([^\w\s])", r" \1 "))


def transformer():
    """Probabilities of ids [lines, TOKENS]; id 0 is none."""
    layers = keras.layers
    ids = keras.Input((TOKENS,), dtype="int32")
    there = keras.ops.cast(ids > 0, "float32")
    x = layers.Embedding(VOCABULARY + 2, WIDTH)(ids) + layers.Embedding(TOKENS, WIDTH)(keras.ops.arange(TOKENS))
    for _ in range(BLOCKS):
        y = layers.LayerNormalization()(x)
        x += layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y, attention_mask=there[:, None, :] > 0)
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x += layers.Dense(WIDTH)(y)
    mean = keras.ops.sum(x * there[:, :, None], 1) / keras.ops.maximum(keras.ops.sum(there, 1), 1)[:, None]
    return keras.Model(ids, layers.Dense(len(LANGUAGES), activation="softmax")(mean))


class Classifier(tf.Module):
    """From strings to probabilities."""

    def __init__(self, vocabulary):
        super().__init__()
        ids = tf.range(2, len(vocabulary) + 2, dtype=tf.int64)  # 1: a word that is not in it
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(vocabulary, ids), 1)
        self.network = transformer()

    def ids(self, lines):
        found = tf.ragged.map_flat_values(self.table.lookup, tokens(lines))
        return tf.cast(found.to_tensor(shape=[None, TOKENS]), tf.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "lines")])
    def __call__(self, lines):
        return {"probabilities": self.network(self.ids(lines), training=False)}


def train(steps, seed=1):
    keras.utils.set_random_seed(seed)
    lines, labels = read_lines(held_out=False)
    # As many of each language, however much there is of it.
    random = np.random.default_rng(seed)
    each = [np.flatnonzero(labels == k) for k in range(len(LANGUAGES))]
    picks = np.concatenate([random.choice(of, steps * 64 // len(LANGUAGES)) for of in each])
    random.shuffle(picks)
    words, counts = np.unique(tokens(lines[picks]).flat_values.numpy(), return_counts=True)
    model = Classifier(words[np.argsort(-counts, kind="stable")[:VOCABULARY]])
    model.network.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.network.fit(model.ids(lines[picks]).numpy(), labels[picks], batch_size=64, verbose=0)
    return model


def convert(folder, converted):
    converter = TrtGraphConverterV2(folder)
    converter.convert()
    converter.save(converted)
    converter.summary(detailed=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="of training, 64 lines each")
    parser.add_argument("lines", nargs="*", metavar="LINE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, converted = os.path.join(scratch, "model"), os.path.join(scratch, "converted")
        model = train(options.steps)
        tf.saved_model.save(model, folder, signatures=model.__call__)
        convert(folder, converted)
        functions = {name: tf.saved_model.load(path).signatures["serving_default"]
                     for name, path in (("TensorFlow", folder), ("Graft", converted))}  # fmt: skip
        lines, labels = read_lines(held_out=True)
        if options.lines:
            lines, labels = np.array(options.lines), None
        rows = {name: run(lines=tf.constant(lines))["probabilities"].numpy() for name, run in functions.items()}
    shown = range(len(lines)) if labels is None else np.linspace(0, len(lines) - 1, 10).astype(int)
    names = list(LANGUAGES)
    for i in shown:
        best = rows["Graft"][i].argmax()
        print(f"  {names[best]:8} {rows['Graft'][i][best]:4.0%}  {lines[i][:100]}")
    if labels is not None:
        for name, probabilities in rows.items():
            print(f"{name}: {np.mean(probabilities.argmax(1) == labels):.1%} of {len(lines)} lines right")
    difference = np.abs(rows["Graft"] - rows["TensorFlow"]).max()
    print(f"largest difference of a probability: {difference:.1e}")
    return 0 if difference <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
