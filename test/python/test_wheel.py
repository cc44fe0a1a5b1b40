"""The wheel in an environment of its own: numpy and nothing else."""

import os
import subprocess
import sys

import numpy as np
import pytest

import small_models
import support

pytestmark = pytest.mark.models  # it compiles everything once more


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = []
    if "GRAFT_VENV" in os.environ:
        options = ["-C", f"cmake.define.GRAFT_VENV={os.environ['GRAFT_VENV']}"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", support.ROOT, "--no-deps", "-w", folder, *options],
        env=environment,
        check=True,
    )
    (path,) = folder.iterdir()
    assert path.name.startswith("graft_tf-")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Its Python."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin/pip", "install", "--quiet", wheel], check=True)
    return folder / "bin/python"


def run(python, code, *arguments):
    """Away from the clone, with no help to find libraries or packages."""
    bare = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        env=bare, cwd=python.parent, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_runs_with_numpy_alone(environment, plan, tmp_path):
    np.save(tmp_path / "image.npy", small_models.images(2))
    code = (
        "import sys, numpy, graft\n"
        "(classes,) = graft.Engine(sys.argv[1]).run({'image': numpy.load(sys.argv[2])}).values()\n"
        "numpy.save(sys.argv[3], classes)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    run(environment, code, plan, tmp_path / "image.npy", tmp_path / "classes.npy")
    classes = np.load(tmp_path / "classes.npy")
    assert support.relative_error(classes, small_models.expected(2)["classes"]) <= 1e-4


def test_only_the_systems_own_libraries_come_from_outside(environment, plan):
    code = (
        "import sys, graft, pathlib\n"
        "graft.Engine(sys.argv[1])\n"
        "print(pathlib.Path(graft.__file__).parent)\n"
        "print(*sorted({line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}))\n"
    )
    package, libraries = run(environment, code, plan).splitlines()
    for name in ("tbb", "hwy", "snappy", "dnnl", "gomp"):
        found = [path for path in libraries.split() if name in path.rpartition("/")[2]]
        assert all(path.startswith(package) for path in found), found
    assert f"{package}/libgraft.so" in libraries


def test_the_op_library_runs_with_tensorflow_added(wheel, frozen_graph, tmp_path):
    """Unpacked beside this environment's TensorFlow; nothing but the wheel's own libraries."""
    subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, tmp_path], check=True)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy, tensorflow as tf\n"
        "from graft import _op_library, trt_convert as trt\n"
        "assert trt.__file__.startswith(sys.argv[1])\n"
        "graph = tf.compat.v1.GraphDef.FromString(open(sys.argv[2], 'rb').read())\n"
        "with tf.Graph().as_default(), tf.compat.v1.Session() as session:\n"
        "    converted = trt.TrtGraphConverter(input_graph_def=graph).convert()\n"
        "    (classes,) = tf.import_graph_def(converted, return_elements=['classes:0'], name='')\n"
        "    session.run(classes, {'image:0': numpy.zeros((1, 16, 16, 3))})\n"
        "(node,) = _op_library.statistics().values()\n"
        "assert (node['engine_calls'], node['fallbacks']) == (1, 0), node\n"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    environment.pop("LD_LIBRARY_PATH", None)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, frozen_graph],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
