"""Runs cases in TensorFlow and through import_check, and tells what became of each."""

import collections
import dataclasses
import re

import numpy as np

import harness
from grid.case import STATIC, Case, Sized, array_of, make_graph, run_natively

SESSION = 300  # cases that share one


@dataclasses.dataclass
class Outcome:
    case: Case
    known: str
    refused: list = dataclasses.field(default_factory=list)  # reasons
    wrong: str = ""

    def __str__(self):
        return f"{self.case} {self.known}: {self.wrong or self.refused}"


def run(cases, folder):
    """An outcome for each case and each of its shapes."""
    batch = harness.Batch(folder)
    outcomes = []
    for start in range(0, len(cases), SESSION):
        part = cases[start : start + SESSION]
        for case, expected in zip(part, run_natively(part)):
            if isinstance(expected, Exception):
                outcomes.append(Outcome(case, STATIC, wrong=f"TensorFlow: {explain(expected)}"))
                continue
            graph = make_graph(case.node, outputs=case.outputs)
            serialized = graph.serialized()
            for known in case.shapes:
                shapes = [known_shape(fed, known) for fed in graph.feeds.values()]
                arrays = [array_of(fed) for fed in graph.feeds.values()]
                batch.add_graph(serialized, graph.feeds, shapes, arrays, graph.fetches, expected=expected)
                batch.cases.append((case, known))
    for (case, known), result in zip(batch.cases, batch.run_tool()):
        outcomes.append(Outcome(case, known, reasons(result["refused"]), result["error"] or result["differs"]))
    return outcomes


def known_shape(fed, known):
    array = array_of(fed)
    return array.shape if known == STATIC or isinstance(fed, Sized) else [None] * array.ndim


def explain(error):
    """The line of TensorFlow's message that says what happened."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    detected = [i for i, line in enumerate(lines) if line.startswith("Node:")]
    return lines[detected[-1] + 1] if detected else lines[0]


def reasons(refusals):
    """Without the node's name and op."""
    return [": ".join(r.split(": ")[2:]) for r in refusals]


def general(reason):
    """A reason without the case's numbers."""
    return re.sub(r"-?\d+", "N", reason)


def table(outcomes):
    """Op -> (passed, refused, wrong)."""
    counts = collections.defaultdict(lambda: [0, 0, 0])
    for o in outcomes:
        counts[o.case.op][2 if o.wrong else 1 if o.refused else 0] += 1
    return counts
