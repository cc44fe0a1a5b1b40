"""The conformance grid against TensorFlow: each case gives TensorFlow's numbers, on the reference kernels and in an engine of
backend cpu, or is refused for a reason that `graft ops` prints."""

import collections
import json
import re
import subprocess

import pytest

import harness
import grid.cases
import grid.run
from grid.required import ELSEWHERE, REQUIRED

GRAFT = harness.TOOL.parent / "graft"
LEAST_CASES = 4000
BAR = 0.98  # of an op's cases are converted
OPS = sorted({case.op for case in grid.cases.unfold().cases})


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, pytestconfig):
    if not harness.TOOL.exists():
        pytest.skip(f"{harness.TOOL} is not built")
    done = grid.run.run(grid.cases.unfold().cases, tmp_path_factory.mktemp("grid"))
    by_op = collections.defaultdict(list)
    for outcome in done:
        by_op[outcome.case.op].append(outcome)
    pytestconfig.grid_table = grid.run.table(done)
    return by_op


@pytest.fixture(scope="module")
def support_table():
    return json.loads(subprocess.run([GRAFT, "ops", "--json"], check=True, capture_output=True).stdout)


@pytest.fixture(scope="module")
def stated_reasons(support_table):
    """Op -> patterns of the reasons that `graft ops` gives for it; "" -> those of any op."""
    ops = support_table
    pattern = lambda refusal: re.compile(".*".join(map(re.escape, refusal["text"].split("{}"))))
    stated = {op["op"]: [pattern(r) for r in op["refused"]] for op in ops["ops"]}
    stated[""] = [pattern(r) for r in ops["refused"]]
    return stated


def is_stated(op, reason, stated):
    # The dtypes that backend cpu takes are a column of the table.
    if reason.startswith("backend cpu: "):
        return True
    return any(p.fullmatch(reason) for p in stated.get(op, []) + stated[""])


@pytest.mark.parametrize("op", OPS)
def test_gives_tensorflows_numbers(outcomes, op):
    wrong = [str(o) for o in outcomes[op] if o.wrong]
    assert not wrong, f"{len(wrong)} of {len(outcomes[op])}:\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize("op", OPS)
def test_refuses_for_stated_reasons(outcomes, stated_reasons, op):
    unstated = {str(o) for o in outcomes[op] for reason in o.refused if not is_stated(op, reason, stated_reasons)}
    assert not unstated, "\n".join(sorted(unstated)[:20])


@pytest.mark.parametrize("op", sorted(set(REQUIRED) - set(ELSEWHERE)))
def test_is_converted(outcomes, op):
    refused = [o for o in outcomes[op] if o.refused]
    share = 1 - len(refused) / len(outcomes[op])
    assert share >= BAR, f"{share:.1%} converted:\n" + "\n".join(map(str, refused[:20]))


def test_every_converted_op_has_cases(support_table):
    assert {op["op"] for op in support_table["ops"]} <= set(OPS) | set(ELSEWHERE)


def test_every_required_op_has_cases():
    assert set(REQUIRED) <= set(OPS) | set(ELSEWHERE)


def test_is_large(outcomes):
    assert sum(map(len, outcomes.values())) >= LEAST_CASES
