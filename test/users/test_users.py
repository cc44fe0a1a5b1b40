"""What people report about: each model converted by the program and by both Python converters, loaded in fresh processes by
the loaders of TensorFlow 1 and 2, and run beside the original on several batches and every signature."""

import json
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

import situations
import support

HERE = pathlib.Path(__file__).resolve().parent
LOADERS = ("tf1", "tf2")
WAYS = ("program", "v1", "v2")


def python(script, *arguments):
    paths = [str(HERE.parent / "python"), os.environ["PYTHONPATH"]]
    done = subprocess.run(
        [sys.executable, HERE / script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def way_of(variant):
    """v2-serving_default is TrtGraphConverterV2's model of that signature."""
    return variant.partition("-")[0]


class Results:
    """Of one situation."""

    def __init__(self, folder):
        def read(name):
            path = folder / name
            return json.loads(path.read_text()) if path.exists() else {}

        self.about = read("about.json")
        self.reports = {"program": read("program.json"), **read("python.json")}
        self.runs = {
            loader: pickle.loads((folder / f"{loader}.pkl").read_bytes())
            for loader in LOADERS
            if (folder / f"{loader}.pkl").exists()
        }

    def ratios(self):
        """{way: time of its model to the original's}, of those that were timed."""
        seconds = {v: run["seconds"] for v, run in self.runs.get("tf2", {}).items() if "seconds" in run}
        return {way_of(v): time / seconds["native"] for v, time in seconds.items() if v != "native"}

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
            if "error" in runs["native"]:
                continue
            for variant in self.reports:
                if "error" in self.reports[variant]:
                    continue
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


every_situation = pytest.mark.parametrize("name", sorted(situations.SITUATIONS))


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
        time = f"{ratios[way]:.2f}" if way in ratios else "n/a"
        line += f"  {figures.get(way, '-'):>12} {time:>4}"
    request.config.user_table.append(f"{line}  {'; '.join(map(str, errors))[:60]}")
    assert not errors


@every_situation
def test_no_model_becomes_slower(name, results):
    """An engine's call costs a few microseconds, which a model must win back. The other ways' times are printed."""
    assert results[name].ratios().get("program", 0) <= situations.SLOWER


@every_situation
def test_the_ways_do_not_differ(name, results):
    """V1 converts what the program does; V2 leaves out other signatures, so it has fewer ops where those compute something else."""
    result = results[name]
    program = result.reports["program"]
    assert result.reports["v1"] == program
    for variant, report in result.reports.items():
        if variant.startswith("v2") and result.about["alike"]:
            assert report == program, variant
        elif variant.startswith("v2"):
            assert report["ops"] <= program["ops"]
