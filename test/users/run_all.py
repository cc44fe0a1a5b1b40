"""Runs situations and what became of them in TensorFlow: run_all.py LOADER FOLDER NAME…, LOADER tf1 or tf2. All of them stay
loaded, as in a process that serves many models.

Of each variant that there is, and of what converts when it is loaded (graft.optimize by the loader of TensorFlow 2, the pass of
online conversion by that of TensorFlow 1): FOLDER/NAME/LOADER.pkl holds {variant: {"values": {signature: [{output: array}, …]},
"engine_calls", "fallbacks", "reasons", "ratio", "report", "error"}}. Values are those of the first calls, so that stateful models go
the same way. "ratio" is of its time to the original's. "report" is of what converts here: {"ops", "converted", "engines"}.
"""

import functools
import json
import pathlib
import pickle
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

import graft
import situations
import support
from graft import _op_library, trt_convert

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


def load_1(folder, tags, config=None):
    session = v1.Session(graph=tf.Graph(), config=config)
    with session.graph.as_default():
        meta = v1.saved_model.loader.load(session, tags, str(folder))

    def run(key, feed):
        signature = meta.signature_def[key]
        fetches = {name: info.name for name, info in signature.outputs.items()}
        return session.run(fetches, split_1(signature, feed))

    return run


def load_online(folder, tags):
    """The original in a session with the pass of online conversion."""
    params = trt_convert.TrtConversionParams()
    config = v1.ConfigProto()
    config.graph_options.rewrite_options.CopyFrom(
        graft.get_tensorrt_rewriter_config(params, is_dynamic_op=True, max_batch_size=None)
    )
    run = load_1(folder, tags, config)

    def report(key, feed):
        """Of the engines that run: those of loops' bodies are in functions."""

        def calls():
            return {name: node["engine_calls"] for name, node in _op_library.statistics().items()}

        before = calls()
        run(key, feed)
        return {"engines": sum(count > before.get(name, 0) for name, count in calls().items())}

    run.report = report
    return run


def load_optimized(folder, tags, signature):
    """The original through graft.optimize. What it refuses is an error here, where the original function would answer."""
    fast = graft.optimize(str(folder), signature=signature, tags=tags)
    native = tf.saved_model.load(str(folder), tags=tags).signatures[signature]

    def run(key, feed):
        tensors = {name: tf.constant(value) for name, value in split_2(native, feed).items()}
        outputs = fast(**tensors)
        if fast.fallbacks:
            raise NotImplementedError(", ".join(fast.fallbacks))
        return {name: value.numpy() for name, value in outputs.items()}

    def report(key, feed):
        made = fast.report
        return {"engines": made["engines"], "ops": made["total_ops"], "converted": made["converted_ops"]}

    run.report = report
    return run


def first_calls(load, tags, feeds):
    result = {"values": {}}
    try:
        with support.EngineCalls() as engines:
            run = load(tags)
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


def here(loader, feeds):
    """{variant: how it is loaded} of what converts the original in this process."""
    if loader == "tf1":
        return {"online": load_online}
    return {f"optimize-{key}": functools.partial(load_optimized, signature=key) for key in feeds}


def measure(runs, feeds, budget=0.6, patience=6.0):
    """{variant: its time to the original's} for the first batch: of medians of calls by turns, in an order that rotates. Whoever else
    uses the machine can make one look slow, so it is measured again beside the original: it stays slow only if it is."""
    key, (feed, *_) = next(iter(feeds.items()))

    def turns(variants, seconds, least=5):
        order, times = list(variants), {variant: [] for variant in variants}
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(times["native"]) < least:
            for variant in order:
                start = time.perf_counter()
                runs[variant](key, feed)
                times[variant].append(time.perf_counter() - start)
            order.append(order.pop(0))
        medians = {variant: statistics.median(found) for variant, found in times.items()}
        return {variant: median / medians["native"] for variant, median in medians.items()}

    until = time.perf_counter() + patience
    ratios = turns(runs, budget)
    while slow := [variant for variant, ratio in ratios.items() if ratio > situations.SLOWER]:
        if time.perf_counter() >= until:
            break
        again = turns(["native", *slow], budget)
        ratios |= {variant: min(ratios[variant], again[variant]) for variant in slow}
    return ratios


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
        saved = [path for path in sorted(folder.iterdir()) if (path / "saved_model.pb").exists()]
        loads = {path.name: functools.partial(load, path) for path in saved}
        for variant, convert in here(loader, feeds).items():
            loads[variant] = functools.partial(convert, folder / "native")
        for variant, load_it in loads.items():
            _, _, only = variant.partition("-")
            wanted = {key: calls for key, calls in feeds.items() if only in ("", key)}
            results[variant], run = first_calls(load_it, about["tags"], wanted)
            loaded.append(run)
            if run and hasattr(run, "report"):
                key, (feed, *_) = next(iter(wanted.items()))
                results[variant]["report"] = run.report(key, feed)
            if run and only in ("", next(iter(feeds))):  # the signature that is timed
                runs[variant] = run
        if loader == "tf2" and "native" in runs:
            for variant, ratio in measure(runs, feeds).items():
                results[variant]["ratio"] = ratio
        (folder / f"{loader}.pkl").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main()
