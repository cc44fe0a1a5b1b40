"""Instructions counted by callgrind, of the kernels' inner loops and of runs that nobody profiles: what gets
slower by a change of code or of compiler flags shows here, however busy the machine is.

GRAFT_UPDATE_TESTS=1 writes test/data/instruction_counts.json anew.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import support

COUNTS = pathlib.Path(__file__).resolve().parents[1] / "data/instruction_counts.json"
# Tactic and problem of kernel_bench: one for each inner loop. Callgrind emulates no AVX-512, so the
# counts are AVX2's on every machine.
CASES = [
    ("cpu.conv.igemm", "1x14x14x64-1x1x96"),
    ("cpu.conv.winograd4", "1x14x14x32-3x3x48"),
    ("cpu.conv.depthwise", "1x28x28x40-3x3x40-gc"),
    ("cpu.matmul.packed", "matmul-1x256x100"),
    ("cpu.matmul.packed.f16", "matmul-1x256x100-f16"),
    ("cpu.conv.igemm.s8", "1x14x14x64-1x1x96-i8"),
]
MORE = 1.02  # so many times as many instructions are a failure
PROGRAM = support.BUILD / "bin/kernel_bench"


def counted_run(folder, *command):
    """Instructions of a program's CountedRun, and the names of the functions that it called; what the program printed."""
    out = folder / "callgrind.out"
    done = subprocess.run(
        [
            "valgrind", "--tool=callgrind", "--collect-atstart=no",
            "--toggle-collect=*CountedRun*", f"--callgrind-out-file={out}", *map(str, command),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    text = out.read_text()
    total = int(re.search(r"^(?:totals|summary): (\d+)$", text, re.MULTILINE).group(1))
    return total, set(re.findall(r"^c?fn=\(\d+\) (.*)$", text, re.MULTILINE)), done.stdout


def count(tactic, problem, folder):
    """Instructions of a second run of the tactic, on one thread."""
    counted, _, printed = counted_run(folder, PROGRAM, "--count", "--filter", tactic, problem)
    assert printed.split() == [problem, tactic], "one tactic runs"
    return counted


needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")


@pytest.mark.parametrize(("tactic", "problem"), CASES)
@needs_valgrind
def test_an_inner_loop_takes_no_more_instructions(tactic, problem, tmp_path):
    case = f"{tactic} {problem}"
    counted = count(tactic, problem, tmp_path)
    known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    if os.environ.get("GRAFT_UPDATE_TESTS"):
        known[case] = counted
        COUNTS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    assert case in known, "GRAFT_UPDATE_TESTS=1 writes its count"
    assert counted <= MORE * known[case], f"{known[case]} before"


@needs_valgrind
def test_a_run_that_nobody_profiles_pays_nothing(plan, tmp_path):
    """Neither clocks nor observers are in it, whether there was one before or not."""

    def counted(when):
        total, functions, _ = counted_run(tmp_path, support.BUILD / "bin/count_run", plan, when)
        clocks = {name for name in functions if "clock" in name or "TraceRecorder" in name}
        return total, clocks

    never, clocks = counted("never")
    assert not clocks
    after, clocks = counted("after")
    assert not clocks
    assert abs(after - never) <= 1e-3 * never
    watched, clocks = counted("watched")
    assert clocks and watched > after  # else nothing was counted here
