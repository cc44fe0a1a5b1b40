"""Runs the conformance grid by hand: run_grid.py [--all] [OP ...] prints what is wrong and why what is refused."""

import argparse
import collections
import tempfile
import time

import harness  # sets up TensorFlow
import grid.cases
import grid.run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", type=int, default=5, help="cases of each op to show")
    parser.add_argument("ops", nargs="*")
    args = parser.parse_args()
    begin = time.time()
    unfolded = grid.cases.unfold()
    cases = [c for c in unfolded.cases if not args.ops or c.op in args.ops]
    print(f"{len(cases)} cases unfolded in {time.time() - begin:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        outcomes = grid.run.run(cases, folder)
    refusals = collections.Counter()
    shown = collections.Counter()
    for o in outcomes:
        for reason in o.refused:
            refusals[o.case.op, grid.run.general(reason)] += 1
        if o.wrong:
            shown[o.case.op] += 1
            if shown[o.case.op] <= args.show:
                print(o)
    for (op, reason), count in sorted(refusals.items()):
        print(f"refused {count:4} {op}: {reason}")
    for op, (passed, refused, wrong) in sorted(grid.run.table(outcomes).items()):
        print(f"{op:32}{passed:6}{refused:6}{wrong:6}")
    print(f"{len(outcomes)} outcomes in {time.time() - begin:.1f} s")


if __name__ == "__main__":
    main()
