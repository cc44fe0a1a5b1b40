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


@dataclasses.dataclass
class Outcome:
    case: Case
    known: str
    refused: list
    wrong: str  # an error, or how the outputs differ

    @property
    def problem(self):
        """What is wrong, or "" when the case did as it should."""
        if self.wrong:
            return self.wrong
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
        self.cases = []  # (case, known)

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
                run=expected is not None,
                expected=expected,
            )
            self.cases.append((case, known))

    def put_array(self, array):
        array = np.asarray(array)
        return {
            "dtype": tf.as_dtype(array.dtype).as_datatype_enum,
            "dims": list(array.shape),
            "offset": self.put(np.ascontiguousarray(array).tobytes()),
        }

    def add_graph(self, serialized, inputs, shapes, arrays, outputs, run=True, expected=None):
        """With the outputs to expect, the tool compares; without, it gives what it computed."""
        entry = {
            "graph": [self.put(serialized), len(serialized)],
            "outputs": outputs,
            "run": run,
            "inputs": [
                {
                    "tensor": name,
                    "shape": [-1 if n is None else n for n in shape],
                    **self.put_array(array),
                }
                for name, shape, array in zip(inputs, shapes, arrays)
            ],
        }
        if expected is not None:
            entry["expected"] = [self.put_array(array) for array in expected]
        self.entries.append(entry)

    def run_tool(self):
        """For each entry its result, with the outputs as arrays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "data.bin").write_bytes(self.data)
        (self.folder / "cases.json").write_text(json.dumps(self.entries))
        done = subprocess.run([TOOL, self.folder])
        results = [json.loads(line) for line in open(self.folder / "results.jsonl")]
        if done.returncode != 0 or len(results) != len(self.entries):
            at = len(results)
            raise RuntimeError(f"{TOOL} died ({done.returncode}) in entry {at}: {self.describe(at)}")
        data = (self.folder / "results.bin").read_bytes()
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

    def describe(self, i):
        return self.cases[i] if i < len(self.cases) else self.entries[i]

    def run(self):
        return [
            Outcome(case, known, result["refused"], result["error"] or result["differs"])
            for (case, known), result in zip(self.cases, self.run_tool())
        ]
