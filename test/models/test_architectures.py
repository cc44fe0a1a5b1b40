"""Further architectures: converted, loaded into TensorFlow, right at two batch sizes without a fallback."""

import json
import os
import pathlib
import subprocess
import sys

# With oneDNN, TensorFlow is off by more than the tolerance. Read when it is loaded.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import architectures  # noqa: E402
import guide_models  # noqa: E402
from checks import PROGRAM, TOLERANCE, EngineCalls, largest_error  # noqa: E402

IN_MAKE_TEST = ("transformer", "gru_unrolled")
# A recurrent layer that is a loop stays in TensorFlow, and its steps with it.
LOOPS = ("gru", "lstm")


def load(path, names):
    """A converted graph in TensorFlow: a function from images to outputs."""
    import tensorflow as tf

    from graft import _op_library

    _op_library.load()
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
    session = tf.compat.v1.Session(graph=graph)
    return lambda image: session.run(names["outputs"], {names["inputs"]["image"]: image})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in IN_MAKE_TEST else [pytest.mark.models])
        for name in architectures.MODELS
    ],
)
def test_the_converted_model_agrees_with_tensorflow(name, tmp_path, pytestconfig):
    folder = guide_models.cached(name, frozen=True)
    names = json.loads((folder / "frozen.json").read_text())
    converted, report = tmp_path / "converted.pb", tmp_path / "report.json"
    outputs = ",".join(names["outputs"].values())
    command = [PROGRAM, "convert", folder / "frozen.pb", "--outputs", outputs]
    subprocess.run([*command, "--output", converted, "--json", report], check=True)
    found = json.loads(report.read_text())
    if name not in LOOPS:
        assert found["engines"] == 1
        assert found["converted_ops"] == found["total_ops"], found["unconverted"]

    run = load(converted, names)
    largest = 0
    with EngineCalls() as engines:
        for batch in (1, 5):
            reference = np.load(folder / f"reference_b{batch}.npz")
            outputs = run(reference["image"])
            largest = max(largest, largest_error(outputs, reference))
            if batch == 1:
                # The same check has to refuse the outputs of a model with one kernel 1 % larger.
                assert largest_error(outputs, np.load(folder / "perturbed_b1.npz")) > TOLERANCE
    counts = ("total_ops", "converted_ops", "engines", "nodes_before", "nodes_after")
    pytestconfig.model_table.append((name, *(found[key] for key in counts), f"{largest:.1e}"))
    engines.assert_engine_ran()
    assert largest <= TOLERANCE
