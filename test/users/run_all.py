"""Runs situations and what became of them in TensorFlow: run_all.py LOADER FOLDER NAME…, LOADER tf1 or tf2. All of them stay
loaded, as in a process that serves many models.

Of each variant that there is: FOLDER/NAME/LOADER.pkl holds {variant: {"values": {signature: [{output: array}, …]}, "engine_calls",
"fallbacks", "reasons", "seconds", "error"}}. Values are those of the first calls, so that stateful models go the same way.
"""

import json
import pathlib
import pickle
import sys
import time

import numpy as np
import tensorflow as tf

import situations
import support
from graft import _op_library

v1 = tf.compat.v1
PARTS = ("indices", "values", "dense_shape")  # of a sparse tensor in a feed


def split_2(function, feed):
    """TensorFlow 2 makes arguments of their own of a sparse tensor's parts; their names end with the part's."""
    plain = {name: value for name, value in feed.items() if not isinstance(value, dict)}
    for value in feed.values():
        for argument in set(function.structured_input_signature[1]) - set(plain):
            for part in PARTS:
                if isinstance(value, dict) and argument.endswith(part.removeprefix("dense_")):
                    plain[argument] = value[part]
    return plain


def split_1(signature, feed):
    """The tensors to feed."""
    tensors = {}
    for name, value in feed.items():
        info = signature.inputs[name]
        if isinstance(value, dict):
            names = {part: f"{part}_tensor_name" for part in PARTS}
            tensors |= {getattr(info.coo_sparse, names[part]): value[part] for part in PARTS}
        else:
            tensors[info.name] = value
    return tensors


def load_2(folder, tags):
    model = tf.saved_model.load(str(folder), tags=tags)

    def run(key, feed):
        function = model.signatures[key]
        tensors = {name: tf.constant(value) for name, value in split_2(function, feed).items()}
        outputs = function(**tensors)
        return {name: value.numpy() for name, value in outputs.items()}

    run.model = model
    return run


def load_1(folder, tags):
    session = v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        meta = v1.saved_model.loader.load(session, tags, str(folder))

    def run(key, feed):
        signature = meta.signature_def[key]
        fetches = {name: info.name for name, info in signature.outputs.items()}
        return session.run(fetches, split_1(signature, feed))

    return run


def first_calls(load, folder, tags, feeds):
    result = {"values": {}}
    try:
        with support.EngineCalls() as engines:
            run = load(folder, tags)
            for key, calls in feeds.items():
                result["values"][key] = [run(key, feed) for feed in calls]
        result |= {
            "engine_calls": engines.calls,
            "fallbacks": engines.fallbacks,
            "reasons": sorted(engines.reasons),
        }
        return result, run
    except Exception as error:
        return result | {"error": f"{type(error).__name__}: {error}"}, None


def measure(runs, feeds, budget=0.6, patience=6.0):
    """Best seconds of the first batch, the variants by turns. Whoever else uses the machine can only add to a time, so those that
    look slow are given more turns beside native: one stays slow only if it is."""
    key, (feed, *_) = next(iter(feeds.items()))
    best = dict.fromkeys(runs, np.inf)

    def slow():
        return [v for v in runs if best[v] > situations.SLOWER * best["native"]]

    def turns(variants, until):
        while time.perf_counter() < until:
            for variant in variants:
                start = time.perf_counter()
                runs[variant](key, feed)
                best[variant] = min(best[variant], time.perf_counter() - start)

    begin = time.perf_counter()
    turns(runs, begin + budget)
    while slow() and time.perf_counter() < begin + patience:
        turns(["native", *slow()], time.perf_counter() + budget / 4)
    return best


def main():
    loader, root, names = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    load = {"tf1": load_1, "tf2": load_2}[loader]
    _op_library.load()
    loaded = []
    for name in names:
        folder = root / name
        about = json.loads((folder / "about.json").read_text())
        feeds = pickle.loads((folder / "feeds.pkl").read_bytes())
        results, runs = {}, {}
        for path in sorted(folder.iterdir()):
            if not (path / "saved_model.pb").exists():
                continue
            variant = path.name
            _, _, only = variant.partition("-")
            wanted = {key: calls for key, calls in feeds.items() if only in ("", key)}
            results[variant], run = first_calls(load, path, about["tags"], wanted)
            loaded.append(run)
            if run and only in ("", next(iter(feeds))):  # the signature that is timed
                runs[variant] = run
        if loader == "tf2" and "native" in runs:
            for variant, seconds in measure(runs, feeds).items():
                results[variant]["seconds"] = seconds
        (folder / f"{loader}.pkl").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main()
