"""Serves a plan or a SavedModel by Ray Serve: replicas in processes of their own, on as many machines as the cluster has.

    python serve_model.py --model mobile.plan [--replicas 2] [--threads 1] [--port 8000]
    curl --data-binary @inputs.npz localhost:8000 -o outputs.npz

A request is an archive of arrays by the names of the model's inputs (numpy.savez), and so is its answer. Where a cluster
runs already, RAY_ADDRESS says where; then the model's path and Graft have to be there on each of its machines.
"""

import argparse
import io
import os
import signal
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import ray
from ray import serve
from starlette.responses import PlainTextResponse, Response

from model import load

APPLICATION = "graft"


def read(body, wanted):
    """The arrays of a request; ValueError says what is wrong with it. `wanted`: dtypes by name."""
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            given = {name: archive[name] for name in archive}
    except Exception as error:  # bytes from outside: NumPy and zipfile raise many kinds
        raise ValueError(f"no archive of arrays: {error}") from error
    if sorted(given) != sorted(wanted):
        raise ValueError(f"inputs are {sorted(given)}, the model takes {sorted(wanted)}")
    for name, value in sorted(given.items()):
        if value.dtype != wanted[name]:
            raise ValueError(f"input '{name}' is {value.dtype}, the model takes {wanted[name]}")
        if value.ndim == 0:
            raise ValueError(f"input '{name}' has no rows")
        if len(value) != len(given[min(given)]):
            raise ValueError("the inputs have different numbers of rows")
    return given


@serve.deployment(max_ongoing_requests=128)
class Served:
    def __init__(self, path, threads):
        self._model = load(path, threads)

    async def __call__(self, request):
        try:
            outputs = await self.infer(read(await request.body(), self._model.inputs))
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        archive = io.BytesIO()
        np.savez(archive, **outputs)
        return Response(archive.getvalue(), media_type="application/octet-stream")

    async def infer(self, inputs):
        """Also for other deployments and programs, through a handle."""
        outputs = await self._together(inputs)
        if isinstance(outputs, ValueError):
            raise outputs
        return outputs

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.0)
    async def _together(self, requests):
        """Requests that came while others ran, in one run for each shape; for a wrong one, its error."""
        alike = {}
        for i, inputs in enumerate(requests):
            key = tuple((name, inputs[name].shape[1:]) for name in sorted(inputs))
            alike.setdefault(key, []).append(i)
        answers = [None] * len(requests)
        for members in alike.values():
            for i, outputs in zip(members, self._run([requests[i] for i in members])):
                answers[i] = outputs
        return answers

    def _run(self, requests):
        try:
            joined = {name: np.concatenate([inputs[name] for inputs in requests]) for name in requests[0]}
            outputs = self._model.run(joined)
        except ValueError as error:
            if len(requests) == 1:
                return [error]
            outputs = None
        if len(requests) == 1:
            return [outputs]
        ends = np.cumsum([len(next(iter(inputs.values()))) for inputs in requests])
        # One at fault fails alone; where results have not a row for each row, requests cannot be joined.
        if outputs is None or any(value.shape[:1] != (ends[-1],) for value in outputs.values()):
            return [self._run([inputs])[0] for inputs in requests]
        parts = {name: np.split(value, ends[:-1]) for name, value in outputs.items()}
        return [{name: part[i] for name, part in parts.items()} for i in range(len(requests))]


def wait_for(address):
    """serve.run returns when the replicas are ready; the proxy may not have heard of them, and answers with 404."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, b"", timeout=60)
        except urllib.error.HTTPError as error:
            if error.code == 400:  # the replica's own answer to nothing
                return
        time.sleep(0.1)
    sys.exit(f"serve_model: {address} does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a plan or a SavedModel")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each replica")
    parser.add_argument("--port", type=int, default=8000, help="of Ray Serve, where it is not started yet")
    options = parser.parse_args()
    ray.init(log_to_driver=False, logging_level="WARNING")
    # One proxy: nodes of one machine would share its port, and whoever is new there knows no replica yet.
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": options.port})
    served = Served.options(num_replicas=options.replicas, ray_actor_options={"num_cpus": options.threads})
    serve.run(served.bind(os.path.abspath(options.model), options.threads), name=APPLICATION)
    address = f"http://127.0.0.1:{options.port}"
    wait_for(address)
    print(f"{options.model} is served at {address}", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        serve.delete(APPLICATION)  # other applications of the cluster go on


if __name__ == "__main__":
    main()
