"""Instructions of the kernels' inner loops, counted by callgrind: what gets slower by a change of
code or of compiler flags shows here, however busy the machine is.

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


def count(tactic, problem, folder):
    """Instructions of a second run of the tactic, on one thread."""
    out = folder / "callgrind.out"
    done = subprocess.run(
        [
            "valgrind", "--tool=callgrind", "--collect-atstart=no",
            "--toggle-collect=*CountedRun*", f"--callgrind-out-file={out}",
            PROGRAM, "--count", "--filter", tactic, problem,
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [problem, tactic], "one tactic runs"
    return int(re.search(r"^(?:totals|summary): (\d+)$", out.read_text(), re.MULTILINE).group(1))


@pytest.mark.parametrize(("tactic", "problem"), CASES)
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_an_inner_loop_takes_no_more_instructions(tactic, problem, tmp_path):
    case = f"{tactic} {problem}"
    counted = count(tactic, problem, tmp_path)
    known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    if os.environ.get("GRAFT_UPDATE_TESTS"):
        known[case] = counted
        COUNTS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    assert case in known, "GRAFT_UPDATE_TESTS=1 writes its count"
    assert counted <= MORE * known[case], f"{known[case]} before"
