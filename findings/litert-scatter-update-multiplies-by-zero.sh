#!/usr/bin/env bash
# LiteRT does not overwrite in tf.tensor_scatter_nd_update: it multiplies by zero and adds.
#
# One would guess: an update puts the new value where the old one was, whatever that was, and an index that is listed twice with
# the same value gets that value; LiteRT has SCATTER_ND, so the converter needs no trick.
# What happens: SCATTER_ND has no tensor to write into, so the converter writes x * (1 - SCATTER_ND(ones)) + SCATTER_ND(updates),
# without a warning. An infinity that is overwritten is NaN (inf * 0). An index that is listed n times gets n times its value,
# and (1 - n) times the old one. tensor_scatter_nd_add is made of such an update, so -inf + 1 is NaN.
# What follows: beams that start at -inf, tokens that two rules mask with -inf, and lists of indices padded by repeating one all
# convert, pass tests on ordinary numbers, and go wrong on the device. Before converting, take a finite lowest score, or
# tf.where with a mask. LiteRT is no oracle for updates, and a selection is no arithmetic where an operand may be infinite.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorflow-cpu==2.21.0 ai-edge-litert==2.3.0 numpy==2.4.6 'protobuf==6.33.6'
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
from importlib import metadata

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

print("TensorFlow", tf.__version__, "LiteRT", metadata.version("ai-edge-litert"))
INF = np.inf
update, add = tf.tensor_scatter_nd_update, tf.tensor_scatter_nd_add
NAN = np.nan
cases = {  # name: op, x, indices, updates, TensorFlow's result, LiteRT's result
    "ordinary numbers": (update, [9, 9, 9, 9], [1, 3], [5, 7], [9, 5, 9, 7], [9, 5, 9, 7]),
    "first beam of a search": (update, [-INF, -INF, -INF], [0], [0], [0, -INF, -INF], [NAN, -INF, -INF]),
    "token masked again": (update, [2, -INF, 1], [1], [-INF], [2, -INF, 1], [2, NAN, 1]),
    "3 listed twice, as padding": (update, [9, 9, 9, 9], [1, 3, 3], [5, 7, 7], [9, 5, 9, 7], [9, 5, 9, 5]),
    "bonus on a masked token": (add, [2, -INF, 1], [1], [1], [2, -INF, 1], [2, NAN, 1]),
}
for name, (op, x, indices, updates, plain, lite) in cases.items():
    x, updates = np.array(x, np.float32), np.array(updates, np.float32)
    indices = np.array(indices, np.int32)[:, None]
    function = tf.function(op, input_signature=[tf.TensorSpec(a.shape, a.dtype) for a in (x, indices, updates)])
    model = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function).convert()
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    ops = [o["op_name"] for o in interpreter._get_ops_details() if o["op_name"] != "DELEGATE"]
    for operand, value in zip(interpreter.get_input_details(), (x, indices, updates)):
        interpreter.set_tensor(operand["index"], value)
    interpreter.invoke()
    converted = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = function(x, indices, updates).numpy()
    print(f"{name}: TensorFlow {expected}, LiteRT {converted} by {' '.join(ops)}")
    assert np.array_equal(expected, plain, equal_nan=True), "TensorFlow has changed"
    assert np.array_equal(converted, lite, equal_nan=True), "LiteRT has changed"
print("as described")
PYTHON
