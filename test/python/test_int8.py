"""INT8: `graft convert --precision int8`, and TF-TRT's ways to it."""

import json
import logging
import os
import pathlib
import re

import numpy as np
import pytest

import small_models
from support import BAD_INPUT, FAKE_DEVICE_PROGRAM, USAGE, EngineCalls, convert, graft

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from graft import Engine, load_op_library
from graft import trt_convert as trt

v1 = tf.compat.v1
OUTPUTS = ["logits", "classes"]
INT8 = ("--precision", "int8", "--strict-int8", "--threads", 1)
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


def choose(frozen_graph, data, least, *arguments, **options):
    """What `graft convert` chooses by accuracy alone, by its report: no step is timed."""
    plan = ("--plan", data.with_suffix(".plan"), "--threads", 1, *LOGITS)
    int8 = ("--precision", "int8", "--calibration-data", data, "--least-sqnr", least)
    return convert(frozen_graph, *plan, *int8, *arguments, **options)["precision"]


def test_sensitive_products_go_back_to_floats(frozen_graph, data):
    everything = choose(frozen_graph, data, 1)
    assert [layer["node"] for layer in everything["layers"]] == ["conv1", "conv2", "logits"]
    assert all(layer["integers"] for layer in everything["layers"])
    assert everything["sqnr"] == everything["integers_sqnr"]
    wanted = everything["sqnr"] + 1
    some = choose(frozen_graph, data, wanted)
    floats = [layer for layer in some["layers"] if not layer["integers"]]
    assert 0 < len(floats) < 3
    assert some["integers_sqnr"] < wanted <= some["sqnr"]
    # The most sensitive come first, and are those that went.
    sensitivities = [layer["sqnr"] for layer in some["layers"]]
    assert sensitivities == sorted(sensitivities)
    assert some["layers"][: len(floats)] == floats
    assert min(some["microseconds"], some["float_microseconds"]) > 0
    nothing = choose(frozen_graph, data, 1000)
    assert not any(layer["integers"] for layer in nothing["layers"])
    assert nothing["sqnr"] is None, "no noise at all"


def test_what_products_cost_in_time_is_reported(frozen_graph, data, tmp_path):
    plan = ("--plan", tmp_path / "p", "--threads", 1, *LOGITS, "--json", tmp_path / "report")
    timed = ("--opt-level", 1, "--timing-cache", tmp_path / "timings")
    int8 = ("--precision", "int8", "--calibration-data", data, "--least-sqnr", 1)
    graft("convert", frozen_graph, *plan, *timed, *int8)
    for layer in json.loads((tmp_path / "report").read_text())["precision"]["layers"]:
        assert min(layer["microseconds"], layer["float_microseconds"]) > 0
        # 1 dB is always met.
        assert layer.get("reason") == (None if layer["integers"] else "time")


def test_auto_takes_the_fastest_of_those_that_are_good_enough(frozen_graph, data, tmp_path):
    plan = ("--plan", tmp_path / "p", "--threads", 1, *LOGITS)
    auto = (*plan, "--precision", "auto", "--calibration-data", data)
    for least, permitted in ((1, "any"), (55, "halves"), (1000, "floats")):
        report = convert(frozen_graph, *auto, "--least-sqnr", least)
        chosen = report["precision"]
        # Rounded to 11 bits, weights cost 65 dB or so; integers of 8 bits are worse.
        assert (chosen["half_microseconds"] > 0) == (permitted != "floats")
        times = [chosen["float_microseconds"]]
        times += [chosen["half_microseconds"]] if permitted != "floats" else []
        # Within what counts as equal.
        assert chosen["microseconds"] <= min(times) * 1.1 or not chosen["integers"]
        module = graft("inspect", tmp_path / "p", "--ir")
        on_integers = chosen["integers"] and any(layer["integers"] for layer in chosen["layers"])
        assert ("accumulator=i32" in module) == bool(on_integers)
        assert ("half_weights" in report["plan"]) <= chosen["halves"]
        assert chosen["halves"] <= (permitted != "floats")
        assert on_integers <= (permitted == "any")
    said = graft("convert", frozen_graph, *plan, "--precision", "auto", expect=USAGE)
    assert "--calibration-data" in said
    said = graft("convert", frozen_graph, *auto, "--strict-int8", expect=USAGE)
    assert "--strict-int8" in said


def rebuilt(graph_def, feed):
    """The logits of engines that are built anew from their nodes."""
    copy = v1.GraphDef.FromString(graph_def.SerializeToString())
    for node in engine_nodes(copy):
        node.attr["serialized_segment"].s = b"damaged"
    with EngineCalls() as engines:
        (got,) = run_natively(copy, ["logits"], feed)
    engines.assert_engine_ran()
    return got


# At 1 dB either integers or floats as a whole are faster; at 1000 dB there is nothing on integers.
@pytest.mark.parametrize("least", [1, 1000])
@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_a_node_says_what_its_engine_is_built_with(frozen_graph, data, images, least, precision, tmp_path):
    arguments = ("--precision", precision, "--calibration-data", data, "--least-sqnr", least, *LOGITS)
    report = convert(frozen_graph, "--output", tmp_path / "out.pb", *arguments)
    load_op_library()
    converted = v1.GraphDef.FromString((tmp_path / "out.pb").read_bytes())
    (node,) = engine_nodes(converted)
    (engine,) = report["engine_list"]
    chosen = report["precision"]
    mode = "INT8" if chosen["integers"] else "FP16" if chosen["halves"] else "FP32"
    assert node.attr["precision_mode"].s.decode() == engine["precision_mode"] == mode
    assert bool(node.attr["calibration_data"].s) == (mode == "INT8")
    feed = {"image:0": images}
    (got,) = run_natively(converted, ["logits"], feed)
    again = rebuilt(converted, feed)
    # What is on integers is there again: two engines in floats, or one on integers, differ by other numbers.
    assert sqnr(again, got) > 50 or chosen["halves"]


@pytest.mark.usefixtures("strict_int8")
def test_a_node_has_its_part_of_the_table(frozen_graph, data, images, tmp_path):
    graft("calibrate", frozen_graph, "--data", data, "-o", tmp_path / "table", *LOGITS)
    with open(tmp_path / "table", "a") as file:
        file.write("another/Relu: 3c010a14\n")
    arguments = (*INT8, "--calibration-table", tmp_path / "table", *LOGITS)
    convert(frozen_graph, "--output", tmp_path / "out.pb", *arguments)
    load_op_library()
    converted = v1.GraphDef.FromString((tmp_path / "out.pb").read_bytes())
    (node,) = engine_nodes(converted)
    lines = node.attr["calibration_data"].s.decode().splitlines()
    names = {line.rpartition(": ")[0].partition("[")[0] for line in lines[1:]}
    assert names >= {"TensorRTInputPH_0", "relu1"} and "another/Relu" not in names
    feed = {"image:0": images}
    (got,) = run_natively(converted, ["logits"], feed)
    assert np.array_equal(rebuilt(converted, feed), got), "the same integers"


def test_floats_beside_integers_are_halves_where_these_are_multiplied(frozen_graph, data):
    program = (FAKE_DEVICE_PROGRAM,)
    device = ("--backend", "fake_device")
    everything = choose(frozen_graph, data, 1)
    assert not everything["halves"], "processors multiply none"
    some = choose(frozen_graph, data, everything["sqnr"] + 1, *device, program=program)
    assert some["halves"] and some["sqnr"] > everything["sqnr"] + 1
    on_integers = [layer["integers"] for layer in some["layers"]]
    assert any(on_integers) and not all(on_integers)
    assert min(some["microseconds"], some["float_microseconds"]) > 0
    module = graft("inspect", data.with_suffix(".plan"), "--ir", program=program)
    assert "f16[" in module and ("accumulator=i32" in module) == some["integers"]
    # Where halves are too coarse, floats stay what they are.
    nothing = choose(frozen_graph, data, 1000, *device, program=program)
    assert not nothing["halves"] and nothing["sqnr"] is None


MNIST = pathlib.Path(os.environ.get("GRAFT_MODELS", "nowhere")) / "tftrt_mnist"


def test_labels_say_what_integers_may_cost(frozen_graph, data, images, logits, tmp_path):
    np.save(tmp_path / "labels.npy", logits.argmax(1))
    labels = ("--labels", tmp_path / "labels.npy")
    arguments = ("--plan", tmp_path / "p", "--precision", "int8", "--calibration-data", data, *LOGITS)
    report = convert(frozen_graph, *arguments, *labels, "--max-drop", 100)["precision"]
    assert report["top_1"]["floats"] == 100 and report["top_1"]["most_drop"] == 100
    assert all(layer["integers"] for layer in report["layers"])
    # Nobody's classes: what integers change may be for the better alone.
    np.save(tmp_path / "labels.npy", logits.argmin(1))
    report = convert(frozen_graph, *arguments, *labels)["precision"]
    assert report["top_1"]["floats"] == 0 and report["top_1"]["chosen"] >= 0
    for bad in (logits.argmax(1)[:-1], logits, np.zeros(0, np.int64)):
        np.save(tmp_path / "labels.npy", bad)
        graft("convert", frozen_graph, *arguments, *labels, expect=USAGE)
    graft("convert", frozen_graph, *arguments, "--max-drop", 1, expect=USAGE)


# Not there without the model: a skipped test would be a failure in CI.
@lambda test: test if MNIST.exists() else None
@pytest.mark.models
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_quantisation_aware_model(backend, tmp_path):
    """TF-TRT's own: its ranges as written give the accuracy of exact 8-bit arithmetic by numpy, on digits of another kind
    than those that it was trained with; TensorFlow, which takes the data's ranges, gives another."""
    digits = np.load(MNIST / "tftrt_mnist_digits_x.npy")
    labels = np.load(MNIST / "tftrt_mnist_digits_y.npy")
    accuracy = {}
    for precision in ("fp32", "int8"):
        plan = tmp_path / f"{precision}.plan"
        model = MNIST / "tftrt_mnist_qdq.pb"
        convert(model, "--plan", plan, "--precision", precision, "--backend", backend)
        (logits,) = Engine(str(plan), threads=1).run({"input": digits}).values()
        accuracy[precision] = (logits.argmax(axis=1) == labels).mean()
    assert accuracy == {"fp32": 0.685, "int8": 0.66}


def test_missing_ranges_are_one_error_that_names_all(frozen_graph, tmp_path):
    said = graft("convert", frozen_graph, "--plan", tmp_path / "p", *INT8, expect=USAGE)
    assert "INT8 without calibration: no range for 3 tensors" in said
    for line in ("image (read by conv1)", "relu1 (read by conv2)", "features (read by logits)"):
        assert line in said
    assert not (tmp_path / "p").exists()


def test_a_table_of_another_model_is_refused(frozen_graph, tmp_path):
    for text, said in (("", "holds no tensors"), ("other/Relu: 3c010a14\n", "other/Relu and others")):
        (tmp_path / "t").write_text("TRT-8602-EntropyCalibration2\n" + text)
        table = (*INT8, "--calibration-table", tmp_path / "t")
        for output in (("--plan", tmp_path / "p"), ("--output", tmp_path / "o.pb"), ()):
            assert said in graft("convert", frozen_graph, *output, *table, expect=USAGE)
        assert not (tmp_path / "p").exists() and not (tmp_path / "o.pb").exists()


def test_the_report_says_what_became_of_each_product(frozen_graph, data, tmp_path):
    graft("calibrate", frozen_graph, "--data", data, "-o", tmp_path / "table")
    text = (tmp_path / "table").read_text().splitlines()
    (tmp_path / "part").write_text("\n".join(line for line in text if not line.startswith("relu1")) + "\n")
    table = (*INT8, "--calibration-table", tmp_path / "part")
    for output in ("--plan", "--output"):
        report = convert(frozen_graph, output, tmp_path / "out.pb", *table)
        (made,) = [report["plan"]] if output == "--plan" else report["engine_list"]
        int8 = made["int8"]
        assert (int8["products"], int8["on_integers"]) == (3, 2)
        (left,) = int8["in_floats"]
        assert left["reason"] == "pool has no range"


def test_without_an_output_missing_ranges_are_said_as_well(frozen_graph):
    said = graft("convert", frozen_graph, "--precision", "int8", expect=USAGE)
    assert "no range for" in said and "image (read by conv1)" in said


def test_a_signature_without_ranges_stays_in_floats_and_is_named(tmp_path):
    class Two(tf.Module):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(np.eye(8, dtype=np.float32))

        @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
        def quantised(self, x):
            x = tf.quantization.fake_quant_with_min_max_vars(x, -2.0, 2.0)
            return {"y": tf.nn.relu(tf.matmul(x, self.w)) + 1.0}

        @tf.function(input_signature=[tf.TensorSpec([None, 8], name="x")])
        def plain(self, x):
            return {"z": tf.nn.relu(tf.matmul(x, self.w)) - 1.0}

    two = Two()
    tf.saved_model.save(two, str(tmp_path / "m"), {"quantised": two.quantised, "plain": two.plain})
    arguments = ("--signature", "quantised", "--output", tmp_path / "out", *INT8, "--minimum-segment-size", 1)
    report = convert(tmp_path / "m", *arguments)
    assert sorted(e["int8"]["on_integers"] for e in report["engine_list"]) == [0, 1]
    assert "signature plain has no quantisation nodes" in graft("convert", tmp_path / "m", *arguments)


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


# ---- Python


@pytest.fixture
def graph(frozen_graph):
    return v1.GraphDef.FromString(frozen_graph.read_bytes())


def engine_nodes(graph_def):
    return [node for node in graph_def.node if node.op == "TRTEngineOp"]


def v1_converter(graph, **arguments):
    return trt.TrtGraphConverter(
        input_graph_def=graph, nodes_blacklist=OUTPUTS, precision_mode="INT8", **arguments
    )


@pytest.mark.usefixtures("strict_int8")
@pytest.mark.parametrize("by", ["feed_dict_fn", "input_map_fn"])
def test_v1_calibrates(by, graph_mode, graph, images, logits):
    batches = iter(np.split(images, 4))

    def feed_dict_fn():
        return {"image:0": next(batches)}

    def input_map_fn():
        dataset = tf.data.Dataset.from_tensor_slices(images).batch(4)
        return {"image:0": v1.data.make_one_shot_iterator(dataset).get_next()}

    converter = v1_converter(graph)
    waiting = converter.convert()
    (node,) = engine_nodes(waiting)
    assert (node.attr["serialized_segment"].s, node.attr["calibration_data"].s) == (b"", b"")
    # Until it is calibrated, an engine gives TensorFlow's own results.
    with EngineCalls() as engines:
        assert np.array_equal(run_natively(waiting, ["logits"], {"image:0": images})[0], logits)
    assert (engines.calls, engines.fallbacks) == (0, 0)

    function = {"feed_dict_fn": feed_dict_fn, "input_map_fn": input_map_fn}[by]
    calibrated = converter.calibrate(OUTPUTS, 4, **{by: function})
    # The loop of the guide's section 2.8.1 that takes the tables out.
    tables = {n.name: n.attr["calibration_data"].s for n in engine_nodes(calibrated)}
    (table,) = tables.values()
    assert table.startswith(b"TRT-8602-EntropyCalibration2\n") and b"relu1: " in table
    with EngineCalls() as engines:
        (got,) = run_natively(calibrated, ["logits"], {"image:0": images})
    engines.assert_engine_ran()
    assert 25 < sqnr(got, logits) < 60


def test_v1_checks_what_calibrate_is_given(graph_mode, graph):
    converter = v1_converter(graph, is_dynamic_op=True, max_batch_size=None)
    converter.convert()
    for bad, text in (
        ({}, "Should specify one and only one of feed_dict_fn and input_map_fn."),
        ({"input_map_fn": lambda: {1: tf.zeros([])}}, "Keys of input_map_fn must be of type str"),
        ({"input_map_fn": lambda: {"a": 1}}, "Values of input_map_fn must be of type tf.Tensor"),
    ):
        with pytest.raises(ValueError) as raised:
            converter.calibrate(OUTPUTS, 1, **bad)
        assert str(raised.value) == text


def test_v1_static_and_calibration(graph_mode, graph, caplog):
    with caplog.at_level(logging.WARNING):
        v1_converter(graph)
    assert (
        "INT8 precision mode with calibration is supported with dynamic TRT ops only. "
        "Disregarding is_dynamic_op parameter." in caplog.text
    )


def test_calibration_without_int8(graph_mode, graph, caplog):
    with caplog.at_level(logging.INFO):
        trt.TrtGraphConverter(input_graph_def=graph)
    assert (
        "Calibration with FP32 or FP16 is not implemented. Falling back to use_calibration = False."
        in caplog.text
    )


def test_v1_saves_what_is_calibrated(graph_mode, v1_saved_model, images, tmp_path):
    converter = trt.TrtGraphConverter(
        input_saved_model_dir=str(v1_saved_model), precision_mode="INT8", is_dynamic_op=True
    )
    converter.convert()
    with pytest.raises(AssertionError, match="calibrate"):
        converter.save(str(tmp_path / "saved"))
    converter.calibrate(["logits:0"], 2, feed_dict_fn=lambda: {"image:0": images})
    converter.save(str(tmp_path / "saved"))
    with v1.Session(graph=tf.Graph()) as session:
        v1.saved_model.load(session, ["serve"], str(tmp_path / "saved"))
        with EngineCalls() as engines:
            session.run("logits:0", {"image:0": images})
    engines.assert_engine_ran()


def test_v1_without_calibration_needs_all_ranges(graph_mode, graph):
    with pytest.raises(ValueError, match="no range for 2 tensors") as raised:
        v1_converter(graph, use_calibration=False).convert()
    # By the graph's own names, whatever engine they are in.
    for line in ("image (read by conv1)", "relu1 (read by conv2)"):
        assert line in str(raised.value)


@pytest.mark.usefixtures("strict_int8")
def test_v2_calibrates_and_saves(v2_saved_model, images, tmp_path):
    arguments = {"input_saved_model_dir": str(v2_saved_model), "precision_mode": "INT8"}
    native = tf.saved_model.load(str(v2_saved_model)).signatures["serving_default"]
    wanted = {name: x.numpy() for name, x in native(image=tf.constant(images)).items()}
    converter = trt.TrtGraphConverterV2(**arguments)
    converter.convert(calibration_input_fn=lambda: ([batch] for batch in np.split(images, 4)))
    converter.build(lambda: iter([{"image": images[:2]}]))
    converter.save(str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    with EngineCalls() as engines:
        got = loaded(image=tf.constant(images))
    engines.assert_engine_ran()
    assert 25 < sqnr(got["logits"].numpy(), wanted["logits"]) < 60


class Loop(tf.Module):
    """Products in the body of a While, which an engine computes there, and behind a node that stays native."""

    def __init__(self):
        super().__init__()
        draw = np.random.default_rng(5)
        self.w = [tf.Variable(draw.standard_normal([16, 16]).astype(np.float32) / 4) for _ in range(3)]

    @tf.function(input_signature=[tf.TensorSpec([None, 16], name="x")])
    def serve(self, x):
        def body(i, y):
            return i + 1, tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(y, self.w[0])), self.w[1]) + y)

        _, y = tf.while_loop(lambda i, y: i < 3, body, [tf.constant(0), x])
        y = tf.numpy_function(lambda y: y * np.float32(0.5), [y], tf.float32)
        y = tf.nn.relu(tf.ensure_shape(y, [None, 16]))
        return {"y": tf.matmul(y, self.w[2])}


@pytest.mark.usefixtures("strict_int8")
def test_v2_calibrates_engines_in_functions_and_behind_native_nodes(tmp_path):
    module = Loop()
    tf.saved_model.save(module, str(tmp_path / "model"), module.serve)
    batches = [np.random.default_rng(i).standard_normal([8, 16]).astype(np.float32) for i in range(4)]
    converter = trt.TrtGraphConverterV2(
        input_saved_model_dir=str(tmp_path / "model"), precision_mode="INT8", minimum_segment_size=1
    )
    converter.convert(calibration_input_fn=lambda: [{"x": batch} for batch in batches])
    converter.save(str(tmp_path / "saved"))
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved/saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    inside = [n for f in graph.library.function for n in f.node_def if n.op == "TRTEngineOp"]
    assert inside and engine_nodes(graph)
    tables = [node.attr["calibration_data"].s.decode() for node in [*inside, *engine_nodes(graph)]]
    assert sum(len(table.splitlines()) > 1 for table in tables) >= 2, tables
    assert b"calibration" not in b" ".join(n.name.encode() for f in graph.library.function for n in f.node_def)
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    x = batches[0]
    with EngineCalls() as engines:
        got = loaded(x=tf.constant(x))["y"].numpy()
    engines.assert_engine_ran()
    wanted = module.serve(tf.constant(x))["y"].numpy()
    assert 20 < sqnr(got, wanted) < 70


@pytest.mark.parametrize("inputs", [{"x": 0}, {}, {"image": 0, "more": 0}, (0, 0)])
def test_v2_names_the_inputs_that_there_are(inputs, v2_saved_model):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model), precision_mode="INT8")
    with pytest.raises(ValueError, match="image"):
        converter.convert(calibration_input_fn=lambda: [inputs])


@pytest.mark.usefixtures("strict_int8")
def test_a_damaged_int8_engine_is_built_again_as_int8(graph_mode, graph, images, logits):
    converter = v1_converter(graph, is_dynamic_op=True)
    converter.convert()
    converted = converter.calibrate(["logits:0"], 2, feed_dict_fn=lambda: {"image:0": images})
    (int8,) = run_natively(converted, ["logits"], {"image:0": images})
    for node in engine_nodes(converted):
        node.attr["serialized_segment"].s = b"damaged" + node.attr["serialized_segment"].s
    with EngineCalls() as engines:
        (again,) = run_natively(converted, ["logits"], {"image:0": images})
    engines.assert_engine_ran()
    # The same integers; in floats the result is another.
    assert np.array_equal(again, int8)
    assert sqnr(again, logits) < 60


def test_v2_calibrates_files_of_keras(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3), keras.layers.ReLU()])
    model.save(tmp_path / "model.keras")
    converter = trt.TrtGraphConverterV2(
        input_saved_model_dir=str(tmp_path / "model.keras"), precision_mode="INT8", minimum_segment_size=1
    )
    converter.convert(calibration_input_fn=lambda: [(np.ones((1, 16, 16, 3), np.float32),)])
    converter.save(str(tmp_path / "saved"))
    model = saved_model_pb2.SavedModel.FromString((tmp_path / "saved/saved_model.pb").read_bytes())
    tables = [node.attr["calibration_data"].s for node in engine_nodes(model.meta_graphs[0].graph_def)]
    assert tables and all(len(table.splitlines()) > 1 for table in tables)


# ---- accuracy goals of the converters


def chosen_by_v2(model, images, **goal):
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(model), precision_mode="INT8")
    function = converter.convert(lambda: ([batch] for batch in np.split(images, 4)), **goal)
    (engine,) = converter._report["engine_list"]
    return converter, function, engine


def chosen_for_floats(table):
    """Nodes, by a table's text."""
    entries = re.findall(r"^(.*)\[precision\]: (\w{8})$", table, re.MULTILINE)
    assert entries
    return {node for node, choice in entries if choice != "00000000"}


@pytest.mark.parametrize("least", [1, 1000])
def test_v2_builds_what_it_has_chosen(v2_saved_model, images, least):
    converter, _, engine = chosen_by_v2(v2_saved_model, images, min_sqnr_db=least)
    precision = engine["precision"]
    assert precision["wanted_sqnr"] == least and len(precision["layers"]) == 3
    floats = {layer["node"] for layer in precision["layers"] if not (layer["integers"] and precision["integers"])}
    assert least == 1 or len(floats) == 3
    # It is what was built, and what any other engine of the node will be.
    assert {layer["node"] for layer in engine["int8"]["in_floats"]} == floats
    (node,) = engine_nodes(converter._converted_graph_def)
    assert chosen_for_floats(node.attr["calibration_data"].s.decode()) == floats
    converter.build(lambda: iter([{"image": images[:2]}]))
    (again,) = converter._report["engine_list"]
    assert again["int8"] == engine["int8"] and again["precision"] == precision


def test_v2_labels_are_of_the_output_that_has_scores(v2_saved_model, images):
    native = tf.saved_model.load(str(v2_saved_model)).signatures["serving_default"]
    classes = native(image=tf.constant(images))["logits"].numpy().argmax(1)
    _, _, engine = chosen_by_v2(v2_saved_model, images, labels=classes, max_drop=100)
    top_1 = engine["precision"]["top_1"]
    assert top_1["floats"] == 100 and top_1["most_drop"] == 100
    for bad, text in (
        ({"labels": classes[:-1]}, "15 labels for 16 samples"),
        ({"labels": [0.5]}, "labels is no list of classes but float64"),
        ({"max_drop": 1}, "max_drop is of top-1, for which labels are needed"),
        ({"labels": classes, "min_sqnr_db": 1}, "min_sqnr_db is for data without labels"),
        ({"min_sqnr_db": np.nan}, "min_sqnr_db is nan"),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            chosen_by_v2(v2_saved_model, images, **bad)
    converter = trt.TrtGraphConverterV2(input_saved_model_dir=str(v2_saved_model))
    with pytest.raises(ValueError, match="are for INT8 with calibration"):
        converter.convert(min_sqnr_db=1)


def test_labels_do_not_judge_several_engines(tmp_path):
    module = Loop()
    tf.saved_model.save(module, str(tmp_path / "model"), module.serve)
    x = np.ones([8, 16], np.float32)
    for goal in ({"labels": np.zeros(8, int)}, {"min_sqnr_db": 20}):
        converter = trt.TrtGraphConverterV2(
            input_saved_model_dir=str(tmp_path / "model"), precision_mode="INT8", minimum_segment_size=1
        )
        if "labels" in goal:
            with pytest.raises(ValueError, match="labels are for a model that is one engine, and this has"):
                converter.convert(lambda: [{"x": x}], **goal)
            continue
        converter.convert(lambda: [{"x": x}], **goal)
        assert sum("precision" in engine for engine in converter._report["engine_list"]) >= 2


@pytest.mark.parametrize("is_dynamic_op", [False, True])
def test_v1_keeps_its_choice_in_every_engine(graph_mode, graph, images, logits, is_dynamic_op):
    converter = v1_converter(graph, is_dynamic_op=is_dynamic_op)
    converter.convert()
    feed = {"image:0": images}
    converted = converter.calibrate(OUTPUTS, 2, feed_dict_fn=lambda: feed, min_sqnr_db=1000)
    for damage in (b"", b"damaged"):
        for node in engine_nodes(converted):
            assert chosen_for_floats(node.attr["calibration_data"].s.decode()) == {"conv1", "conv2"}
            if node.attr["serialized_segment"].s:
                node.attr["serialized_segment"].s = damage + node.attr["serialized_segment"].s
        with EngineCalls() as engines:
            (got,) = run_natively(converted, ["logits"], feed)
        engines.assert_engine_ran()
        assert sqnr(got, logits) > 100, "integers"


def test_v1_labels_are_of_what_is_fetched(graph_mode, graph, v1_saved_model, images, logits):
    labels = np.tile(logits.argmax(1), 2)
    feed = {"feed_dict_fn": lambda: {"image:0": images}, "labels": labels}
    converter = trt.TrtGraphConverter(input_saved_model_dir=str(v1_saved_model), precision_mode="INT8")
    converter.convert()
    converter.calibrate(["classes:0"], 2, **feed)
    (engine,) = converter._report["engine_list"]
    assert engine["precision"]["top_1"]["floats"] == engine["precision"]["top_1"]["chosen"] == 100
    # Those that are denied are TensorFlow's.
    converter = v1_converter(graph)
    converter.convert()
    with pytest.raises(ValueError, match="which none of logits, classes is"):
        converter.calibrate(OUTPUTS, 2, **feed)


def test_a_goal_is_no_choice_where_all_are_on_integers(v2_saved_model, images, monkeypatch):
    monkeypatch.setenv("GRAFT_STRICT_INT8", "1")
    with pytest.raises(ValueError, match="GRAFT_STRICT_INT8"):
        chosen_by_v2(v2_saved_model, images, min_sqnr_db=1)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_data_that_are_no_numbers_are_refused(frozen_graph, images, tmp_path, number):
    bad = np.array(images)
    bad[2].flat[5] = number
    np.savez(tmp_path / "bad.npz", image=bad)
    plan = ("--plan", tmp_path / "p", *INT8, "--calibration-data", tmp_path / "bad.npz")
    said = graft("convert", frozen_graph, *plan, expect=USAGE)
    assert f"{tmp_path}/bad.npz: sample 2: element 5 of image is" in said
    assert not (tmp_path / "p").exists()


def test_v2_calibration_input_is_asked_for(v2_saved_model):
    arguments = {"input_saved_model_dir": str(v2_saved_model), "precision_mode": "INT8"}
    with pytest.raises(ValueError) as raised:
        trt.TrtGraphConverterV2(**arguments).convert()
    text = "Should specify calibration_input_fn because INT8 calibration is needed"
    assert str(raised.value) == text
    converter = trt.TrtGraphConverterV2(**arguments, use_calibration=False)
    with pytest.raises(ValueError) as raised:
        converter.convert(calibration_input_fn=lambda: iter([]))
    text = "Should not specify calibration_input_fn because INT8 calibration is not needed"
    assert str(raised.value) == text
