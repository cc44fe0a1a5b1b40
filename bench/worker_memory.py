"""Resident memory of workers that have one plan each: what they share, because the plan's file is mapped, and what not.

    python bench/worker_memory.py PLAN [--workers 1 4]

Workers are processes of Python that import Graft, as those of a server or of a cluster. Each loads the plan and runs it
twice on one thread; then all are measured while all live. The last column is the proportional share (PSS) of all together:
a page that n processes share counts 1/n for each, so it is the memory that the machine needs.
"""

import argparse
import subprocess
import sys

import numpy as np

import graft


def of_this_process():
    """Megabytes, by the names of /proc/self/smaps_rollup."""
    with open("/proc/self/smaps_rollup") as file:
        pairs = [line.split()[:2] for line in file.readlines()[1:]]
    return {name.rstrip(":"): int(kilobytes) / 1e3 for name, kilobytes in pairs}


def work(plan):
    """A worker: says when it has run, is told when all have, says what it holds."""
    if plan:
        engine = graft.Engine(plan, threads=1)
        random = np.random.default_rng(0)
        inputs = {
            binding.name: random.random([1 if n is None else n for n in binding.shape]).astype(binding.dtype)
            for binding in engine.inputs
        }
        for _ in range(2):
            engine.run(inputs)
    print("ready", flush=True)
    sys.stdin.readline()
    memory = of_this_process()
    print(*(memory[name] for name in ("Rss", "Pss", "Private_Dirty")))


def measure(plan, count):
    """One row (Rss, Pss, Private_Dirty) for each of `count` workers."""
    command = [sys.executable, __file__, plan, "--worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(count)]
    try:
        for worker in workers:
            if worker.stdout.readline() != "ready\n":
                raise RuntimeError("a worker failed")
        rows = []
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
            rows.append([float(number) for number in worker.stdout.readline().split()])
            # It lives on until all are measured: it waits for its next line.
        return rows
    finally:
        for worker in workers:
            worker.communicate()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.plan)
        sys.stdin.readline()
        return
    print("| MB | RSS of one | private of one | PSS of all |")
    print("|---|---|---|---|")
    for plan, name in (("", "without a plan"), (options.plan, "with it")):
        for count in options.workers:
            rows = np.array(measure(plan, count))
            one = rows.mean(0)
            print(f"| {count} {name} | {one[0]:.0f} | {one[2]:.0f} | {rows[:, 1].sum():.0f} |")


if __name__ == "__main__":
    main()
