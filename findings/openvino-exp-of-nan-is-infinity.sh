#!/usr/bin/env bash
# OpenVINO on the CPU: NaN becomes 0, 1 or infinity, by op and by the order of operands.
#
# One would guess: a runtime either keeps NaN (as ONNX Runtime does) or, where a maximum instruction is used for an
# activation, turns it into the activation's lower bound; exp, which has no bound, keeps it.
# What happens: Relu and Clip give 0, HardSigmoid its *upper* bound 1, and Exp gives +infinity; Max(x, 1) gives 1 where
# Max(1, x) gives NaN. Sigmoid, Tanh, Elu, LeakyRelu and Softmax of the same input keep NaN. ONNX Runtime keeps it in all
# of these.
# What follows: a check for NaN at the outputs says nothing about what happened inside: a model whose weights went bad
# looks sane behind its first Relu, an input that is missing (NaN in a table) scores as the highest probability behind a
# HardSigmoid, and comparing a converter with OpenVINO on such inputs tells which op came last, not who is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import helper

print("OpenVINO", openvino.__version__, "ONNX Runtime", onnxruntime.__version__)
core = openvino.Core()
x = np.full((1, 16, 5, 5), np.nan, np.float32)


def results(op, operands, constants):
    """One op's distinct results for a tensor of NaN, by ONNX Runtime and by OpenVINO."""
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(op, operands, ["y"])],
        op,
        [tensor("x", onnx.TensorProto.FLOAT, x.shape)],
        [tensor("y", onnx.TensorProto.FLOAT, x.shape)],
        [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    network = core.compile_model(core.read_model(io.BytesIO(data)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.unique(session.run(None, {"x": x})[0]), np.unique(network(x)[0])


expected = [
    ("Relu", ["x"], {}, 0.0),
    ("Clip", ["x", "low", "high"], {"low": 0, "high": 6}, 0.0),
    ("HardSigmoid", ["x"], {}, 1.0),
    ("Exp", ["x"], {}, np.inf),
    ("Max", ["x", "one"], {"one": 1}, 1.0),
    ("Max", ["one", "x"], {"one": 1}, np.nan),
    ("Sigmoid", ["x"], {}, np.nan),
    ("Elu", ["x"], {}, np.nan),
    ("LeakyRelu", ["x"], {}, np.nan),
]
for op, operands, constants, value in expected:
    peer, own = results(op, operands, constants)
    print(f"{op}({', '.join(operands)}) of NaN: ONNX Runtime {peer}, OpenVINO {own}")
    assert np.isnan(peer).all(), f"ONNX Runtime's {op} has changed"
    assert np.array_equal(own, [value], equal_nan=True), f"OpenVINO's {op} has changed"
print("as described")
PYTHON
