"""INT8: `graft convert --precision int8`, and TF-TRT's ways to it."""

import logging
import re

import numpy as np
import pytest

import small_models
from support import BAD_INPUT, USAGE, EngineCalls, convert, graft

import tensorflow as tf
from graft import Engine
from graft import trt_convert as trt

v1 = tf.compat.v1
OUTPUTS = ["logits", "classes"]
INT8 = ("--precision", "int8", "--threads", 1)
LOGITS = ("--outputs", "logits:0")


def sqnr(value, reference):
    """Decibels."""
    noise = np.square(np.asarray(value, np.float64) - reference).sum()
    return 10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-300))


def run_natively(graph_def, outputs, feed):
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run([f"{name}:0" for name in outputs], feed)


@pytest.fixture(scope="module")
def images():
    return small_models.images(16)


@pytest.fixture(scope="module")
def logits(frozen_graph, images):
    graph = v1.GraphDef.FromString(frozen_graph.read_bytes())
    return run_natively(graph, ["logits"], {"image:0": images})[0]


@pytest.fixture
def data(images, tmp_path):
    np.savez(tmp_path / "images.npz", image=images)
    return tmp_path / "images.npz"


def test_a_plan_from_data_and_the_same_from_a_table(frozen_graph, data, images, logits, tmp_path):
    arguments = (*INT8, "--calibrator", "minmax", "--calibration-data", data)
    convert(frozen_graph, "--plan", tmp_path / "a.plan", *LOGITS, *arguments)
    got = Engine(str(tmp_path / "a.plan"), threads=1).run({"image": images})["logits"]
    assert 25 < sqnr(got, logits) < 60
    table = tmp_path / "table"
    graft("calibrate", frozen_graph, "--data", data, "-o", table, *LOGITS, "--calibrator", "minmax")
    further = (*LOGITS, *INT8, "--calibration-table", table)
    convert(frozen_graph, "--plan", tmp_path / "b.plan", *further)
    assert (tmp_path / "a.plan").read_bytes() == (tmp_path / "b.plan").read_bytes()
    module = graft("inspect", tmp_path / "a.plan", "--ir")
    assert module.count("accumulator=i32") == 3
    # Pooling moves the integers between both convolutions.
    assert re.search(r'i8\[s0,8,8,8\] "pool/int8".* = pool', module)


def test_the_same_bits_whatever_computes_them(frozen_graph, data, images, tmp_path):
    """Integers; what is made of the last sums by one multiplication is equal as well."""
    graft("calibrate", frozen_graph, "--data", data, "-o", tmp_path / "table")
    arguments = (*INT8, "--outputs", "relu2:0", "--calibration-table", tmp_path / "table")
    results = []
    for backend, threads, batch in (("cpu", 1, 16), ("cpu", 3, 5), ("reference", 1, 16)):
        plan = tmp_path / f"{backend}.plan"
        convert(frozen_graph, "--plan", plan, *arguments, "--backend", backend)
        engine = Engine(str(plan), threads=threads)
        parts = [images[i : i + batch] for i in range(0, len(images), batch)]
        results.append(np.concatenate([engine.run({"image": part})["relu2"] for part in parts]))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_missing_ranges_are_one_error_that_names_all(frozen_graph, tmp_path):
    said = graft("convert", frozen_graph, "--plan", tmp_path / "p", *INT8, expect=USAGE)
    assert "INT8 without calibration: no range for 3 tensors" in said
    for line in ("image (read by conv1)", "relu1 (read by conv2)", "features (read by logits)"):
        assert line in said
    assert not (tmp_path / "p").exists()


def test_bad_arguments(frozen_graph, data, tmp_path):
    plan = ("--plan", tmp_path / "p")
    said = graft("convert", frozen_graph, *plan, "--calibration-data", data, expect=USAGE)
    assert "ranges are for --precision int8" in said
    (tmp_path / "t").write_text("no table\n")
    table = ("--calibration-table", tmp_path / "t")
    said = graft("convert", frozen_graph, *plan, *INT8, *table, expect=BAD_INPUT)
    assert str(tmp_path / "t") in said
    both = (*table, "--calibration-data", data)
    graft("convert", frozen_graph, *plan, *INT8, *both, expect=USAGE)
