"""`graft report`: the data of a page, that the page holds it whole and safe, and, where there is a
browser, that it draws it."""

import html.parser
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

import small_models
import support
from support import BAD_INPUT, USAGE, graft

from tensorflow.core.framework import graph_pb2

BROWSERS = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
BROWSER = next(filter(None, BROWSERS), None)
HOSTILE = "</script><script>document.title='taken'</script><!--"


class Page(html.parser.HTMLParser):
    """Which elements a page has, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self._script = [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self._script = ""

    def handle_endtag(self, tag):
        if tag == "script":
            self.scripts.append(self._script)
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            self._script += data


def report(path, *options, folder):
    """The data of a report, after a look at its page."""
    graft(
        "report", path, "-o", folder / "report.html", "--json", folder / "report.json",
        "--duration", 0.02, *options,
    )  # fmt: skip
    data = json.loads((folder / "report.json").read_text())
    text = (folder / "report.html").read_text()
    page = Page(text)
    # All that a page needs is in it.
    assert not [a for _, a in page.elements if {"src", "href", "data", "action"} & set(a)]
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text and "@import" not in text and "url(" not in text
    (policy,) = [a["content"] for tag, a in page.elements if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")
    # Two scripts, whatever names there are; the first is the data.
    assert len(page.scripts) == 2
    assert json.loads(page.scripts[0]) == data
    return data


def chain(path, dims, links):
    """A graph, as a file, whose nodes come one behind the other: `links` are their names and ops."""
    graph = graph_pb2.GraphDef()
    graph.versions.producer = 1882
    last = graph.node.add(name="x", op="Placeholder")
    last.attr["dtype"].type = 1
    for size in dims:
        last.attr["shape"].shape.dim.add(size=size)
    for name, op in links:
        node = graph.node.add(name=name, op=op, input=[last.name])
        node.attr["T"].type = 1
        if op == "RandomShuffle":
            node.attr["seed"].i = node.attr["seed2"].i = 1
        last = node
    path.write_bytes(graph.SerializeToString())
    return path


@pytest.fixture
def hostile_model(tmp_path):
    """A model whose names are tags, and one of whose ops stays native."""
    ops = ["Relu", "Neg", "Exp", "Sqrt", "AsString"]
    links = [(f"{HOSTILE}{i}/&amp;'\"", op) for i, op in enumerate(ops)]
    return chain(tmp_path / "<img src=x onerror=alert(1)>.pb", [-1, 4], links)


@pytest.fixture
def large_model(tmp_path):
    """A chain of 5,000 nodes in scopes, every hundredth of which stays native."""
    links = []
    for i in range(4999):
        stays = i % 100 == 50
        name = f"part_{i // 500}/block_{i // 50}/{'stays' if stays else 'op'}_{i}"
        links.append((name, "RandomShuffle" if stays else ("Relu", "Neg")[i % 2]))
    return chain(tmp_path / "large.pb", [4], links)


def names_and_inputs(data):
    nodes = data["graph"]["nodes"]
    return {name: {nodes[i][0] for i in inputs} for name, _, _, inputs, _ in nodes}


# ---- what it says


@pytest.fixture(scope="module")
def plan(frozen_graph, tmp_path_factory):
    """With both outputs."""
    path = tmp_path_factory.mktemp("plan") / "model.plan"
    support.convert(frozen_graph, "--outputs", "logits:0,classes:0", "--plan", path)
    return path


def test_a_plan(plan, tmp_path):
    data = report(plan, "--threads", 2, folder=tmp_path)
    assert data["kind"] == "plan" and data["threads"] == 2
    (engine,) = data["engines"]
    assert engine["layers"] and all(layer["ms"] > 0 for layer in engine["layers"])
    parts = engine["timeline"]["parts"]
    # A run, its stage, and a step for each layer, in order.
    assert [part[0] for part in parts[:2]] == [0, 1]
    assert [part[1] for part in parts[2:]] == [layer["name"] for layer in engine["layers"]]
    assert [part[3] for part in parts] == sorted(part[3] for part in parts)
    memory = engine["memory"]
    assert len(memory["live"]) == len(engine["layers"])
    assert 0 < max(memory["live"]) <= memory["arena"]
    for begin, size, first, last, _ in memory["blocks"]:
        assert begin + size <= memory["arena"] and 0 <= first <= last < len(memory["live"])
    assert any("throughput of batch 1" in advice["found"] for advice in data["advice"])
    assert "accuracy" not in engine


def test_what_lives_at_once_is_what_was_written_and_is_still_read(plan, tmp_path):
    memory = report(plan, folder=tmp_path)["engines"][0]["memory"]
    blocks = memory["blocks"]
    for i, (begin, size, first, last, name) in enumerate(blocks):
        for begin2, size2, first2, last2, name2 in blocks[:i]:
            together = first <= last2 and first2 <= last
            apart = begin + size <= begin2 or begin2 + size2 <= begin
            # The model has no views: two values that live at once lie apart, but for one that a
            # step turns into the other in place.
            assert apart or not together or first == last2 and begin == begin2, (name, name2)


def test_a_plan_against_its_model(plan, frozen_graph, tmp_path):
    data = report(plan, "--against", frozen_graph, "--layers", folder=tmp_path)
    (engine,) = data["engines"]
    accuracy = engine["accuracy"]
    assert {row["name"] for row in accuracy["outputs"]} == {"logits", "classes"}
    assert all(row["comparable"] and row["relative"] < 1e-5 for row in accuracy["outputs"])
    layers = dict(accuracy["layers"])
    assert {"relu1:0", "pool:0", "relu2:0"} <= {f"{name.partition(':')[0]}:0" for name in layers}
    assert all(error < 1e-5 for error in layers.values())
    # The graph is TensorFlow's.
    assert names_and_inputs(data)["conv2"] >= {"pool"}
    assert {node[2] for node in data["graph"]["nodes"] if node[1] == "Conv2D"} == {0}


def test_a_layer_that_is_off_is_named(plan, frozen_graph, tmp_path):
    """Against a model with other weights in its second convolution."""
    graph = graph_pb2.GraphDef.FromString(frozen_graph.read_bytes())
    changed = 0
    for node in graph.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and [d.size for d in tensor.tensor_shape.dim] == [3, 3, 8, 16]:
            values = np.frombuffer(tensor.tensor_content, np.float32) * 1.5
            tensor.tensor_content = values.tobytes()
            changed += 1
    assert changed == 1
    (tmp_path / "other.pb").write_bytes(graph.SerializeToString())
    data = report(plan, "--against", tmp_path / "other.pb", "--layers", folder=tmp_path)
    layers = data["engines"][0]["accuracy"]["layers"]
    first = next(name for name, error in layers if error > data["tolerance"])
    assert first.startswith(("conv2", "add2", "relu2"))
    before = [error for name, error in layers if name.startswith(("relu1", "pool"))]
    assert before and max(before) < 1e-5
    (advice,) = [a["found"] for a in data["advice"] if "is off by" in a["found"]]
    assert f"the first layer that is off is {first}" in advice


def test_a_plan_with_stored_results(plan, tmp_path):
    cases = tmp_path / "cases"
    cases.mkdir()
    np.save(cases / "one_in_image.npy", small_models.images(2))
    for name, value in small_models.expected(2).items():
        np.save(cases / f"one_out_{name}.npy", value)
    data = report(plan, "--reference", cases, folder=tmp_path)
    outputs = data["engines"][0]["accuracy"]["outputs"]
    assert {row["name"] for row in outputs} == {"one: logits", "one: classes"}
    assert all(row["relative"] < 1e-4 for row in outputs)


@pytest.mark.parametrize("converted", [False, True])
def test_a_model_is_drawn_as_it_was(frozen_graph, tmp_path, converted):
    """Engines are taken apart: nodes and edges are those of the model before."""
    path, options = frozen_graph, ["--opt-level", 0]
    if converted:
        path = tmp_path / "converted.pb"
        support.convert(frozen_graph, "--deny", "pool", "--output", path)
    data = report(path, "--accuracy", "--layers", *options, folder=tmp_path)
    assert data["kind"] == ("converted model" if converted else "model")
    original = graph_pb2.GraphDef.FromString(frozen_graph.read_bytes())
    ops = {node.name: node.op for node in original.node}
    drawn = names_and_inputs(data)
    checked = 0
    for node in original.node:
        if node.name not in drawn or node.op in ("Const", "Identity"):
            continue
        computed = {i.partition(":")[0] for i in node.input}
        assert {i for i in drawn[node.name] if ops.get(i) not in ("Const", "Identity")} == {
            i for i in computed if ops[i] not in ("Const", "Identity")
        }, node.name
        checked += 1
    assert checked >= 9
    engines = {name: engine for name, _, engine, _, _ in data["graph"]["nodes"]}
    if converted:
        assert len(data["engines"]) == 2
        assert engines["pool"] == -1 and engines["conv1"] != engines["conv2"]
    assert len(data["engines"]) == len(data["graph"]["engines"]) and not data["failed"]
    for engine in data["engines"]:
        assert all(row["relative"] < 1e-5 for row in engine["accuracy"]["outputs"])
        assert engine["accuracy"]["layers"]


def test_what_stays_native_has_its_reason(hostile_model, tmp_path):
    data = report(hostile_model, "--opt-level", 0, folder=tmp_path)
    (native,) = [node for node in data["graph"]["nodes"] if node[4]]
    assert native[0].startswith(HOSTILE) and native[1] == "AsString" and native[2] == -1
    (advice,) = [a for a in data["advice"] if a["search"]]
    assert advice["found"].startswith("AsString keeps 1 node native: ")
    assert advice["search"] == "AsString"


def test_options_that_do_not_go_together(plan, frozen_graph, tmp_path):
    out = ("-o", tmp_path / "report.html")
    said = graft("report", frozen_graph, "--against", frozen_graph, *out, expect=USAGE)
    assert "--against, --reference and --shapes are for a plan" in said
    said = graft("report", plan, "--accuracy", *out, expect=USAGE)
    assert "with --against or --reference" in said
    assert "--layers compares" in graft("report", plan, "--layers", *out, expect=USAGE)
    graft("report", tmp_path / "none.pb", *out, expect=BAD_INPUT)
    assert not (tmp_path / "report.html").exists()


# ---- how it looks


def browse(page, *options):
    """Runs a browser without a window over a page; gives its output and what the page logged."""
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--enable-logging=stderr", "--window-size=1360,1400", "--virtual-time-budget=20000"),
            *(f"--user-data-dir={page.parent / 'browser'}", *options, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, re.findall(r".*(?:CONSOLE|Uncaught|Refused).*", done.stderr)


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@needs_browser
def test_a_browser_draws_it(hostile_model, tmp_path):
    report(hostile_model, "--opt-level", 0, "--accuracy", "--layers", folder=tmp_path)
    dom, log = browse(tmp_path / "report.html", "--dump-dom")
    assert log == []
    page = Page(dom)
    assert len(page.scripts) == 2  # names made none
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert "<title>taken" not in dom
    cards = [a["id"] for tag, a in page.elements if tag == "section"]
    assert cards == ["next", "graph", "native", "engine"]
    headings = re.findall(r"<h3>(.*?)</h3>", dom)
    assert headings == ["Accuracy", "Timeline of a run", "Layers", "Memory over the steps"]


@needs_browser
def test_it_stays_usable_at_5000_nodes(large_model, tmp_path):
    data = report(large_model, "--opt-level", 0, folder=tmp_path)
    assert len(data["graph"]["nodes"]) == 5000
    assert len([node for node in data["graph"]["nodes"] if node[4]]) == 50
    page = tmp_path / "report.html"
    assert page.stat().st_size < 5e6
    # Opens everything, looks for a node, goes there; the time of each in milliseconds.
    page.write_text(
        page.read_text().replace(
            "</body>",
            """<script>
const times = [performance.now()];
[...document.querySelectorAll("button")].find((b) => b.textContent === "open all").click();
times.push(performance.now());
goTo(nodes[2500]);
times.push(performance.now());
document.body.dataset.times = JSON.stringify(times);
document.body.dataset.entries = document.querySelectorAll("#canvas g.entry").length;
</script></body>""",
        )
    )
    dom, log = browse(page, "--dump-dom")
    assert log == []
    start, opened, gone = json.loads(re.search(r'data-times="(.*?)"', dom)[1])
    # A bound against work that grows with the square of the nodes, not a measurement.
    assert max(start, opened - start, gone - opened) < 15_000
    assert int(re.search(r'data-entries="(\d+)"', dom)[1]) > 5000


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_is_legible_in_light_and_dark(plan, frozen_graph, tmp_path, dark):
    """Text and what it stands on differ clearly, by the measure of WCAG."""
    report(plan, "--against", frozen_graph, "--layers", folder=tmp_path)
    page = tmp_path / "report.html"
    page.write_text(
        page.read_text().replace(
            "</body>",
            """<script>
const colour = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
const light = (text) => colour(text).map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ratios = [];
for (const element of document.querySelectorAll("h1, h2, h3, p, td, th, a, li, button, .soft")) {
  if (element.namespaceURI !== document.body.namespaceURI || !element.textContent) continue;
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)")
    behind = behind.parentElement;
  const [a, b] = [light(getComputedStyle(element).color),
                  light(getComputedStyle(behind).backgroundColor)].sort((x, y) => y - x);
  ratios.push((a + 0.05) / (b + 0.05));
}
document.body.dataset.ratio = Math.min(...ratios);
document.body.dataset.page = light(getComputedStyle(document.body).backgroundColor);
</script></body>""",
        )
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom, log = browse(page, "--dump-dom", scheme)
    assert log == []
    assert float(re.search(r'data-ratio="(.*?)"', dom)[1]) >= 4.5
    assert (float(re.search(r'data-page="(.*?)"', dom)[1]) < 0.1) == dark
    if folder := os.environ.get("GRAFT_SCREENSHOTS"):
        shot = f"{folder}/report-{'dark' if dark else 'light'}.png"
        browse(page, f"--screenshot={shot}", scheme, "--window-size=1360,3200")
