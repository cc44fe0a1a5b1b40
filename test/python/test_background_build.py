"""A build in the background leaves the processor to the calls, and a program that ends does not wait for it."""

import json
import pathlib
import time

import numpy as np

import support

SCRIPT = pathlib.Path(__file__).with_name("background_build.py")
ATTEMPTS = 3  # on a machine that does other things too, the best counts
MOST = 1.5


def test_calls_do_not_wait_for_the_thread_that_builds(tmp_path):
    ratios = []
    for attempt in range(ATTEMPTS):
        seconds = json.loads(support.run_python(SCRIPT, tmp_path / str(attempt)))
        assert len(seconds["building"]) >= 100, "the builds were over too soon to tell"
        p50, p99 = (
            {phase: np.percentile(times, p) * 1e3 for phase, times in seconds.items()}
            for p in (50, 99)
        )
        ratios.append(p99["building"] / max(p99["native"], p99["again"]))
        for phase in seconds:
            print(
                f"{phase}: {len(seconds[phase])} calls, median {p50[phase]:.2f} ms, "
                f"99th percentile {p99[phase]:.2f} ms"
            )
        print(f"99th percentile while building: {ratios[-1]:.2f} x native")
        if ratios[-1] <= MOST:
            return
    raise AssertionError(f"calls waited {ratios} x as long as native ones at the 99th percentile")


MANY_LAYERS = """
import time
import numpy as np
import tensorflow as tf
import graft
from graft import trt_convert as trt

v1 = tf.compat.v1
with tf.Graph().as_default() as graph:
    y = v1.placeholder(tf.float32, [None, 56, 56, 64], name="x")
    for i in range(60):  # each of another size, so that each is timed
        y = tf.nn.relu(tf.nn.conv2d(y, np.ones((3, 3, y.shape[-1], 64 + i), np.float32), 1, "SAME"))
    tf.identity(y, name="y")
with tf.Graph().as_default():
    converted = trt.TrtGraphConverter(
        input_graph_def=graph.as_graph_def(), nodes_denylist=["y"], is_dynamic_op=True, max_batch_size=None
    ).convert()
with tf.Graph().as_default() as graph:
    tf.import_graph_def(converted, name="")
v1.Session(graph=graph).run("y:0", {"x:0": np.ones((1, 56, 56, 64), np.float32)})
(node,) = graft.engine_statistics().values()
assert (node["engine_calls"], node["tunings"]) == (1, 0)
print(time.time())
"""


def test_a_program_that_ends_gives_up_what_is_tuned(tmp_path):
    printed = support.run_python("-c", MANY_LAYERS, GRAFT_TF_TUNE="background", GRAFT_CACHE=str(tmp_path))
    seconds = time.time() - float(printed.splitlines()[-1])
    print(f"it ended {seconds:.1f} s after its last line")
    assert seconds < 8  # tuning all of it takes more than a minute
