"""graft.serving as its clients see it: Triton's client by HTTP and gRPC, and requests that are wrong."""

import asyncio
import concurrent.futures
import importlib.util
import json
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

# KServe is not imported here: it and Triton's gRPC client declare the same messages, and a process can have one of them.
for package in ("kserve", "tritonclient"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(
            f"{package} is not installed (requirements-tests.txt)", allow_module_level=True
        )
import tritonclient.grpc
import tritonclient.http

NETWORK = support.ROOT / "test/data/fashion_mnist/mobile.pb"
CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, folder, *arguments):
        self.ports = {"http": free_port(), "grpc": free_port()}
        ports = [f"--{kind}_port={port}" for kind, port in self.ports.items()]
        self.log = folder / "server.log"
        with open(self.log, "w") as log:
            command = [sys.executable, "-m", "graft.serving", *map(str, arguments), *ports]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.address = f"http://127.0.0.1:{self.ports['http']}"
        # Both ports are asked until they answer.
        for kind in CLIENTS:
            end = time.monotonic() + 120
            while not self.answers(kind):
                assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
                time.sleep(0.1)

    def answers(self, kind):
        try:
            return self.client(kind).is_server_ready()
        except Exception:
            return False

    def client(self, kind):
        return CLIENTS[kind].InferenceServerClient(f"127.0.0.1:{self.ports[kind]}")

    def post(self, path, body, **headers):
        """The status and JSON of an answer."""
        request = urllib.request.Request(self.address + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def infer(kind, client, model, inputs, outputs=None):
    module = CLIENTS[kind]
    tensors = []
    for name, (value, datatype) in inputs.items():
        tensors.append(module.InferInput(name, list(value.shape), datatype))
        tensors[-1].set_data_from_numpy(value)
    wanted = None if outputs is None else [module.InferRequestedOutput(name) for name in outputs]
    return client.infer(model, tensors, outputs=wanted)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A plan, a converted SavedModel of the same network, and a SavedModel of strings."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("served")
    support.convert(NETWORK, "--plan", folder / "plan")
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(NETWORK.read_bytes()), name="")
        graph = session.graph
        tensors = (
            {"images": graph.get_tensor_by_name("images:0")},
            {"logits": graph.get_tensor_by_name("logits:0")},
        )
        v1.saved_model.simple_save(session, str(folder / "native"), *tensors)
    support.convert(folder / "native", "--output", folder / "converted")

    class Strings(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "words")])
        def lower(self, words):
            return {"lower": tf.strings.lower(words)}

    class Element(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "index")])
        def get(self, index):
            return {"element": tf.gather(tf.constant([5, 6]), index)}

    strings, element = Strings(), Element()
    tf.saved_model.save(strings, str(folder / "strings"), {"serving_default": strings.lower})
    tf.saved_model.save(element, str(folder / "element"), {"serving_default": element.get})
    return folder


@pytest.fixture(scope="module")
def server(files):
    names = {"plan": "plan", "tf": "converted", "strings": "strings", "element": "element"}
    server = Server(files, *[f"--model={name}={files / path}" for name, path in names.items()])
    yield server
    server.close()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(5).standard_normal((3, 28, 28, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def logits(files, images):
    import graft

    return graft.Engine(str(files / "plan")).run({"images": images})["logits"]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("outputs", [None, ["logits"]])
def test_a_plan_gives_what_its_engine_gives(server, images, logits, kind, outputs):
    answer = infer(kind, server.client(kind), "plan", {"images": (images, "FP32")}, outputs)
    assert np.array_equal(answer.as_numpy("logits"), logits)


def test_numbers_in_json_are_the_same(server, images, logits):
    tensor = {
        "name": "images",
        "datatype": "FP32",
        "shape": list(images.shape),
        "data": images.ravel().tolist(),
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    status, answer = server.post(
        "/v2/models/plan/infer", body, **{"Content-Type": "application/json"}
    )
    assert status == 200, answer
    (output,) = answer["outputs"]
    assert np.array_equal(np.array(output["data"], np.float32).reshape(output["shape"]), logits)


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_converted_saved_model(server, images, logits, kind):
    answer = infer(kind, server.client(kind), "tf", {"images": (images, "FP32")})
    assert support.relative_error(answer.as_numpy("logits"), logits) <= support.TOLERANCE


@pytest.mark.parametrize("kind", CLIENTS)
def test_strings(server, kind):
    words = np.array([b"", "ÄB".encode(), b"a\0B"], object)
    answer = infer(kind, server.client(kind), "strings", {"words": (words, "BYTES")})
    assert answer.as_numpy("lower").tolist() == [b"", "Äb".encode(), b"a\0b"]


def test_what_the_model_itself_refuses_is_the_clients_fault(server):
    client = server.client("http")
    answer = infer("http", client, "element", {"index": (np.array(1, np.int32), "INT32")})
    assert answer.as_numpy("element") == 6
    with pytest.raises(tritonclient.utils.InferenceServerException, match="ind") as error:
        infer("http", client, "element", {"index": (np.array(2, np.int32), "INT32")})
    assert error.value.status() == "400"


@pytest.mark.parametrize("kind", CLIENTS)
def test_what_a_model_takes_is_told(server, kind):
    client = server.client(kind)
    assert client.is_model_ready("plan")
    metadata = client.get_model_metadata("plan")
    if kind == "http":
        assert metadata["inputs"] == [
            {"name": "images", "datatype": "FP32", "shape": [-1, 28, 28, 1]}
        ]
    else:
        assert list(metadata.outputs[0].shape) == [-1, 10]


WRONG = {
    "there is no input 'image'; there are: images": {"image": ((1, 28, 28, 1), "FP32")},
    "input 'images' has datatype INT32, the model takes FP32": {
        "images": ((1, 28, 28, 1), "INT32")
    },
    "input 'images' has shape [1, 27, 28, 1], the model takes [?, 28, 28, 1]": {
        "images": ((1, 27, 28, 1), "FP32")
    },
    "input 'images' has shape [28, 28], the model takes [?, 28, 28, 1]": {
        "images": ((28, 28), "FP32")
    },
}
BAD_REQUEST = {"http": "400", "grpc": "StatusCode.INVALID_ARGUMENT"}


@pytest.mark.parametrize("reason", WRONG)
@pytest.mark.parametrize("kind", CLIENTS)
def test_wrong_inputs_are_refused_with_the_reason(server, kind, reason):
    dtypes = {"FP32": np.float32, "INT32": np.int32}
    inputs = {
        name: (np.zeros(shape, dtypes[datatype]), datatype)
        for name, (shape, datatype) in WRONG[reason].items()
    }
    with pytest.raises(tritonclient.utils.InferenceServerException) as error:
        infer(kind, server.client(kind), "plan", inputs)
    assert error.value.status() == BAD_REQUEST[kind]
    assert reason in error.value.message()


@pytest.mark.parametrize("kind", CLIENTS)
def test_wrong_outputs_are_refused_with_the_reason(server, images, kind):
    with pytest.raises(tritonclient.utils.InferenceServerException) as error:
        infer(kind, server.client(kind), "plan", {"images": (images, "FP32")}, ["logit"])
    assert error.value.status() == BAD_REQUEST[kind]
    assert "there is no output 'logit'; there are: logits" in error.value.message()


BINARY = {
    "name": "images",
    "datatype": "FP32",
    "shape": [1, 28, 28, 1],
    "parameters": {"binary_data_size": 3136},
}
JSON = {"name": "images", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [0.5] * 784}


@pytest.mark.parametrize(
    "tensor, data, reason",
    [
        (BINARY, bytes(3132), "binary_data_size is 3136, 3132 bytes are left"),
        (BINARY, bytes(3140), "4 bytes are left over"),
        ({**BINARY, "parameters": {"binary_data_size": -4}}, b"", "binary_data_size is -4"),
        ({**BINARY, "shape": [1, 28, 28, "x"]}, bytes(3136), "invalid literal"),
        ({**BINARY, "shape": [2, 28, 28, 1]}, bytes(3136), "cannot reshape"),
        ({**BINARY, "shape": [-1, 28, 28, 1]}, bytes(3136), "has shape [-1, 28, 28, 1]"),
        ({**BINARY, "datatype": "FP31"}, bytes(3136), "there is no datatype 'FP31'"),
        ({"name": "images"}, b"", "KeyError: 'datatype'"),
        ({**JSON, "data": JSON["data"][1:]}, None, "cannot reshape"),
        ({**JSON, "data": ["a"] * 784}, None, "its data are no FP32"),
        (JSON, None, None),
    ],
)
def test_malformed_requests_are_the_clients_fault(server, tensor, data, reason):
    body, headers = json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": "application/json"}
    if data is not None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(body)),
        }
        body += data
    status, answer = server.post("/v2/models/plan/infer", body, **headers)
    if reason is None:
        assert status == 200
    else:
        assert status == 400 and reason in answer["error"], answer


def test_what_is_not_the_protocol_is_refused(server):
    header = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": "5"}
    assert server.post("/v2/models/plan/infer", b"not a request", **header)[0] == 400
    assert (
        server.post(
            "/v2/models/none/infer", b'{"inputs": []}', **{"Content-Type": "application/json"}
        )[0]
        == 404
    )
    status, answer = server.post(
        "/v1/models/plan:predict", b'{"instances": [1]}', **{"Content-Type": "application/json"}
    )
    assert status == 400 and "POST /v2/models/plan/infer" in answer["error"]


def test_metrics(server, images):
    infer("http", server.client("http"), "plan", {"images": (images, "FP32")})
    with urllib.request.urlopen(server.address + "/metrics") as answer:
        text = answer.read().decode()
    assert 'request_predict_seconds_count{model_name="plan"}' in text
    assert 'graft_batch_rows_count{model_name="plan"}' in text


def test_requests_are_batched(files, images, logits):
    server = Server(
        files, f"--model=plan={files / 'plan'}", "--max_batch_size=8", "--batch_delay_ms=300"
    )
    try:

        def one(i):
            row = images[i % 3 : i % 3 + 1]
            return infer("grpc", server.client("grpc"), "plan", {"images": (row, "FP32")}).as_numpy(
                "logits"
            )

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(one, range(16)))
        for i, answer in enumerate(answers):
            assert answer.shape == (1, 10)
            assert support.relative_error(answer[0], logits[i % 3]) <= support.TOLERANCE
        with urllib.request.urlopen(server.address + "/metrics") as answer:
            metrics = dict(
                line.rsplit(" ", 1)
                for line in answer.read().decode().splitlines()
                if line[:1] != "#"
            )
        assert float(metrics['graft_batch_rows_sum{model_name="plan"}']) == 16
        assert float(metrics['graft_batch_rows_count{model_name="plan"}']) < 16
    finally:
        server.close()


def start_and_fail(*arguments):
    command = [sys.executable, "-m", "graft.serving", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    return done.stderr


def test_what_cannot_be_served_is_told_at_the_start(files, tmp_path):
    assert "is not NAME=PATH" in start_and_fail("--model", files / "plan")
    (tmp_path / "plan").write_bytes(b"no plan")
    assert "plan" in start_and_fail("--model", f"x={tmp_path / 'plan'}")
    assert "no signature 'other'" in start_and_fail(
        "--model", f"x={files / 'converted'}", "--signature", "other"
    )


# The batcher by itself.


def batched(run, requests, **options):
    from graft import _batching

    sizes = []

    async def go():
        batcher = _batching.Batcher(run, observe=sizes.append, **options)
        tasks = [batcher({"x": np.array(values)}) for values in requests]
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)

    return asyncio.run(go()), sizes


def negative(inputs):
    return {"y": -inputs["x"]}


def test_alike_requests_run_together_in_their_order():
    requests = [[[1.0]], [[2.0], [3.0]], [[4.0, 5.0]], [[6.0]]]  # the third has another shape
    answers, sizes = batched(negative, requests, max_rows=8, delay=0.05)
    assert [answer["y"].tolist() for answer in answers] == [
        [[-1.0]],
        [[-2.0], [-3.0]],
        [[-4.0, -5.0]],
        [[-6.0]],
    ]
    assert sorted(sizes) == [1, 4]


def test_a_batch_has_no_more_rows_than_it_may():
    answers, sizes = batched(negative, [[[float(i)]] for i in range(10)], max_rows=4)
    assert [answer["y"].item() for answer in answers] == [-float(i) for i in range(10)]
    assert max(sizes) <= 4 and sum(sizes) == 10
    answers, sizes = batched(negative, [[[1.0]] * 6], max_rows=4)  # one with more runs by itself
    assert sizes == [6]


def test_without_batching_each_runs_by_itself():
    _, sizes = batched(negative, [[[1.0]]] * 3)
    assert sizes == [1, 1, 1]


def test_the_faulty_request_of_a_batch_fails_alone():
    def no_threes(inputs):
        if (inputs["x"] == 3).any():
            raise ValueError("three")
        return negative(inputs)

    answers, _ = batched(no_threes, [[[1.0]], [[3.0]], [[5.0]]], max_rows=8, delay=0.05)
    assert answers[0]["y"].item() == -1 and answers[2]["y"].item() == -5
    assert isinstance(answers[1], ValueError)


def test_results_without_a_row_for_each_are_not_cut():
    from graft import _batching

    answers, _ = batched(
        lambda inputs: {"y": inputs["x"].sum(0)}, [[[1.0]], [[3.0]]], max_rows=8, delay=0.05
    )
    assert all(isinstance(answer, _batching.NoBatch) for answer in answers)
