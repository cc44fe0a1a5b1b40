"""samples/tensorflow_c: a C++ program runs a converted SavedModel through TensorFlow's C API."""

import subprocess
import sys

import numpy as np
import pytest

import support

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SAMPLE = support.ROOT / "samples/tensorflow_c"


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    program = tmp_path_factory.mktemp("sample") / "run_saved_model"
    subprocess.run([SAMPLE / "build.sh", sys.executable, program], check=True)
    return program


@pytest.fixture(scope="module", params=["v1", "v2"])
def model(request, v1_saved_model, v2_saved_model, tmp_path_factory):
    """The original and the converted one."""
    source = {"v1": v1_saved_model, "v2": v2_saved_model}[request.param]
    converted = tmp_path_factory.mktemp("converted") / "model"
    report = support.convert(source, "--output", converted)
    assert report["engines"] > 0
    return source, converted


def signature_of(folder):
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    signature = model.meta_graphs[0].signature_def["serving_default"]
    return signature.inputs["image"].name, signature.outputs["logits"].name


def run(sample, library, folder, *names):
    return subprocess.run(
        [sample, library, folder, *names, "2", "16", "16", "3"],
        capture_output=True,
        text=True,
        env={"TF_CPP_VMODULE": "trt_engine_op=1", "TF_CPP_MIN_LOG_LEVEL": "0"},
        timeout=120,
    )


def test_the_sample_runs_a_converted_model(sample, model):
    source, converted = model
    done = run(sample, support.BUILD / "python/graft/libgraft_tf_op.so", converted, *signature_of(converted))
    assert done.returncode == 0, done.stderr
    assert "Executed the engine of TRTEngineOp_" in done.stderr
    dims, *elements = done.stdout.splitlines()
    assert dims == "2 5"
    image = (np.arange(2 * 16 * 16 * 3, dtype=np.float32) / (2 * 16 * 16 * 3)).reshape(2, 16, 16, 3)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.saved_model.load(session, ["serve"], str(source))
        into, out = signature_of(source)
        reference = session.run(out, {into: image})
    assert support.relative_error(np.array(elements, np.float32).reshape(2, 5), reference) < 1e-4


def test_without_the_library_it_says_which_op_is_missing(sample, model):
    _, converted = model
    framework = next(support.pathlib.Path(tf.__file__).parent.glob("libtensorflow_framework.so.2"))
    done = run(sample, framework, converted, *signature_of(converted))
    assert done.returncode == 1
    assert "Op type not registered 'TRTEngineOp'" in done.stderr
