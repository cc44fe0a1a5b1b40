"""How long calls take while their engine is built in the background, beside what they take natively. Prints JSON:
{"native": [seconds], "building": [seconds], "again": [seconds]}: before, during and after builds, of so many engines that
enough calls were made. The last are of the native graph too, so that the first and they tell how even the machine is."""

import json
import os
import sys
import time

os.environ["GRAFT_TF_BUILD"] = "background"
os.environ["GRAFT_TF_OPT_LEVEL"] = "5"
os.environ["GRAFT_CACHE"] = sys.argv[1]  # empty: all is timed

import numpy as np
import tensorflow as tf

import graft
from graft import trt_convert as trt

v1 = tf.compat.v1
CALLS = 200
LAYERS = 6
MOST_ENGINES = 8


def network(narrower):
    """Images of about as many pixels for each `narrower`: what was timed for one of them is no answer for another."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 28 - narrower, 28 + narrower, 64], name="x")
        y = x
        for i in range(LAYERS):
            channels = 64 + 8 * (i % 2)  # equal layers would be timed once
            filters = rng.standard_normal((3, 3, y.shape[-1], channels), np.float32) * 0.05
            y = tf.nn.relu(tf.nn.conv2d(y, filters, 1, "SAME") + np.float32(0.1))
        tf.identity(y, name="y")
    return graph.as_graph_def()


class Call:
    def __init__(self, graph_def):
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(graph_def, name="")
        self._session = v1.Session(graph=graph)
        self._call = self._session.make_callable("y:0", ["x:0"])
        shape = (1, *graph.get_tensor_by_name("x:0").shape[1:])
        self._x = np.random.default_rng(1).standard_normal(shape, np.float32)

    def seconds(self):
        begin = time.perf_counter()
        self._call(self._x)
        return time.perf_counter() - begin


def seconds_while_building(graph_def):
    with tf.Graph().as_default():
        converted = trt.TrtGraphConverter(
            input_graph_def=graph_def, nodes_denylist=["y"], is_dynamic_op=True, max_batch_size=None
        ).convert()
    known = set(graft.engine_statistics())
    call = Call(converted)
    call.seconds()  # makes the kernels, and begins to build
    (node,) = set(graft.engine_statistics()) - known
    building = []
    while True:
        seconds = call.seconds()
        statistics = graft.engine_statistics()[node]
        if statistics["engine_calls"]:
            break
        building.append(seconds)
    assert (statistics["builds"], statistics["fallbacks"]) == (1, 0), statistics
    return building


def main():
    native = Call(network(0))
    for _ in range(20):
        native.seconds()
    before = [native.seconds() for _ in range(CALLS)]
    building = []
    for engine in range(MOST_ENGINES):
        building += seconds_while_building(network(engine))
        if len(building) >= CALLS:
            break
    again = [native.seconds() for _ in range(CALLS)]
    print(json.dumps({"native": before, "building": building, "again": again}))


main()
