"""graft calibrate: ranges of tensors from data, and the table that holds them."""

import os
import struct
import subprocess

import numpy as np
import pytest

import small_models
from support import BAD_INPUT, PROGRAM, USAGE, convert, graft

OPTIONS = ("--threads", 1)


def read_lines(path):
    """The header, and amax by name."""
    header, *lines = path.read_text().splitlines()
    ranges = {}
    for line in lines:
        name, digits = line.rsplit(": ", 1)
        (scale,) = struct.unpack(">f", bytes.fromhex(digits))
        ranges[name] = scale * 127
    return header, ranges


def read_table(path):
    """The same without those of single channels, "conv1/Relu[3]"."""
    header, ranges = read_lines(path)
    return header, {name: amax for name, amax in ranges.items() if not name.endswith("]")}


def native(graph, tensors, images):
    """The largest absolute value of each tensor over all images."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef.FromString(graph.read_bytes())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        values = session.run([f"{name}:0" for name in tensors], {"image:0": images})
    return {name: np.abs(value).max() for name, value in zip(tensors, values)}


@pytest.fixture(scope="module")
def images():
    return small_models.images(7)


@pytest.fixture
def data(images, tmp_path):
    np.savez(tmp_path / "images.npz", image=images)
    return tmp_path / "images.npz"


def calibrate(model, data, out, *arguments):
    graft("calibrate", model, "--data", data, "-o", out, *OPTIONS, *arguments)
    return read_table(out)


def test_minmax_is_tensorflows_largest(frozen_graph, data, images, tmp_path):
    minmax = ("--calibrator", "minmax", "--batch", 3)
    header, ranges = calibrate(frozen_graph, data, tmp_path / "t", *minmax)
    assert header == "TRT-8602-MinMaxCalibration"
    # What convolutions and the product read once nodes are fused; pooling keeps the scale.
    assert sorted(ranges) == ["features", "image", "relu1"]
    for name, largest in native(frozen_graph, ranges, images).items():
        assert ranges[name] == pytest.approx(largest, rel=1e-5), name


def test_calibrators_differ_and_do_not_depend_on_batches_or_backend(frozen_graph, data, tmp_path):
    header, entropy = calibrate(frozen_graph, data, tmp_path / "entropy")
    assert header == "TRT-8602-EntropyCalibration2"
    _, largest = calibrate(frozen_graph, data, tmp_path / "minmax", "--calibrator", "minmax")
    for name in ("percentile", "mse"):
        _, ranges = calibrate(frozen_graph, data, tmp_path / name, "--calibrator", name)
        assert ranges.keys() == entropy.keys()
        assert all(0 < ranges[tensor] <= largest[tensor] * 1.000001 for tensor in ranges)
    assert all(0 < entropy[tensor] <= largest[tensor] * 1.000001 for tensor in entropy)
    minmax = ("--calibrator", "minmax", "--backend", "reference")
    _, reference = calibrate(frozen_graph, data, tmp_path / "reference", *minmax)
    assert reference == pytest.approx(largest, rel=1e-5)


def test_a_folder_of_batches_of_any_shapes(frozen_graph, images, data, tmp_path):
    folder = tmp_path / "batches"
    folder.mkdir()
    for case, (begin, end) in {"a": (0, 1), "b": (1, 5), "c": (5, 7)}.items():
        np.save(folder / f"{case}_in_image.npy", images[begin:end])
    _, ranges = calibrate(frozen_graph, folder, tmp_path / "t", "--calibrator", "minmax")
    _, same = calibrate(frozen_graph, data, tmp_path / "u", "--calibrator", "minmax")
    assert ranges == pytest.approx(same, rel=1e-5)


def test_quantisation_nodes_win(images, data, tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        x = tf.quantization.quantize_and_dequantize_v2(image, -2.0, 3.0, range_given=True)
        weights = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            tf.ones([3, 3, 3, 4]) / 7, -tf.ones([4]), tf.ones([4])
        )
        x = tf.nn.relu6(tf.nn.conv2d(x, weights, 1, "SAME"), name="six")
        x = tf.nn.relu(tf.nn.conv2d(x, tf.ones([1, 1, 4, 4]), 1, "SAME"), name="relu")
        tf.nn.conv2d(x, tf.ones([1, 1, 4, 2]), 1, "SAME", name="out")
    model = tmp_path / "model.pb"
    model.write_bytes(graph.as_graph_def().SerializeToString())
    _, ranges = calibrate(model, data, tmp_path / "t", "--calibrator", "minmax")
    assert sorted(ranges) == ["relu"], "the image has its range from the node, six from Relu6"


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        (["--calibrator", "kl"], USAGE, "no calibrator 'kl'"),
        (["--data", "nowhere"], BAD_INPUT, "nowhere"),
        (["--data", "empty"], USAGE, "no data there"),
        (["--data", "compressed.npz"], BAD_INPUT, "image.npy is compressed"),
        (["--data", "other.npz"], BAD_INPUT, "no array 'image' there, but a, b"),
        (["--data", "wrong.npz"], USAGE, "image is f64, not f32"),
        (["--data", "cut.npz"], BAD_INPUT, "not a .npz file"),
    ],
)
def test_bad_data_is_named(arguments, code, text, frozen_graph, images, data, tmp_path):
    (tmp_path / "empty").mkdir()
    np.savez_compressed(tmp_path / "compressed.npz", image=images)
    np.savez(tmp_path / "other.npz", a=images, b=images)
    np.savez(tmp_path / "wrong.npz", image=images.astype(np.float64))
    (tmp_path / "cut.npz").write_bytes(data.read_bytes()[:-30])
    everything = ["--data", data, *arguments] if "--data" not in arguments else arguments
    out = tmp_path / "t"
    said = graft("calibrate", frozen_graph, *everything, "-o", out, expect=code, cwd=tmp_path)
    assert text in said
    assert not out.exists()


def test_damaged_archives_are_refused(frozen_graph, images, tmp_path):
    np.savez(tmp_path / "good.npz", image=images[:1, :2, :2])
    good = (tmp_path / "good.npz").read_bytes()
    directory = good.rindex(b"PK\x01\x02")
    for at in (*range(0, 30, 4), *range(directory, len(good), 3)):
        damaged = bytearray(good)
        damaged[at] ^= 0xFF
        (tmp_path / "bad.npz").write_bytes(damaged)
        command = [PROGRAM, "calibrate", frozen_graph, "--data", tmp_path / "bad.npz"]
        done = subprocess.run([*command, "-o", tmp_path / "t"], capture_output=True, timeout=60)
        assert done.returncode in (USAGE, BAD_INPUT, 0), (at, done.stderr)


def test_an_input_without_data_has_its_default(images, tmp_path):
    """In calibration, and in comparisons with the model."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        factor = tf.compat.v1.placeholder_with_default(tf.constant(3.0), [], name="factor")
        y = tf.nn.relu(x * factor, name="scaled")
        tf.nn.conv2d(y, tf.ones([1, 1, 3, 4]), 1, "SAME", name="y")
    model = tmp_path / "model.pb"
    model.write_bytes(graph.as_graph_def().SerializeToString())
    inputs = ("--inputs", "image:0,factor:0", "--outputs", "y:0")
    np.savez(tmp_path / "data.npz", image=images)
    _, ranges = calibrate(model, tmp_path / "data.npz", tmp_path / "t", *inputs, "--calibrator", "minmax")
    assert ranges["scaled"] == pytest.approx(3 * np.maximum(images, 0).max(), rel=1e-5)
    fed = (tmp_path / "t").read_text()
    unfed = ("--inputs", "image:0", "--outputs", "y:0", "--calibrator", "minmax", "--batch", 7)
    calibrate(model, tmp_path / "data.npz", tmp_path / "u", *unfed)
    assert (tmp_path / "u").read_text() == fed
    plan = tmp_path / "plan"
    graft("convert", model, *inputs, "--plan", plan, "--opt-level", 0)
    assert "PASSED" in graft("compare", model, plan)


def test_what_comes_before_native_nodes_is_calibrated(images, tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        y = tf.nn.conv2d(x, tf.ones([1, 1, 3, 4]), 1, "SAME", name="first")
        y = tf.nn.conv2d(tf.nn.relu(y, name="relu"), tf.ones([1, 1, 4, 4]), 1, "SAME", name="second")
        y = tf.raw_ops.Betainc(a=tf.abs(y) + 1.0, b=tf.abs(y) + 1.0, x=tf.sigmoid(y), name="native")
        tf.nn.conv2d(y, tf.ones([1, 1, 4, 2]), 1, "SAME", name="last")
    model = tmp_path / "model.pb"
    model.write_bytes(graph.as_graph_def().SerializeToString())
    np.savez(tmp_path / "data.npz", image=images)
    said = graft("calibrate", model, "--data", tmp_path / "data.npz", "-o", tmp_path / "t")
    _, ranges = read_table(tmp_path / "t")
    assert sorted(ranges) == ["image", "relu"]
    assert "1 convolutions and products come after what stays in TensorFlow" in said
    assert "native (Betainc)" in said
    report = convert(model, "--output", tmp_path / "o.pb", "--precision", "int8", "--calibration-data",
                     tmp_path / "data.npz", "--strict-int8", "--minimum-segment-size", 1)  # fmt: skip
    int8 = [engine["int8"] for engine in report["engine_list"]]
    assert sum(i["on_integers"] for i in int8) == 2
    assert [left["node"] for i in int8 for left in i["in_floats"]] == ["last"]


def write_records(path, samples, features):
    """A record file with a tf.train.Example for each sample, whose features `features` gives."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for sample in samples:
            example = tf.train.Example(features=tf.train.Features(feature=features(sample)))
            writer.write(example.SerializeToString())


def floats(sample):
    import tensorflow as tf

    return tf.train.Feature(float_list=tf.train.FloatList(value=sample.ravel()))


def serialized(sample):
    import tensorflow as tf

    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(sample).numpy()]))


@pytest.mark.parametrize("feature", [floats, serialized])
def test_records_are_samples(feature, frozen_graph, data, images, tmp_path):
    wanted = calibrate(frozen_graph, data, tmp_path / "npz.table", "--batch", 3)
    write_records(tmp_path / "d.tfrecord", images, lambda x: {"image": feature(x), "label": floats(np.ones(1))})
    assert calibrate(frozen_graph, tmp_path / "d.tfrecord", tmp_path / "t", "--batch", 3) == wanted


def peak_memory(*arguments):
    """Of a run of the program, in bytes."""
    child = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_maxrss * 1024


def test_data_are_not_kept_in_memory(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, 128, 128, 16], name="image")
        tf.nn.relu(tf.nn.conv2d(image, tf.ones([3, 3, 16, 2]), 4, "SAME"), name="out")
    model = tmp_path / "model.pb"
    model.write_bytes(graph.as_graph_def().SerializeToString())
    images = np.random.default_rng(0).standard_normal((96, 128, 128, 16), np.float32)
    np.savez(tmp_path / "few.npz", image=images[:2])
    np.savez(tmp_path / "all.npz", image=images)
    write_records(tmp_path / "all.tfrecord", images, lambda x: {"image": serialized(x)})

    def peak(data):
        return peak_memory("calibrate", model, "--data", tmp_path / data, "-o", tmp_path / "t", *OPTIONS)

    few = peak("few.npz")
    for data in ("all.npz", "all.tfrecord"):
        # Eight batches are kept to compare precisions with.
        assert peak(data) < few + images.nbytes / 4, data


def test_records_that_do_not_fit_are_named(frozen_graph, images, tmp_path):
    import tensorflow as tf

    records = tmp_path / "d.tfrecord"
    jpeg = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"\xff\xd8\xff\xe0"]))
    for features, said in (
        (lambda x: {"picture": floats(x), "label": floats(np.ones(1))}, "record 0: no feature 'image'"),
        (lambda x: {"image": floats(x[1:])}, "numbers, which are no"),
        (lambda x: {"image": serialized(x.astype(np.float64))}, "is f64, not f32"),
        (lambda x: {"image": jpeg}, "pictures have to be decoded first"),
    ):
        write_records(records, images, features)
        output = graft("calibrate", frozen_graph, "--data", records, "-o", tmp_path / "t", *OPTIONS, expect=None)
        assert said in output and f"{records}: record 0" in output, output
    write_records(records, images, lambda x: {"image": floats(x)})
    records.write_bytes(records.read_bytes()[:-1])
    output = graft("calibrate", frozen_graph, "--data", records, "-o", tmp_path / "t", *OPTIONS, expect=BAD_INPUT)
    assert f"{records}: record {len(images) - 1}: " in output
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("number, text", [(3e9, "3000000000"), (-3e9, "-3000000000"), (np.inf, "inf"), (np.nan, "nan")])
def test_a_float_that_is_no_integer_is_named(number, text, tmp_path):
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.int32, [None, 4], "x")
        tf.matmul(tf.cast(x, tf.float32), np.ones((4, 3), np.float32), name="y")
    (tmp_path / "m.pb").write_bytes(graph.as_graph_def().SerializeToString())
    records = tmp_path / "d.tfrecord"
    write_records(records, [np.array([1, -2, number, 4], np.float32)], lambda x: {"x": floats(x)})
    arguments = ("calibrate", tmp_path / "m.pb", "--data", records, "-o", tmp_path / "t", "--threads", 1)
    output = graft(*arguments, expect=USAGE)
    assert f"{records}: record 0: x: {text} is no i32" in output


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A depthwise convolution between two products, of channels that are 1 to 40 times as large."""
    import tensorflow as tf

    draw = np.random.default_rng(4)
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 12, 12, 3], name="image")
        expand = draw.standard_normal([1, 1, 3, 16]).astype(np.float32) / np.geomspace(1, 40, 16, dtype=np.float32)
        y = tf.nn.relu6(tf.nn.conv2d(x, expand, 1, "SAME"), name="expanded")
        depthwise = draw.standard_normal([3, 3, 16, 1]).astype(np.float32) * np.geomspace(1, 40, 16).reshape(1, 1, 16, 1)
        y = tf.nn.relu(tf.nn.depthwise_conv2d(y, depthwise.astype(np.float32), [1, 1, 1, 1], "SAME"), name="filtered")
        project = draw.standard_normal([1, 1, 16, 4]).astype(np.float32)
        tf.identity(tf.nn.conv2d(y, project, 1, "SAME"), name="y")
    path = tmp_path_factory.mktemp("uneven") / "model.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path, draw.standard_normal([8, 12, 12, 3]).astype(np.float32)


def test_channels_have_ranges_of_their_own(uneven, tmp_path):
    """Where a product makes a value and products alone read it; less is lost then."""
    import tensorflow as tf

    from graft import Engine

    model, images = uneven
    np.savez(tmp_path / "d.npz", image=images)
    calibrate(model, tmp_path / "d.npz", tmp_path / "table", "--calibrator", "minmax", "--batch", 3)
    _, ranges = read_lines(tmp_path / "table")
    graph_def = tf.compat.v1.GraphDef.FromString(model.read_bytes())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        expanded, filtered, wanted = session.run(["expanded:0", "filtered:0", "y:0"], {"image:0": images})
    for name, value in (("expanded", expanded), ("filtered", filtered)):
        channels = [ranges.pop(f"{name}[{c}]") for c in range(16)]
        np.testing.assert_allclose(channels, value.max(axis=(0, 1, 2)), rtol=1e-4)
    # 6, which the op says, is in no table.
    assert sorted(ranges) == ["filtered", "image"]
    text = (tmp_path / "table").read_text().splitlines()
    (tmp_path / "whole").write_text("".join(line + "\n" for line in text if "[" not in line))
    sqnr = {}
    for table in ("table", "whole"):
        int8 = ("--precision", "int8", "--calibration-table", tmp_path / table)
        report = convert(model, "--plan", tmp_path / "p", "--threads", 1, *int8)
        assert report["plan"]["int8"]["on_integers"] == 3
        (got,) = Engine(str(tmp_path / "p"), threads=1).run({"image": images}).values()
        sqnr[table] = 10 * np.log10(np.square(wanted).sum() / np.square(got - wanted).sum())
    assert sqnr["table"] > sqnr["whole"] + 3, sqnr


def test_a_calibration_that_was_stopped_goes_on(frozen_graph, images, tmp_path):
    many = np.concatenate([images * np.float32(1 + i / 8) for i in range(6)])
    np.savez(tmp_path / "many.npz", image=many)
    whole = calibrate(frozen_graph, tmp_path / "many.npz", tmp_path / "whole")
    # The last sample but one is no number: all before the sixteenth batch is kept.
    bad = np.array(many)
    bad[-2] = np.nan
    np.savez(tmp_path / "data.npz", image=bad)
    state = ("--state", tmp_path / "state")
    stopped = ("--data", tmp_path / "data.npz", "-o", tmp_path / "t", *OPTIONS, *state)
    graft("calibrate", frozen_graph, *stopped, expect=USAGE)
    assert f"batches {(len(many) - 2) // 16 * 16}\n" in (tmp_path / "state").read_text()
    # From here on only batches that are left are read.
    mended = np.array(many)
    mended[:16] = np.nan
    np.savez(tmp_path / "data.npz", image=mended)
    assert calibrate(frozen_graph, tmp_path / "data.npz", tmp_path / "t", *state) == whole
    minmax = ("--calibrator", "minmax")
    again = calibrate(frozen_graph, tmp_path / "data.npz", tmp_path / "t", *state, *minmax)
    assert again == calibrate(frozen_graph, tmp_path / "many.npz", tmp_path / "whole", *minmax)
    for arguments, said in ((("--batch", 2), "of other data"), ((), "damaged")):
        if not arguments:
            (tmp_path / "state").write_text((tmp_path / "state").read_text()[:-1])
        out = graft("calibrate", frozen_graph, *stopped, *arguments, expect=None)
        assert f"{tmp_path}/state: " in out and said in out, out
