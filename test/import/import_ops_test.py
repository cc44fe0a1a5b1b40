"""Every imported op against TensorFlow, over its attributes, shapes and dtypes."""

import collections

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
