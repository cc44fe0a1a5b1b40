"""Situations of users' models that once converted wrongly: each test is one kind of fault (docs/testing.md lists them)."""

import collections

import numpy as np
import pytest

import support

import tensorflow as tf
from graft import trt_convert as trt

v1 = tf.compat.v1
rng = np.random.default_rng(3)
X = rng.standard_normal((5, 16)).astype(np.float32)


def weights(*shape):
    return (rng.standard_normal(shape) / 4).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def op_library():
    trt._op_library.load()


def meta_graph(folder):
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0]


def main_graph(folder):
    return meta_graph(folder).graph_def


def engines(graph):
    return [node for node in graph.node if node.op == "TRTEngineOp"]


def signature_results(folder, key, **inputs):
    """Of one signature, by the loaders of TensorFlow 2 and 1."""
    function = tf.saved_model.load(str(folder)).signatures[key]
    new = {name: value.numpy() for name, value in function(**{k: tf.constant(v) for k, v in inputs.items()}).items()}
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.loader.load(session, ["serve"], str(folder)).signature_def[key]
        old = session.run(
            {name: info.name for name, info in signature.outputs.items()},
            {signature.inputs[name].name: value for name, value in inputs.items()},
        )
    support.assert_close(new, old)
    return new


def save_v1(folder, signatures, **arguments):
    """The default graph under these signatures: key → (inputs, outputs)."""
    builder = v1.saved_model.builder.SavedModelBuilder(str(folder))
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(
            session,
            arguments.pop("tags", ["serve"]),
            {
                key: v1.saved_model.predict_signature_def(inputs, outputs)
                for key, (inputs, outputs) in signatures.items()
            },
            **arguments,
        )
    builder.save()
    return folder


# ---- signatures


def same_results(model, converted, feeds):
    for key, inputs in feeds.items():
        support.assert_close(
            signature_results(converted, key, **inputs), signature_results(model, key, **inputs)
        )


def test_an_engine_serves_only_signatures_that_need_all_of_it(tmp_path):
    """serving_default and eval share their layers; eval has a loss over labels besides."""
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        label = v1.placeholder(tf.float32, [None, 4], name="label")
        hidden = tf.nn.relu(tf.matmul(x, weights(16, 16)) + weights(16))
        logits = tf.tanh(tf.matmul(hidden, weights(16, 4)) + weights(4))
        scores = tf.nn.softmax(logits * 2.0)
        loss = tf.reduce_mean(tf.square(logits - label) * 0.5, axis=1)
        save_v1(
            tmp_path / "model",
            {
                "serving_default": ({"x": x}, {"scores": scores}),
                "eval": ({"x": x, "label": label}, {"loss": loss}),
            },
        )
    report = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    assert report["converted_ops"] == report["total_ops"]
    feeds = {"serving_default": {"x": X}, "eval": {"x": X, "label": weights(5, 4)}}
    same_results(tmp_path / "model", tmp_path / "converted", feeds)


def test_a_signature_may_feed_the_middle_of_another(tmp_path):
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        middle = tf.nn.relu(tf.matmul(x, weights(16, 16)) + weights(16))
        y = tf.tanh(tf.matmul(middle, weights(16, 4)) + weights(4)) * 2.0
        save_v1(
            tmp_path / "model",
            {"serving_default": ({"x": x}, {"y": y}), "from_middle": ({"middle": middle}, {"y": y})},
        )
    support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    feeds = {"serving_default": {"x": X}, "from_middle": {"middle": X}}
    same_results(tmp_path / "model", tmp_path / "converted", feeds)


class Exported(tf.Module):
    """Two signatures over one function, as Keras 3 exports have, and one over another with the same weights."""

    def __init__(self):
        super().__init__()
        self.w = tf.Variable(weights(16, 80))
        self.v = tf.Variable(weights(80, 64))

    @tf.function
    def layers(self, x):
        return tf.nn.relu(tf.matmul(tf.nn.relu(tf.matmul(x, self.w) + 1.0), self.v) + 1.0)

    def export(self, folder):
        spec = tf.TensorSpec([None, 16], tf.float32, "x")
        serve = tf.function(lambda x: {"y": self.layers(x)})
        default = tf.function(lambda x: {"y": self.layers(x)})
        features = tf.function(lambda x: {"y": tf.reduce_mean(self.layers(x), axis=1) * 2.0})
        signatures = {"serve": serve, "serving_default": default, "features": features}
        tf.saved_model.save(
            self,
            str(folder),
            {key: function.get_concrete_function(spec) for key, function in signatures.items()},
        )
        return folder


def test_equal_signatures_share_everything(tmp_path):
    """serve and serving_default of a Keras 3 export."""
    model = Exported().export(tmp_path / "model")
    support.convert(model, "--output", tmp_path / "converted")
    graph = main_graph(tmp_path / "converted")
    assert len(engines(graph)) == 2  # the layers of all three, and what only features has
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    weighty = [node for node in nodes if node.op == "Const" and node.attr["value"].tensor.ByteSize() > 4096]
    assert len(weighty) == 2  # w and v, once each
    same_results(model, tmp_path / "converted", {key: {"x": X} for key in ("serve", "serving_default", "features")})


def sparse_model(folder):
    """A signature of a SparseTensor beside one of tensors."""
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        sparse = v1.sparse_placeholder(tf.float32, [None, 16], name="sparse")
        w = tf.constant(weights(16, 8))
        y = tf.nn.relu(tf.matmul(x, w) + 1.0) * 2.0
        z = tf.nn.relu(tf.sparse.sparse_dense_matmul(sparse, w) + 1.0) * 2.0
        save_v1(
            folder,
            {"serving_default": ({"x": x}, {"y": y}), "sparse": ({"x": sparse}, {"z": z})},
        )
    return folder


@pytest.mark.parametrize("chosen", ["serving_default", "sparse"])
def test_sparse_signatures_stay_whole(tmp_path, chosen):
    model = sparse_model(tmp_path / "model")
    support.convert(model, "--signature", chosen, "--output", tmp_path / "converted")
    same_results(model, tmp_path / "converted", {"serving_default": {"x": X}})
    x = tf.sparse.from_dense(X * (X > 1))
    results = []
    for folder in (model, tmp_path / "converted"):
        function = tf.saved_model.load(str(folder)).signatures["sparse"]
        # As TensorFlow 2 loads such signatures, their parts are arguments of their own.
        names = sorted(function.structured_input_signature[1])
        parts = {"indices": x.indices, "values": x.values, "shape": x.dense_shape}
        feeds = {name: next(part for end, part in parts.items() if name.endswith(end)) for name in names}
        results.append({name: value.numpy() for name, value in function(**feeds).items()})
    support.assert_close(results[1], results[0])
    shown = support.graft("inspect", model, "--signature", "sparse")
    assert all(f"inputs['x/{part}']" in shown for part in ("indices", "values", "dense_shape"))


def test_assets_extra_goes_along(tmp_path):
    model = Exported().export(tmp_path / "model")
    (model / "assets.extra" / "deep").mkdir(parents=True)
    (model / "assets.extra" / "deep" / "warmup").write_text("requests")
    support.convert(model, "--output", tmp_path / "converted")
    assert (tmp_path / "converted" / "assets.extra" / "deep" / "warmup").read_text() == "requests"


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_keras_files_are_refused_with_the_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(b"whatever")
    text = support.graft("convert", tmp_path / name, expect=support.BAD_INPUT)
    assert "keras.saving.load_model" in text and ".export('model')" in text


# ---- what stays beside engines


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("way", ["v1", "v2"])
def test_the_python_converters_read_keras_files(tmp_path, name, way):
    import keras

    inputs = keras.Input((16,), name="x")
    hidden = keras.layers.Dense(16, activation="swish")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="y")(hidden))
    model.save(tmp_path / name)
    arguments = {"input_saved_model_dir": str(tmp_path / name)}
    if way == "v1":
        with tf.Graph().as_default():
            converter = trt.TrtGraphConverter(**arguments)
            converter.convert()
    else:
        converter = trt.TrtGraphConverterV2(**arguments)
        converter.convert()
    converter.save(str(tmp_path / "converted"))
    assert engines(main_graph(tmp_path / "converted"))
    (found,) = signature_results(tmp_path / "converted", "serving_default", x=X).values()
    assert support.relative_error(found, model(X)) <= support.TOLERANCE


def test_colocation_with_what_went_into_an_engine_is_dropped(graph_mode, tmp_path):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    inside = tf.nn.relu(tf.matmul(x, weights(16, 16)) + 1.0, name="inside")
    with v1.colocate_with(inside):
        text = tf.strings.as_string(inside, name="text")
    path = tmp_path / "model.pb"
    path.write_bytes(v1.get_default_graph().as_graph_def().SerializeToString())
    assert text.op.colocation_groups() == [b"loc:@inside"]
    support.convert(path, "--outputs", "text:0", "--output", tmp_path / "converted.pb")
    converted = v1.GraphDef.FromString((tmp_path / "converted.pb").read_bytes())
    assert len(engines(converted)) == 1
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(converted, name="")
        assert session.run("text:0", {"x:0": X}).shape == (5, 16)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: tf.matmul(x, weights(16, 4)),
        lambda x: tf.math.top_k(x, 3)[0],
        lambda x: tf.nn.conv2d_transpose(tf.reshape(x, [-1, 2, 2, 4]), weights(3, 3, 2, 4), [5, 4, 4, 2], 2),
        lambda x: tf.image.combined_non_max_suppression(tf.reshape(x, [5, 4, 1, 4]), weights(5, 4, 2), 3, 3)[0],
    ],
    ids=["MatMul", "TopKV2", "Conv2DBackpropInput", "CombinedNonMaxSuppression"],
)
def test_constants_count_for_the_minimum_segment_size(graph_mode, tmp_path, build):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    tf.identity(build(x), name="y")
    path = tmp_path / "model.pb"
    path.write_bytes(v1.get_default_graph().as_graph_def().SerializeToString())
    report = support.convert(path, "--outputs", "y:0", "--minimum-segment-size", 2)
    assert report["converted_ops"] == report["total_ops"], report["unconverted"]


def test_weights_that_two_engines_share_are_data_of_neither(graph_mode, tmp_path):
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    w = tf.reshape(tf.constant(weights(2, 8, 16)) * 2.0, [16, 16], name="w")
    first = tf.nn.relu(tf.matmul(x, w) + 1.0)
    middle = tf.sqrt(first, name="middle")
    second = tf.tanh(tf.matmul(middle, w) + 1.0, name="y")
    path = tmp_path / "model.pb"
    path.write_bytes(second.graph.as_graph_def().SerializeToString())
    support.convert(path, "--outputs", "y:0", "--deny", "middle", "--output", tmp_path / "converted.pb")
    converted = v1.GraphDef.FromString((tmp_path / "converted.pb").read_bytes())
    assert sorted(list(node.input) for node in engines(converted)) == [["middle"], ["x"]]
    assert not any(node.name == "w" for node in converted.node)


@pytest.mark.parametrize("least, count", [(3, 1), (2, 2)])
def test_what_does_not_pay_for_an_engine_stays_native(graph_mode, tmp_path, least, count):
    """Four element-wise nodes behind a native one; asking for small segments turns the rule off."""
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    first = tf.nn.relu(tf.matmul(x, tf.constant(weights(16, 16))) + 1.0) * 2.0 - 1.0
    y = tf.abs(tf.strings.to_number(tf.strings.as_string(first)))
    tf.sqrt(tf.nn.relu(tf.abs(-y, name="few")), name="y")
    path = tmp_path / "model.pb"
    path.write_bytes(x.graph.as_graph_def().SerializeToString())
    report = support.convert(path, "--outputs", "y:0", "--minimum-segment-size", least)
    assert report["engines"] == count
    reasons = [entry["reason"] for entry in report["unconverted"] if entry["name"] == "few"]
    assert all("costs more than it saves" in reason for reason in reasons)
    assert len(reasons) == (count == 1)


class Tied(tf.Module):
    """One table at the beginning and at the end; what lies between stays native."""

    def __init__(self):
        super().__init__()
        self.table = tf.Variable(weights(16, 2000))

    @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, "x")])
    def serve(self, x):
        hidden = tf.nn.relu(tf.matmul(x, self.table) + 1.0) * 0.5
        hidden = tf.strings.to_number(tf.strings.as_string(hidden))
        return {"y": tf.nn.relu(tf.matmul(hidden, self.table, transpose_b=True) + 1.0) * 0.5}


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    """(the model, the converted one)"""
    folder = tmp_path_factory.mktemp("tied")
    module = Tied()
    tf.saved_model.save(module, str(folder / "model"), signatures=module.serve)
    assert support.convert(folder / "model", "--output", folder / "converted")["engines"] == 2
    return folder / "model", folder / "converted"


def test_weights_of_two_engines_are_stored_once(tied):
    graph = main_graph(tied[1])
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert len([node for node in nodes if node.op == "Const" and node.ByteSize() > 10_000]) == 1
    assert sum(len(node.attr["serialized_segment"].s) for node in engines(graph)) < 64_000
    same_results(*tied, {"serving_default": {"x": X}})


@pytest.mark.parametrize("way", ["saved", "built", "native"])
def test_engines_and_fallbacks_find_weights_that_are_stored_once(tied, way):
    """With engines that must not be built, without engines, and with neither."""
    meta = meta_graph(tied[1])
    graph, signature = meta.graph_def, meta.signature_def["serving_default"]
    for node in engines(graph):
        node.attr["_allow_build_at_runtime"].b = way == "built"
        if way != "saved":
            node.attr["serialized_segment"].s = b""
    with support.EngineCalls() as calls, tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(graph, name="")
        result = session.run(signature.outputs["y"].name, {signature.inputs["x"].name: X})
    assert (calls.calls, calls.fallbacks) == ((0, 2) if way == "native" else (2, 0))
    support.assert_close({"y": result}, signature_results(tied[0], "serving_default", x=X))


def test_weights_that_are_stored_once_are_calibrated(tied, graph_mode):
    converter = trt.TrtGraphConverter(
        input_saved_model_dir=str(tied[0]), precision_mode="INT8", use_calibration=True
    )
    converter.convert()
    name = meta_graph(tied[0]).signature_def["serving_default"].outputs["y"].name
    fetch = "PartitionedCall:0" if name.startswith("Partitioned") else name
    calibrated = converter.calibrate([fetch], 2, feed_dict_fn=lambda: {"serving_default_x:0": X})
    for node in engines(calibrated):
        assert len(node.attr["calibration_data"].s.splitlines()) > 1
        assert node.attr["serialized_segment"].s


# ---- several models


def frozen(folder, seed, wide=16):
    """x → y, with other weights for each seed."""
    own = np.random.default_rng(seed)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        w = own.standard_normal((16, wide)).astype(np.float32)
        tf.nn.relu(tf.matmul(x, w) + 1.0, name="y")
    path = folder / f"{seed}_{wide}.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def test_two_converted_graphs_can_be_one(tmp_path):
    """Functions are known by name: engines of different models have different names, and counts of their own."""
    import graft

    converted, expected = [], []
    for seed in (1, 2):
        path = frozen(tmp_path, seed)
        support.convert(path, "--outputs", "y:0", "--output", tmp_path / f"{seed}_converted.pb")
        for file, list_ in ((path, expected), (tmp_path / f"{seed}_converted.pb", converted)):
            list_.append(v1.GraphDef.FromString(file.read_bytes()))
    names = [engines(graph)[0].name for graph in converted]
    assert names[0] != names[1]
    for graph, name in zip(converted, names):
        assert [f.signature.name for f in graph.library.function] == [f"{name}_native_segment"]
    results = []
    for graphs in (converted, expected):
        with tf.Graph().as_default(), v1.Session() as session:
            tf.import_graph_def(graphs[0], name="a")
            tf.import_graph_def(graphs[1], name="b")
            results.append(session.run({"a": "a/y:0", "b": "b/y:0"}, {"a/x:0": X, "b/x:0": X}))
    support.assert_close(*results)
    counts = graft.engine_statistics()
    for name in names:
        (own,) = [count for key, count in counts.items() if key.endswith(name)]
        assert own["engine_calls"] == 1 and not own["fallbacks"]


# ---- checks


def checked_graph():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        x = tf.debugging.check_numerics(x, "x")
        with tf.control_dependencies([tf.raw_ops.Assert(condition=tf.reduce_all(x > -1e6), data=[x])]):
            y = tf.nn.relu(tf.matmul(x, weights(16, 16)) + 1.0)
        tf.tanh(y, name="y")
    return graph.as_graph_def()


@pytest.mark.parametrize("kept", [False, True])
def test_checks_go_alike_on_every_way(tmp_path, graph_mode, monkeypatch, kept):
    path = tmp_path / "model.pb"
    path.write_bytes(checked_graph().SerializeToString())
    flags = ["--keep-asserts"] if kept else []
    report = support.convert(path, "--outputs", "y:0", "--output", tmp_path / "converted.pb", *flags)
    by_program = v1.GraphDef.FromString((tmp_path / "converted.pb").read_bytes())
    if kept:
        monkeypatch.setenv("GRAFT_KEEP_ASSERTS", "1")
    by_python = trt.TrtGraphConverter(input_graph_def=checked_graph()).convert()
    for graph in (by_program, by_python):
        ops = collections.Counter(node.op for node in graph.node)
        assert (ops["Assert"], ops["CheckNumerics"]) == ((1, 1) if kept else (0, 0))
    assert report["removed_checks"] == ({} if kept else {"Assert": 1, "CheckNumerics": 1})


def test_assertions_of_tensorflow_2_leave_no_branch_behind(tmp_path):
    """tf.debugging.assert_… is an If around an Assert: what waited for it waits for nothing."""

    class Checked(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, "x")])
        def serve(self, x):
            y = tf.nn.relu(tf.matmul(x, tf.constant(weights(16, 16))) + 1.0)
            tf.debugging.assert_less(tf.reduce_max(y), 1e6)
            return {"y": tf.tanh(tf.matmul(y, tf.constant(weights(16, 16))) + 1.0)}

    module = Checked()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    report = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    assert report["unconverted"] == [] and report["engines"] == 1
    assert report["removed_checks"] == {"Assert": 1}
    same_results(tmp_path / "model", tmp_path / "converted", {"serving_default": {"x": X}})


# ---- variables that stay


def counting(folder, initialized):
    """A counter is written, so it stays a variable."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        count = v1.get_variable("count", initializer=tf.constant(0.0), use_resource=True)
        y = tf.nn.relu(tf.matmul(x, weights(16, 16)) + 1.0) * 2.0
        with tf.control_dependencies([count.assign_add(1.0)]):
            y = tf.identity(y)
        if initialized:
            save_v1(folder, {"serving_default": ({"x": x}, {"y": y})})
    if not initialized:
        path = folder.with_suffix(".pb")
        path.write_bytes(graph.as_graph_def().SerializeToString())
        return path, ["--outputs", y.name]
    return folder, []


def test_a_saver_counts_for_no_total(tmp_path):
    model, _ = counting(tmp_path / "model", True)
    report = support.convert(model, "--output", tmp_path / "converted")
    native = collections.Counter(left["op"] for left in report["unconverted"])
    assert native == {"AssignAddVariableOp": 1, "VarHandleOp": 1}
    assert report["total_ops"] == report["converted_ops"] + 2
    text = support.graft("convert", model, "--opt-level", 0)
    assert "finds it uninitialized" not in text
    same_results(model, tmp_path / "converted", {"serving_default": {"x": X}})


def test_a_kept_variable_without_a_value_is_warned_of(tmp_path):
    model, arguments = counting(tmp_path / "model", False)
    text = support.graft("convert", model, "--opt-level", 0, *arguments)
    assert "variable count stays" in text and "finds it uninitialized" in text


def test_a_meta_graph_takes_its_checkpoint_along(tmp_path):
    """Variables that stay have their values in the checkpoint beside the .meta."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        count = v1.get_variable("count", initializer=tf.constant(7.0), use_resource=True)
        w = v1.get_variable("w", initializer=weights(16, 16))
        with tf.control_dependencies([count.assign_add(1.0)]):
            y = tf.identity(tf.nn.relu(tf.matmul(x, w) + 1.0) * 2.0, "y")
        tf.add(count.read_value(), 0.0, name="counted")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        expected = session.run(y, {x: X})
    model, folder = tmp_path / "model.ckpt.meta", tmp_path / "converted"
    support.convert(model, "--inputs", "x:0", "--outputs", "y:0,counted:0", "--output", folder)
    found = signature_results(folder, "serving_default", **{"x": X})
    assert support.relative_error(found["y"], expected) <= support.TOLERANCE
    assert found["counted"] in (7, 8)  # nothing says which comes first


# ---- collections


def with_collections(folder):
    """A program that looks for its tensors in collections, and initialises its table by hand."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 16], name="x")
        word = v1.placeholder(tf.string, [None], name="word")
        table = v1.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64)), -1
        )
        hidden = tf.nn.relu(tf.matmul(x, v1.get_variable("w", initializer=weights(16, 16))) + 1.0)
        y = tf.nn.softmax(tf.matmul(hidden, weights(16, 4)) * 2.0)
        aside = tf.tanh(hidden * 3.0, name="aside")
        v1.losses.add_loss(tf.reduce_sum(v1.placeholder(tf.float32, [None], name="label")))
        for value in (hidden, aside, x):
            v1.add_to_collection("features", value)
        v1.add_to_collection("settings", 17)
        v1.add_to_collection("settings", 4)
        inputs, outputs = {"x": x, "word": word}, {"y": y, "key": table.lookup(word)}
        return save_v1(folder, {"serving_default": (inputs, outputs)})


@pytest.mark.parametrize("way", ["program", "v1"])
def test_collections_are_kept(tmp_path, graph_mode, way):
    model, converted = with_collections(tmp_path / "model"), tmp_path / "converted"
    if way == "program":
        report = support.convert(model, "--output", converted)
        assert report["engines"] > 0
    else:
        converter = trt.TrtGraphConverter(input_saved_model_dir=str(model))
        converter.convert()
        converter.save(str(converted))
    results = []
    for folder in (model, converted):
        with tf.Graph().as_default() as graph, v1.Session() as session:
            v1.saved_model.loader.load(session, ["serve"], str(folder))
            session.run(v1.tables_initializer())
            assert v1.get_collection("settings") == [17, 4]
            feed = {"x:0": X, "word:0": np.array(["b", "q"], object)}
            signature = ["Softmax:0", *v1.get_collection("features")]
            results.append(session.run(signature, feed))
            losses = v1.get_collection(v1.GraphKeys.LOSSES)
            assert len(losses) == (folder == model)  # only training asks for them
    for one, other in zip(*results):
        assert support.relative_error(other, one) <= support.TOLERANCE


# ---- reports


def left_in(graph):
    """What a loop over the graph finds beside engines and constants."""
    return collections.Counter(node.op for node in graph.node if node.op not in ("TRTEngineOp", "Const"))


def box(text):
    """The counts of TF-TRT's report by op."""
    lines = [line[3:] for line in text.splitlines() if line.startswith("\t- ") and " -> " in line]
    return collections.Counter({line.split(" -> ")[0]: int(line.split(" -> ")[1].rstrip("x")) for line in lines})


def reported_graph():
    x = v1.placeholder(tf.float32, [None, 16], name="x")
    y = tf.nn.relu(tf.matmul(x, weights(16, 16)) + 1.0)
    text = tf.strings.as_string(y)
    return x, tf.identity(y, name="y"), tf.identity(text, name="text")


def test_reports_agree_with_a_loop_over_the_graph(graph_mode, tmp_path, caplog):
    x, y, text = reported_graph()
    graph_def = v1.get_default_graph().as_graph_def()
    with caplog.at_level("INFO", "graft.trt_convert"):
        graph = trt.create_inference_graph(graph_def, ["y", "text"], max_batch_size=8)
    logged = [record.getMessage() for record in caplog.records]
    (report,) = [box(message) for message in logged if "non-converted OP Report" in message]
    assert report == left_in(graph)
    (sentence,) = [message for message in logged if message.startswith("There are")]
    assert sentence.startswith(f"There are {left_in(graph).total()} ops of {len(left_in(graph))} different types")

    # The same model as a SavedModel has the same report.
    save_v1(tmp_path / "model", {"serving_default": ({"x": x}, {"y": y, "text": text})})
    counts = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    assert left_in(main_graph(tmp_path / "converted")) == report
    assert [left["op"] for left in counts["unconverted"]] == ["AsString"]


def test_nodes_inside_functions_stand_apart(tmp_path):
    class Loop(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, "x")])
        def serve(self, x):
            w = tf.constant(weights(16, 16))
            for _ in tf.range(tf.shape(x)[0]):
                x = tf.nn.relu(tf.matmul(x, w) + 1.0)
            return {"y": tf.tanh(tf.matmul(x, w) + 1.0)}

    module = Loop()
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.serve)
    report = support.convert(tmp_path / "model", "--output", tmp_path / "converted")
    graph = main_graph(tmp_path / "converted")
    plain = left_in(graph) - collections.Counter(["Placeholder", "NoOp"])
    native = [left for left in report["unconverted"] if not left.get("in_function")]
    assert 0 < report["function_ops"] < report["total_ops"]
    assert len(native) == (report["total_ops"] - report["converted_ops"]) - (
        report["function_ops"] - report["converted_function_ops"]
    )
    assert collections.Counter(left["op"] for left in native) == plain - collections.Counter(
        {"Identity": plain["Identity"]}
    )
