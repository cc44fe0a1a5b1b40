"""Runs test suites and prints their sum as the last line: `N passed, N failed`.

Suites are discovered: every ctest test of the build folder, every pytest file, every fuzz target
that was built. In CI a skip counts as a failure, because a test that cannot run there runs nowhere;
the one exception is a missing GPU.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("GRAFT_CACHE", pathlib.Path.home() / ".cache" / "graft"))
NO_GPU = "no GPU"


class Tally:
    """Counts of one or more suites."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def tally_junit(path):
    """Counts the cases of a JUnit file of pytest or GoogleTest; prints each skip's reason."""
    tally = Tally()
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            tally.failed += 1
        elif (skip := case.find("skipped")) is not None:
            reason = (skip.get("message") or "no reason given").strip()
            excused = "CI" not in os.environ or NO_GPU in reason
            tally += Tally(skipped=1) if excused else Tally(failed=1)
            print(
                f"{'skipped' if excused else 'FAILED (skipped in CI)'}: "
                f"{case.get('classname')}.{case.get('name')}: {reason}"
            )
        elif case.get("status") != "notrun":
            tally.passed += 1
    return tally


def run_includes(_):
    done = subprocess.run([sys.executable, ROOT / "tools/check_includes.py"])
    return Tally(passed=1) if done.returncode == 0 else Tally(failed=1)


def run_one_ctest(args, name, results):
    """One ctest test. A GoogleTest executable leaves a JUnit file; any other, or one that crashed,
    counts as one."""
    report = results / f"{name}.xml"
    report.unlink(missing_ok=True)
    start = time.monotonic()
    done = subprocess.run(
        ["ctest", "--test-dir", args.build, "-R", f"^{re.escape(name)}$", "--output-on-failure"],
        env={**os.environ, "GTEST_OUTPUT": f"xml:{report}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tally = tally_junit(report) if report.exists() else Tally(passed=int(done.returncode == 0))
    if done.returncode != 0:
        print(done.stdout)
        tally.failed = max(tally.failed, 1)
    print(f"  {name}: {tally} in {time.monotonic() - start:.0f} s", flush=True)
    return tally


def run_ctest(args):
    listing = subprocess.run(
        ["ctest", "--test-dir", args.build, "--show-only=json-v1"],
        stdout=subprocess.PIPE,
        check=True,
    )
    names = [test["name"] for test in json.loads(listing.stdout)["tests"]]
    results = pathlib.Path(args.build).resolve() / "test-results"
    results.mkdir(exist_ok=True)
    tally = Tally()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for one in pool.map(lambda name: run_one_ctest(args, name, results), names):
            tally += one
    return tally


def run_pytest(args, marker="not models"):
    report = pathlib.Path(args.build).resolve() / "test-results" / "pytest.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    code = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", marker, "--durations=10", f"--junit-xml={report}"],
        cwd=ROOT,
    ).returncode
    tally = tally_junit(report) if report.exists() else Tally()
    no_test_collected = 5
    if code not in (0, no_test_collected):
        tally.failed = max(tally.failed, 1)
    return tally


def run_models(args):
    return run_pytest(args, marker="models")


def run_fuzz(args):
    """Every target from its checked-in seeds; new inputs stay under build/ for the next run."""
    tally = Tally()
    for target in sorted(pathlib.Path("build/fuzz/bin").glob("*_fuzz")):
        name = target.name.removesuffix("_fuzz")
        corpus = pathlib.Path("build/fuzz/corpus") / name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / "test/fuzz/seeds" / name
        done = subprocess.run(
            [
                target,
                f"-max_total_time={args.fuzz_seconds}",
                f"-seed={args.fuzz_seed}",
                "-print_final_stats=1",
                "-timeout=10",
                "-rss_limit_mb=2048",
                f"-artifact_prefix={corpus.parent}/{name}-",
                corpus,
                *([seeds] if seeds.is_dir() else []),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        executions = re.search(r"number_of_executed_units:\s*(\d+)", done.stdout)
        found = done.returncode != 0
        if found:
            print(done.stdout[-8000:])
        print(
            f"  {target.name}: {executions[1] if executions else '?'} executions in "
            f"{args.fuzz_seconds} s, {'A FINDING' if found else 'no finding'}",
            flush=True,
        )
        tally += Tally(passed=int(not found), failed=int(found))
    return tally


SUITES = {
    "includes": run_includes,
    "ctest": run_ctest,
    "pytest": run_pytest,
    "models": run_models,
    "fuzz": run_fuzz,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="build folder of the ctest suite")
    parser.add_argument("--fuzz-seconds", type=int, default=10, help="for each fuzz target")
    parser.add_argument(
        "--fuzz-seed", type=int, default=1, help="0: another one each time, to find more"
    )
    parser.add_argument("suites", nargs="+", choices=SUITES)
    args = parser.parse_args()
    os.chdir(ROOT)
    total = Tally()
    for name in args.suites:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        tally = SUITES[name](args)
        print(f"{name}: {tally} in {time.monotonic() - start:.0f} s", flush=True)
        total += tally
    print(total)
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
