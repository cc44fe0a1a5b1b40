"""Random graphs, native against converted: run.py --seeds 0:2000. Exit code 1 when a seed fails; reduce.py SEED makes it small."""

import argparse
import collections
import concurrent.futures
import json
import multiprocessing
import sys
import time
import traceback

import environment  # noqa: F401  first


def run_seed(seed):
    import random

    import check
    import generate

    try:
        graph = generate.generate(seed)
        result = check.check(graph, minimum_segment_size=random.Random(seed).randint(1, 3))
    except Exception:
        return seed, 0, check.Result(problem=traceback.format_exc())
    return seed, sum(n.op not in ("Const", "Placeholder") for n in graph.nodes), result


def run_seeds(seeds, jobs):
    """The result of each seed, in any order. A worker that dies takes its seed with it, not the run."""
    context = multiprocessing.get_context("spawn")
    seeds = list(seeds)
    while seeds:
        done = set()
        with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
            running = {pool.submit(run_seed, seed): seed for seed in seeds}
            try:
                for future in concurrent.futures.as_completed(running):
                    result = future.result()
                    done.add(running[future])
                    yield result
            except concurrent.futures.process.BrokenProcessPool:
                pass
        seeds = [s for s in seeds if s not in done]
        if seeds:
            # One at a time, until the one that kills its worker is found.
            yield from run_alone(seeds[: 2 * jobs], context)
            seeds = seeds[2 * jobs :]


def run_alone(seeds, context):
    import check

    for seed in seeds:
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                yield pool.submit(run_seed, seed).result()
            except concurrent.futures.process.BrokenProcessPool:
                yield seed, 0, check.Result(problem="the process died")


def missing_ops():
    """Converted ops that graphs neither have nor are excused from, and those that are excused though they have them."""
    import ops
    import support

    converted = {op["op"] for op in json.loads(support.graft("ops", "--json"))["ops"]}
    grown = {p.op for p in ops.PROPOSALS}
    return sorted((converted - grown) ^ ops.NOT_GROWN.keys())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:2000", help="FIRST:END, or one")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ops", action="store_true", help="instead: the converted ops that no graph can have; exit code 1 when there are any")
    args = parser.parse_args()
    if args.ops:
        missing = missing_ops()
        print(*missing)
        return 1 if missing else 0
    first, _, end = args.seeds.partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    begin = time.time()
    failed = []
    sums = collections.Counter()
    for seed, nodes, result in run_seeds(seeds, args.jobs):
        sums += collections.Counter(
            graphs=1, nodes=nodes, engines=result.engines, converted=result.converted, total=result.total, plans=int(result.plan)
        )
        if result.problem:
            failed.append(seed)
            print(f"seed {seed} ({nodes} nodes): {result.problem}", flush=True)
    print(
        f"{sums['graphs']} graphs of {sums['nodes']} nodes: {sums['converted']} of {sums['total']} ops in {sums['engines']} engines, "
        f"{sums['plans']} plans, {len(failed)} failed, {time.time() - begin:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
