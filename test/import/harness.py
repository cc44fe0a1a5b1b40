"""Cases for the importer: what TensorFlow computes for a small graph, beside what import_check makes of it.

A case builds its graph with TensorFlow on placeholders. It is imported once with all shapes known, once with an unknown
batch, once with nothing known but ranks, and must give TensorFlow's numbers each time.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import typing

# With oneDNN, TensorFlow is off by 1e-2 on real models: no oracle. Read when it is loaded.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = pathlib.Path(os.environ.get("GRAFT_BUILD", ROOT / "build/release")) / "bin/import_check"

STATIC, BATCH, RANKS = "static", "batch", "ranks"


@dataclasses.dataclass
class Case:
    op: str
    inputs: list  # arrays
    build: typing.Callable  # placeholders -> tensor or list of tensors
    oracle: typing.Callable | None = None  # the same in a form that TensorFlow runs on a CPU
    shapes: tuple = (STATIC, BATCH, RANKS)  # how much is known of the inputs' shapes
    refused: str = ""  # the reason, where it must be refused
    terms: int = 1  # products summed into one result


@dataclasses.dataclass
class Outcome:
    case: Case
    known: str
    refused: list
    error: str
    mismatch: str

    @property
    def problem(self):
        """What is wrong, or "" when the case did as it should."""
        if self.error or self.mismatch:
            return self.error or self.mismatch
        if self.case.refused:
            if not any(self.case.refused in reason for reason in self.refused):
                return f"not refused for {self.case.refused!r}: {self.refused}"
            return ""
        return f"refused: {self.refused}" if self.refused else ""


def known_shape(array, known, index):
    if known == STATIC:
        return list(array.shape)
    if known == BATCH:
        return [None if axis == 0 and index == 0 else n for axis, n in enumerate(array.shape)]
    return [None] * array.ndim


def make_graph(build, arrays, known):
    """The graph, its input and output tensors' names."""
    graph = tf.Graph()
    with graph.as_default():
        inputs = [
            tf.compat.v1.placeholder(a.dtype, known_shape(a, known, i), name=f"x{i}")
            for i, a in enumerate(arrays)
        ]
        outputs = build(*inputs)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    return graph, [x.name for x in inputs], [y.name for y in outputs]


def run_natively(case):
    graph, inputs, outputs = make_graph(case.oracle or case.build, case.inputs, STATIC)
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        return session.run(outputs, dict(zip(inputs, case.inputs)))


class Batch:
    """All cases in one file, so that the tool starts once."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.data = bytearray()
        self.entries = []
        self.expected = []  # (case, known, TensorFlow's outputs)

    def put(self, data):
        self.data += bytes(-len(self.data) % 64)
        offset = len(self.data)
        self.data += data
        return offset

    def add(self, case):
        expected = None if case.refused else run_natively(case)
        for known in case.shapes:
            graph, inputs, outputs = make_graph(case.build, case.inputs, known)
            self.add_graph(
                graph.as_graph_def().SerializeToString(),
                inputs,
                [known_shape(a, known, i) for i, a in enumerate(case.inputs)],
                case.inputs,
                outputs,
            )
            self.expected.append((case, known, expected))

    def add_graph(self, serialized, inputs, shapes, arrays, outputs, run=True):
        self.entries.append(
            {
                "graph": [self.put(serialized), len(serialized)],
                "outputs": outputs,
                "run": run,
                "inputs": [
                    {
                        "tensor": name,
                        "dtype": tf.as_dtype(array.dtype).as_datatype_enum,
                        "shape": [-1 if n is None else n for n in shape],
                        "dims": list(array.shape),
                        "offset": self.put(np.ascontiguousarray(array).tobytes()),
                    }
                    for name, shape, array in zip(inputs, shapes, arrays)
                ],
            }
        )

    def run_tool(self):
        """For each entry its result, with the outputs as arrays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "data.bin").write_bytes(self.data)
        (self.folder / "cases.json").write_text(json.dumps(self.entries))
        subprocess.run([TOOL, self.folder], check=True)
        data = (self.folder / "results.bin").read_bytes()
        results = json.loads((self.folder / "results.json").read_text())
        for result in results:
            result["outputs"] = [
                np.frombuffer(
                    data,
                    tf.as_dtype(y["dtype"]).as_numpy_dtype,
                    int(np.prod(y["dims"])),
                    y["offset"],
                ).reshape(y["dims"])
                for y in result["outputs"]
            ]
        return results

    def run(self):
        outcomes = []
        for (case, known, expected), result in zip(self.expected, self.run_tool()):
            mismatch = ""
            if not result["refused"] and not result["error"] and expected is not None:
                mismatch = "; ".join(
                    filter(None, (compare(*pair, case.terms) for pair in zip(result["outputs"], expected)))
                )
            outcomes.append(Outcome(case, known, result["refused"], result["error"], mismatch))
        return outcomes


def tolerance(dtype, terms):
    """Relative to the largest output: rounding of `terms` products summed in another order."""
    if not np.issubdtype(dtype, np.inexact) and dtype != tf.bfloat16.as_numpy_dtype:
        return 0.0
    return 8 * np.sqrt(terms) * float(tf.experimental.numpy.finfo(dtype).eps)


def compare(actual, expected, terms):
    """What differs, or ""."""
    expected = np.asarray(expected)
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return f"{actual.dtype}{actual.shape} instead of {expected.dtype}{expected.shape}"
    if actual.size == 0:
        return ""
    allowed = tolerance(actual.dtype, terms)
    a, e = actual.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(e)
    if not np.array_equal(a[~finite], e[~finite], equal_nan=True):
        return "other infinities or NaNs"
    if not finite.any():
        return ""
    error = np.abs(a[finite] - e[finite]).max()
    limit = allowed * max(np.abs(e[finite]).max(), 1e-30)
    return f"error {error:.3g}, allowed {limit:.3g}" if not error <= limit else ""
