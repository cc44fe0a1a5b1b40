"""INT8 by quantisation nodes: all their attributes, against the rules of docs/int8.md written once more in numpy. The integers
are exact, so the sums are, and so are the floats made of them."""

import itertools

import numpy as np
import pytest

from support import convert

import tensorflow as tf
from graft import Engine

raw = tf.raw_ops
RANGES = [(-2.0, 2.0), (-1.0, 3.0), (-4.0, 0.5), (0.0, 6.0), (0.5, 6.0), (-6.0, -2.0)]
DEPTH, WIDTH = 24, 5
DRAW = np.random.default_rng(8)
X = (3 * DRAW.standard_normal([7, DEPTH])).astype(np.float32)
# Ties of the first range, both ends, far outside.
X[0, :8] = np.array([0.5, 1.5, 2.5, -0.5, 127, 127.5, -128, -1e30], np.float32) * np.float32(2 / 127)
W = DRAW.standard_normal([DEPTH, WIDTH]).astype(np.float32)


def quantize_and_dequantize():
    """name → a function of x, and the ends of its range."""
    for op, (low, high), signed, narrow, bits, given in itertools.product(
        ("V2", "V3", "V4"), RANGES, (True, False), (True, False), (8, 4), (True, False)
    ):
        if low < 0 and not signed:
            continue
        modes = ("HALF_TO_EVEN", "HALF_UP") if op in ("V2", "V4") else ("",)
        for mode in modes:
            options = {"signed_input": signed, "range_given": given, "input_min": low, "input_max": high}
            if op == "V3":
                function = lambda x, o=options, b=bits, n=narrow: raw.QuantizeAndDequantizeV3(input=x, num_bits=b, narrow_range=n, **o)
            else:
                kernel = getattr(raw, f"QuantizeAndDequantize{op}")
                function = lambda x, k=kernel, o=options, b=bits, n=narrow, m=mode: k(
                    input=x, num_bits=b, narrow_range=n, round_mode=m, **o
                )
            yield f"{op}_{low}_{high}_{signed}_{narrow}_{bits}_{given}_{mode}", function, low, high


def fake_quant():
    for (low, high), narrow, bits in itertools.product(RANGES, (True, False), (8, 4, 16)):
        options = {"num_bits": bits, "narrow_range": narrow}
        name = f"{low}_{high}_{narrow}_{bits}"
        yield f"args_{name}", lambda x, a=low, b=high, o=options: raw.FakeQuantWithMinMaxArgs(inputs=x, min=a, max=b, **o), low, high
        yield f"vars_{name}", lambda x, a=low, b=high, o=options: raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b, **o), low, high
        # A value takes the largest of its channels' ranges.
        lows, highs = (np.float32(end) * np.linspace(0.25, 1, DEPTH, dtype=np.float32) for end in (low, high))
        yield (
            f"channels_{name}",
            lambda x, a=lows, b=highs, o=options: raw.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=a, max=b, **o),
            low,
            high,
        )


def product_of_integers(low, high):
    amax = max(abs(np.float32(low)), abs(np.float32(high)))
    x = np.clip(np.rint(X * (np.float32(127) / amax)), -127, 127)
    largest = np.abs(W).max(axis=0)
    w = np.clip(np.rint(W * (np.float32(127) / largest)), -127, 127)
    sums = x.astype(np.int64) @ w.astype(np.int64)
    scales = (amax / np.float32(127)).astype(np.float64) * (largest / np.float32(127)).astype(np.float64)
    return sums.astype(np.float32) * scales.astype(np.float32)


@pytest.mark.parametrize("nodes", [quantize_and_dequantize, fake_quant])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_node_gives_its_range_whatever_else_it_says(nodes, backend, tmp_path):
    forms = list(nodes())
    assert len(forms) > 100
    with tf.Graph().as_default() as graph:
        for i, (_, function, _, _) in enumerate(forms):
            # A value of its own for each: of several nodes on one value the first counts.
            x = tf.compat.v1.placeholder(tf.float32, X.shape, name=f"x{i}")
            tf.matmul(function(x), W, name=f"y{i}")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    int8 = ("--precision", "int8", "--strict-int8", "--threads", 1)
    report = convert(tmp_path / "m.pb", "--plan", tmp_path / "p", *int8, "--backend", backend)
    assert report["plan"]["int8"]["on_integers"] == len(forms)
    assert report["plan"]["int8"]["ranges_from_nodes"] == len(forms)
    got = Engine(str(tmp_path / "p"), threads=1).run({f"x{i}": X for i in range(len(forms))})
    for i, (name, _, low, high) in enumerate(forms):
        np.testing.assert_array_equal(got[f"y{i}"], product_of_integers(low, high), err_msg=name)
