"""What people report about: each model converted by the program and by both Python converters, loaded in fresh processes by
the loaders of TensorFlow 1 and 2, and run beside the original on several batches and every signature."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import situations
import support

HERE = pathlib.Path(__file__).resolve().parent
LOADERS = ("tf1", "tf2")
SAVED = ("program", "v1", "v2")
WAYS = (*SAVED, "online", "optimize")


def python(script, *arguments):
    paths = [str(HERE.parent / "python"), os.environ["PYTHONPATH"]]
    done = subprocess.run(
        [sys.executable, HERE / script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def way_of(variant):
    """v2-serving_default is TrtGraphConverterV2's model of that signature."""
    return variant.partition("-")[0]


PLANS = ("serialized_segment", "_plan_file", "_plan_offset", "_plan_size", "_engine_key")


def signature_graph(folder, key):
    """{node: op, inputs, attributes} of a signature, and of the native segments of its engines. Without engines' plans, which measurements
    decide, and the part of engines' names that says what they were converted of."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    (meta,) = model.meta_graphs
    functions = {function.signature.name: function for function in meta.graph_def.library.function}

    def neutral(data):
        return re.sub(rb"TRTEngineOp_(\d+_)?(\d+)", rb"TRTEngineOp_\2", data)

    def describe(node):
        attributes = {
            name: neutral(value.SerializeToString(deterministic=True))
            for name, value in node.attr.items()
            if name not in PLANS
        }
        return node.op, sorted(neutral(name.encode()) for name in node.input), attributes

    nodes = {node.name: node for node in meta.graph_def.node}
    waiting = [info.name for info in meta.signature_def[key].outputs.values()]
    found = {}
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if (name_key := neutral(name.encode())) in found:
            continue
        node = nodes[name]
        found[name_key] = describe(node)
        waiting += node.input
        if node.op == "TRTEngineOp":
            segment = functions[node.attr["segment_func"].func.name].node_def
            found[name_key] += ({inner.name: describe(inner) for inner in segment},)
    return found


class Results:
    """Of one situation."""

    def __init__(self, folder):
        def read(name):
            path = folder / name
            return json.loads(path.read_text()) if path.exists() else {}

        self.folder = folder
        self.about = read("about.json")
        if (folder / "feeds.pkl").exists():
            self.about["first"] = next(iter(pickle.loads((folder / "feeds.pkl").read_bytes())))
        self.reports = {"program": read("program.json"), **read("python.json")}
        self.runs = {
            loader: pickle.loads((folder / f"{loader}.pkl").read_bytes())
            for loader in LOADERS
            if (folder / f"{loader}.pkl").exists()
        }
        for runs in self.runs.values():
            self.reports |= {v: run["report"] for v, run in runs.items() if "report" in run}

    def ratios(self):
        """{way: time of its model to the original's}, of those that were timed."""
        runs = self.runs.get("tf2", {})
        return {way_of(v): run["ratio"] for v, run in runs.items() if "ratio" in run and v != "native"}

    def same_graphs(self):
        """The ways whose models are the program's, node for node, in what is timed."""
        key = self.about["first"]
        return {
            way_of(variant)
            for variant in ("v1", f"v2-{key}")
            if (self.folder / variant).exists()
            and signature_graph(self.folder / variant, key) == signature_graph(self.folder / "program", key)
        }

    def outputs(self):
        """How many the first signature has."""
        values = self.runs["tf2"]["native"]["values"]
        return len(values[self.about["first"]][0])

    def figures(self):
        """{way: ops/converted/engines}, of its first signature."""
        found = {}
        for variant, report in self.reports.items():
            parts = (str(report.get(key, "-")) for key in ("ops", "converted", "engines"))
            found.setdefault(way_of(variant), "/".join(parts))
        return found

    def errors(self):
        """What failed that did not fail natively, by variant and loader."""
        found = {
            variant: report["error"] for variant, report in self.reports.items() if "error" in report
        }
        for loader, runs in self.runs.items():
            known = self.about["unloadable"].get(loader)
            native = runs["native"].get("error")
            if native is not None if known is None else known not in (native or ""):
                found[f"native {loader}"] = native or f"it loads, without {known}"
            if native:
                continue
            saved = {v for v, report in self.reports.items() if way_of(v) in SAVED and "error" not in report}
            for variant in sorted(saved | set(runs)):
                if "error" in (run := runs.get(variant, {"error": "nothing was saved"})):
                    found[f"{variant} {loader}"] = run["error"]
        return found

    def compare(self):
        """(variant, loader, signature, batch, output, value, reference) of every result."""
        for loader, runs in self.runs.items():
            for variant, run in runs.items():
                if variant == "native" or "error" in run or "error" in runs["native"]:
                    continue
                for key, calls in run["values"].items():
                    for batch, values in enumerate(calls):
                        reference = runs["native"]["values"][key][batch]
                        assert sorted(values) == sorted(reference)
                        for name, value in values.items():
                            yield variant, loader, key, batch, name, value, reference[name]


@pytest.fixture(scope="session")
def results(request, tmp_path_factory):
    names = sorted(
        {
            item.callspec.params["name"]
            for item in request.session.items
            if "name" in getattr(getattr(item, "callspec", None), "params", {})
            and item.path.parent == HERE
        }
    )
    root = tmp_path_factory.mktemp("users")
    os.environ["GRAFT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    python("situations.py", root, *names)
    built = []
    for name in names:
        folder = root / name
        about = json.loads((folder / "about.json").read_text())
        if "error" in about:
            continue
        built.append(name)
        report = folder / "report.json"
        feeds = pickle.loads((folder / "feeds.pkl").read_bytes())
        done = subprocess.run(
            [support.PROGRAM, "convert", folder / "native", "--output", folder / "program"]
            + ["--json", report, "--tag", ",".join(about["tags"]), "--signature", next(iter(feeds))],
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            report = json.loads(report.read_text())
            converted = {
                "engines": report["engines"],
                "ops": report["total_ops"],
                "converted": report["converted_ops"],
            }
        else:
            converted = {"error": done.stderr.strip()}
        (folder / "program.json").write_text(json.dumps(converted))
    python("convert_all.py", root, *built)
    for loader in LOADERS:
        python("run_all.py", loader, root, *built)
    return {name: Results(root / name) for name in names}


every_situation = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.models] if name in situations.NETWORKS else [])
        for name in sorted(situations.SITUATIONS)
    ],
)


def error_of(value, reference):
    if value.dtype.kind in "fc" or value.dtype.name == "bfloat16":
        return support.relative_error(value, reference)
    assert value.shape == reference.shape and value.dtype == reference.dtype
    return 0.0 if np.array_equal(value, reference) else np.inf


@every_situation
def test_converts_loads_and_agrees(name, results, request):
    result = results[name]
    assert "error" not in result.about, result.about
    assert any("error" not in runs["native"] for runs in result.runs.values()), result.runs
    errors = result.errors()
    refused = situations.REFUSED.get(name, {})
    # What cannot be taken is refused for the reason that is known, and nothing else is.
    for variant, error in list(errors.items()):
        way = way_of(variant.split()[0])
        if way in refused and refused[way] in error:
            del errors[variant]
            refused = {w: reason for w, reason in refused.items() if w != way}
    errors |= {f"{way} is taken": reason for way, reason in refused.items()}
    worst = 0.0
    for variant, loader, key, batch, output, value, reference in result.compare():
        assert value.shape == reference.shape, (variant, loader, key, batch, output)
        if output in result.about["random"]:
            continue
        error = error_of(value, reference)
        worst = max(worst, error)
        if error > support.TOLERANCE:
            errors[f"{variant} {loader} {key} {batch} {output}"] = error
    for loader, runs in result.runs.items():
        for variant, run in runs.items():
            if run.get("fallbacks"):
                errors[f"{variant} {loader} fallbacks"] = run["reasons"]
    figures, ratios = result.figures(), result.ratios()
    line = f"{name:36}{worst:8.1e}"
    for way in WAYS:
        time = f"{ratios[way]:.2f}" if way in ratios else ""
        line += f"  {figures.get(way, 'refused'):>12} {time:>4}"
    known = (
        f"{way}: {reason}. "
        for reasons in (situations.REFUSED, situations.DIFFERS)
        for way, reason in reasons.get(name, {}).items()
    )
    request.config.user_table.append(f"{line}  {''.join(known)}{'; '.join(map(str, errors))[:60]}")
    assert not errors


@every_situation
def test_no_model_becomes_slower(name, results):
    """An engine's call costs a few microseconds, which a model must win back. What is the program's model, node for node, is timed once
    as that."""
    result = results[name]
    once = result.same_graphs()
    ratios = {way: ratio for way, ratio in result.ratios().items() if way in SAVED and way not in once}
    assert {way: ratio for way, ratio in ratios.items() if ratio > situations.SLOWER} == {}


@every_situation
def test_the_ways_do_not_differ(name, results):
    """V1 converts what the program does; so do the others of the signature that they are given, which has fewer ops than all where
    signatures compute something else. Tables and variables that are written stay with the model of graft.optimize: their handles are no
    nodes of its graph. Of the pass of online conversion the engines are known, not the ops."""
    result = results[name]
    program = result.reports["program"]
    assert result.reports["v1"] == program
    differs = situations.DIFFERS.get(name, {})
    found = {}
    for variant, report in result.reports.items():
        way = way_of(variant)
        if way == "optimize" and way not in differs:
            # TensorFlow 2 gives each output of what TensorFlow 1 saved an Identity.
            more = max(0, report["ops"] - program["ops"])
            assert more <= result.outputs(), variant
            report = {**report, "ops": report["ops"] - more, "converted": report["converted"] - more}
        compared = {"v2": program, "optimize": ("converted", "engines"), "online": ("engines",)}.get(way, ())
        for figure in compared:
            if result.about["alike"] and report[figure] != program[figure]:
                found[way] = f"{figure}: {report[figure]}, not {program[figure]}"
        if way == "v2" and way not in differs:
            assert report["ops"] <= program["ops"], variant
        elif way == "online":
            assert (report["engines"] > 0) == (program["engines"] > 0) or way in differs
    # Those that are known, and no others.
    assert found.keys() == differs.keys(), found
