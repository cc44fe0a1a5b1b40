"""Every imported op against TensorFlow, over its attributes, shapes and dtypes."""

import collections
import json
import re
import subprocess

import pytest

import cases
import harness

OPS = sorted({case.op for case in cases.ALL})


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, pytestconfig):
    if not harness.TOOL.exists():
        pytest.skip(f"{harness.TOOL} is not built")
    batch = harness.Batch(tmp_path_factory.mktemp("import"))
    for case in cases.ALL:
        batch.add(case)
    by_op = collections.defaultdict(list)
    for outcome in batch.run():
        by_op[outcome.case.op].append(outcome)
    pytestconfig.import_table = {
        op: (
            sum(not o.problem and not o.refused for o in done),
            sum(not o.problem and bool(o.refused) for o in done),
            sum(bool(o.problem) for o in done),
        )
        for op, done in by_op.items()
    }
    return by_op


@pytest.mark.parametrize("op", OPS)
def test_op(outcomes, op):
    problems = [
        f"case {i} ({o.known}): {o.problem}" for i, o in enumerate(outcomes[op]) if o.problem
    ]
    assert not problems, "\n".join(problems)


def pattern(text):
    """What a refusal's format looks like when it is filled in."""
    return re.compile(".*".join(re.escape(part) for part in text.split("{}")), re.DOTALL)


def test_refusals_are_those_of_the_support_table(outcomes):
    """Whatever src/import/refusals.inc knows as a reason stands there for this op."""
    program = harness.TOOL.parent / "graft"
    table = json.loads(subprocess.run([program, "ops", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    shared = [pattern(row["text"]) for row in table["refused"]]
    of_op = {op["op"]: [pattern(row["text"]) for row in op["refused"]] for op in table["ops"]}
    known = [row for rows in of_op.values() for row in rows]
    strangers = set()
    for done in outcomes.values():
        for outcome in done:
            for refusal in outcome.refused:
                _, op, reason = refusal.split(": ", 2)
                rows = shared + of_op.get(op, [])
                if any(row.fullmatch(reason) for row in known) and not any(
                    row.fullmatch(reason) for row in rows
                ):
                    strangers.add(f"{op}: {reason}")
    assert not strangers, "src/import/refusals.inc does not list these ops: " + "; ".join(strangers)
