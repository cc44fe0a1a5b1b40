"""samples/ray on a cluster of two nodes, each with processes of its own, on this machine."""

import concurrent.futures
import importlib.util
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

import support

pytestmark = pytest.mark.models  # minutes: a cluster's processes each import what they need

# Ray is not imported here, for the sake of what else this process imports.
if importlib.util.find_spec("ray") is None:
    pytest.skip("ray is not installed (requirements-tests.txt)", allow_module_level=True)

SAMPLES = support.ROOT / "samples"
NETWORK = support.ROOT / "test/data/fashion_mnist/mobile.pb"
COUNT = 60
SECONDS = 120


@pytest.fixture(scope="module")
def cluster():
    """What processes that use the cluster have in their environment."""
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # else a token is left in the home directory
    }
    script = pathlib.Path(__file__).with_name("ray_cluster.py")
    process = subprocess.Popen(
        [sys.executable, script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    address = process.stdout.readline().strip()
    assert address, "no cluster"
    yield {**environment, "RAY_ADDRESS": address}
    process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("ray") / "plan"
    support.convert(NETWORK, "--plan", path)
    return path


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("ray")
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(NETWORK.read_bytes()), name="")
        get = session.graph.get_tensor_by_name
        tensors = {"images": get("images:0")}, {"logits": get("logits:0")}
        v1.saved_model.simple_save(session, str(folder / "native"), *tensors)
    support.convert(folder / "native", "--output", folder / "converted")
    return folder / "converted"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).standard_normal((3, 28, 28, 1)).astype(np.float32)


def expected(plan, images):
    import graft

    return graft.Engine(str(plan), threads=2).run({"images": images})["logits"]


def archive(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def post(address, body):
    for attempt in range(5):
        try:
            with urllib.request.urlopen(address, body, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except ConnectionError:  # Ray starts a proxy anew that a busy machine keeps from answering in time
            if attempt == 4:
                raise
            time.sleep(2)


class Served:
    """The sample serves a model, until the end of a `with` block; its address."""

    def __init__(self, cluster, model, *options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, SAMPLES / "ray/serve_model.py", "--model", model, "--port", str(port), *options],
            env=cluster,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        line = self.process.stdout.readline()
        assert " is served at " in line
        return line.split()[-1]

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=SECONDS)


def replicas():
    """Serve's replicas on this machine: their process ids, and those of their nodes' raylets."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                found[folder] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass  # it has ended
    return found


def mapping(process, file):
    """(Rss, Pss, Private_Dirty) in kB of what a process has of a file, by name."""
    sizes, inside = dict.fromkeys(("Rss", "Pss", "Private_Dirty"), 0), False
    for line in (process / "smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] += int(rest.split()[0]) if inside else 0
        elif "-" in line.split()[0]:  # addresses
            inside = line.endswith(f" {file}")
    return sizes


def test_replicas_on_two_nodes_answer_as_an_engine(cluster, plan, images):
    want = expected(plan, images)
    before = set(replicas())
    with Served(cluster, plan, "--replicas", "2", "--threads", "2") as address:
        for _ in range(5):
            status, body = post(address, archive(images=images))
            assert status == 200
            got = np.load(io.BytesIO(body))
            assert got.files == ["logits"]
            np.testing.assert_array_equal(got["logits"], want)  # bit for bit
        started = {process: node for process, node in replicas().items() if process not in before}
        assert len(started) == len(set(started.values())) == 2
        # One copy of the plan's file is in memory, for all of them: nobody has written to it.
        for sizes in [mapping(process, plan) for process in started]:
            assert sizes["Private_Dirty"] == 0 and 0 < sizes["Pss"] <= 0.6 * sizes["Rss"], sizes
        # Requests that come together are run together, and each gets its own rows.
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            rows = list(pool.map(lambda i: post(address, archive(images=images[i % 3 :][:1])), range(48)))
        for i, (status, body) in enumerate(rows):
            assert status == 200
            got = np.load(io.BytesIO(body))["logits"]
            assert support.relative_error(got, want[i % 3 :][:1]) <= support.TOLERANCE
        for body, reason in (
            (archive(image=images), b"['image'], the model takes ['images']"),
            (archive(images=images.astype("f8")), b"is float64, the model takes float32"),
            (archive(images=images[..., 0]), b"shape is f32[3,28,28]"),
            (archive(images=np.float32(1)), b"no rows"),
            (archive(images=np.array([object()])), b"no archive of arrays"),
            (archive(images=images)[:-40], b"no archive of arrays"),
            (b"", b"no archive of arrays"),
        ):
            status, text = post(address, body)
            assert status == 400 and reason in text, text


def test_a_folder_of_images_is_classified_by_a_converted_saved_model(cluster, plan, converted, tmp_path):
    import pyarrow.parquet
    from PIL import Image

    data = [sys.executable, SAMPLES / "image_classification/write_data.py", tmp_path, "--count", str(COUNT)]
    subprocess.run(data, check=True)
    command = [sys.executable, SAMPLES / "ray/classify_folder.py", "--model", converted, "--images", tmp_path / "jpegs"]
    command += ["--output", tmp_path / "classes", "--workers", "1"]
    done = subprocess.run(command, env=cluster, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("classes")] == ["classes"]
    rows = pyarrow.parquet.read_table(tmp_path / "classes").to_pylist()
    paths = sorted((tmp_path / "jpegs").rglob("*.jpg"))
    assert len(paths) == COUNT and sorted(row["path"] for row in rows) == [str(path) for path in paths]
    pixels = np.stack([np.asarray(Image.open(row["path"]).convert("L")) for row in rows])
    logits = expected(plan, ((pixels[..., None] / 255 - 0.2860) / 0.3530).astype(np.float32))
    weights = np.exp(logits - logits.max(1, keepdims=True))
    assert [row["class"] for row in rows] == logits.argmax(1).tolist()
    probabilities = (weights / weights.sum(1, keepdims=True)).max(1)
    np.testing.assert_allclose([row["probability"] for row in rows], probabilities, rtol=1e-4)
    assert sum(str(row["class"]) == pathlib.Path(row["path"]).parent.name for row in rows) >= 0.85 * COUNT
    counted = dict(line.removeprefix("class ").split(": ") for line in done.stdout.splitlines())
    assert sum(int(text.split()[0]) for text in counted.values()) == COUNT
    # What is there is not written over.
    done = subprocess.run(command, env=cluster, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode != 0 and "is there already" in done.stderr
