"""What the scripts of this folder need before anything else: TensorFlow without oneDNN, the grid's way to write nodes, this build."""

import os
import pathlib
import sys
import tempfile

TEST = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEST / "import"), str(TEST / "python")]
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# What was measured on this machine before does not decide which tactics a seed tries.
os.environ["GRAFT_CACHE"] = tempfile.mkdtemp(prefix="graft-random-")

import harness  # noqa: E402, F401  sets up TensorFlow
import support  # noqa: E402

support.use_build()
