"""What FP16 and INT8 cost in accuracy: three classifiers of Fashion-MNIST (test/data/fashion_mnist), 10,000 images."""

import functools
import sys

import numpy as np
import pytest

import support
from support import convert

from graft import Engine

FOLDER = support.ROOT / "test/data/fashion_mnist"
sys.path.insert(0, str(FOLDER))
import dataset  # noqa: E402

NETWORKS = ("residual", "mobile", "vgg")
# As README.md of the folder says, to half an image.
TOP_1 = {"residual": 92.75, "mobile": 91.89, "vgg": 91.95}
MOST_DROP = {"fp16": 0.05, "int8": 0.3}  # points of top-1
# % of the images that are another class then.
MOST_FLIPS = 0.8
LEAST_SQNR = 28  # dB of the logits


@functools.cache
def images_and_labels():
    return dataset.load("t10k")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("accuracy")


@pytest.fixture(scope="module")
def calibration(scratch):
    np.savez(scratch / "images.npz", images=dataset.load("train", 512)[0])
    return scratch / "images.npz"


def logits_of(plan):
    engine = Engine(str(plan))
    images, _ = images_and_labels()
    parts = [engine.run({"images": images[i : i + 500]})["logits"] for i in range(0, len(images), 500)]
    return np.concatenate(parts)


@functools.cache
def in_floats(scratch, name):
    plan = scratch / f"{name}.plan"
    convert(FOLDER / f"{name}.pb", "--plan", plan)
    return logits_of(plan)


class Measured:
    def __init__(self, logits, reference):
        _, labels = images_and_labels()
        classes, expected = logits.argmax(1), reference.argmax(1)
        self.top_1 = 100 * np.mean(classes == labels)
        self.drop = 100 * np.mean(expected == labels) - self.top_1
        self.flips = 100 * np.mean(classes != expected)
        noise = np.square(logits.astype(np.float64) - reference).sum()
        self.sqnr = 10 * np.log10(np.square(reference.astype(np.float64)).sum() / max(noise, 1e-300))

    def __repr__(self):
        return (
            f"top-1 {self.top_1:.2f} % (drop {self.drop:.2f}), flips {self.flips:.2f} %, "
            f"SQNR {self.sqnr:.1f} dB"
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_floats_classify_as_they_were_trained(name, scratch):
    logits = in_floats(scratch, name)
    assert Measured(logits, logits).top_1 == pytest.approx(TOP_1[name], abs=0.02)


@pytest.mark.parametrize("name", NETWORKS)
def test_halves(name, scratch):
    plan = scratch / f"{name}.fp16.plan"
    report = convert(FOLDER / f"{name}.pb", "--plan", plan, "--precision", "fp16")
    measured = Measured(logits_of(plan), in_floats(scratch, name))
    assert measured.drop <= MOST_DROP["fp16"] and measured.sqnr >= 50, measured
    assert report["plan"]["half_weights"] > 0
    assert plan.stat().st_size < 0.7 * (scratch / f"{name}.plan").stat().st_size


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_after_training(name, calibration, scratch):
    """Whatever can be is on integers, with ranges of the default calibrator."""
    plan = scratch / f"{name}.int8.plan"
    arguments = ("--precision", "int8", "--strict-int8", "--calibration-data", calibration)
    report = convert(FOLDER / f"{name}.pb", "--plan", plan, *arguments, "--calibration-batch", 64)
    int8 = report["plan"]["int8"]
    assert int8["on_integers"] == int8["products"], int8["in_floats"]
    measured = Measured(logits_of(plan), in_floats(scratch, name))
    print(f"{name}: {measured}")
    assert measured.drop <= MOST_DROP["int8"], measured
    assert measured.flips <= MOST_FLIPS, measured
    assert measured.sqnr >= LEAST_SQNR, measured


@pytest.mark.parametrize("name", NETWORKS)
def test_integers_of_networks_trained_for_them(name, scratch):
    """Ranges are those of the model's nodes; beside it stand the numbers that TensorFlow's nodes emulate."""
    model = f"{name}_qat"
    plan = scratch / f"{model}.int8.plan"
    report = convert(FOLDER / f"{model}.pb", "--plan", plan, "--precision", "int8", "--strict-int8")
    int8 = report["plan"]["int8"]
    assert int8["on_integers"] == int8["products"], int8["in_floats"]
    assert int8["ranges_from_table"] == 0
    measured = Measured(logits_of(plan), in_floats(scratch, model))
    print(f"{model}: {measured}")
    assert measured.drop <= MOST_DROP["int8"], measured
