"""Real trained networks: converted nearly whole, into one engine, with the stored outputs.

They are those of test/data/models, and of $GRAFT_MODELS: NAME.pb, NAME.json with inputs, outputs and
references, and NAME/*.npy.
"""

import json
import os
import pathlib

import numpy as np
import pytest

import support
from support import EngineCalls

FOLDERS = [support.ROOT / "test/data/models"]
if "GRAFT_MODELS" in os.environ:
    FOLDERS.append(pathlib.Path(os.environ["GRAFT_MODELS"]))
MODELS = {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.json"))}

# TensorFlow's own two CPU paths differ by 1.3e-2 on it.
TOLERANCES = {"selfie_segmentation": 5e-4}
# It normalises a logarithm of sums near zero, which amplifies rounding: TensorFlow's own kernels, without
# oneDNN, are 1.3e-4 away from the stored outputs; sums in double, as the fake device's, 1.05e-4.
DOUBLE_SUMS_TOLERANCES = {"basic_pitch": 1.3e-4}
# Steps in FP16, whose numbers are apart by 1e-3, among others.
HALF_TOLERANCE = 2e-2
HALF_TOLERANCES = {
    "basic_pitch": 5e-2,  # its logarithm near zero, again
    "posenet": 3e-2,  # 2.1e-2 of one heatmap at one place, 2e-3 on average
    # On noise its mask is 6e-11 at most, the sigmoid of -23: there the logit's error is the relative
    # one. On a photograph 0.02 % of the pixels, at the border, are off by more than 2e-2.
    "selfie_segmentation": 1.5e-1,
}
# What FileNameOf (tools/graft) replaces in a tensor's name.
UNSAFE = str.maketrans("/:", "__")
# Detection: a loop resizes the images and stays native.
PARTLY_NATIVE = {"handtrack_ssd"}
# On every backend, and in `make test`; the others take longer.
SMALL = {"basic_pitch", "emotion", "blazeface", "selfie_segmentation"}

every_whole_model = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SMALL else [pytest.mark.models])
        for name in sorted(set(MODELS) - PARTLY_NATIVE)
    ],
)


def only_with(model):
    """A test that is not there without the model: a skipped one would be a failure in CI."""
    return lambda test: test if model else None


class Model:
    def __init__(self, name):
        self.name = name
        self.graph = MODELS[name].with_suffix(".pb")
        self.data = json.loads(MODELS[name].read_text())
        self.output_names = [output["tensor"] for output in self.data["outputs"]]

    def convert(self, *arguments, **options):
        inputs = ",".join(self._with_shape(one) for one in self.data["inputs"])
        outputs = ",".join(self.output_names)
        return support.convert(
            self.graph, "--inputs", inputs, "--outputs", outputs, *arguments, **options
        )

    @staticmethod
    def _with_shape(one):
        return f"{one['name']}:0[{','.join(map(str, one['shape']))}]"

    def _load(self, part):
        return np.load(MODELS[self.name].with_suffix("") / part["file"])

    def cases(self, tolerances=TOLERANCES):
        """(inputs, outputs, tolerance of each output) of each stored reference."""
        base = tolerances.get(self.name, support.TOLERANCE)
        for reference in self.data["references"]:
            inputs = {name: self._load(part) for name, part in reference["inputs"].items()}
            outputs, allowed = {}, {}
            for name, part in reference["outputs"].items():
                outputs[name] = self._load(part)
                noise = part.get("cpu_vs_wasm_max_abs_diff", 0) / max(part["max_abs"], 1e-30)
                allowed[name] = max(base, noise)
            yield inputs, outputs, allowed

    def check(self, run, tolerances=TOLERANCES):
        """run: dict of inputs -> dict of outputs, both by tensor name."""
        for inputs, references, allowed in self.cases(tolerances):
            values = run(inputs)
            for name, reference in references.items():
                error = support.relative_error(values[name], reference)
                assert error <= allowed[name], f"{self.name} {name}: {error:.1e}"


def by_tensor_name(outputs):
    return {name if ":" in name else f"{name}:0": value for name, value in outputs.items()}


def check_plan(model, plan, tolerances=TOLERANCES):
    import graft

    engine = graft.Engine(str(plan))
    model.check(lambda inputs: by_tensor_name(engine.run(inputs)), tolerances)


@every_whole_model
def test_from_the_plan_alone(name, tmp_path):
    model = Model(name)
    report = model.convert("--plan", tmp_path / "m.plan")
    assert report["engines"] == 1
    assert report["converted_ops"] >= 0.95 * report["total_ops"], report["unconverted"]
    check_plan(model, tmp_path / "m.plan")
    print(support.graft(tmp_path / "m.plan", program=[support.ALLOCATION_COUNT]))


def check_on_the_fake_device(model, folder, tolerances, *options):
    plan = folder / "m.plan"
    program = [support.FAKE_DEVICE_PROGRAM, *options]
    # Products prepare for tuning points, so what is run has to be one.
    points = dict.fromkeys(
        ",".join(f"{name}:{'x'.join(map(str, value.shape))}" for name, value in inputs.items())
        for inputs, _, _ in model.cases()
    )
    shapes = [argument for point in points for argument in ("--shapes", point)]
    model.convert("--backend", "fake_device", "--plan", plan, *shapes, program=program)

    def run(inputs):
        arguments = []
        for name, value in inputs.items():
            file = folder / f"input{len(arguments)}.npy"
            np.save(file, value)
            arguments.append(f"{name}={file}")
        said = support.graft(plan, folder, *arguments, program=[support.RUN_IN_BOTH_SPACES])
        assert int(said.split()[0]) > 0, "no product has what it prepared at the tuning point"
        return {
            name: np.load(folder / f"{name.removesuffix(':0').translate(UNSAFE)}.npy")
            for name in model.output_names
        }

    model.check(run, tolerances)
    return plan


@every_whole_model
def test_on_the_fake_device(name, tmp_path):
    """Memory of its own, for the caller's tensors too, the caller's stream, recordings, and
    products that find what they prepared."""
    tolerances = {**TOLERANCES, **DOUBLE_SUMS_TOLERANCES}
    check_on_the_fake_device(Model(name), tmp_path, tolerances)


@every_whole_model
def test_with_half_steps_among_others(name, tmp_path):
    """Every second product rounds its operands and results to FP16."""
    half = {name: HALF_TOLERANCES.get(name, HALF_TOLERANCE)}
    plan = check_on_the_fake_device(Model(name), tmp_path, half, "--half-steps")
    text = plan.read_bytes()
    assert b"fake_device.half." in text and b"fake_device.conv" in text


def check_in_tensorflow(model, graph_path):
    import tensorflow as tf
    from graft import _op_library

    _op_library.load()
    v1 = tf.compat.v1
    graph_def = v1.GraphDef.FromString(graph_path.read_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        with EngineCalls() as engines:
            model.check(
                lambda inputs: session.run(
                    {name: name for name in model.output_names},
                    {f"{name}:0": value for name, value in inputs.items()},
                )
            )
    engines.assert_engine_ran()


@every_whole_model
def test_inside_tensorflow(name, tmp_path):
    model = Model(name)
    report = model.convert("--output", tmp_path / "converted.pb")
    assert report["engines"] == 1
    check_in_tensorflow(model, tmp_path / "converted.pb")


@only_with(PARTLY_NATIVE & set(MODELS))
@pytest.mark.models
@pytest.mark.parametrize("name", sorted(PARTLY_NATIVE & set(MODELS)))
def test_detection_keeps_its_loop_native(name, tmp_path):
    model = Model(name)
    report = model.convert("--output", tmp_path / "converted.pb")
    largest = max(engine["nodes"] for engine in report["engine_list"])
    left = [node["op"] for node in report["unconverted"]]
    # The loop and its lists.
    loop = {"Enter", "Exit", "LoopCond", "Merge", "NextIteration", "Switch", "Identity"}
    native = {
        node["op"]
        for node in report["unconverted"]
        if node["reason"] != "it runs inside a loop" and not node["op"].startswith("TensorList")
    }
    assert native <= loop, report["unconverted"]
    assert not {"Conv2D", "DepthwiseConv2dNative", "NonMaxSuppressionV5", "Where"} & set(left)
    # A segment that was begun is finished: tactics are named only where building one failed.
    assert [node for node in report["unconverted"] if "cpu." in node["reason"]] == []
    # The feature extractor and what chooses among its boxes.
    assert largest >= 0.9 * report["converted_ops"]
    assert report["engines"] == 1
    check_in_tensorflow(model, tmp_path / "converted.pb")


# ---- the network of TF-TRT's MNIST test, as a frozen graph and as a MetaGraph with its checkpoint

MNIST = FOLDERS[-1] / "tftrt_mnist"
with_mnist = only_with(MNIST.exists())


def write_mnist_meta_graph(path):
    """The .meta that belongs to the checkpoint: the frozen graph with variables for its weights."""
    import tensorflow as tf

    v1 = tf.compat.v1
    frozen = v1.GraphDef.FromString((MNIST / "tftrt_mnist_fp32.pb").read_bytes())
    checkpoint = tf.train.load_checkpoint(str(MNIST / "model.ckpt-46900"))
    with tf.Graph().as_default():
        weights = {}
        for name in checkpoint.get_variable_to_shape_map():
            if name.startswith(("conv2d", "dense")) and "Adam" not in name:
                variable = v1.get_variable(
                    name, checkpoint.get_tensor(name).shape, use_resource=False
                )
                weights[f"{name}:0"] = variable.value()
        tf.import_graph_def(frozen, weights, name="mnist")
        v1.train.export_meta_graph(str(path), saver_def=v1.train.Saver().as_saver_def())


def check_mnist(plan):
    import graft

    engine = graft.Engine(str(plan))
    images = np.load(MNIST / "tftrt_mnist_digits_x.npy")
    (logits,) = engine.run({engine.inputs[0].name: images}).values()
    reference = np.load(MNIST / "tftrt_mnist_fp32_logits.npy")
    assert support.relative_error(logits, reference) <= support.TOLERANCE


@with_mnist
def test_mnist_as_a_frozen_graph(tmp_path):
    plan = tmp_path / "m.plan"
    report = support.convert(MNIST / "tftrt_mnist_fp32.pb", "--plan", plan)
    assert (report["engines"], report["unconverted"]) == (1, [])
    check_mnist(plan)


@with_mnist
def test_mnist_as_a_meta_graph(tmp_path):
    meta, plan = tmp_path / "model.meta", tmp_path / "m.plan"
    write_mnist_meta_graph(meta)
    report = support.convert(
        meta, "--checkpoint", MNIST / "model.ckpt-46900", "--inputs", "mnist/input:0",
        "--outputs", "mnist/output:0", "--plan", plan,
    )  # fmt: skip
    assert (report["engines"], report["unconverted"]) == (1, [])
    check_mnist(plan)
