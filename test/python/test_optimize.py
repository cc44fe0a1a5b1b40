"""graft.optimize: one line, any model."""

import collections

import numpy as np
import pytest

import small_models
import support
from support import EngineCalls, relative_error

import tensorflow as tf

import graft

keras = pytest.importorskip("keras")


def images(batch, seed=1):
    return small_models.images(batch, seed)


@pytest.fixture(scope="module")
def keras_model():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dropout(0.5)(x)
    outputs = {
        "logits": keras.layers.Dense(5)(x),
        "classes": keras.layers.Dense(3, activation="softmax")(x),
    }
    return keras.Model(image, outputs)


def assert_same(values, references, tolerance=support.TOLERANCE):
    """Structure and numbers."""
    tf.nest.assert_same_structure(values, references, expand_composites=True)
    for value, reference in zip(
        tf.nest.flatten(values, expand_composites=True),
        tf.nest.flatten(references, expand_composites=True),
    ):
        if isinstance(reference, (tf.Tensor, np.ndarray)):
            assert value.dtype == reference.dtype
            assert relative_error(value, reference) <= tolerance
        else:
            assert value == reference


def assert_by_engines(fast, original, *args, **kwargs):
    with EngineCalls() as calls:
        values = fast(*args, **kwargs)
    calls.assert_engine_ran()
    assert_same(values, original(*args, **kwargs))
    assert not fast.fallbacks


# ---- kinds of models


def test_a_keras_model(keras_model):
    fast = graft.optimize(keras_model)
    assert fast.report["engines"] == 1
    assert fast.report["converted_ops"] == fast.report["total_ops"]
    for batch in (1, 4, 2):
        assert_by_engines(fast, keras_model, images(batch))
    assert sum(counts["engine_calls"] for counts in fast.statistics().values()) >= 3


def test_a_keras_file(keras_model, tmp_path):
    path = tmp_path / "model.keras"
    keras_model.save(path)
    assert_by_engines(graft.optimize(path), keras_model, images(2))


def test_a_keras_2_model():
    tf_keras = pytest.importorskip("tf_keras")
    left = tf_keras.Input((6,), name="left")
    right = tf_keras.Input((6,), name="right")
    x = tf_keras.layers.Dense(8, "relu")(tf_keras.layers.Concatenate()([left, right]))
    model = tf_keras.Model([left, right], [tf_keras.layers.Dense(2)(x), x])
    inputs = [np.ones((3, 6), np.float32), np.zeros((3, 6), np.float32)]
    assert_by_engines(graft.optimize(model), model, inputs)


def test_a_subclassed_keras_model_is_converted_at_its_first_call():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(8, activation="relu")
            self.out = keras.layers.Dense(3, activation="softmax")

        def call(self, x, training=None):
            return self.out(self.hidden(x["a"]) + self.hidden(x["b"]))

    model = Model()
    fast = graft.optimize(model)
    assert fast.report is None
    x = {"a": tf.ones([4, 6]), "b": tf.zeros([4, 6])}
    model(x)
    assert_by_engines(fast, model, x)
    assert fast.report["engines"] == 1


def weights(*shape):
    return tf.Variable(np.random.default_rng(0).standard_normal(shape, np.float32))


Pair = collections.namedtuple("Pair", ["mean", "rows"])


def test_a_function_of_nested_structures():
    w = weights(8, 4)

    @tf.function
    def function(x, scale=1.0, *, also=None):
        y = tf.nn.relu(x["a"][0] @ w) * scale + x["a"][1]
        rows = [tf.reduce_sum(y, -1), None if also is None else tf.cast(also, tf.float32) + y]
        return Pair(tf.reduce_mean(y), rows), y

    fast = graft.optimize(function)
    for batch in (3, 5):
        x = {"a": (tf.random.normal([batch, 8]), tf.random.normal([batch, 4]))}
        assert_by_engines(fast, function, x)
    engines = fast.report["engines"]
    assert engines == 1
    # Another kind of call is another conversion; a number of Python's is a constant of it.
    assert_by_engines(fast, function, x, 2.0, also=tf.constant(3))
    assert_by_engines(fast, function, x)


def test_a_new_batch_is_no_new_trace():
    w, traces = weights(8, 4), []

    @tf.function
    def function(x):
        traces.append(x.shape)
        return tf.tanh(tf.nn.relu(x @ w)) + 1.0

    fast = graft.optimize(function)
    for batch in (3, 5, 9, 1):
        fast(tf.ones([batch, 8]))
    assert len(traces) == 1


def test_a_function_with_a_signature_is_converted_at_once():
    w = weights(8, 4)

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32)])
    def function(x):
        return tf.tanh(tf.nn.relu(x @ w)) + 1.0

    fast = graft.optimize(function)
    assert fast.report["engines"] == 1
    assert_by_engines(fast, function, tf.ones([3, 8]))
    assert_by_engines(
        graft.optimize(function.get_concrete_function()),
        function.get_concrete_function(),
        tf.ones([2, 8]),
    )


def test_a_saved_model_and_its_signatures(v2_saved_model):
    loaded = tf.saved_model.load(str(v2_saved_model))
    for key, source in [
        ("serving_default", v2_saved_model),
        ("features", str(v2_saved_model)),
        ("features", loaded),
    ]:
        fast = graft.optimize(source, signature=key)
        assert fast.report["engines"] == 1
        assert_by_engines(fast, loaded.signatures[key], image=tf.constant(images(3)))
    with pytest.raises(ValueError, match="there is no signature 'x'"):
        graft.optimize(v2_saved_model, signature="x")


def test_what_is_no_model():
    with pytest.raises(TypeError, match="neither a model, nor a function, nor a path"):
        graft.optimize(3)


# ---- where it runs


def test_in_graphs_and_in_datasets(keras_model):
    fast = graft.optimize(keras_model)
    reference = keras_model(images(4))

    @tf.function
    def twice(image):
        return 2.0 * fast(image)["logits"]

    with EngineCalls() as calls:
        assert relative_error(twice(images(4)), 2.0 * reference["logits"]) <= support.TOLERANCE
        dataset = tf.data.Dataset.from_tensor_slices(images(4)).batch(3).map(fast)
        rows = np.concatenate([batch["logits"] for batch in dataset])
    assert calls.calls == 3 and calls.fallbacks == 0
    assert relative_error(rows, reference["logits"]) <= support.TOLERANCE


def test_it_is_saved_and_loaded(keras_model, tmp_path):
    fast = graft.optimize(keras_model)
    tf.saved_model.save(fast, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    with EngineCalls() as calls:
        called = loaded(tf.constant(images(3)))
        served = loaded.signatures["serving_default"](image=tf.constant(images(3)))
    assert calls.calls == 2 and calls.fallbacks == 0
    assert_same(called, keras_model(images(3)))
    assert_same(served, keras_model(images(3)))
    assert not (tmp_path / "model/variables/variables.data-00000-of-00001").stat().st_size > 1000


# ---- what is no constant


def test_variables_that_it_assigns_and_tables_stay_the_model_s(tmp_path):
    class Model(tf.Module):
        def __init__(self):
            self.w = weights(4, 8)
            self.calls = tf.Variable(0)
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2]), 0
            )

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, words):
            self.calls.assign_add(1)
            x = tf.one_hot(self.table.lookup(words), 4) @ self.w
            return {"y": tf.tanh(tf.nn.relu(x)) + 1.0, "calls": self.calls.read_value()}

    model = Model()
    fast = graft.optimize(model.__call__.get_concrete_function())
    words = tf.constant(["b", "x", "a"])
    with EngineCalls() as calls:
        first, second = fast(words), fast(words)
    calls.assert_engine_ran()
    assert (int(first["calls"]), int(second["calls"]), int(model.calls)) == (1, 2, 2)
    reference = model(words)
    assert relative_error(first["y"], reference["y"]) <= support.TOLERANCE
    model.w.assign(tf.zeros_like(model.w))
    assert relative_error(fast(words)["y"], reference["y"]) <= support.TOLERANCE


def test_loops_that_gather_from_a_variable():
    table, w = weights(10, 8), weights(8, 10)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def generate(tokens):
        def step(i, tokens):
            scores = tf.tanh(tf.gather(table, tokens)) @ w
            return i + 1, tf.argmax(scores * 2.0 + 1.0, 1, tf.int32)

        return tf.while_loop(lambda i, _: i < 4, step, [0, tokens])[1]

    fast = graft.optimize(generate)
    tokens = tf.constant([1, 5, 9])
    with EngineCalls() as calls:
        assert fast(tokens).numpy().tolist() == generate(tokens).numpy().tolist()
    calls.assert_engine_ran()
    assert not fast.fallbacks


def test_loops_of_tensorflow_1(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [None, 4], "x")
        y = tf.nn.relu(x @ tf.constant(np.eye(4, dtype=np.float32)) + 1.0) * 2.0
        rows = v1.map_fn(lambda row: row - tf.reduce_max(row), y)
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x}, {"rows": rows})
        v1.enable_control_flow_v2()
    fast = graft.optimize(tmp_path / "model")
    original = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert_by_engines(fast, original, x=tf.random.stateless_normal([3, 4], [1, 2]))


def test_functions_that_stay_are_told_from_the_model_s(tmp_path):
    """A BatchFunction keeps its function, which the converter changes; the process has the old one under that name."""
    w = weights(4, 4)

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4])])
        def __call__(self, x):
            @tf.nondifferentiable_batch_function(1, 8, 1000)
            def batched(x):
                return tf.nn.relu(x @ w + 1.0)

            return tf.nn.softmax(batched(tf.nn.relu(x * 2.0) - 0.5) @ w)

    model = Model()
    model.w = w
    tf.saved_model.save(model, str(tmp_path / "model"))
    fast = graft.optimize(tmp_path / "model")
    original = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    assert_by_engines(fast, original, x=tf.random.stateless_normal([3, 4], [1, 2]))


def test_it_converts_what_the_program_does(v2_saved_model):
    """But for Identity nodes, which calls of functions leave behind."""
    program, fast = support.convert(v2_saved_model), graft.optimize(v2_saved_model).report

    def left(report):
        return [n["op"] for n in report["unconverted"] if not n["op"].startswith("Identity")]

    assert fast["engines"] == program["engines"] > 0
    assert left(fast) == left(program)
    assert abs(fast["converted_ops"] - program["converted_ops"]) <= 2


# ---- precision


def test_precision_is_checked(keras_model):
    with pytest.raises(ValueError, match="precision mode 'FP8' is not supported"):
        graft.optimize(keras_model, precision="FP8")
    with pytest.raises(ValueError, match="calibration_data is for INT8"):
        graft.optimize(keras_model, calibration_data=[images(1)])
    with pytest.raises(ValueError, match="is one array, not batches"):
        graft.optimize(keras_model, precision="INT8", calibration_data=images(4))
    with pytest.raises(ValueError, match="calibration_data is empty"):
        graft.optimize(keras_model, precision="INT8", calibration_data=[])


def test_a_model_of_a_dict_is_calibrated_by_dicts():
    inputs = {name: keras.Input((16,), name=name) for name in ("a", "b")}
    model = keras.Model(inputs, keras.layers.Dense(4)(inputs["a"] - inputs["b"]))
    batch = {name: np.random.default_rng(0).random((8, 16), np.float32) for name in ("a", "b")}
    fast = graft.optimize(model, precision="INT8", calibration_data=[batch])
    with EngineCalls() as calls:
        values = fast(batch)
    calls.assert_engine_ran()
    assert relative_error(values, model(batch)) < 0.1


@pytest.mark.usefixtures("strict_int8")
def test_int8_is_calibrated_by_data(keras_model):
    fast = graft.optimize(
        keras_model, precision="INT8", calibration_data=[images(4, seed) for seed in (2, 3)]
    )
    with EngineCalls() as calls:
        values = fast(images(4))
    calls.assert_engine_ran()
    reference = keras_model(images(4))
    error = relative_error(values["classes"], reference["classes"])
    assert 1e-6 < error < 0.1  # 8 bits were used, and were enough


def test_int8_permits_integers_and_the_report_says_where_they_are(monkeypatch):
    import keras

    # On integers only the large product can be worth the casts; a first layer of three numbers is not.
    keras.utils.set_random_seed(5)
    image = keras.Input((96, 96, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    model = keras.Model(image, keras.layers.Conv2D(4, 1)(x))
    batch = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)

    def int8_of(**arguments):
        fast = graft.optimize(model, precision="INT8", calibration_data=[batch], **arguments)
        assert relative_error(fast(batch), model(batch)) < 0.1
        (engine,) = fast.report["engine_list"]
        return engine["int8"]

    timed = int8_of()
    assert timed["products"] == 3 == timed["on_integers"] + len(timed["in_floats"])
    for layer in timed["in_floats"]:
        assert "integers take" in layer["reason"], layer
    monkeypatch.setenv("GRAFT_STRICT_INT8", "1")
    assert int8_of()["on_integers"] == 3
    monkeypatch.delenv("GRAFT_STRICT_INT8")
    # Nothing may be timed.
    assert int8_of(opt_level=0)["on_integers"] == 3


def test_int8_can_be_held_to_an_accuracy(keras_model):
    batches = [images(4, seed) for seed in (2, 3, 4)]

    def optimized(**goal):
        fast = graft.optimize(keras_model, precision="INT8", calibration_data=batches, opt_level=0, **goal)
        (engine,) = fast.report["engine_list"]
        return fast, engine

    def noise(fast):
        pairs = [(fast(batch)[name], keras_model(batch)[name]) for batch in batches for name in ("logits", "classes")]
        return max(relative_error(value, reference) for value, reference in pairs)

    _, anything = optimized(min_sqnr_db=1)
    wanted = anything["precision"]["integers_sqnr"] + 1
    fast, engine = optimized(min_sqnr_db=wanted)
    reasons = [layer.get("reason") for layer in engine["precision"]["layers"]]
    assert "accuracy" in reasons
    assert len(engine["int8"]["in_floats"]) >= reasons.count("accuracy")
    assert noise(fast) < 0.1
    fast, engine = optimized(min_sqnr_db=1000)
    assert engine["int8"]["on_integers"] == 0 and noise(fast) <= support.TOLERANCE

    classes = np.concatenate([keras_model(batch)["classes"].numpy().argmax(1) for batch in batches])
    _, engine = optimized(labels=classes, max_drop=100)
    assert engine["precision"]["top_1"]["floats"] == 100
    for goal, text in (
        ({"labels": classes[1:]}, "11 labels for 12 samples"),
        ({"max_drop": 1}, "labels are needed"),
    ):
        with pytest.raises(ValueError, match=text):
            optimized(**goal)
    with pytest.raises(ValueError, match="need calibration_data"):
        graft.optimize(keras_model, precision="INT8", min_sqnr_db=30)


# ---- what cannot be converted


def test_calls_that_cannot_be_converted_are_the_original_s_and_counted():
    w = weights(8, 4)

    @tf.function
    def function(x):
        return tf.tanh(tf.nn.relu(x @ w)) + 1.0

    fast = graft.optimize(function, precision="INT8")  # no ranges, no data to find them by
    x = tf.ones([3, 8])
    for _ in range(3):
        assert_same(fast(x), function(x))
    ((reason, count),) = fast.fallbacks.items()
    assert count == 3 and "range" in reason
    assert fast.report is None


def test_a_function_of_one_batch_alone_is_the_original_s():
    @tf.function
    def function(x):
        rows = x.shape[0] + 1  # of no use where the batch is not known
        return tf.nn.relu(tf.tanh(tf.exp(x))) * rows

    fast = graft.optimize(function)
    assert_same(fast(tf.ones([3, 8])), function(tf.ones([3, 8])))
    ((reason, count),) = fast.fallbacks.items()
    assert count == 1 and reason.startswith("it cannot be traced for any batch: TypeError")


def test_an_engine_s_fallback_is_counted(keras_model, monkeypatch):
    monkeypatch.setenv("TF_TRT_ABORT_CUDA_ENGINE_BUILD", "1")
    fast = graft.optimize(keras_model)
    before = sum(counts["fallbacks"] for counts in fast.statistics().values())
    assert_same(fast(images(2)), keras_model(images(2)))
    assert sum(counts["fallbacks"] for counts in fast.statistics().values()) == before + 1
