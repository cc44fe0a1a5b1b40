"""Builds from one full timing cache give the same bytes, wherever and however often they run."""

import contextlib
import json
import os

import pytest

import support


@contextlib.contextmanager
def processors(count):
    """What this process starts meanwhile sees so many processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    yield
    os.sched_setaffinity(0, before)


def convert(model, folder, cache, level=1):
    """With timing, as users do; gives the report and every byte written."""
    folder.mkdir(parents=True)
    support.graft(
        "convert", model, "--plan", "model.plan", "--output", "model", "--threads", 2,
        "--timing-cache", cache, "--opt-level", level, "--json", folder / "report.json", cwd=folder,
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    written = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "report.json"
    }
    return report, written


@pytest.fixture(scope="module", params=["v1_saved_model", "v2_saved_model"])
def first_build(request, tmp_path_factory):
    """Model, a cache filled by its build, what the build wrote."""
    model = request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("first")
    _, written = convert(model, folder / "out", folder / "timings")
    return model, folder / "timings", written


def tactics(report, what):
    """Of the plan, which is made first, and of the engines."""
    return sum(made[f"tactics_{what}"] for made in (report["plan"], *report["engine_list"]))


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_a_build_that_timed_nothing_leaves_nothing_to_later_ones(v1_saved_model, tmp_path, level):
    """All is timed at a level that times, though level 0 decided it all with the same cache."""
    cache = tmp_path / "timings"
    report, _ = convert(v1_saved_model, tmp_path / "0", cache, level=0)
    assert tactics(report, "estimated") > 0 and tactics(report, "measured") == 0
    found = convert(v1_saved_model, tmp_path / "after", cache, level)[0]
    alone = convert(v1_saved_model, tmp_path / "alone", tmp_path / "another", level)[0]
    assert tactics(found, "measured") == tactics(alone, "measured") > 0
    assert tactics(found, "remembered") == tactics(alone, "remembered")


@pytest.mark.parametrize("count", [1, 2])
def test_a_full_cache_gives_the_same_bytes_and_measures_nothing(first_build, tmp_path, count):
    model, cache, first = first_build
    before = cache.read_bytes()
    with processors(count):
        report, written = convert(model, tmp_path / "another place" / str(count), cache)
    assert sorted(written) == sorted(first)
    assert [file for file in first if written[file] != first[file]] == []
    assert tactics(report, "measured") == 0
    assert cache.read_bytes() == before


def test_the_first_build_did_measure(first_build):
    _, cache, _ = first_build
    assert cache.stat().st_size > 0


def test_python_converts_the_same_way_twice(v1_saved_model, graph_mode):
    """The same GraphDef but for the graph's number in the engine's name."""
    from graft import trt_convert as trt

    graphs = [
        trt.TrtGraphConverter(input_saved_model_dir=str(v1_saved_model)).convert() for _ in range(2)
    ]
    texts = []
    for graph in graphs:
        (engine,) = [node.name for node in graph.node if node.op == "TRTEngineOp"]
        texts.append(str(graph).replace(engine, "TRTEngineOp"))
    assert texts[0] == texts[1]
