"""Plans that earlier builds wrote: they run as they did, or are refused for their version.

Each folder of test/data/plans holds a plan for the reference backend, an .npy file for each input
and output, and is never written again: a changed format comes with a folder of its own.
"""

import pathlib
import subprocess

import numpy as np
import pytest

import support

FOLDERS = sorted((support.ROOT / "test/data/plans").iterdir())
INPUTS = ["x", "size"]
OUTPUTS = ["classes", "tiled", "where"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_runs_or_is_refused_by_version(folder: pathlib.Path, tmp_path):
    done = subprocess.run(
        [
            support.PROGRAM,
            *["run", folder / "model.plan", "--output", tmp_path],
            *[part for name in INPUTS for part in ("--input", f"{name}={folder / name}.npy")],
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode != 0:
        assert done.returncode == support.BAD_INPUT, done.stderr
        assert "version" in done.stderr, done.stderr
        return
    support.assert_close(
        {name: np.load(tmp_path / f"{name}.npy") for name in OUTPUTS},
        {name: np.load(folder / f"{name}.npy") for name in OUTPUTS},
    )


def test_the_first_version_is_kept():
    assert FOLDERS[0].name == "version-1"
