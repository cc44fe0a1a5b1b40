"""What an engine costs in TensorFlow's executor, against native element-wise nodes.

Chains of a native node and a segment of N element-wise nodes with P further inputs, converted and not, run in turns on
one thread; times are minima. Prints each, and the constants of src/partition/border_cost.h fitted to them.

    python bench/engine_border.py [--graft build/release/bin/graft]
"""

import argparse
import os
import pathlib
import subprocess
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from graft import _op_library

v1 = tf.compat.v1
SEGMENTS = 60
CASES = [(2, 0), (3, 0), (4, 0), (6, 0), (10, 0), (3, 1), (3, 2), (3, 3), (6, 6), (10, 5), (10, 10)]
X = np.abs(np.random.default_rng(0).standard_normal((4, 16))).astype(np.float32)


def chain(nodes, inputs):
    """The graph, and the nodes that stay native."""
    native = [f"other{i}" for i in range(inputs)] + [f"native{i}" for i in range(SEGMENTS)]
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, X.shape[1]], name="x")
        others = [tf.sqrt(x + float(i), name=f"other{i}") for i in range(inputs)]
        y = x
        for i in range(SEGMENTS):
            y = tf.tanh(y, name=f"native{i}")
            for j in range(nodes):
                y = tf.maximum(y, others[j]) if j < inputs else (tf.abs(y) if j % 2 else tf.nn.relu(y))
        tf.identity(y, name="y")
    return graph.as_graph_def(), native


def converted(graft, graph, native, folder):
    (folder / "native.pb").write_bytes(graph.SerializeToString())
    command = [graft, "convert", folder / "native.pb", "--outputs", "y:0", "--output", folder / "engines.pb"]
    command += ["--deny", ",".join(native), "--minimum-segment-size", "1", "--opt-level", "0"]
    subprocess.run(command, check=True, capture_output=True)
    return v1.GraphDef.FromString((folder / "engines.pb").read_bytes())


def runner(graph_def):
    """A call of the graph as it is: TensorFlow's optimisers would fold the chain."""
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    rewriter = rewriter_config_pb2.RewriterConfig(disable_meta_optimizer=True)
    config = v1.ConfigProto(
        intra_op_parallelism_threads=1,
        inter_op_parallelism_threads=1,
        graph_options=v1.GraphOptions(rewrite_options=rewriter),
    )
    return v1.Session(graph=graph, config=config).make_callable("y:0", feed_list=["x:0"])


def measure(calls, rounds=60):
    """Nanoseconds a segment, for each of them."""
    best = [float("inf")] * len(calls)
    for turn in range(rounds):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call(X)
            if turn > 10:
                best[i] = min(best[i], time.perf_counter() - start)
    return [1e9 * seconds / SEGMENTS for seconds in best]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graft", default="build/release/bin/graft")
    graft = pathlib.Path(parser.parse_args().graft).resolve()
    _op_library.load()
    left, right = [], []  # of native: border and nodes; of engines: border, further inputs
    print(f"{'nodes':>5} {'inputs':>6} {'native, ns':>10} {'engine, ns':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        for nodes, inputs in CASES:
            graph, native = chain(nodes, inputs)
            engines = converted(graft, graph, native, pathlib.Path(scratch))
            times = measure([runner(graph), runner(engines)])
            print(f"{nodes:5} {1 + inputs:6} {times[0]:10.0f} {times[1]:10.0f}", flush=True)
            left.append(([1, nodes], times[0]))
            right.append(([1, inputs], times[1]))
    fit = [np.linalg.lstsq(*map(np.array, zip(*rows)), rcond=None)[0] for rows in (left, right)]
    print(f"a native node {fit[0][1]:.0f}, an engine {fit[1][0] - fit[0][0]:.0f}, each further port {fit[1][1]:.0f}")


if __name__ == "__main__":
    main()
