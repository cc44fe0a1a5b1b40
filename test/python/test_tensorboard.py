"""`graft inspect --tensorboard` against TensorBoard itself."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import support
from support import USAGE, graft

SECONDS_TO_START = 60


@pytest.fixture
def logs(v1_saved_model, tmp_path):
    support.convert(v1_saved_model, "--output", tmp_path / "converted")
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
    assert 'op: "TRTEngineOp"' in text
    # TensorBoard draws a function's nodes beneath its name.
    assert "_native_segment" in text and 'op: "Conv2D"' in text
    assert "_too_large_attrs" in text  # the engine's bytes


def test_the_events_keep_what_is_small_only(logs):
    (file,) = logs.iterdir()
    assert file.name == "events.out.tfevents.graft"
    assert file.stat().st_size < 200_000


def test_a_plan_is_no_graph(plan, tmp_path):
    said = graft("inspect", plan, "--tensorboard", tmp_path / "logs", expect=USAGE)
    assert "--tensorboard shows models: a plan is no graph" in said
    assert not (tmp_path / "logs").exists()
