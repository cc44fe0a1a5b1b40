"""Online conversion: the pass TensorRTOptimizer, which converts a graph before TensorFlow runs it."""

import json
import statistics
import threading

import numpy as np
import pytest

import small_models
import support
from support import EngineCalls, assert_close

import tensorflow as tf
from tensorflow.python.framework import convert_to_constants
from tensorflow.python.grappler import tf_optimizer

import graft
from graft import trt_convert as trt

v1 = tf.compat.v1
FETCHES = {"logits": "logits:0", "classes": "classes:0"}


def expected(batch):
    values = small_models.expected(batch)
    return {key: values[key] for key in FETCHES}


@pytest.fixture(scope="module")
def graph_def(frozen_graph):
    return v1.GraphDef.FromString(frozen_graph.read_bytes())


def config(is_dynamic_op=False, max_batch_size=1, is_v2=False, **parameters):
    """A session's, with the pass."""
    if is_dynamic_op:
        max_batch_size = None
    made = v1.ConfigProto()
    made.graph_options.rewrite_options.CopyFrom(
        graft.get_tensorrt_rewriter_config(
            trt.TrtConversionParams(**parameters), is_dynamic_op, max_batch_size, is_v2
        )
    )
    return made


def pass_of(session_config):
    (optimizer,) = [
        o
        for o in session_config.graph_options.rewrite_options.custom_optimizers
        if o.name == "TensorRTOptimizer"
    ]
    return optimizer


def run(graph_def, session_config, batch=3, fetches=FETCHES, feed=None):
    """The fetched values, and the nodes that TensorFlow ran."""
    options = v1.RunOptions(output_partition_graphs=True)
    metadata = v1.RunMetadata()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with v1.Session(graph=graph, config=session_config) as session:
            feed = feed or {"image:0": small_models.images(batch)}
            values = session.run(fetches, feed, options=options, run_metadata=metadata)
    return values, [node for part in metadata.partition_graphs for node in part.node]


def engines(nodes):
    return [node for node in nodes if node.op == "TRTEngineOp"]


# ---- the session's configuration


def test_the_rewriter_config_says_what_upstream_s_did():
    params = trt.TrtConversionParams(max_workspace_size_bytes=1 << 20, precision_mode="INT8")
    made = graft.get_tensorrt_rewriter_config(params, is_dynamic_op=False, max_batch_size=8)
    assert list(made.optimizers) == [
        *("pruning", "debug_stripper", "layout", "dependency", "constfold"),
        "common_subgraph_elimination",
    ]
    assert [o.name for o in made.custom_optimizers] == ["TensorRTOptimizer", "constfold"]
    assert made.remapping == made.OFF and made.meta_optimizer_iterations == made.ONE
    parameters = made.custom_optimizers[0].parameter_map
    assert {name: value.i for name, value in parameters.items() if value.HasField("i")} == {
        "minimum_segment_size": 3,
        "max_workspace_size_bytes": 1 << 20,
        "maximum_cached_engines": 1,
        "max_batch_size": 8,
    }
    assert {name: value.b for name, value in parameters.items() if value.HasField("b")} == {
        "use_calibration": True,
        "is_dynamic_op": False,
        "allow_build_at_runtime": True,
        "use_implicit_batch": True,
    }
    assert parameters["precision_mode"].s == b"INT8"


def test_other_optimizers_can_be_turned_off():
    made = graft.get_tensorrt_rewriter_config(
        trt.TrtConversionParams(), is_v2=True, disable_non_trt_optimizers=True
    )
    assert not made.optimizers
    assert [o.name for o in made.custom_optimizers] == ["TensorRTOptimizer"]
    assert made.constant_folding == made.OFF and made.disable_model_pruning
    assert "max_batch_size" not in made.custom_optimizers[0].parameter_map


@pytest.mark.parametrize(
    "message, arguments",
    [
        ("is_dynamic_op is either None or True for TF2", {"is_v2": True, "is_dynamic_op": False}),
        ("is_dynamic_op can't be None for TF1", {}),
        (
            "max_batch_size has to be None for TF2 or when is_dynamic_op == True in TF1",
            {"is_dynamic_op": True, "max_batch_size": 1},
        ),
        (
            "max_batch_size has to be None for TF2 or when is_dynamic_op == True in TF1",
            {"is_v2": True, "max_batch_size": 1},
        ),
        (
            "max_batch_size has to be an integer for is_dynamic_op==False in TF1",
            {"is_dynamic_op": False},
        ),
    ],
)
def test_combinations_that_make_no_sense(message, arguments):
    with pytest.raises(ValueError) as raised:
        graft.get_tensorrt_rewriter_config(trt.TrtConversionParams(), **arguments)
    assert str(raised.value) == message


def test_values_that_are_not_supported():
    for params, text in [
        (trt.TrtConversionParams(precision_mode="FP8"), "precision mode 'FP8' is not supported."),
        (trt.TrtConversionParams(minimum_segment_size=0), "minimum segment size should be positive"),
    ]:
        with pytest.raises(ValueError, match=text):
            graft.get_tensorrt_rewriter_config(params, is_v2=True)


# ---- sessions


@pytest.mark.parametrize("is_dynamic_op", [False, True])
def test_a_session_runs_a_frozen_graph_by_engines(graph_def, is_dynamic_op):
    with EngineCalls() as calls:
        values, nodes = run(graph_def, config(is_dynamic_op, maximum_cached_engines=5))
    calls.assert_engine_ran()
    assert_close(values, expected(3))
    (engine,) = engines(nodes)
    assert engine.attr["static_engine"].b is not is_dynamic_op
    assert bool(engine.attr["serialized_segment"].s) is not is_dynamic_op
    assert engine.attr["max_cached_engines_count"].i == 5
    assert engine.attr["_use_implicit_batch"].b


RESNET_50 = """
import json, sys, time
import numpy as np
import tensorflow as tf
import graft
from graft import trt_convert as trt

v1 = tf.compat.v1
graph_def = v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
x = np.ones((1, 224, 224, 3), np.float32)

def session(graph_def, config=None):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    session = v1.Session(graph=graph, config=config)
    return lambda: session.run("y:0", {"x:0": x})

def seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin

native = session(graph_def)
native_first = seconds(native)
config = v1.ConfigProto()
dynamic = sys.argv[2] == "dynamic"
config.graph_options.rewrite_options.CopyFrom(
    graft.get_tensorrt_rewriter_config(trt.TrtConversionParams(), dynamic, None if dynamic else 1)
)
online = session(graph_def, config)
first = seconds(online)
deadline = time.monotonic() + 120
while dynamic and not any(n["tunings"] for n in graft.engine_statistics().values()) and time.monotonic() < deadline:
    online()
nodes = graft.engine_statistics()
with tf.Graph().as_default():
    offline = session(trt.TrtGraphConverter(input_graph_def=graph_def, nodes_denylist=["y"]).convert())
calls = {"native": native, "online": online, "offline": offline}
times = {name: [] for name in calls}
for _ in range(60):
    for name, call in calls.items():
        times[name].append(seconds(call))
print(json.dumps({"first": first, "native_first": native_first, "nodes": nodes, "times": times}))
"""


@pytest.mark.models
@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_the_first_run_of_resnet_50_takes_seconds_and_later_ones_what_offline_conversion_gives(mode, tmp_path):
    import keras

    model = keras.applications.ResNet50(weights=None)
    function = tf.function(lambda x: tf.identity(model(x), name="y"))
    concrete = function.get_concrete_function(tf.TensorSpec([None, 224, 224, 3], tf.float32, name="x"))
    frozen = convert_to_constants.convert_variables_to_constants_v2(concrete)
    (tmp_path / "graph.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    printed = support.run_python(
        "-c", RESNET_50, tmp_path / "graph.pb", mode, GRAFT_CACHE=str(tmp_path), GRAFT_TF_TUNE="background"
    )
    found = json.loads(printed.splitlines()[-1])
    (node,) = found["nodes"].values()
    assert (node["fallbacks"], node["tunings"]) == (0, int(mode == "dynamic"))
    median = {name: statistics.median(times) * 1e3 for name, times in found["times"].items()}
    print(f"{mode}: first run {found['first']:.1f} s, native {found['native_first']:.1f} s; then {median} ms")
    assert found["first"] <= 5
    assert median["online"] <= 1.03 * median["offline"]


def test_every_parameter_reaches_the_node(graph_def):
    asked = config(max_batch_size=4, max_workspace_size_bytes=1 << 21, minimum_segment_size=2)
    parameters = pass_of(asked).parameter_map
    parameters["allow_build_at_runtime"].b = False
    parameters["use_implicit_batch"].b = False
    parameters["profile_strategy"].s = b"optimal"
    parameters["precision_mode"].s = b"fp32"
    parameters["trt_logger_name"].s = b"DefaultLogger"
    _, nodes = run(graph_def, asked)
    (engine,) = engines(nodes)
    assert engine.attr["max_batch_size"].i == 4
    assert engine.attr["workspace_size_bytes"].i == 1 << 21
    assert engine.attr["precision_mode"].s == b"FP32"
    assert engine.attr["profile_strategy"].s == b"optimal"
    assert not engine.attr["_allow_build_at_runtime"].b
    assert not engine.attr["_use_implicit_batch"].b
    assert not engine.attr["use_calibration"].b


def test_engine_names_are_the_content_s(graph_def):
    names = {engines(run(graph_def, config())[1])[0].name for _ in range(2)}
    assert len(names) == 1


def test_what_is_fed_in_the_middle_is_fed(graph_def):
    values = np.random.default_rng(3).standard_normal((2, 8, 8, 16), np.float32)
    feed = {"image:0": small_models.images(2), "relu2:0": values}
    fetches = {**FETCHES, "first": "relu1:0"}
    native, _ = run(graph_def, v1.ConfigProto(), fetches=fetches, feed=feed)
    with EngineCalls() as calls:
        converted, _ = run(graph_def, config(), fetches=fetches, feed=feed)
    calls.assert_engine_ran()
    assert_close(converted, native)


def test_what_is_fetched_in_the_middle_is_there(graph_def):
    fetches = {"a": "relu1:0", "b": "pool:0", "logits": "logits:0"}
    native, _ = run(graph_def, v1.ConfigProto(), fetches=fetches)
    with EngineCalls() as calls:
        converted, _ = run(graph_def, config(), fetches=fetches)
    calls.assert_engine_ran()
    assert_close(converted, native)


def test_small_segments_stay(graph_def):
    values, nodes = run(graph_def, config(minimum_segment_size=100))
    assert not engines(nodes)
    assert_close(values, expected(3))


def test_the_main_graph_stays_with_minus_one(graph_def):
    assert not engines(run(graph_def, config(minimum_segment_size=-1))[1])


def test_variables_stay_and_engines_are_around_them():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8], "x")
        counter = v1.get_variable("counter", initializer=1.0, use_resource=True)
        y = tf.nn.relu(tf.sqrt(tf.abs(tf.sin(x)))) * counter
        with tf.control_dependencies([counter.assign_add(1.0)]):
            y = tf.identity(tf.tanh(tf.exp(-y)), "y")
        with v1.Session(graph=graph, config=config()) as session, EngineCalls() as calls:
            session.run(v1.global_variables_initializer())
            value = np.ones((2, 8), np.float32)
            for _ in range(3):
                session.run(y, {x: value})
            assert session.run(counter) == 4.0
    calls.assert_engine_ran()


# ---- what goes wrong


def test_what_the_pass_adds_is_placed():
    """Of a session's graph, which is placed before the pass sees it; tables are where TensorFlow looks."""
    with tf.Graph().as_default() as graph:
        word = v1.placeholder(tf.string, [None], "word")
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2]), 0)
        x = tf.one_hot(table.lookup(word), 4)
        y = tf.nn.relu(x @ tf.constant(np.eye(4, dtype=np.float32)) * 2.0 + 1.0)
        start = v1.tables_initializer()
    with v1.Session(graph=graph, config=config()) as session, EngineCalls() as calls:
        session.run(start)
        found = session.run(y, {word: ["b", "x", "a"]})
    calls.assert_engine_ran()
    assert found.tolist() == (np.eye(4)[[2, 0, 1]] * 2 + 1).tolist()


@pytest.mark.parametrize("fails", [False, True])
def test_an_error_leaves_the_graph_and_is_told(graph_def, fails, capfd):
    """TensorFlow's sessions keep the graph with fail_on_optimizer_errors too."""
    asked = config()
    pass_of(asked).parameter_map["minimum_segment_size"].i = 0
    asked.graph_options.rewrite_options.fail_on_optimizer_errors = fails
    message = "minimum segment size should be positive or -1 (to disable main graph conversion)."
    values, nodes = run(graph_def, asked)
    assert not engines(nodes)
    assert_close(values, expected(3))
    told = f"TensorRTOptimizer: the graph stays as it is: tf_graph: {message}"
    assert told in capfd.readouterr().err


def test_optimize_graph_fails_where_it_is_to(graph_def):
    asked = config()
    pass_of(asked).parameter_map["precision_mode"].s = b"FP8"
    asked.graph_options.rewrite_options.fail_on_optimizer_errors = True
    with pytest.raises(Exception, match="FP8"):
        tf_optimizer.OptimizeGraph(
            asked, meta_graph(graph_def, ["logits:0"]), graph_id=b"tf_graph"
        )


def test_parameters_of_the_wrong_kind_are_told(graph_def, capfd):
    asked = config()
    pass_of(asked).parameter_map["is_dynamic_op"].s = b"yes"
    assert not engines(run(graph_def, asked)[1])
    assert "is_dynamic_op must be a bool" in capfd.readouterr().err


def test_parameters_that_are_not_known_have_no_effect(graph_def):
    asked = config()
    pass_of(asked).parameter_map["minimum_segment"].i = 100
    assert engines(run(graph_def, asked)[1])


# ---- threads


def test_six_sessions_are_converted_at_a_time(graph_def):
    results = [None] * 6

    def work(i):
        results[i] = run(graph_def, config(is_dynamic_op=bool(i % 2)), batch=i + 1)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    with EngineCalls() as calls:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    calls.assert_engine_ran()
    for i, (values, nodes) in enumerate(results):
        assert len(engines(nodes)) == 1
        assert_close(values, expected(i + 1))


# ---- tf_optimizer, functions


def meta_graph(graph_def, outputs=()):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        made = v1.train.export_meta_graph(graph=graph)
    made.collection_def["train_op"].node_list.value.extend(outputs)
    return made


def test_optimize_graph_converts(graph_def):
    outputs = ["logits:0", "classes:0"]
    converted = tf_optimizer.OptimizeGraph(
        config(), meta_graph(graph_def, outputs), graph_id=b"tf_graph"
    )
    assert len(engines(converted.node)) == 1
    values, _ = run(converted, v1.ConfigProto())
    assert_close(values, expected(3))


def test_nodes_that_are_named_stay(graph_def):
    """TF-TRT's nodes_denylist: names of nodes in train_op."""
    converted = tf_optimizer.OptimizeGraph(
        config(), meta_graph(graph_def, ["logits:0", "conv2"]), graph_id=b"tf_graph"
    )
    assert "Conv2D" in [node.op for node in converted.node if node.name == "conv2"]


def frozen_function():
    weights = {name: tf.Variable(value) for name, value in small_models._weights().items()}

    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float32, name="image")])
    def classify(image):
        return small_models._layers(image, weights)[1]

    return convert_to_constants.convert_variables_to_constants_v2(classify.get_concrete_function())


def test_functions_of_tensorflow_2_that_this_thread_calls():
    function = frozen_function()
    image = tf.constant(small_models.images(2))
    with EngineCalls() as calls, graft.online_conversion():
        (inside,) = function(image)
    calls.assert_engine_ran()
    with EngineCalls() as calls:
        (outside,) = function(image)
    assert calls.calls == 0
    reference = small_models.expected(2)["logits"]
    assert_close({"in": inside, "out": outside}, {"in": reference, "out": reference})


def marked_graph(**attributes):
    """A graph that calls a function, which is marked by the attributes."""
    body = frozen_function()
    graph_def = v1.GraphDef()
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, 16, 16, 3], "image")

        @tf.function(autograph=False)
        def marked(image):
            tf.import_graph_def(
                body.graph.as_graph_def(), {body.inputs[0].name: image}, name="body"
            )
            result = tf.compat.v1.get_default_graph().get_tensor_by_name(
                "body/" + body.outputs[0].name
            )
            return result

        tf.identity(tf.identity(marked(image)) + 0.0, name="logits")
        graph_def.CopyFrom(graph.as_graph_def())
    (function,) = [f for f in graph_def.library.function if "marked" in f.signature.name]
    function.attr["_noinline"].b = True
    for name, value in attributes.items():
        function.attr[name].CopyFrom(value)
    return graph_def


def test_marked_functions_are_converted_by_their_own_attributes():
    marks = {
        "_tftrt_convert_function": v1.AttrValue(b=True),
        "_tftrt_minimum_segment_size": v1.AttrValue(i=2),
        "_tftrt_precision_mode": v1.AttrValue(s=b"FP32"),
        "_tftrt_is_dyn_op": v1.AttrValue(b=True),
        "_tftrt_max_cached_engines": v1.AttrValue(i=7),
        "_tftrt_max_batch_size": v1.AttrValue(i=9),
        "_tftrt_trt_logger_name": v1.AttrValue(s=b""),
    }
    graph_def = marked_graph(**marks)
    asked = config(minimum_segment_size=-1)
    made = meta_graph(graph_def, ["logits:0"])
    converted = tf_optimizer.OptimizeGraph(asked, made, graph_id=b"tf_graph")
    assert not engines(converted.node)
    (function,) = [f for f in converted.library.function if "_tftrt_convert_function" in f.attr]
    (engine,) = engines(function.node_def)
    assert engine.attr["max_cached_engines_count"].i == 7
    assert engine.attr["max_batch_size"].i == 9
    assert not engine.attr["static_engine"].b
    assert set(marks) <= set(function.attr)
    with EngineCalls() as calls:
        values, _ = run(converted, v1.ConfigProto(), fetches={"logits": "logits:0"})
    calls.assert_engine_ran()
    assert_close(values, {"logits": small_models.expected(3)["logits"]})


def test_functions_without_the_mark_stay_with_minus_one():
    for marks in ({}, {"_tftrt_convert_function": v1.AttrValue(b=False)}):
        made = meta_graph(marked_graph(**marks), ["logits:0"])
        converted = tf_optimizer.OptimizeGraph(
            config(minimum_segment_size=-1), made, graph_id=b"tf_graph"
        )
        assert not engines(converted.node)
        assert not any(engines(f.node_def) for f in converted.library.function)


def test_native_segments_are_left_alone(graph_def):
    """A session that converts online runs a graph that was converted before."""
    converted = tf_optimizer.OptimizeGraph(
        config(), meta_graph(graph_def, ["logits:0", "classes:0"]), graph_id=b"tf_graph"
    )
    (first,) = engines(converted.node)
    with EngineCalls() as calls:
        values, nodes = run(converted, config())
    calls.assert_engine_ran()
    assert first.name in [node.name for node in engines(nodes)]
    assert_close(values, expected(3))
