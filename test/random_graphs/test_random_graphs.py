"""Random graphs: converted they compute what they computed in TensorFlow. run.py takes more seeds, reduce.py makes a failing one small."""

import pathlib
import re
import subprocess
import sys

SEEDS = 200
SCRIPT = pathlib.Path(__file__).with_name("run.py")


def test_graphs_have_every_converted_op():
    done = subprocess.run([sys.executable, SCRIPT, "--ops"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_converted_graphs_compute_the_same():
    done = subprocess.run([sys.executable, SCRIPT, "--seeds", f"0:{SEEDS}"], capture_output=True, text=True, timeout=1200)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    graphs, converted, total, engines, plans = map(
        int, re.search(r"(\d+) graphs .*: (\d+) of (\d+) ops in (\d+) engines, (\d+) plans", done.stdout).groups()
    )
    assert graphs == SEEDS
    # That most of it is native would be no test.
    assert converted > 0.8 * total
    assert engines > SEEDS
    assert plans > SEEDS / 5
