"""Graphs as users bring them: each test builds the kind with TensorFlow and converts it by the program."""

import numpy as np
import pytest

import support

tf = pytest.importorskip("tensorflow")
v1 = tf.compat.v1


def save(path, graph, edit=None):
    graph_def = graph.as_graph_def(add_shapes=True)
    if edit:
        edit(graph_def)
    path.write_bytes(graph_def.SerializeToString())
    return path


def run(path, fetches, feeds):
    """The graph's outputs in a process of TensorFlow's, where engines are nodes."""
    from graft import _op_library

    _op_library.load()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(v1.GraphDef.FromString(path.read_bytes()), name="")
    with v1.Session(graph=graph) as session:
        return session.run(fetches, feeds)


# What can be converted is, though a segment of two nodes does not pay for an engine.
SMALL_SEGMENTS = ("--minimum-segment-size", 2)


def convert_both(path, tmp_path, outputs, *arguments):
    """Converted to a graph: the report and the file."""
    converted = tmp_path / "converted.pb"
    report = support.convert(path, "--outputs", outputs, "--output", converted, *arguments)
    return report, converted


def assert_same(path, converted, fetches, feeds, tolerance=1e-5):
    before, after = run(path, fetches, feeds), run(converted, fetches, feeds)
    for one, other in zip(before, after):
        assert support.relative_error(other, one) <= tolerance


def unconverted(report):
    return {node["op"] for node in report["unconverted"]}


def test_a_fed_default_leaves_its_segment_whole(tmp_path):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8], name="x")
        keep = v1.placeholder_with_default(np.float32(1), [], name="keep")
        w = np.random.default_rng(0).standard_normal((8, 8), np.float32)
        y = x
        for _ in range(3):
            y = tf.nn.relu(tf.matmul(y, w)) / keep
        tf.identity(y, "y")
        path = save(tmp_path / "model.pb", graph)
    report, converted = convert_both(path, tmp_path, "y:0", "--inputs", "x,keep")
    assert report["engines"] == 1 and not report["unconverted"], report
    data = np.ones((2, 8), np.float32)
    assert_same(path, converted, ["y:0"], {"x:0": data, "keep:0": 0.5})
    assert_same(path, converted, ["y:0"], {"x:0": data})
    # A plan of which it is no input has the default.
    plan = tmp_path / "model.plan"
    support.convert(path, "--inputs", "x", "--outputs", "y:0", "--plan", plan)
    import graft

    result = graft.Engine(str(plan)).run({"x": data})
    assert support.relative_error(result["y"], run(path, ["y:0"], {"x:0": data})[0]) <= 1e-5


def test_an_input_of_a_plan_that_is_not_fed_has_its_default(tmp_path):
    import graft

    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8], name="x")
        keep = v1.placeholder_with_default(np.float32(0.25), [], name="keep")
        rates = v1.placeholder_with_default(tf.fill([8], 2.0) * 1.5, [None], name="rates")
        follows = v1.placeholder_with_default(keep * 2.0, [], name="follows")
        tf.identity(tf.nn.relu(x * keep + rates) * follows, "y")
        path = save(tmp_path / "model.pb", graph)
    plan, x = tmp_path / "model.plan", np.arange(16, dtype=np.float32).reshape(2, 8)
    support.convert(path, "--inputs", "x,keep,rates,follows", "--outputs", "y:0", "--plan", plan)
    engine = graft.Engine(str(plan))
    # What another input decides is no default of the plan's.
    assert [b.has_default for b in engine.inputs] == [False, True, True, False]
    given = {"keep": np.float32(0.5), "rates": np.ones([8], np.float32)}
    for names in [], ["keep"], ["rates"], ["keep", "rates"]:
        feed = {"x": x, "follows": np.float32(3)} | {name: given[name] for name in names}
        (expected,) = run(path, ["y:0"], {f"{name}:0": value for name, value in feed.items()})
        assert support.relative_error(engine.run(feed)["y"], expected) <= 1e-6, names
    with pytest.raises(ValueError, match="no array for input 'follows"):
        engine.run({"x": x})
    for name, value in {"x": x, "follows": np.float32(3)}.items():
        np.save(tmp_path / f"{name}.npy", value)
    files = [f"--input={name}={tmp_path / name}.npy" for name in ("x", "follows")]
    support.graft("run", plan, *files, "--output", tmp_path)
    (expected,) = run(path, ["y:0"], {"x:0": x, "follows:0": 3})
    assert support.relative_error(np.load(tmp_path / "y.npy"), expected) <= 1e-6
    support.graft("run", plan, "--random", 1, "--input", f"x={tmp_path / 'x.npy'}")
    assert support.graft("inspect", plan).count("has a default") == 2


def test_shapes_go_on_behind_hashed_strings(tmp_path):
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        names = v1.placeholder(tf.string, [None, 4], name="names")
        parts = []
        for i in range(4):
            text = tf.strings.lower(tf.reshape(names[:, i], [-1]))
            row = tf.strings.to_hash_bucket_fast(text, 16)
            parts.append(tf.gather(rng.standard_normal((16, 8), np.float32), row))
        y = tf.nn.relu(tf.matmul(tf.concat(parts, 1), rng.standard_normal((32, 8), np.float32)))
        tf.identity(tf.nn.softmax(y), "y")
        path = save(tmp_path / "model.pb", graph, forget_shapes)
    report, converted = convert_both(path, tmp_path, "y:0")
    left = unconverted(report)
    assert left <= {"StringLower", "StringToHashBucketFast", "StridedSlice", "Reshape"}, left
    names = np.array([["a", "B", "c", "d"], ["E", "f", "G", ""]], object)
    assert_same(path, converted, ["y:0"], {"names:0": names})


def forget_shapes(graph_def):
    for node in graph_def.node:
        node.attr.pop("_output_shapes", None)


def test_shapes_go_on_behind_parsed_examples(tmp_path):
    with tf.Graph().as_default() as graph:
        text = v1.placeholder(tf.string, [None], name="text")
        features = {
            "a": tf.io.FixedLenFeature([6], tf.float32),
            "b": tf.io.FixedLenFeature([6], tf.float32),
            "ids": tf.io.VarLenFeature(tf.int64),
        }
        parsed = v1.io.parse_example(text, features)
        y = tf.tanh(parsed["a"] * 2.0 + parsed["b"])
        y = tf.matmul(y, np.ones((6, 3), np.float32))
        tf.identity(tf.nn.softmax(y), "y")
        tf.identity(tf.cast(parsed["ids"].values, tf.float32) * 2.0, "ids")
        path = save(tmp_path / "model.pb", graph, forget_shapes)
    report, converted = convert_both(path, tmp_path, "y:0,ids:0", *SMALL_SEGMENTS)
    assert unconverted(report) <= {"ParseExampleV2"}, report["unconverted"]
    feature = lambda values: tf.train.Feature(float_list=tf.train.FloatList(value=values))  # noqa: E731
    ids = tf.train.Feature(int64_list=tf.train.Int64List(value=[3, 4]))
    example = {"a": feature(range(6)), "b": feature(range(6)), "ids": ids}
    row = tf.train.Example(features=tf.train.Features(feature=example)).SerializeToString()
    assert_same(path, converted, ["y:0", "ids:0"], {"text:0": [row, row]})


def test_an_axis_that_constants_decide_is_a_constant(tmp_path):
    """tf.linspace joins along such an axis, and every mel spectrogram has one: all behind it stayed native."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 10, 33], name="x")
        mel = tf.signal.linear_to_mel_weight_matrix(8, 33, 8000, 100.0, 3800.0)
        y = tf.math.log(tf.tensordot(tf.abs(x), mel, 1) + 1e-3)
        tf.identity(tf.nn.softmax(tf.reduce_mean(y, 1)), "y")
        path = save(tmp_path / "model.pb", graph, forget_shapes)
    report, converted = convert_both(path, tmp_path, "y:0")
    left = unconverted(report)
    assert not left & {"MatMul", "Log", "Softmax", "Mean"}, report["unconverted"]
    assert_same(path, converted, ["y:0"], {"x:0": np.ones((2, 10, 33), np.float32)})
    # What is only counted is counted as what is built.
    counted = support.convert(path, "--outputs", "y:0")
    assert counted["converted_ops"] == report["converted_ops"]
    support.convert(path, "--outputs", "y:0", "--plan", tmp_path / "model.plan")


def test_shapes_go_on_behind_spectra(tmp_path):
    window = np.hanning(256).astype("f")
    to_mel = np.random.default_rng(0).random((129, 20), np.float32)
    with tf.Graph().as_default() as graph:
        audio = v1.placeholder(tf.float32, [None, 1024], name="audio")
        frames = tf.stack([audio[:, i : i + 256] * window for i in range(0, 768, 128)], 1)
        energy = tf.abs(tf.signal.rfft(frames, [256])) ** 2
        y = tf.math.log(tf.tensordot(energy, to_mel, 1) + 1e-3)
        tf.identity(y - tf.reduce_mean(y, axis=1, keepdims=True), "y")
        path = save(tmp_path / "model.pb", graph, forget_shapes)
    report, converted = convert_both(path, tmp_path, "y:0")
    assert unconverted(report) <= {"RFFT", "ComplexAbs"}, report["unconverted"]
    audio = np.random.default_rng(0).standard_normal((2, 1024)).astype("f")
    assert_same(path, converted, ["y:0"], {"audio:0": audio}, 1e-4)


def detector(rng, x, classes=3):
    """Heads over thirteen feature maps, their boxes and scores one after the other."""
    boxes, scores = [], []
    conv = lambda x, n, s, padding="SAME": tf.nn.conv2d(  # noqa: E731
        x, rng.standard_normal((3, 3, x.shape[-1], n)).astype("f") / 9, s, padding
    )
    for _ in range(13):
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        x = tf.nn.relu(conv(x, 8, 2, "VALID"))
        for head, width in ((boxes, 4), (scores, classes)):
            y = conv(x, 2 * width, 1)
            shape = tf.shape(y)
            head.append(tf.reshape(y, [shape[0], shape[1] * shape[2] * 2, width]))
    return tf.concat(boxes, 1), tf.sigmoid(tf.concat(scores, 1))


@pytest.mark.parametrize("native", [False, True], ids=["whole", "with a native op"])
def test_a_detector_over_maps_of_unknown_size(tmp_path, native):
    """An op that stays native lowers the count by itself alone."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, None, None, 3], name="image")
        y = tf.raw_ops.Lgamma(x=x * x + 1.0) if native else x
        boxes, scores = detector(np.random.default_rng(0), y)
        tf.identity(tf.nn.softmax(boxes * 2.0) + boxes, "boxes")
        tf.identity(scores, "scores")
        path = save(tmp_path / "model.pb", graph, forget_shapes)
    outputs = "boxes:0,scores:0"
    report, converted = convert_both(path, tmp_path, outputs, *SMALL_SEGMENTS)
    assert unconverted(report) == ({"Lgamma"} if native else set()), report["unconverted"]
    fetches = outputs.split(",")
    image = np.random.default_rng(1).random((2, 75, 106, 3), np.float32)
    assert_same(path, converted, fetches, {"image:0": image})
    if native:
        return
    plan = tmp_path / "model.plan"
    support.convert(path, "--outputs", outputs, "--plan", plan)
    support.graft("plan", "verify", plan)
    import graft

    engine = graft.Engine(str(plan))
    for shape in ((1, 64, 64, 3), (2, 75, 106, 3), (1, 300, 33, 3)):
        image = np.random.default_rng(1).random(shape, np.float32)
        support.assert_close(
            engine.run({"image": image}),
            dict(zip(("boxes", "scores"), run(path, fetches, {"image:0": image}))),
            1e-5,
        )


def test_old_producers_write_an_empty_shape_for_any(tmp_path):
    def make_old(graph_def):
        forget_shapes(graph_def)
        graph_def.versions.producer = 21
        next(n for n in graph_def.node if n.name == "x").attr["shape"].shape.Clear()

    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, None, name="x")
        tf.identity(tf.nn.relu(x * 2.0 + 1.0) * 3.0, "y")
        path = save(tmp_path / "model.pb", graph, make_old)
    report, converted = convert_both(path, tmp_path, "y:0")
    # No scalar, which an engine would be built for now.
    assert [engine["reason"] for engine in report["late_engines"]] == ["the rank of its input x is unknown"]
    assert_same(path, converted, ["y:0"], {"x:0": np.ones((3, 4), np.float32)})
    given = ("--inputs", "x[?,4]", "--outputs", "y:0")
    support.convert(path, *given, "--plan", tmp_path / "model.plan")


def test_an_old_network_without_shapes_becomes_an_engine_when_it_runs(tmp_path):
    def make_old(graph_def):
        forget_shapes(graph_def)
        graph_def.versions.producer = 21
        next(n for n in graph_def.node if n.name == "x").attr["shape"].shape.Clear()

    def weights(*shape):
        return tf.constant(np.random.default_rng(0).standard_normal(shape, np.float32))

    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8, 8, 3], name="x")
        x = tf.nn.relu(tf.nn.conv2d(x, weights(3, 3, 3, 4), 1, "SAME") + 0.5)
        x = tf.nn.lrn(tf.nn.max_pool2d(x, 2, 2, "VALID"))
        x = tf.reshape(x, [-1, 64])
        tf.nn.softmax(tf.matmul(x, weights(64, 5)), name="y")
        path = save(tmp_path / "model.pb", graph, make_old)
    report, converted = convert_both(path, tmp_path, "y:0")
    assert report["unconverted"] == [] and len(report["late_engines"]) == 1
    assert_same(path, converted, ["y:0"], {"x:0": np.ones((3, 8, 8, 3), np.float32)})


def test_a_plan_that_nothing_reads_is_not_written(tmp_path):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        label = v1.placeholder(tf.string, [None], name="label")
        tf.identity(tf.nn.relu(x), "y")
        tf.identity(label, "labels")
        path = save(tmp_path / "model.pb", graph)
    plan = tmp_path / "model.plan"
    said = support.graft(
        "convert", path, "--outputs", "y:0,labels:0", "--plan", plan, "--opt-level", 0,
        expect=support.BAD_INPUT,
    )  # fmt: skip
    assert "label" in said and "string" in said, said
    assert list(tmp_path.iterdir()) == [path]


def batch_norm(x, training, name=None):
    values = [np.linspace(0.5, 1.5, 4).astype("f") * k for k in (1, 0.1, 0.2, 0.9)]
    if training:
        values[2:] = [np.zeros(0, np.float32)] * 2
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=values[0], offset=values[1], mean=values[2], variance=values[3],
        is_training=training, name=name,
    )  # fmt: skip


def test_batch_norm_whose_reserve_a_branch_reads(tmp_path):
    """As Keras's conditional of the learning phase leaves it."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4, 4, 4], name="x")
        learning = v1.placeholder_with_default(False, [], name="learning")
        norm = batch_norm(x, False)
        kept, _ = tf.raw_ops.Switch(data=norm.reserve_space_3, pred=learning)
        tf.identity(tf.nn.relu(norm.y) * 2.0, "y")
        tf.identity(kept, "kept")
        path = save(tmp_path / "model.pb", graph)
    report, converted = convert_both(path, tmp_path, "y:0,kept:0")
    assert "FusedBatchNormV3" not in unconverted(report), report["unconverted"]
    assert_same(path, converted, ["y:0"], {"x:0": np.random.rand(2, 4, 4, 4).astype("f")})


def test_batch_norm_of_the_batch_itself(tmp_path):
    """Instance norm, as models write it with the fused op; in half, too."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 5, 7, 4], name="x")
        tf.identity(tf.nn.relu(batch_norm(x, True).y), "y")
        half = batch_norm(tf.cast(x, tf.float16), True).y
        tf.identity(tf.cast(half, tf.float32) * 2.0, "half")
        path = save(tmp_path / "model.pb", graph)
    report, converted = convert_both(path, tmp_path, "y:0,half:0")
    assert not report["unconverted"], report["unconverted"]
    data = np.random.default_rng(0).standard_normal((2, 5, 7, 4)).astype("f") * 3 + 2
    assert_same(path, converted, ["y:0"], {"x:0": data})
    assert_same(path, converted, ["half:0"], {"x:0": data}, 2e-3)


def test_batch_norm_that_learns_is_one_warning(tmp_path):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4, 4, 4], name="x")
        means = []
        y = x
        for _ in range(3):
            norm = batch_norm(y, True)
            y = tf.nn.relu(norm.y)
            means.append(norm.batch_mean)
        tf.identity(y * 2.0, "y")
        tf.identity(tf.add_n(means), "mean")
        path = save(tmp_path / "model.pb", graph)
    said = support.graft(
        "convert", path, "--outputs", "y:0,mean:0", "--output", tmp_path / "out.pb", "--opt-level", 0
    )  # fmt: skip
    warnings = [line for line in said.splitlines() if line.startswith("graft: warning")]
    assert sum("set_learning_phase(0)" in line for line in warnings) == 1, said


def test_what_freezing_left_over_is_no_input(tmp_path):
    from tensorflow.python.framework import convert_to_constants

    model = tf.keras.Sequential(
        [tf.keras.layers.Input((None, 8)), tf.keras.layers.LSTM(4), tf.keras.layers.Dense(2)]
    )
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((None, None, 8))
    )
    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    graph_def = frozen.graph.as_graph_def()
    assert any(node.name.startswith("unused_control_flow_input") for node in graph_def.node)
    path = tmp_path / "model.pb"
    path.write_bytes(graph_def.SerializeToString())
    said = support.graft("inspect", path)
    assert "unused_control_flow_input" not in said, said
    report, converted = convert_both(path, tmp_path, frozen.outputs[0].name)
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype("f")
    assert_same(path, converted, [frozen.outputs[0].name], {frozen.inputs[0].name: x})


def test_outputs_are_bound_by_name(tmp_path):
    """Twelve of them: TensorFlow's flat order is that of the text, output_10 before output_2."""
    model = tf.Module()
    names = [f"output_{i}" for i in range(12)]

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serve(x):
        return {name: tf.nn.relu(x) * float(i + 1) + 1.0 for i, name in reversed(list(enumerate(names)))}

    model.serve = serve
    tf.saved_model.save(model, tmp_path / "model", signatures={"serving_default": serve})
    support.convert(tmp_path / "model", "--plan", tmp_path / "m.plan", "--output", tmp_path / "out")
    import graft
    from graft import _op_library

    _op_library.load()
    x = np.ones((2, 3), np.float32)
    plan = graft.Engine(str(tmp_path / "m.plan")).run({"x": x})
    loaded = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"](x=x)
    for i, name in enumerate(names):
        assert np.all(plan[name] == i + 2), name
        assert np.all(loaded[name].numpy() == i + 2), name


def test_integers_wrap_and_divide_as_in_tensorflow(tmp_path):
    """Exactly: what is right today and easily lost."""
    import graft

    with tf.Graph().as_default() as graph:
        a, b = (v1.placeholder(tf.int32, [None], name=name) for name in "ab")
        small, large = v1.placeholder(tf.uint8, [None], name="small"), v1.placeholder(tf.int64, [None], name="large")
        results = {
            "divided": a // b,
            "left": a % b,
            "hot": tf.one_hot(a, 3),
            "added": tf.scatter_nd(tf.reshape(tf.abs(a), [-1, 1]), tf.cast(b, tf.float32), [8]),
            "wrapped": small + small,
            "product": large * 3,
        }
        for name, value in results.items():
            tf.identity(value, name)
        path = save(tmp_path / "model.pb", graph)
    plan = tmp_path / "model.plan"
    support.convert(path, "--outputs", ",".join(results), "--plan", plan)
    found = graft.Engine(str(plan)).run(
        {
            "a": np.array([-7, 7, -1], np.int32),
            "b": np.array([3, -2, 3], np.int32),
            "small": np.array([200, 1], np.uint8),
            "large": np.array([2**40 + 1], np.int64),
        }
    )
    expected = {
        "divided": [-3, -4, -1],
        "left": [2, -1, 2],
        "hot": np.zeros((3, 3)),
        "added": [0, 3, 0, 0, 0, 0, 0, 1],
        "wrapped": [144, 2],
        "product": [(2**40 + 1) * 3],
    }
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


def quantised(raw, x, op, low, high, **options):
    """The op on x, whatever it takes the ends of its range as."""
    if op.startswith("FakeQuant"):
        return getattr(raw, op)(inputs=x, min=low, max=high, **options)
    if op.endswith("V3"):
        options["num_bits"] = options.get("num_bits", 8)
    return getattr(raw, op)(input=x, input_min=low, input_max=high, range_given=True, **options)


SIGNED = "QuantizeAndDequantizeV2"
FAKE = "FakeQuantWithMinMaxVars"
FAR = 1000.0  # outside of every range, though not of what float holds once it is scaled
UNITS = {"round_mode": "HALF_UP"}
# (op, ends, options): what becomes of which values, in TensorFlow 2.21 on the CPU.
QUANTISED = [
    (SIGNED, (-1, 1), {}, {FAR: 1, -FAR: -128 / 127, 0.005859375: 1 / 127}),
    (SIGNED, (-1, 1), {"narrow_range": True}, {FAR: 1, -FAR: -1}),
    ("QuantizeAndDequantizeV3", (-1, 1), {}, {FAR: 1, -FAR: -128 / 127, 0.005859375: 1 / 127}),
    ("QuantizeAndDequantizeV4", (-1, 1), {}, {FAR: 1, -FAR: -128 / 127, 0.005859375: 1 / 127}),
    (SIGNED, (-0.5, 1), {}, {-0.9: -0.89763778}),
    (SIGNED, (-1, -0.5), {}, {-FAR: -1, -1 / 128: -1 / 128, -3.2 / 128: -3 / 128, FAR: 127 / 128}),
    # A step of 1: what lies in the middle goes up, or to the even one.
    (SIGNED, (-127, 127), UNITS, {0.5: 1, 2.5: 3, -0.5: 0, -1.5: -1}),
    (SIGNED, (-127, 127), {}, {0.5: 0, 2.5: 2, -0.5: 0, -1.5: -2}),
    (SIGNED, (0, 0), {}, {-1.0: 0, 1.0: 0, -0.0: 0}),
    (FAKE, (-0.1, 0.1), {}, {-FAR: -0.10039216, FAR: 0.09960784}),
    (FAKE, (0.1, 6), {}, {-FAR: 0, FAR: 5.9}),
    (FAKE, (-6, -1), {}, {-FAR: -5, FAR: 0}),
    (FAKE, (-1, 1), {"num_bits": 4}, {-FAR: -14 / 15, FAR: 16 / 15}),
    (FAKE, (1, 1), {}, {-FAR: np.nan, 1.0: np.nan, FAR: np.nan}),
    (FAKE, (0, 0), {}, {-3.0: 0, 0.0: 0, 3.0: 0}),
]
# Per channel: values by column.
CHANNELS = ("QuantizeAndDequantizeV3", ([-1, -2, 0], [1, 1, 4]), {"axis": 1})


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("fed", [False, True], ids=["constant ends", "fed ends"])
def test_quantised_and_back_are_the_numbers_of_tensorflow(tmp_path, backend, fed):
    """To the last bit but one, in FP32: what models trained for INT8 stand on."""
    import graft

    feeds, expected = {}, {}
    with tf.Graph().as_default() as graph:

        def end(name, value):
            if not fed:
                return tf.constant(value, tf.float32)
            feeds[name] = np.array(value, np.float32)
            return v1.placeholder(tf.float32, feeds[name].shape, name=name)

        for i, (op, ends, options, values) in enumerate(QUANTISED):
            x = feeds[f"x{i}"] = np.array(list(values), np.float32)
            x = v1.placeholder(tf.float32, [None], name=f"x{i}")
            low, high = (end(f"{which}{i}", value) for which, value in zip(("low", "high"), ends))
            tf.identity(quantised(tf.raw_ops, x, op, low, high, **options), name=f"y{i}")
            expected[f"y{i}"] = np.array(list(values.values()), np.float32)
        op, ends, options = CHANNELS
        feeds["rows"] = np.array([[FAR] * 3, [-FAR] * 3, [0.3] * 3], np.float32)
        rows = v1.placeholder(tf.float32, [None, 3], name="rows")
        low, high = (end(f"{which}_rows", value) for which, value in zip(("low", "high"), ends))
        tf.identity(quantised(tf.raw_ops, rows, op, low, high, **options), name="channels")
        steps = np.array([1 / 127, 1 / 64, 4 / 127])
        expected["channels"] = np.stack(
            [127 * steps, -128 * steps, np.round(np.float32(0.3) / steps) * steps]
        ).astype(np.float32)
        path = save(tmp_path / "model.pb", graph)
    with v1.Session(graph=graph) as session:
        native = session.run(
            {name: f"{name}:0" for name in expected}, {f"{k}:0": v for k, v in feeds.items()}
        )
    plan = tmp_path / "model.plan"
    support.convert(path, "--outputs", ",".join(expected), "--plan", plan, "--backend", backend)
    found = graft.Engine(str(plan)).run(feeds)
    for name, value in expected.items():
        for values in (native[name], found[name]):
            np.testing.assert_allclose(values, value, rtol=2e-7, atol=0, err_msg=name)
        assert np.array_equal(np.signbit(found[name]), np.signbit(native[name])), name


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_not_of_an_ordering_is_true_of_nan(tmp_path, backend):
    """As in eager mode. TensorFlow's graph optimiser makes the opposite ordering of it, which is false."""
    import graft

    orderings = {"less": tf.less, "less_equal": tf.less_equal, "greater": tf.greater, "greater_equal": tf.greater_equal}
    x = np.array([np.nan, 0.5, 1, 2] * 9, np.float32)
    with tf.Graph().as_default() as graph:
        fed = v1.placeholder(tf.float32, [None], name="x")
        for name, compare in orderings.items():
            tf.logical_not(compare(fed, 1.0), name=f"not_{name}")
        path = save(tmp_path / "model.pb", graph)
    plan = tmp_path / "model.plan"
    outputs = ",".join(f"not_{name}" for name in orderings)
    support.convert(path, "--outputs", outputs, "--plan", plan, "--backend", backend)
    found = graft.Engine(str(plan)).run({"x": x})
    for name, compare in orderings.items():
        assert np.array_equal(found[f"not_{name}"], ~compare(x, 1.0).numpy()), name
