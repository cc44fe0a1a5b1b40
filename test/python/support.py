"""The built program and package, and how their results are compared."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("GRAFT_BUILD", ROOT / "build/release")).resolve()
PROGRAM = BUILD / "bin/graft"
# The program with the tests' backend, and what runs its plans (test/fake_device).
FAKE_DEVICE_PROGRAM = BUILD / "bin/graft_on_fake_device"
ALLOCATION_COUNT = BUILD / "bin/allocation_count"
RUN_IN_BOTH_SPACES = BUILD / "bin/run_in_both_spaces"
TOLERANCE = 1e-4  # of an output's largest value

DONE, CHECK_FAILED, USAGE, BAD_INPUT = 0, 1, 2, 3  # exit codes


def use_build():
    """The package of this build, here and in child processes, whatever else is installed."""
    package = str(BUILD / "python")
    sys.path.insert(0, package)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def graft(*arguments, expect=DONE, cwd=None, program=(PROGRAM,)):
    """Runs the program; gives what it printed. `expect` is the exit code it must have (None: any)."""
    done = subprocess.run(
        [*program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert expect is None or done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def rename(graph, node, name):
    """Gives a node of the main graph another name, where its outputs are read too."""
    old, node.name = node.name, name
    for reader in graph.node:
        for i, read in enumerate(reader.input):
            if read.split(":")[0] == old:
                reader.input[i] = name + read[len(old) :]


def convert(model, *arguments, program=(PROGRAM,)):
    """graft convert without timing; gives the JSON report."""
    report = pathlib.Path(os.environ["GRAFT_CACHE"]) / "report.json"
    graft("convert", model, "--opt-level", 0, "--json", report, *arguments, program=program)
    return json.loads(report.read_text())


def run_python(*arguments, **environment):
    """Runs Python in a process of its own; gives its standard output."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def relative_error(value, reference):
    """The largest difference as a share of the reference's largest value."""
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    assert value.shape == reference.shape
    difference = np.abs(value - reference).max(initial=0)
    return float(difference / max(np.abs(reference).max(initial=0), np.finfo(np.float32).tiny))


def assert_close(values, references, tolerance=TOLERANCE):
    """Of dicts of arrays by name."""
    assert sorted(values) == sorted(references)
    errors = {name: relative_error(values[name], references[name]) for name in references}
    assert all(error <= tolerance for error in errors.values()), errors


class EngineCalls:
    """Counts what the engine nodes of this process do within a `with` block."""

    def __enter__(self):
        self._before = self._totals()
        return self

    def __exit__(self, *exception):
        after = self._totals()
        self.calls, self.fallbacks = (now - then for now, then in zip(after[:2], self._before[:2]))
        self.reasons = after[2] - self._before[2]
        self.builds = after[3] - self._before[3]

    @staticmethod
    def _totals():
        from graft import _op_library

        nodes = _op_library.statistics().values()
        return (
            sum(node["engine_calls"] for node in nodes),
            sum(node["fallbacks"] for node in nodes),
            {reason for node in nodes for reason in node["reasons"]},
            sum(node["builds"] for node in nodes),
        )

    def assert_engine_ran(self):
        assert self.calls > 0
        assert self.fallbacks == 0, self.reasons
