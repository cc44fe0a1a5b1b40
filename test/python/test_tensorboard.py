"""`graft inspect --tensorboard` against TensorBoard itself."""

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import support
from support import USAGE, graft

from tensorflow.core.framework import graph_pb2

SECONDS_TO_START = 60


@pytest.fixture
def logs(v1_saved_model, tmp_path):
    support.convert(v1_saved_model, "--deny", "pool", "--output", tmp_path / "converted")
    graft("inspect", tmp_path / "converted", "--tensorboard", tmp_path / "logs")
    return tmp_path / "logs"


@pytest.fixture
def served(logs):
    """TensorBoard over the folder; gives its address."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait()


def fetch(address):
    """The page, as soon as the server has it."""
    for _ in range(SECONDS_TO_START):
        try:
            return urllib.request.urlopen(address, timeout=10).read().decode()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(1)
    raise TimeoutError(f"{address} does not answer")


def test_tensorboard_shows_engines_and_their_native_segments(served):
    text = fetch(f"{served}/data/plugin/graphs/graph?run=.&conceptual=false")
    engines = re.findall(r'name: "(TRTEngineOp_\w+)"\s+op: "TRTEngineOp"', text)
    assert len(engines) == 2
    # TensorBoard draws a function's nodes beneath its name, which the engine's node leads to.
    for engine in engines:
        assert re.search(rf'name: "{engine}_native_segment"\s', text), engine
    body = text.split("library {")[1]
    assert body.count('op: "Conv2D"') == 2 and body.count('op: "MatMul"') == 1
    assert "_too_large_attrs" in text  # the engine's bytes


def test_the_events_keep_what_is_small_only(logs):
    (file,) = logs.iterdir()
    assert file.name == "events.out.tfevents.graft"
    assert file.stat().st_size < 200_000


def graph_of(plan, tmp_path):
    graft("inspect", plan, "--graph", tmp_path / "plan.pb")
    return graph_pb2.GraphDef.FromString((tmp_path / "plan.pb").read_bytes())


def test_a_plan_as_a_graph(plan, tmp_path):
    graph = graph_of(plan, tmp_path)
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(graph.node)
    for node in graph.node:
        for name in node.input:
            assert name.partition(":")[0] in nodes, name
    assert nodes["image"].op == "Placeholder"
    conv = nodes["conv1"]
    assert conv.op == "Conv2D" and conv.attr["strides"].s == b"[1,1]"
    assert conv.attr["tactics"].list.s[0].startswith(b"cpu.")
    assert b"relu" in conv.attr["epilogue"].s  # the activation is fused
    assert [d.size for d in conv.attr["_output_shapes"].list.shape[0].dim] == [-1, 16, 16, 8]
    assert nodes[conv.input[1]].op == "Const"


def test_tensorboard_shows_a_plan(plan, tmp_path):
    graft("inspect", plan, "--tensorboard", tmp_path / "logs")
    (file,) = (tmp_path / "logs").iterdir()
    assert b"conv1" in file.read_bytes()


def test_a_model_needs_no_graph(frozen_graph, tmp_path):
    said = graft("inspect", frozen_graph, "--graph", tmp_path / "graph.pb", expect=USAGE)
    assert "--graph is for a plan" in said
    assert not (tmp_path / "graph.pb").exists()
