"""The documents say what the tree holds: links, options, passes and ops."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = pathlib.Path(os.environ.get("GRAFT_BUILD", ROOT / "build/release")) / "bin/graft"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
COMMANDS = (
    *("convert", "calibrate", "run", "bench", "report", "inspect", "compare", "plan", "plan verify"),
    "ops",
)
OPTION = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")


def anchors(page):
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        waiting += [t for t in targets if t.suffix == ".md" and t.exists() and t not in reached]
    assert reached >= set(PAGES)


def section(command):
    """The part of docs/cli.md about a command."""
    text = (ROOT / "docs/cli.md").read_text()
    found = re.search(rf"^## graft {command}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section on graft {command}"
    return found[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_those_of_the_program(command):
    output = subprocess.run(
        [PROGRAM, *command.split(), "--help"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    # The examples at the end may show another command's options.
    listed = set(OPTION.findall(re.split(r"^(?:Examples?|Subcommands):", output, flags=re.M)[0]))
    rows = re.findall(r"^\| (`-.*?) \|", section(command.split()[0]), re.MULTILINE)
    documented = {option for row in rows for option in OPTION.findall(row)}
    assert documented == listed - {"--help"}


def test_options_are_those_of_the_server():
    source = (ROOT / "python/graft/serving.py").read_text()
    rows = re.findall(r"^\| (`-.*?) \|", (ROOT / "docs/serving.md").read_text(), re.MULTILINE)
    assert {option for row in rows for option in OPTION.findall(row)} == set(re.findall(r'add\(\s*"(--\w+)"', source))


def test_commands_are_those_of_the_program():
    output = subprocess.run([PROGRAM, "--help"], stdout=subprocess.PIPE, text=True, check=True)
    listed = output.stdout.split("Subcommands:\n")[1].split("\n\n")[0]
    names = {line.split()[0] for line in listed.splitlines()}
    assert names == {command.split()[0] for command in COMMANDS}


# A table of the source, the pattern of a row's name, and the page that lists the names.
TABLES = [
    ("src/passes/passes.inc", r'^GRAFT_PASS\(\w+, "([\w-]+)"', "architecture.md"),
    ("src/ir/ops.inc", r'^GRAFT_OP\(\w+, "(\w+)"', "adding-an-op.md"),
    ("src/ir/ops.inc", r'^GRAFT_OP\(\w+, "(?!opaque)(\w+)"', "numerics.md"),
]


@pytest.mark.parametrize("table, row, page", TABLES)
def test_tables_are_in_the_documents(table, row, page):
    names = re.findall(row, (ROOT / table).read_text(), re.MULTILINE)
    assert names, table
    rows = re.findall(r"^\|.*\|$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    missing = [name for name in names if not any(f"`{name}`" in line for line in rows)]
    assert not missing


def test_ops_are_those_of_the_program():
    printed = subprocess.run(
        [PROGRAM, "ops", "--markdown"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    page = (ROOT / "docs/ops.md").read_text()
    assert page == printed, "write it anew: graft ops --markdown > docs/ops.md"


LITERAL = r'"(?:[^"\\]|\\.)*"'
LITERALS = re.compile(rf"{LITERAL}(?:\s*{LITERAL})*")


def texts(source, call):
    """The string that each call begins with, adjacent literals joined; `call` matches up to it."""
    found = []
    for match in re.finditer(call, source):
        literals = LITERALS.match(source, match.end())
        if literals:
            found.append("".join(part[1:-1] for part in re.findall(LITERAL, literals[0])))
    return found


def test_refusals_are_in_their_table():
    folder = ROOT / "src/import"
    table = (folder / "refusals.inc").read_text()
    listed = texts(table, r'GRAFT_REFUSES\(\s*"[^"]*",\s*') + texts(table, r"GRAFT_MALFORMED\(\s*")
    used = {
        text
        for path in folder.glob("*.cc")
        if not path.name.endswith("_test.cc")
        for text in texts(path.read_text(), r"\bRefuse\(\s*")
    }
    assert len(used) > 50
    assert used - set(listed) == set(), "src/import/refusals.inc lacks them"
    assert set(listed) - used == set(), "no import function refuses with them"


def test_report_lists_every_field():
    """The keys that ToJson writes."""
    source = (ROOT / "src/convert/convert_model.cc").read_text()
    body = source[source.index("ordered_json Tactics(") :]
    text = (ROOT / "docs/report.md").read_text()
    fields = re.findall(r'\{"(\w+)"[,}]', body)
    assert len(fields) > 20
    missing = [field for field in fields if not re.search(rf"[`.]{field}`", text)]
    assert not missing
