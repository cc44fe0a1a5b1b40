"""The ten guide models: one engine each, right at two batch sizes from one plan."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import guide_models  # noqa: E402
from checks import ALLOCATION_COUNT, PROGRAM, TOLERANCE, largest_error  # noqa: E402

IN_MAKE_TEST = ("mobilenet_v1",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in IN_MAKE_TEST else [pytest.mark.models])
        for name in guide_models.MODELS
    ],
)
def test_one_engine_agrees_with_tensorflow(name, tmp_path):
    import graft

    folder = guide_models.cached(name)
    plan, report = tmp_path / "model.plan", tmp_path / "report.json"
    command = [PROGRAM, "convert", folder / "saved_model"]
    subprocess.run([*command, "--signature", "inner", "--plan", plan, "--json", report], check=True)
    found = json.loads(report.read_text())
    assert found["engines"] == 1
    assert found["converted_ops"] > 0.9 * found["total_ops"], found["unconverted"]

    done = subprocess.run([ALLOCATION_COUNT, plan], capture_output=True, text=True)
    print(f"{name}, allocations in ten calls: {done.stdout}")
    assert done.returncode == 0, done.stderr

    engine = graft.Engine(str(plan))
    for batch in (1, 5):
        reference = np.load(folder / f"reference_b{batch}.npz")
        outputs = engine.run({"image": reference["image"]})
        error = largest_error(outputs, reference)
        print(f"{name}, batch {batch}: {error:.1e}")
        assert error <= TOLERANCE
        if batch == 1:
            # The same check has to refuse the outputs of a model with one kernel 1 % larger.
            assert largest_error(outputs, np.load(folder / "perturbed_b1.npz")) > TOLERANCE
