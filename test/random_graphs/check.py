"""Compares a random graph in TensorFlow with its conversions: to a graph with engines, and to a plan."""

import dataclasses
import json
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

import support
from grid.table import BF16, F64, FLOATS

from graft import Engine, _graft, _op_library

v1 = tf.compat.v1
# Of the largest element, where the noise happens to be small: 16 roundings of a half's last place, more than that of a float's.
LEAST_TOLERANCE = {"float32": 1e-5, "float64": 1e-5, "float16": 1.6e-2, "bfloat16": 0.125}


@dataclasses.dataclass
class Result:
    problem: str = ""  # what is wrong, or ""
    engines: int = 0
    converted: int = 0  # ops of the graph in engines
    total: int = 0
    plan: bool = False  # the whole graph was one


def session_of(graph_def):
    config = v1.ConfigProto(intra_op_parallelism_threads=2, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        return v1.Session(graph=graph, config=config)


def run(graph_def, fetches, feeds):
    with session_of(graph_def) as session:
        return dict(zip(fetches, session.run(fetches, feeds)))


def difference(value, got, expected):
    """Why what a tensor is now may not stand for what TensorFlow computes, or ""."""
    got, expected = np.asarray(got), np.asarray(expected)
    if got.dtype != expected.dtype or got.shape != expected.shape:
        return f"{got.dtype}{list(got.shape)} instead of {expected.dtype}{list(expected.shape)}"
    if got.size == 0:
        return ""
    exact = expected.dtype.type not in FLOATS
    g, e = got.astype(F64), expected.astype(F64)
    allowed = 0.0 if exact else value.tolerance + LEAST_TOLERANCE[expected.dtype.name] * np.abs(e).max()
    error = np.abs(g - e).max()
    return "" if error <= allowed else f"off by {error:.3g}, allowed {allowed:.3g}, largest {np.abs(e).max():.3g}"


def compare(graph, native, got, how):
    for name in graph.fetches:
        problem = difference(graph.values[name], got[name], native[name])
        if problem:
            return f"{how}: {name}: {problem}"
    return ""


def convert(graph, minimum_segment_size):
    request = {
        "outputs": graph.fetches, "opt-level": 0, "minimum-segment-size": minimum_segment_size, "threads": 1, "maximum-engines": 0,
    }
    converted, report = _graft.convert_graph_def(graph.graph_def().SerializeToString(deterministic=True), json.dumps(request))
    return v1.GraphDef.FromString(converted), json.loads(report)


def check(graph, minimum_segment_size=1):
    result = Result()
    feeds = graph.feed_dict()
    native = run(graph.graph_def(), graph.fetches, feeds)
    try:
        converted, report = convert(graph, minimum_segment_size)
        result.engines = sum(n.op == "TRTEngineOp" for n in converted.node)
        result.converted, result.total = report["converted_ops"], report["total_ops"]
        with support.EngineCalls() as calls:
            got = run(converted, graph.fetches, feeds)
        result.problem = compare(graph, native, got, "converted")
        if calls.fallbacks:
            result.problem = f"fallback: {calls.reasons}"
        elif result.engines and not calls.calls:
            result.problem = "no engine ran"
        if not result.problem:
            check_plan(graph, native, feeds, result)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        result.problem = f"{type(error).__name__}: {error}"
    return result


def check_plan(graph, native, feeds, result):
    """Where the whole graph converts."""
    if any(graph.values[name].dtype == BF16 for name in graph.feeds + graph.fetches):
        return  # NumPy has no such arrays
    with tempfile.TemporaryDirectory() as folder:
        model, plan = pathlib.Path(folder, "model.pb"), pathlib.Path(folder, "model.plan")
        model.write_bytes(graph.graph_def().SerializeToString(deterministic=True))
        try:
            support.graft("convert", model, "--plan", plan, "--outputs", ",".join(graph.fetches), "--opt-level", 0)
        except AssertionError as error:
            if "a plan needs the whole model" not in str(error):
                result.problem = f"plan: {error}"
            return
        engine = Engine(str(plan), threads=1)
        # An input that nothing reads is none of the plan's.
        read = {i.name.removesuffix(":0") for i in engine.inputs}
        got = engine.run({name: array for name, array in feeds.items() if name.removesuffix(":0") in read})
        got = {name if ":" in name else f"{name}:0": array for name, array in got.items()}
    result.plan = True
    result.problem = compare(graph, native, got, "plan")
