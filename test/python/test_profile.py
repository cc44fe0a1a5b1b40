"""An engine's steps in TensorFlow's own profiles."""

import numpy as np
import pytest

import small_models
import support

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2
from graft import _op_library

v1 = tf.compat.v1
FETCHES = ("logits:0", "classes:0")


@pytest.fixture(scope="module")
def converted(frozen_graph, tmp_path_factory):
    """The converted GraphDef, its engine's name and its steps'."""
    _op_library.load()
    folder = tmp_path_factory.mktemp("converted")
    support.convert(frozen_graph, "--outputs", ",".join(FETCHES), "--output", folder / "model.pb")
    graph = v1.GraphDef.FromString((folder / "model.pb").read_bytes())
    (engine,) = [node for node in graph.node if node.op == "TRTEngineOp"]
    return graph, engine.name


@pytest.fixture
def session(converted):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(converted[0], name="")
        with v1.Session(graph=graph) as opened:
            yield opened


def run(session, **options):
    return session.run(FETCHES, {"image:0": small_models.images(2)}, **options)


def test_run_metadata_has_the_steps(session, converted):
    plain = run(session)
    metadata = v1.RunMetadata()
    traced = run(
        session,
        options=v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE),
        run_metadata=metadata,
    )
    for a, b in zip(plain, traced):
        np.testing.assert_array_equal(a, b)
    (device,) = [stats for stats in metadata.step_stats.dev_stats if stats.device.endswith("CPU:0")]
    stats = {node.node_name: node for node in device.node_stats}
    engine = stats[converted[1]]
    steps = [node for name, node in stats.items() if name.startswith(f"{converted[1]}/")]
    assert {f"{converted[1]}/conv1", f"{converted[1]}/conv2"} <= {node.node_name for node in steps}
    end = engine.all_start_micros + engine.all_end_rel_micros
    for step in steps:
        assert "cpu." in step.timeline_label  # the tactic
        assert engine.all_start_micros <= step.all_start_micros
        assert step.all_start_micros + step.all_end_rel_micros <= end + 1
    # A run that nobody traces leaves nothing.
    metadata = v1.RunMetadata()
    run(session, run_metadata=metadata)
    assert not metadata.step_stats.dev_stats


def test_the_profiler_shows_the_steps_beneath_the_engine(session, converted, tmp_path):
    run(session)
    tf.profiler.experimental.start(str(tmp_path))
    run(session)
    tf.profiler.experimental.stop()
    (path,) = tmp_path.rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    (host,) = [plane for plane in space.planes if plane.name == "/host:CPU"]
    lines = [
        [
            (host.event_metadata[event.metadata_id].name, event.offset_ps, event.duration_ps)
            for event in line.events
        ]
        for line in host.lines
    ]
    (line,) = [events for events in lines if any(name == "conv1" for name, _, _ in events)]
    names = {name for name, _, _ in line}
    assert {f"{converted[1]}:TRTEngineOp", "stage 0", "conv1", "conv2"} <= names
    (op,) = [event for event in line if event[0].startswith(converted[1])]
    (conv1,) = [event for event in line if event[0] == "conv1"]
    assert op[1] <= conv1[1] and conv1[1] + conv1[2] <= op[1] + op[2]
    statistics = {host.stat_metadata[i].name for i in host.stat_metadata}
    assert "tactic" in statistics
