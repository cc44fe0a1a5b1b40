"""Real trained networks: what of them is imported, and that it computes the stored outputs.

They are those of test/data/models, and of $GRAFT_MODELS when that is set.
"""

import json
import os
import pathlib

import numpy as np
import pytest

import harness

FOLDERS = [pathlib.Path(__file__).parent.parent / "data/models"]
if "GRAFT_MODELS" in os.environ:
    FOLDERS.append(pathlib.Path(os.environ["GRAFT_MODELS"]))
FOLDER_OF = {path.stem: folder for folder in FOLDERS for path in sorted(folder.glob("*.json"))}

PARTLY_NATIVE = "handtrack_ssd"
IMPORT_WHOLE = sorted(set(FOLDER_OF) - {PARTLY_NATIVE})
# Too slow for the reference backend.
NOT_RUN = {"esrgan_slim_x2", "mobilenet_v2_moderation", "posenet"}
RUN = [name for name in IMPORT_WHOLE if name not in NOT_RUN]
# A loop that resizes the images.
HANDTRACK_REFUSALS = {
    "Op type Enter is not supported.",
    "Op type Exit is not supported.",
    "Op type LoopCond is not supported.",
    "Op type Merge is not supported.",
    "Op type NextIteration is not supported.",
    "Op type Switch is not supported.",
    "Op type TensorListFromTensor is not supported.",
    "Op type TensorListGetItem is not supported.",
    "Op type TensorListReserve is not supported.",
    "Op type TensorListSetItem is not supported.",
    "Op type TensorListStack is not supported.",
    "it runs inside a loop",
}
# Relative to the largest output. basic_pitch normalises a logarithm of sums near zero: TensorFlow's own kernels
# (TF_ENABLE_ONEDNN_OPTS=0) are 1.3e-4 from the stored outputs of its photo-like case.
TOLERANCE = {"basic_pitch": 1.3e-4}
DEFAULT_TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """For each model the tool's result, and the outputs to expect."""
    if not harness.TOOL.exists():
        pytest.skip(f"{harness.TOOL} is not built")
    batch = harness.Batch(tmp_path_factory.mktemp("models"))
    models = sorted(FOLDER_OF)
    expected = []
    for name in models:
        folder = FOLDER_OF[name]
        meta = json.loads((folder / f"{name}.json").read_text())
        reference = meta["references"][-1]  # a photo, where there is one
        load = lambda part: np.load(folder / name / part["file"])
        batch.add_graph(
            (folder / f"{name}.pb").read_bytes(),
            [i["name"] for i in meta["inputs"]],
            [i["shape"] for i in meta["inputs"]],
            [load(reference["inputs"][i["name"]]) for i in meta["inputs"]],
            [o["tensor"] for o in meta["outputs"]],
            run=name in RUN,
        )
        expected.append([load(reference["outputs"][o["tensor"]]) for o in meta["outputs"]])
    return dict(zip(models, zip(batch.run_tool(), expected)))


@pytest.mark.parametrize("name", IMPORT_WHOLE)
def test_every_node_is_imported(results, name):
    result, _ = results[name]
    assert not result["error"]
    assert not result["refused"]


@pytest.mark.parametrize("name", RUN)
def test_computes_the_stored_outputs(results, name):
    result, expected = results[name]
    assert len(result["outputs"]) == len(expected)
    for actual, wanted in zip(result["outputs"], expected):
        assert actual.shape == wanted.shape
        error = np.abs(actual - wanted).max() / np.abs(wanted).max()
        print(f"{name}: {error:.2g} of the largest output")
        assert error < TOLERANCE.get(name, DEFAULT_TOLERANCE)


# Not there without the model: a skipped test would be a failure in CI.
if PARTLY_NATIVE in FOLDER_OF:

    def test_detection_keeps_its_loop(results):
        result, _ = results["handtrack_ssd"]
        assert not result["error"]
        reasons = {": ".join(refusal.split(": ")[2:]) for refusal in result["refused"]}
        assert reasons == HANDTRACK_REFUSALS
