#!/usr/bin/env bash
# KServe's Python server takes longer to read a binary tensor of a REST request than the same numbers written in JSON.
#
# One would guess: the binary extension of the Open Inference Protocol saves the server the reading of numbers; the bytes
# behind the JSON become an array as they are. It is why clients use it: tritonclient's set_data_from_numpy is binary unless
# told otherwise.
# What happens: InferRequest.from_bytes makes an array of the bytes, and of every element of that a NumPy scalar and a
# Python number (set_data_from_numpy(binary_data=False)). The model's as_numpy() then makes an array of the list. JSON's
# reader makes the same list directly, several times as fast. gRPC keeps the bytes.
# What follows: an image of 224 x 224 x 3 costs tens of milliseconds before the model sees it, more than many models take.
# Who serves large tensors by REST should send them by gRPC, or read the body in a DataPlane of his own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kserve==0.21.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import json
import time
from importlib import metadata

import numpy as np
from kserve import InferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

print("kserve", metadata.version("kserve"), "numpy", np.__version__)
image = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
tensor = {"name": "x", "shape": list(image.shape), "datatype": "FP32"}
head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": image.nbytes}}]}).encode()
text = json.dumps({"inputs": [{**tensor, "data": image.ravel().tolist()}]}).encode()
body = head + image.tobytes()
message = ModelInferRequest(model_name="m", raw_input_contents=[image.tobytes()])
message.inputs.add(name="x", shape=image.shape, datatype="FP32")

readers = {
    "REST, binary": lambda: InferRequest.from_bytes(body, len(head), "m"),
    "REST, JSON": lambda: InferRequest.from_bytes(text, len(text), "m"),
    "gRPC": lambda: InferRequest.from_grpc(message),
}
milliseconds = {name: [] for name in readers}
for _ in range(7):  # in turns
    for name, read in readers.items():
        begin = time.perf_counter()
        request = read()
        milliseconds[name].append(1e3 * (time.perf_counter() - begin))
        data = request.inputs[0].data
        assert np.array_equal(request.inputs[0].as_numpy(), image)
        kinds = sorted({type(value).__name__ for value in data})
        if len(milliseconds[name]) == 1:
            print(f"{name}: data is a {type(data).__name__} of {len(data)} {kinds}")
best = {name: min(times) for name, times in milliseconds.items()}
for name, time_taken in best.items():
    print(f"{name}: {time_taken:.2f} ms to read {image.nbytes} bytes")
request = readers["REST, binary"]()
assert request.inputs[0]._raw_data is None and isinstance(request.inputs[0].data, list), "this has changed"
assert best["REST, binary"] > 1.5 * best["REST, JSON"] > 1.5 * best["gRPC"], "this has changed"
print("as described")
PYTHON
