"""Requests a second behind graft.serving: TensorFlow's SavedModel, the converted one, a plan, and a plan with batching.

    python bench/serving.py [--model GRAPH.pb] [--input images] [--seconds 4] [--rounds 3]

Each server runs alone; clients send one row at a time by gRPC, the next when the last is answered. Servers take turns, and
the median of the rounds counts. What is answered is compared with TensorFlow's answer first.
"""

import argparse
import asyncio
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tritonclient.grpc
import tritonclient.grpc.aio

ROOT = pathlib.Path(__file__).resolve().parent.parent
NETWORK = ROOT / "test/data/fashion_mnist/residual.pb"
CLIENTS = (1, 8, 64)
PORT = 18600


def convert(model, *arguments):
    command = [ROOT / "build/release/bin/graft", "convert", model, *arguments]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def save(graph, name, output, folder):
    """A frozen graph as a SavedModel; what TensorFlow answers to one row."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(graph.read_bytes()), name="")
        get = session.graph.get_tensor_by_name
        v1.saved_model.simple_save(session, str(folder), {name: get(f"{name}:0")}, {output: get(f"{output}:0")})
        row = np.random.default_rng(0).standard_normal((1, *get(f"{name}:0").shape[1:])).astype(np.float32)
        return row, session.run(f"{output}:0", {f"{name}:0": row})


class Server:
    def __init__(self, path, *arguments):
        ports = [f"--http_port={PORT}", f"--grpc_port={PORT + 1}"]
        command = [sys.executable, "-m", "graft.serving", f"--model=m={path}", *ports, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            try:
                if tritonclient.grpc.InferenceServerClient(f"localhost:{PORT + 1}").is_model_ready("m"):
                    return self
            except tritonclient.utils.InferenceServerException:
                time.sleep(0.1)
            if self.process.poll() is not None:
                break
        raise RuntimeError("the server does not answer")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


async def load(clients, seconds, name, row):
    """Latencies in seconds of all requests, after a warm-up of a fifth."""
    latencies = []
    tensor = tritonclient.grpc.InferInput(name, list(row.shape), "FP32")
    tensor.set_data_from_numpy(row)
    begin = time.perf_counter()

    async def one():
        async with tritonclient.grpc.aio.InferenceServerClient(f"localhost:{PORT + 1}") as client:
            while (start := time.perf_counter()) < begin + seconds:
                await client.infer("m", [tensor])
                if start > begin + seconds / 5:
                    latencies.append(time.perf_counter() - start)

    await asyncio.gather(*[one() for _ in range(clients)])
    return latencies


def check(name, output, row, expected):
    tensor = tritonclient.grpc.InferInput(name, list(row.shape), "FP32")
    tensor.set_data_from_numpy(row)
    client = tritonclient.grpc.InferenceServerClient(f"localhost:{PORT + 1}")
    answer = client.infer("m", [tensor]).as_numpy(output)
    error = np.abs(answer - expected).max() / np.abs(expected).max()
    if not error <= 1e-4:
        sys.exit(f"the answer is off by {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, default=NETWORK, help="a frozen graph of one input and output")
    parser.add_argument("--input", default="images")
    parser.add_argument("--output", default="logits")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        row, expected = save(options.model, options.input, options.output, scratch / "native")
        convert(scratch / "native", "--output", scratch / "converted")
        convert(options.model, "--plan", scratch / "plan")
        servers = {
            "TensorFlow": (scratch / "native",),
            "TensorFlow, converted": (scratch / "converted",),
            "plan": (scratch / "plan",),
            "plan, batched": (scratch / "plan", "--max_batch_size=32"),
        }
        for _ in range(options.rounds):
            for kind, arguments in servers.items():
                with Server(*arguments):
                    check(options.input, options.output, row, expected)
                    for clients in CLIENTS:
                        latencies = asyncio.run(load(clients, options.seconds, options.input, row))
                        figures = len(latencies) / (0.8 * options.seconds), 1e3 * np.percentile(latencies, 99)
                        found.setdefault((kind, clients), []).append(figures)
    print("| requests/s, p99 in ms | " + " | ".join(f"{n} client{'s'[: n > 1]}" for n in CLIENTS) + " |")
    print("|---|" + "---|" * len(CLIENTS))
    for kind in servers:
        cells = []
        for clients in CLIENTS:
            rates, latencies = zip(*found[kind, clients])
            cells.append(f"{statistics.median(rates):.0f}, {statistics.median(latencies):.1f}")
        print(f"| {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
