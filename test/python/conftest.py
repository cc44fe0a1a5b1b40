"""Fixtures of the end to end tests: the built program and package, and small models made once."""

import os
import pathlib

# With oneDNN, TensorFlow is off by 1e-2 on real models: no oracle. Read when it is loaded, here and
# in child processes.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest  # noqa: E402

import small_models  # noqa: E402
import support  # noqa: E402

support.use_build()


@pytest.fixture(scope="session", autouse=True)
def own_timing_cache(tmp_path_factory):
    """Results do not depend on what was measured on this machine before, and leave nothing there."""
    before = os.environ.get("GRAFT_CACHE")
    os.environ["GRAFT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["GRAFT_CACHE"]
    else:
        os.environ["GRAFT_CACHE"] = before


@pytest.fixture(scope="session")
def frozen_graph(tmp_path_factory) -> pathlib.Path:
    return small_models.save_frozen_graph(tmp_path_factory.mktemp("frozen") / "model.pb")


@pytest.fixture(scope="session")
def v1_saved_model(tmp_path_factory) -> pathlib.Path:
    return small_models.save_v1(tmp_path_factory.mktemp("v1") / "model")


@pytest.fixture(scope="session")
def v2_saved_model(tmp_path_factory) -> pathlib.Path:
    return small_models.save_v2(tmp_path_factory.mktemp("v2") / "model")


@pytest.fixture(scope="session")
def plan(frozen_graph, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("plan") / "model.plan"
    support.convert(frozen_graph, "--plan", path)
    return path


@pytest.fixture
def strict_int8(monkeypatch):
    """All products that can be are on integers: small ones are as fast in floats, and would be left there."""
    monkeypatch.setenv("GRAFT_STRICT_INT8", "1")


@pytest.fixture
def graph_mode():
    """TensorFlow as before 2.0, for the length of a test."""
    import tensorflow as tf

    with tf.Graph().as_default():
        yield
