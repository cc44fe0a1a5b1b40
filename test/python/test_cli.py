"""The graft program: exit codes, reports, and what it says about bad input."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

import small_models
import support
from support import BAD_INPUT, CHECK_FAILED, USAGE, graft

META = support.ROOT / "test/data/tf/meta/model.meta"


def contents(path):
    """Every file under a path with its bytes."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file: file.read_bytes() for file in files}


@pytest.fixture
def out(tmp_path):
    """A folder for outputs alone."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


# ---- convert


@pytest.mark.parametrize("model", ["frozen_graph", "v1_saved_model", "v2_saved_model"])
def test_convert_reports_and_leaves_its_input_alone(model, request, out):
    path = request.getfixturevalue(model)
    before = contents(path)
    report = support.convert(path, "--plan", out / "m.plan", "--output", out / "converted")
    assert contents(path) == before
    assert sorted(p.name for p in out.iterdir()) == ["converted", "m.plan"]
    for field in (
        *("nodes_before", "nodes_after", "engines", "total_ops", "converted_ops"),
        "peak_rss_bytes",
    ):
        assert type(report[field]) is int, field
    assert set(report["seconds"]) >= {"read", "import", "passes", "partition", "tune", "write"}
    # A converted SavedModel serves all signatures; the one of TensorFlow 2 has two graphs.
    assert report["engines"] == (2 if model == "v2_saved_model" else 1)
    assert 0 < report["peak_rss_bytes"] < 300e6
    assert 0 < report["converted_ops"] == report["total_ops"]
    assert report["nodes_after"] < report["nodes_before"]
    assert report["unconverted"] == []


def test_convert_reads_a_meta_graph(out):
    support.convert(META, "--outputs", "y:0", "--minimum-segment-size", 1, "--plan", out / "m.plan")
    np.save(out / "x.npy", np.array([[1, 2], [-9, 0]], np.float32))
    graft("run", out / "m.plan", "--input", f"x={out / 'x.npy'}", "--output", out)
    assert np.load(out / "y.npy").tolist() == [[16, 20, 24], [0, 0, 0]]


def test_denied_nodes_stay_and_are_reported(frozen_graph, out):
    report = support.convert(frozen_graph, "--deny", "pool", "--output", out / "converted.pb")
    (left,) = [node for node in report["unconverted"] if node["name"] == "pool"]
    assert left["op"] == "MaxPool"
    assert "segmenter option" in left["reason"]
    assert report["engines"] == 2


def test_minimum_segment_size_holds(frozen_graph, out):
    report = support.convert(frozen_graph, "--minimum-segment-size", 50, "--output", out / "c.pb")
    assert report["engines"] == 0
    assert report["converted_ops"] == 0
    assert len(report["unconverted"]) == report["total_ops"]


def test_given_inputs_and_outputs_cut_the_graph(frozen_graph, out):
    support.convert(
        frozen_graph, "--inputs", "image:0[2,16,16,3]", "--outputs", "features:0,logits:0",
        "--plan", out / "m.plan",
    )  # fmt: skip
    np.save(out / "image.npy", small_models.images(2))
    graft("run", out / "m.plan", "--input", f"image={out / 'image.npy'}", "--output", out)
    reference = small_models.expected(2)
    for name in ("features", "logits"):
        assert support.relative_error(np.load(out / f"{name}.npy"), reference[name]) <= 1e-4


def test_dump_writes_the_module_after_each_pass_that_changed_it(frozen_graph, out):
    dump = out / "dump"
    support.convert(frozen_graph, "--plan", out / "m.plan", "--dump", dump)
    stages = sorted(dump.rglob("*.ir"))
    assert len(stages) > 2
    assert all(re.match(r"\d{3}-[a-z0-9-]+\.ir$", stage.name) for stage in stages)


def test_a_disabled_pass_does_not_run(frozen_graph, out):
    def stages(*options):
        dump = out / f"dump{len(options)}"
        support.convert(frozen_graph, "--plan", out / "m.plan", "--dump", dump, *options)
        return {stage.stem.partition("-")[2] for stage in dump.rglob("*.ir")}

    every = stages()
    name = next(stage for stage in sorted(every) if "fuse" in stage)
    without = stages("--disable-pass", name)
    assert name not in without


def test_an_unknown_pass_is_refused(frozen_graph, out):
    said = graft(
        "convert", frozen_graph, "--plan", out / "m.plan", "--disable-pass", "no-such", expect=USAGE
    )
    assert "no-such" in said


# ---- bad models


def truncated_pb(frozen_graph, v1_saved_model, folder):
    (folder / "model.pb").write_bytes(frozen_graph.read_bytes()[:-7])
    return [folder / "model.pb"], ["model.pb"]


def missing_file(frozen_graph, v1_saved_model, folder):
    return [folder / "none.pb"], ["none.pb"]


def text_graph(frozen_graph, v1_saved_model, folder):
    (folder / "model.pbtxt").write_text("node { name: 'x' op: 'Placeholder' }")
    return [folder / "model.pbtxt"], ["model.pbtxt", "text"]


def empty_folder(frozen_graph, v1_saved_model, folder):
    (folder / "model").mkdir()
    return [folder / "model"], [str(folder / "model")]


def missing_checkpoint(frozen_graph, v1_saved_model, folder):
    shutil.copy(META, folder / "model.meta")
    return [folder / "model.meta", "--outputs", "y:0"], [str(folder / "model")]


def damaged_variables(frozen_graph, v1_saved_model, folder):
    shutil.copytree(v1_saved_model, folder / "model")
    data = folder / "model/variables/variables.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[100] ^= 1
    data.write_bytes(damaged)
    return [folder / "model"], ["variables", "checksum"]


def of_a_newer_tensorflow(frozen_graph, v1_saved_model, folder):
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef.FromString(frozen_graph.read_bytes())
    graph.versions.min_consumer = 99999
    (folder / "model.pb").write_bytes(graph.SerializeToString())
    return [folder / "model.pb"], ["model.pb", "99999"]


def chunked_model(frozen_graph, v1_saved_model, folder):
    (folder / "model").mkdir()
    (folder / "model/saved_model.cpb").write_bytes(b"riegeli")
    return [folder / "model"], ["saved_model.cpb"]


@pytest.mark.parametrize(
    "make",
    [
        truncated_pb,
        missing_file,
        text_graph,
        empty_folder,
        missing_checkpoint,
        damaged_variables,
        of_a_newer_tensorflow,
        chunked_model,
    ],
)
def test_a_bad_model_is_refused_by_name(make, frozen_graph, v1_saved_model, tmp_path, out):
    arguments, texts = make(frozen_graph, v1_saved_model, tmp_path)
    said = graft(
        "convert", *arguments, "--plan", out / "m.plan", "--output", out / "converted",
        expect=BAD_INPUT,
    )  # fmt: skip
    for text in texts:
        assert text in said
    assert list(out.iterdir()) == []


def test_a_plan_of_a_part_is_refused_with_the_ops_left_out(frozen_graph, out):
    said = graft("convert", frozen_graph, "--deny", "pool", "--plan", out / "p", expect=BAD_INPUT)
    assert "pool" in said and "MaxPool" in said
    assert list(out.iterdir()) == []


def test_an_existing_output_is_not_lost_by_a_failure(frozen_graph, plan, out):
    kept = out / "m.plan"
    shutil.copy(plan, kept)
    graft("convert", out / "none.pb", "--plan", kept, expect=BAD_INPUT)
    assert kept.read_bytes() == plan.read_bytes()
    assert list(out.iterdir()) == [kept]


# ---- usage


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["convert"],
        ["convert", "model.pb", "--opt-level", "9"],
        ["convert", "model.pb", "--no-such-option"],
        ["run"],
        ["convert", "model.pb", "--least-sqnr", "nan"],
        ["bench", "model.plan", "--duration", "nan"],
        ["bench", "model.plan", "--duration", "inf"],
        ["compare", "model.plan", "--tolerance", "nan"],
        ["report", "model.plan", "-o", "r.html", "--duration", "inf"],
        ["report", "model.plan", "-o", "r.html", "--tolerance", "nan"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments):
    assert graft(*arguments, expect=USAGE)


@pytest.mark.parametrize(
    "arguments, texts",
    [
        (["--tag", "train"], ["train", "serve"]),
        (["--signature", "predict"], ["predict", "serving_default"]),
        (["--outputs", "nothing:0"], ["nothing"]),
    ],
    ids=["tag", "signature", "output"],
)
def test_what_the_model_lacks_is_wrong_usage(v1_saved_model, out, arguments, texts):
    said = graft("convert", v1_saved_model, *arguments, "--plan", out / "p", expect=USAGE)
    assert str(v1_saved_model) in said
    for text in texts:
        assert text in said
    assert list(out.iterdir()) == []


def test_an_unknown_backend_is_wrong_usage(frozen_graph, out):
    said = graft("convert", frozen_graph, "--backend", "tpu", "--plan", out / "p", expect=USAGE)
    assert "tpu" in said and "reference" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--input", "picture=image.npy"],
        ["run", "--random", 1, "--shapes", "picture:1x16x16x3"],
        ["bench", "--shapes", "picture:1x16x16x3"],
    ],
    ids=["run --input", "run --shapes", "bench"],
)
def test_an_unknown_input_is_wrong_usage(plan, arguments):
    command, *options = arguments
    said = graft(command, plan, *options, expect=USAGE)
    assert "picture" in said and "image" in said


def test_malformed_shapes_are_wrong_usage(frozen_graph, out):
    said = graft(
        "convert", frozen_graph, "--shapes", "image:1xx", "--plan", out / "p", expect=USAGE
    )
    assert "image:1xx" in said


@pytest.mark.parametrize("command", ["convert", "run", "bench", "inspect", "compare"])
def test_help_has_an_example(command):
    assert f"graft {command}" in graft(command, "--help").partition("Example")[2]


# ---- run, compare, bench, inspect, plan verify


def test_run_writes_every_output(plan, out):
    image = small_models.images(3)
    np.save(out / "image.npy", image)
    graft("run", plan, "--input", f"image={out / 'image.npy'}", "--output", out / "results")
    (result,) = (out / "results").iterdir()
    assert support.relative_error(np.load(result), small_models.expected(3)["classes"]) <= 1e-4


def test_run_without_data_is_wrong_usage(plan):
    assert "image" in graft("run", plan, expect=USAGE)


def test_random_data_comes_from_the_seed(plan, out):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        graft("run", plan, "--random", seed, "--output", out / folder)
    a, b, c = (np.load(next((out / folder).iterdir())) for folder in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_an_array_of_the_wrong_dtype_is_refused(plan, out):
    np.save(out / "image.npy", np.zeros((1, 16, 16, 3)))
    said = graft("run", plan, "--input", f"image={out / 'image.npy'}", expect=USAGE)
    assert "image" in said


def make_reference(folder, scale=1.0):
    np.save(folder / "case_in_image.npy", small_models.images(2))
    np.save(
        folder / "case_out_classes.npy", small_models.expected(2)["classes"] * np.float32(scale)
    )


def test_compare_passes_on_the_same_numbers(plan, out):
    make_reference(out)
    assert "PASSED" in graft("compare", plan, "--reference", out)


def test_compare_fails_on_other_numbers(plan, out):
    make_reference(out, scale=1.01)
    assert "FAILED" in graft("compare", plan, "--reference", out, expect=CHECK_FAILED)


def test_compare_needs_references(plan, out):
    assert str(out) in graft("compare", plan, "--reference", out, expect=BAD_INPUT)


def test_bench_reports_latency_and_layers(plan, out):
    graft(
        "bench", plan, "--batch", 2, "--threads", 1, "--duration", 0.1, "--layers",
        "--json", out / "bench.json",
    )  # fmt: skip
    figures = json.loads((out / "bench.json").read_text())
    assert set(figures["latency_ms"]) >= {"min", "mean", "median", "p90", "p95", "p99"}
    assert figures["layers"]
    assert all(layer["tactic"] and layer["ms"] >= 0 for layer in figures["layers"])
    assert all(layer["bytes"] > 0 and layer["types"] == "f32" for layer in figures["layers"])
    # What no float leaves, none exceeds by far: the limits are measured on a machine that drifts.
    assert all(
        layer["limit"] in ("arithmetic", "memory", "overhead") and 0 < layer["of_limit"] < 5
        for layer in figures["layers"]
    )
    roofline = figures["roofline"]
    assert roofline["gflops"] > 1 and roofline["overhead_us"] > 0
    sizes = [level["bytes"] for level in roofline["bandwidth"]]
    assert sizes == sorted(sizes) and len(sizes) > 3


def test_bench_keeps_a_history(plan, out):
    history = out / "history.jsonl"
    bench = ("bench", plan, "--threads", 1, "--duration", 0.1, "--history", history)
    assert "the first of this plan" in graft(*bench)
    said = graft(*bench, "--layers").split("=== History")[1]
    assert re.search(r"median +[\d.]+ ms before, +[\d.]+ ms now, [\d.]+ x the time", said)
    # Other work is compared with its own.
    assert "the first of this plan" in graft(*bench, "--batch", 3)
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    assert len(lines) == 3
    assert all(line["time"] > 1.7e9 and line["plan"] == str(plan) for line in lines)
    assert ["layers" in line for line in lines] == [False, True, False]


def test_bench_appends_to_no_file_of_another_kind(plan, out):
    (out / "notes.txt").write_text("remember the milk\n")
    said = graft("bench", plan, "--duration", 0.1, "--history", out / "notes.txt", expect=BAD_INPUT)
    assert "notes.txt, line 1: not the figures of graft bench --json" in said
    assert (out / "notes.txt").read_text() == "remember the milk\n"


def test_bench_says_why_a_layer_has_its_tactic(frozen_graph, out):
    support.convert(
        frozen_graph, "--plan", out / "m.plan", "--shapes", "image:1x16x16x3",
        "--shapes", "image:4x16x16x3",
    )  # fmt: skip
    said = graft("bench", out / "m.plan", "--why", "conv1", "--threads", 1)
    points = said.split("tuning point ")[1:]
    assert [point[0] for point in points] == ["0", "1"]
    for point in points:
        assert re.search(r"^  cpu\.conv\.\S+ +[\d.]+ us", point, re.MULTILINE), said
        assert point.count("the plan's") == 1
        assert re.search(r"^  \S+ +(refused|rejected): \S", point, re.MULTILINE), said
    graft("bench", out / "m.plan", "--why", "no such layer", expect=BAD_INPUT)
    # Not measured on another device than was asked for.
    said = graft("bench", out / "m.plan", "--why", "conv1", "--device", "cuda", expect=USAGE)
    assert "the plan is for cpu, not for cuda" in said


# ---- traces


# Of an event, as the file and as Perfetto's message of it name them.
TRACE_FIELDS = {
    "ph": "phase", "name": "name", "cat": "category_group_name", "pid": "process_id",
    "tid": "thread_id", "ts": "timestamp", "dur": "duration",
}  # fmt: skip


def check_schema(events):
    """That each is a ChromeTraceEvent of Perfetto's schema, and nothing is in it that the schema does not have."""
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2

    bundle = perfetto_trace_pb2.Trace().packet.add().chrome_events
    for event in events:
        message = bundle.trace_events.add()
        for field, value in event.items():
            if field == "args":
                for name, text in value.items():
                    message.args.add(name=name, string_value=text)
            elif field == "ph":
                message.phase = ord(value)
            else:
                # Whole microseconds there; a file's may have parts of one.
                setattr(message, TRACE_FIELDS[field], round(value) if field in ("ts", "dur") else value)
    assert bundle.IsInitialized() and bundle.ByteSize() > 0


def check_trace(path):
    """That the file holds Trace Event Format, as Perfetto and Chrome read it; gives its spans."""
    trace = json.loads(path.read_text())
    assert trace["displayTimeUnit"] in ("ms", "ns")
    check_schema(trace["traceEvents"])
    named, spans = set(), []
    for event in trace["traceEvents"]:
        assert type(event["pid"]) is int and type(event["tid"]) is int
        assert type(event["name"]) is str
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name") and event["args"]["name"]
            named.add((event["name"], event["tid"]))
        else:
            assert event["ph"] == "X" and event["ts"] >= 0 and event["dur"] >= 0
            assert event["cat"] in ("run", "stage", "step", "copy", "work")
            spans.append(event)
    assert ("process_name", 0) in named
    for thread in {span["tid"] for span in spans}:
        assert ("thread_name", thread) in named
        # Spans of a thread lie within one another or apart.
        ends = []
        of_thread = [span for span in spans if span["tid"] == thread]
        for span in sorted(of_thread, key=lambda span: (span["ts"], -span["dur"])):
            while ends and ends[-1] <= span["ts"]:
                ends.pop()
            end = span["ts"] + span["dur"]
            assert not ends or end <= ends[-1] + 1e-3, span
            ends.append(end)
    return spans


def test_run_writes_a_trace(plan, out):
    graft("run", plan, "--random", 1, "--threads", 2, "--trace", out / "trace.json")
    spans = check_trace(out / "trace.json")
    kinds = [span["cat"] for span in spans]
    assert kinds.count("run") == 1 and kinds.count("stage") == 1
    steps = [span for span in spans if span["cat"] == "step"]
    assert any(span["name"] == "conv1" for span in steps)
    assert all(span["args"]["tactic"].startswith("cpu.") for span in steps)
    assert "work" in kinds


def test_bench_writes_a_trace(plan, out):
    graft("bench", plan, "--duration", 0.1, "--trace", out / "trace.json")
    spans = check_trace(out / "trace.json")
    assert [span["cat"] for span in spans].count("run") == 3


NVTX_TOOL = r"""
#include <nvtx3/nvToolsExt.h>
#include <stdio.h>

// A profiler as NVTX loads it: writes what it is told.
static int Push(const char* name) { return printf("> %s\n", name); }
static int Pop(void) { return printf("<\n"); }

int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const NvtxExportTableCallbacks* callbacks = get_table(NVTX_ETID_CALLBACKS);
  NvtxFunctionTable table;
  unsigned size;
  if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size)) return 0;
  *table[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)Push;
  *table[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)Pop;
  return 1;
}
"""


def test_a_traced_run_has_ranges_for_nvidias_profilers(plan, out):
    home = pathlib.Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    if not (home / "include/nvtx3/nvToolsExt.h").exists():
        pytest.skip("no GPU toolkit, whose headers have NVTX")
    (out / "tool.c").write_text(NVTX_TOOL)
    flags = ["-shared", "-fPIC", f"-I{home / 'include'}", "-o", out / "tool.so"]
    subprocess.run(["cc", *flags, out / "tool.c"], check=True)
    command = [support.PROGRAM, "run", plan, "--random", "1"]
    environment = {**os.environ, "NVTX_INJECTION64_PATH": str(out / "tool.so")}

    def lines(*options):
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=True)
        return [line for line in done.stdout.splitlines() if line[0] in "<>"]

    told = lines("--trace", out / "trace.json")
    assert told[:2] == ["> run", "> stage 0"] and told.count("<") == len(told) / 2
    assert "> conv1" in told and told[told.index("> conv1") + 1] == "<"
    assert lines() == []  # a run that nobody traces has none


def test_a_trace_shows_copies_to_a_device(frozen_graph, out):
    program = (support.FAKE_DEVICE_PROGRAM,)
    backend = ("--backend", "fake_device")
    support.convert(frozen_graph, "--plan", out / "m.plan", *backend, program=program)
    graft("run", out / "m.plan", "--random", 1, "--trace", out / "trace.json", program=program)
    copies = {span["name"] for span in check_trace(out / "trace.json") if span["cat"] == "copy"}
    assert "image" in copies and len(copies) > 1


def test_bench_runs_streams_side_by_side(plan, out):
    bench = ("bench", plan, "--duration", 0.1, "--warm-up", 0, "--json", out / "bench.json")
    printed = graft(*bench, "--streams", 2, "--threads", 2).split("=== Streams")[1]
    streams = json.loads((out / "bench.json").read_text())["streams"]
    assert [s["inputs"] for s in streams] == [
        {"image": f"f32[{batch},16,16,3]"} for batch in (8, 32)
    ]
    for figures in streams:
        assert figures["streams"] == 2
        assert figures["items_per_second"] > 0
        assert figures["one_context_items_per_second"] > 0
        assert figures["median_ms"] > 0
    assert re.findall(r"^ +(\d+) ", printed, re.MULTILINE) == ["8", "32"]
    graft(*bench, "--streams", 1, "--threads", 1, "--batch", 3)
    (figures,) = json.loads((out / "bench.json").read_text())["streams"]
    assert figures["inputs"] == {"image": "f32[3,16,16,3]"}


def test_bench_has_no_more_streams_than_threads(plan):
    printed = graft("bench", plan, "--streams", 3, "--threads", 2, expect=USAGE)
    assert "--streams: 3 streams on 2 threads" in printed


def test_bench_says_what_got_slower(plan, out):
    bench = ("bench", plan, "--threads", 1, "--duration", 0.1, "--layers")
    graft(*bench, "--json", out / "now.json")
    figures = json.loads((out / "now.json").read_text())
    slow, *others = sorted(figures["layers"], key=lambda layer: layer["ms"], reverse=True)
    # As if the dearest layer had taken no time, by another tactic, and one more had been there.
    gone = {**slow, "name": "gone", "ms": 10 * slow["ms"] + 1}
    figures["layers"] = [{**slow, "ms": 0, "tactic": "other"}, gone, *others]
    figures["inputs"] = {"image": "f32[2,16,16,3]"}
    (out / "before.json").write_text(json.dumps(figures))
    printed = graft(*bench, "--compare", out / "before.json").split("=== Against")[1]
    assert 'with other inputs: {"image":"f32[2,16,16,3]"} before' in printed
    lines = [line for line in printed.splitlines() if " (" in line]
    assert re.search(rf"^ +0\.0000 .* \+.*  {re.escape(slow['name'])} \(other before, ", lines[0])
    assert re.search(r" -.*  gone \(gone\)$", lines[-1])


@pytest.mark.parametrize("text", ["[]", '{"latency_ms": {}}', '{"latency_ms": 3}', "{"])
def test_bench_compares_with_its_own_figures_only(plan, out, text):
    (out / "before.json").write_text(text)
    printed = graft("bench", plan, "--compare", out / "before.json", expect=BAD_INPUT)
    assert "before.json: not the figures of graft bench --json: no latency_ms" in printed


def test_inspect_shows_models_and_plans(frozen_graph, v1_saved_model, plan, out):
    support.convert(v1_saved_model, "--output", out / "converted")
    assert "Conv2D" in graft("inspect", frozen_graph)
    assert "inputs['image']" in graft("inspect", v1_saved_model)
    assert re.search(r"TRTEngineOp_\d+_000:", graft("inspect", out / "converted"))
    shown = graft("inspect", plan)
    assert "TensorRTInputPH_0" in shown
    assert re.search(r"^versions: graft \d", shown, re.MULTILINE)


def test_verify_accepts_a_good_plan(plan):
    assert "good" in graft("plan", "verify", plan)


@pytest.mark.parametrize("option", ["--plan", "--output"])
def test_a_model_is_not_written_over_itself(frozen_graph, out, option):
    model = out / "model.pb"
    shutil.copy(frozen_graph, model)
    said = graft("convert", model, option, out / "." / "model.pb", expect=USAGE)
    assert "a model cannot be written over itself" in said
    assert model.read_bytes() == frozen_graph.read_bytes()


def test_nothing_is_written_over_what_is_read(frozen_graph, out):
    data = out / "data"
    data.mkdir()
    batch = data / "a_in_image.npy"
    np.save(batch, np.zeros([1, 32, 32, 3], np.float32))
    table = out / "table"
    table.write_text("TRT-8602-EntropyCalibration2\n")
    before = contents(out)
    int8 = ("--precision", "int8")
    for command in (
        ("calibrate", frozen_graph, "--data", data, "-o", batch),
        ("calibrate", frozen_graph, "--data", batch, "-o", out / "." / "data" / "a_in_image.npy"),
        ("convert", frozen_graph, *int8, "--calibration-table", table, "--plan", table),
        ("convert", frozen_graph, *int8, "--calibration-table", table, "--json", table),
        ("convert", frozen_graph, *int8, "--calibration-data", data, "--plan", batch),
    ):
        assert "that would replace what is read from" in graft(*command, expect=USAGE), command
    assert contents(out) == before


def test_a_plan_is_tuned_again(frozen_graph, out):
    quick = ("--opt-level", 0, "--threads", 1, "--timing-cache", out / "timings")
    graft("convert", frozen_graph, "--plan", out / "quick.plan", *quick)
    said = graft(
        "plan", "tune", out / "quick.plan", "--output", out / "tuned.plan", "--threads", 1, "--opt-level", 1,
        "--shapes", "4x16x16x3", "--timing-cache", out / "timings",
    )  # fmt: skip
    assert re.search(r"tactics: [1-9]\d* measured", said)
    ir = [graft("inspect", out / f"{name}.plan", "--ir") for name in ("quick", "tuned")]
    assert ir[0] == ir[1]
    assert "good" in graft("plan", "verify", out / "tuned.plan")
    # At the same points by the same means it is the same plan.
    graft("plan", "tune", out / "quick.plan", "--output", out / "same.plan", *quick)
    assert (out / "same.plan").read_bytes() == (out / "quick.plan").read_bytes()


def test_weights_are_packed_into_a_plan(plan, frozen_graph, out):
    packed = out / "packed.plan"
    said = graft("plan", "pack", plan, "--output", packed)
    assert re.search(r"packed the weights of [1-9]\d* nodes for AVX", said)
    assert packed.stat().st_size > plan.stat().st_size
    assert "good" in graft("plan", "verify", packed)
    # The same once more, and of a plan that has them.
    graft("plan", "pack", packed, "--output", out / "again.plan")
    assert (out / "again.plan").read_bytes() == packed.read_bytes()
    for name in (plan, packed):
        graft("run", name, "--random", 1, "--output", out / name.stem)
    results = [{f.name: f.read_bytes() for f in (out / name.stem).iterdir()} for name in (plan, packed)]
    assert results[0] and results[0] == results[1]
    figures = []
    for name in (plan, packed):
        graft("bench", name, "--duration", 0.1, "--threads", 1, "--json", out / "bench.json")
        figures.append(json.loads((out / "bench.json").read_text()))
        assert figures[-1]["load_ms"] > 0 and figures[-1]["first_inference_ms"] > 0
    assert figures[0]["packed_bytes"] > 0 and figures[0]["packed_bytes_of_plan"] == 0
    assert figures[1]["packed_bytes_of_plan"] == figures[1]["packed_bytes"] > 0
    # The last byte is a packed one.
    data = bytearray(packed.read_bytes())
    data[-1] ^= 1
    (out / "damaged.plan").write_bytes(data)
    assert "packed constants" in graft("plan", "verify", out / "damaged.plan", expect=CHECK_FAILED)
    graft("run", out / "damaged.plan", "--random", 1, "--output", out / "damaged")
    assert results[0] == {f.name: f.read_bytes() for f in (out / "damaged").iterdir()}


def test_a_model_is_converted_into_a_packed_plan(frozen_graph, out):
    # Without timing, so that both choose the same.
    quick = ("--opt-level", 0, "--threads", 1, "--timing-cache", out / "timings")
    graft("convert", frozen_graph, "--plan", out / "bare.plan", *quick)
    graft("plan", "pack", out / "bare.plan", "--output", out / "later.plan")
    said = graft(
        "convert", frozen_graph, "--plan", out / "packed.plan", "--packed", "--json", out / "r.json", *quick
    )
    assert re.search(r"packed the weights of [1-9]\d* nodes for AVX", said)
    assert (out / "packed.plan").read_bytes() == (out / "later.plan").read_bytes()
    report = json.loads((out / "r.json").read_text())
    assert 0 < report["plan"]["packed_bytes"] < report["plan_bytes"]
    assert "--packed requires --plan" in graft("convert", frozen_graph, "--packed", expect=USAGE)


def test_only_backends_that_use_packed_weights_keep_them(frozen_graph, out):
    graft("convert", frozen_graph, "--plan", out / "r.plan", "--device", "reference")
    said = graft("plan", "pack", out / "r.plan", "--output", out / "p", expect=BAD_INPUT)
    assert "backend reference packs no weights" in said and not (out / "p").exists()
    said = graft(
        "convert", frozen_graph, "--plan", out / "p", "--packed", "--device", "reference", expect=BAD_INPUT
    )
    assert "backend reference packs no weights" in said and not (out / "p").exists()


@pytest.mark.parametrize(
    "arguments, code, reason",
    [
        (("--shapes", "nothing:1x8x8x3"), USAGE, "nothing"),
        (("--shapes", "1x8"), USAGE, "has 4 dimensions, not 2"),
        (("--device", "reference"), USAGE, "made for cpu, not for reference"),
    ],
)
def test_a_plan_is_tuned_for_what_it_is(plan, out, arguments, code, reason):
    said = graft("plan", "tune", plan, "--output", out / "p", *arguments, expect=code)
    assert reason in said and not (out / "p").exists()


@pytest.mark.parametrize("place", [0.02, 0.5, 0.98])
def test_verify_finds_a_changed_byte(plan, out, place):
    data = bytearray(plan.read_bytes())
    data[int(place * len(data))] ^= 0x10
    (out / "damaged.plan").write_bytes(data)
    assert "damaged.plan" in graft("plan", "verify", out / "damaged.plan", expect=CHECK_FAILED)


@pytest.mark.parametrize("command", [["run", "--random", 1], ["bench"], ["inspect"]])
def test_a_truncated_plan_is_bad_input(plan, out, command):
    (out / "short.plan").write_bytes(plan.read_bytes()[:-64])
    said = graft(command[0], out / "short.plan", *command[1:], expect=BAD_INPUT)
    assert "short.plan" in said
