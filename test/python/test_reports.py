"""What a conversion tells: TF-TRT's reports and log lines, letter for letter, and the variables that ask for them."""

import contextlib
import logging
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import support

import tensorflow as tf
from graft import trt_convert as trt

v1 = tf.compat.v1
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def mixed_ops():
    """Two parts that convert, of 4 and 2 nodes, with random numbers, strings and a denied op between and beside them."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        h = tf.matmul(x, tf.constant(np.eye(4, dtype=np.float32) + 1, name="w"), name="matmul")
        h = tf.sqrt(tf.nn.relu(tf.negative(h, name="neg"), name="relu"), name="sqrt")
        noise = tf.raw_ops.RandomStandardNormal(shape=[4], dtype=tf.float32, name="noise")
        tf.strings.as_string(h, name="text")
        tf.strings.as_string(noise, name="more")
        t = tf.tanh(tf.tanh(h, name="tanh_1"), name="tanh_2")
        tf.exp(tf.add(t, noise, name="shifted"), name="scores")
    return graph.as_graph_def()


OUTPUTS = ["scores", "text", "more"]
ENGINE = "TRTEngineOp_NNN_000"  # NNN says what it is made of
EXCLUDED = "excluded by segmenter option. Most likely an input or output node."
DENIED = "Denylisted with the env var TF_TRT_OP_DENYLIST"
TOO_SMALL = "its segment has fewer than minimum_segment_size (3) nodes"
NO_STRINGS = "Op type AsString is not supported."
NO_NOISE = "Op type RandomStandardNormal is not supported."


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "mixed.pb"
    path.write_bytes(mixed_ops().SerializeToString())
    return path


@pytest.fixture
def convert(monkeypatch, graph_mode, tmp_path):
    """Converts the mixed graph under some variables."""
    monkeypatch.chdir(tmp_path)

    def run(graph=None, minimum_segment_size=3, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        converter = trt.TrtGraphConverter(
            input_graph_def=graph or mixed_ops(), minimum_segment_size=minimum_segment_size
        )
        return converter.convert()

    return run


def engines(graph):
    return [node for node in graph.node if node.op == "TRTEngineOp"]


def run_graph(graph, fetch):
    with tf.Graph().as_default() as loaded, v1.Session(graph=loaded) as session:
        tf.import_graph_def(graph, name="")
        return session.run(f"{fetch}:0", {"x:0": X})


# ---- reports

OLD_REPORT = (
    "There are 8 ops of 6 different types in the graph that are not converted to TensorRT: "
    "AddV2, AsString, Exp, Placeholder, RandomStandardNormal, Tanh, "
    "(For more information see https://docs.nvidia.com/deeplearning/dgx/tf-trt-user-guide/index.html#supported-ops)."
)
NEW_REPORT = f"""

################################################################################
TensorRT unsupported/non-converted OP Report:
\t- AsString -> 2x{{}}
\t- Tanh -> 2x{{}}
\t- AddV2 -> 1x{{}}
\t- Exp -> 1x{{}}
\t- Placeholder -> 1x{{}}
\t- RandomStandardNormal -> 1x{{}}
--------------------------------------------------------------------------------
\t- Total nonconverted OPs: 8
\t- Total nonconverted OP Types: 6
For more information see https://docs.nvidia.com/deeplearning/frameworks/tf-trt-user-guide/index.html#supported-ops.
################################################################################
"""


def messages(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_reports_of_mixed_ops(convert, caplog):
    with caplog.at_level(logging.INFO, "graft.trt_convert"):
        graph = convert(TF_TRT_OP_DENYLIST="Tanh")
    (engine,) = [node.name for node in engines(graph)]
    assert messages(caplog, logging.WARNING) == [NEW_REPORT.format(*[""] * 6)]
    assert messages(caplog, logging.INFO) == [
        "Calibration with FP32 or FP16 is not implemented. Falling back to use_calibration = False.",
        OLD_REPORT,
        "Number of TensorRT candidate segments: 1",
        f"Replaced segment 0 consisting of 4 nodes by {engine}.",
    ]


def test_a_detailed_report_has_the_reasons(convert, caplog):
    convert(TF_TRT_OP_DENYLIST="Tanh", TF_TRT_SHOW_DETAILED_REPORT=1)
    details = (
        f"\n\t\t- [Count: 2x] {NO_STRINGS}",
        f"\n\t\t- [Count: 2x] {DENIED}",
        *[f"\n\t\t- [Count: 1x] {TOO_SMALL}"] * 2,
        f"\n\t\t- [Count: 1x] {EXCLUDED}",
        f"\n\t\t- [Count: 1x] {NO_NOISE}",
    )
    assert messages(caplog, logging.WARNING) == [NEW_REPORT.format(*details)]


def test_a_detailed_report_may_be_a_file(convert, caplog, tmp_path):
    convert(TF_TRT_OP_DENYLIST="Tanh", TF_TRT_SHOW_DETAILED_REPORT=tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text() == (
        "OP Name|Reason|Count\n"
        f"AsString|{NO_STRINGS}|2\n"
        f"Tanh|{DENIED}|2\n"
        f"AddV2|{TOO_SMALL}|1\n"
        f"Exp|{TOO_SMALL}|1\n"
        f"Placeholder|{EXCLUDED}|1\n"
        f"RandomStandardNormal|{NO_NOISE}|1\n"
    )
    assert messages(caplog, logging.WARNING) == [NEW_REPORT.format(*[""] * 6)]


# ---- the log


def not_a_candidate(op, name, reason):
    return f"Not a TF-TRT candidate, (Op type: {op}), (Op name: {name}), (Reason: {reason})"


def accepted(op, name):
    return f"Accepted as a TF-TRT candidate, (Op type: {op}), (Op name: {name})"


REJECTED_LINES = [
    not_a_candidate("Placeholder", "x", EXCLUDED),
    not_a_candidate("RandomStandardNormal", "noise", NO_NOISE),
    not_a_candidate("AsString", "text", NO_STRINGS),
    not_a_candidate("AsString", "more", NO_STRINGS),
    not_a_candidate("Tanh", "tanh_1", DENIED),
    not_a_candidate("Tanh", "tanh_2", DENIED),
]
ACCEPTED_LINES = [
    accepted("MatMul", "matmul"),
    accepted("Neg", "neg"),
    accepted("Relu", "relu"),
    accepted("Sqrt", "sqrt"),
    accepted("AddV2", "shifted"),
    accepted("Exp", "scores"),
]
WIRING_LINES = [
    f"{ENGINE}: 4 nodes, 1 constants",
    f"{ENGINE}: input 0 is x float[?,4]",
    f"{ENGINE}: output 0 is sqrt float[?,4]",
]


def nameless(text):
    return re.sub(r"TRTEngineOp_\d+_", "TRTEngineOp_NNN_", text)


def log_of(model, folder, **variables):
    """What graft convert logs: (module, line)s."""
    outputs = ",".join(f"{name}:0" for name in OUTPUTS)
    arguments = ["convert", model, "--outputs", outputs, "--output", "converted.pb", "--opt-level", "0"]
    done = subprocess.run(
        [support.PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, "TF_TRT_OP_DENYLIST": "Tanh", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.removeprefix("I ").partition(": ") for line in nameless(done.stderr).splitlines()]
    return [(module, line) for module, _, line in lines]


def test_the_log_is_silent_unless_asked(model, tmp_path):
    assert log_of(model, tmp_path) == []


@pytest.mark.parametrize("variable", ["TF_CPP_VMODULE", "GRAFT_VMODULE"])
def test_segment_logs_what_is_rejected(model, tmp_path, variable):
    log = log_of(model, tmp_path, **{variable: "segment=1"})
    assert log == [("segment", line) for line in REJECTED_LINES]


@pytest.mark.parametrize("variable", ["TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_MIN_VLOG_LEVEL"])
def test_tensorflows_level_governs_all_modules(model, tmp_path, variable):
    def lines(level, **others):
        log = log_of(model, tmp_path, **{variable: level}, **others)
        return [line for module, line in log if module == "segment"]

    assert lines("1") == REJECTED_LINES
    assert set(lines("2")) == {*REJECTED_LINES, *ACCEPTED_LINES}
    # What is said of one module counts more.
    assert lines("2", GRAFT_VMODULE="segment=0") == []


def test_segment_logs_what_is_accepted_and_merged(model, tmp_path):
    log = [line for _, line in log_of(model, tmp_path, GRAFT_VMODULE="segment=3")]
    assert [line for line in log if line.startswith("Accepted")] == ACCEPTED_LINES
    assert [line for line in log if line.startswith("Merged")] == [
        "Merged neg into the segment of matmul",
        "Merged relu into the segment of neg",
        "Merged sqrt into the segment of relu",
        "Merged scores into the segment of shifted",
    ]


def test_convert_graph_logs_the_wiring(model, tmp_path):
    log = log_of(model, tmp_path, GRAFT_VMODULE="convert_graph=1")
    assert log == [("convert_graph", line) for line in WIRING_LINES]
    assert not list(tmp_path.glob("TRTEngineOp*.pb"))


def test_convert_graph_dumps_segments(model, tmp_path):
    log_of(model, tmp_path, GRAFT_VMODULE="convert_graph=8")
    (path,) = tmp_path.glob("TRTEngineOp_*_000.pb")
    segment = v1.GraphDef.FromString(path.read_bytes())
    assert [node.name for node in segment.node] == [
        "TensorRTInputPH_0",
        "w",
        "matmul",
        "neg",
        "relu",
        "sqrt",
    ]


def test_convert_nodes_logs_layers(model, tmp_path):
    log = log_of(model, tmp_path, GRAFT_VMODULE="convert_nodes=2")
    assert log[0] == ("convert_nodes", "Created an engine with the following layers:")
    assert len(log) > 1
    assert all("(type: " in line and "precision: f32" in line for _, line in log[1:])


CONVERT_AND_RUN = """
import sys
import numpy as np
import tensorflow as tf
from graft import trt_convert as trt
v1 = tf.compat.v1
graph = v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
with tf.Graph().as_default() as loaded:
    converted = trt.TrtGraphConverter(input_graph_def=graph).convert()
    tf.import_graph_def(converted, name="")
    with v1.Session() as session:
        session.run("text:0", {"x:0": np.ones((3, 4), np.float32)})
"""


@pytest.mark.parametrize("module", ["trt_engine_op", "trt_engine"])
def test_inside_tensorflow_the_lines_go_to_its_log(model, tmp_path, module):
    done = subprocess.run(
        [sys.executable, "-c", CONVERT_AND_RUN, model],
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "0",
            "TF_TRT_OP_DENYLIST": "Tanh",
            "TF_CPP_VMODULE": f"segment=1,convert_graph=1,{module}=1",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    log = nameless(done.stderr).splitlines()
    for line in [f"segment: {line}" for line in REJECTED_LINES] + [
        f"convert_graph: {line}" for line in WIRING_LINES
    ]:
        # TensorFlow's own prefix: time, thread, file and line.
        assert any(found.endswith(f"] {line}") for found in log), line
    assert any(line.endswith(f"] Loaded the engine of {ENGINE}") for line in log)
    ran = f"] Executed the engine of {ENGINE} for input shapes: [[3,4]]"
    assert any(line.endswith(ran) for line in log)


# ---- variables


def test_denied_ops_stay(convert):
    assert not {node.op for node in convert().node} & {"Exp", "AddV2"}
    assert {node.op for node in convert(TF_TRT_OP_DENYLIST="Exp,AddV2").node} >= {"Exp", "AddV2"}


def test_a_faked_op_joins_a_segment_that_cannot_be_replaced(convert, caplog):
    graph = convert(TF_TRT_OP_FAKELIST="RandomStandardNormal")
    (warning,) = messages(caplog, logging.WARNING)[1:]
    assert warning.startswith("Cannot replace segment 0 consisting of 9 nodes by TRTEngineOp_")
    assert "noise (RandomStandardNormal): Op type RandomStandardNormal is not supported." in warning
    assert warning.endswith("(keeping original segment).")
    assert not engines(graph)


def test_engines_are_limited_to_the_largest(convert, caplog):
    graph = convert(minimum_segment_size=1, TF_TRT_MAX_ALLOWED_ENGINES=1, TF_TRT_OP_DENYLIST="Tanh")
    (engine,) = engines(graph)
    assert engine.name.endswith("_000")
    assert {node.op for node in graph.node} >= {"Exp", "AddV2"}
    assert "1 of 2 segments stay in TensorFlow: only the 1 largest are converted" in caplog.text


def separate_parts(count):
    """Parts of growing size that denied ops keep apart."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        for i in range(count):
            x = tf.tanh(x, name=f"tanh_{i}")
            x = tf.sqrt(tf.exp(x, name=f"exp_{i}"), name=f"sqrt_{i}")
    return graph.as_graph_def()


@pytest.mark.parametrize("variables, count", [({}, 20), ({"TF_TRT_MAX_ALLOWED_ENGINES": 0}, 23)])
def test_twenty_engines_are_the_default(convert, variables, count):
    graph = convert(separate_parts(23), 1, TF_TRT_OP_DENYLIST="Tanh", **variables)
    assert len(engines(graph)) == count


def test_an_unreadable_variable_is_an_error(convert):
    with pytest.raises(ValueError, match="TF_TRT_MAX_ALLOWED_ENGINES 'many': must be an integer"):
        convert(TF_TRT_MAX_ALLOWED_ENGINES="many")


def test_the_graph_as_a_picture(convert, tmp_path):
    graph = convert(TF_TRT_EXPORT_GRAPH_VIZ_PATH=tmp_path / "graph.dot")
    picture = (tmp_path / "graph.dot").read_text()
    (engine,) = [node.name for node in engines(graph)]
    assert f'"x" -> "{engine}";' in picture
    assert f"{engine}\\nTRTEngineOp" in picture
    assert picture.count("fillcolor=lightblue") > 1


def test_a_file_that_cannot_be_written_is_warned_of(convert, caplog):
    assert engines(convert(TF_TRT_EXPORT_GRAPH_VIZ_PATH="missing/graph.dot"))
    assert "missing/graph.dot" in caplog.text


def test_exported_engines_run_by_themselves(convert, tmp_path):
    graph = convert(TF_TRT_OP_DENYLIST="Tanh", TF_TRT_EXPORT_TRT_ENGINES_PATH=tmp_path / "engines")
    (engine,) = [node.name for node in engines(graph)]
    shapes = (tmp_path / f"engines/dims-{engine}").read_text().strip()
    assert shapes == "TensorRTInputPH_0:1x4"
    printed = support.graft(
        "run", tmp_path / "engines" / engine, "--random", 1, "--shapes", shapes
    )
    assert "TensorRTOutputPH_0 f32[1,4]" in printed


def casts():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        y = tf.cast(tf.sqrt(tf.exp(x)), tf.float64, name="wide")
        tf.cast(tf.cast(y, tf.int32, name="whole"), tf.float32, name="scores")
    return graph.as_graph_def()


def test_casts_between_floats_can_be_rejected(convert):
    assert "Cast" not in {node.op for node in convert(casts(), 1).node}
    graph = convert(casts(), 1, TF_TRT_EXPERIMENTAL_FEATURES="reject_all_fp_cast_ops")
    assert [node.name for node in graph.node if node.op == "Cast"] == ["wide"]


def test_native_segments_can_be_removed(convert):
    expected = run_graph(mixed_ops(), "sqrt")
    graph = convert(TF_TRT_EXPERIMENTAL_FEATURES="remove_native_segments")
    (engine,) = engines(graph)
    assert not graph.library.function
    assert "segment_func" not in engine.attr
    with support.EngineCalls() as calls:
        found = run_graph(graph, engine.name)
    calls.assert_engine_ran()
    support.assert_close({"sqrt": found}, {"sqrt": expected})


def test_features_without_a_meaning_here_are_accepted(convert):
    assert engines(
        convert(TF_TRT_EXPERIMENTAL_FEATURES="disable_graph_freezing,disable_logger_filtering")
    )


def test_aborted_builds_try_the_fallback(convert, monkeypatch):
    graph = convert()
    (engine,) = engines(graph)

    @contextlib.contextmanager
    def running():
        with tf.Graph().as_default() as loaded, v1.Session(graph=loaded) as session:
            tf.import_graph_def(graph, name="")
            yield lambda: session.run(f"{engine.name}:0", {"x:0": X})

    monkeypatch.setenv("TF_TRT_ABORT_CUDA_ENGINE_BUILD", "True")
    with running() as run:
        with support.EngineCalls() as calls:
            run()
        assert (calls.calls, calls.fallbacks) == (0, 1)
        monkeypatch.setenv("TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION", "False")
        with pytest.raises(tf.errors.AbortedError) as raised:
            run()
        assert "User disallowed engine native segment execution." in str(raised.value)
    monkeypatch.setenv("TF_TRT_ABORT_CUDA_ENGINE_BUILD", "False")
    with running() as run, support.EngineCalls() as calls:
        run()
    calls.assert_engine_ran()
