"""Compares Graft with TensorFlow, ONNX Runtime, OpenVINO and LiteRT: whole models, FP32, batch 1.

Speed on a shared machine drifts, so the engines take turns: each sits loaded in a process of its
own, stopped but for its own short rounds, and the median over all rounds is what counts (the
minimum stands beside it). Every engine's output is checked against TensorFlow's before it is timed.
A ratio is the other's time by Graft's: above 1, Graft is faster.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test/models"))
import guide_models  # noqa: E402

BEFORE = "Graft before"  # another build, beside which this one is run
ENGINES = ("Graft", "TensorFlow", "ONNX Runtime", "OpenVINO", "LiteRT")
MODELS = ("mobilenet_v2_1.4", "resnet50_v1.5", "inception_v3", "vgg16", "nasnet_mobile")
TOLERANCE = 1e-3


class Unavailable(Exception):
    """An engine cannot run this model; says why."""


class Worker:
    """A process that holds one engine with one model loaded (runners.py), stopped unless asked."""

    def __init__(self, engine, model, work, threads):
        ours = engine.startswith("Graft")
        python = sys.executable if ours else ROOT / ".venv-peers/bin/python"
        self.log = work / f"{engine.replace(' ', '-')}-{threads}.log"
        arguments = [engine, model, work, str(threads)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        with open(self.log, "w") as log:
            command = [python, ROOT / "bench/runners.py"]
            converted = subprocess.run(
                [*command, "convert", *arguments], env=environment, stderr=log
            )
            if converted.returncode != 0:
                raise Unavailable(self.last_words())
            self.process = subprocess.Popen(
                [*command, "serve", *arguments],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        hello = self.read()
        self.version, self.load_seconds = hello["version"], hello["load_seconds"]

    def last_words(self):
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "died without a word"

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise Unavailable(self.last_words())
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def ask(self, **request):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.kill()
        self.process.wait()


def describe_machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)[1]
    flags = set(re.search(r"flags\s*: (.*)", text)[1].split())
    telling = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile")
    return f"{name}, {os.cpu_count()} cores, {' '.join(flag for flag in telling if flag in flags)}"


def measure(name, threads, engines, rounds, seconds):
    """One row: engine -> {median, minimum, error, version} in milliseconds, or {reason}."""
    model = guide_models.cached(name)
    work = guide_models.CACHE / "bench" / model.name
    work.mkdir(parents=True, exist_ok=True)
    row, workers = {}, {}
    try:
        for engine in engines:
            try:
                worker = workers[engine] = Worker(engine, model, work, threads)
                error = worker.ask(verify=str(model / "reference_b1.npz"))["error"]
                row[engine] = {"error": error, "version": worker.version}
                if not error <= TOLERANCE:
                    raise Unavailable(f"wrong by {error:.1e} of the largest logit")
                worker.ask(time=seconds)  # warm up
            except Unavailable as reason:
                row[engine] = {"reason": str(reason)}
                if engine in workers:
                    workers.pop(engine).close()
        times = {engine: [] for engine in workers}
        for _ in range(rounds):
            for engine, worker in workers.items():
                times[engine].append(worker.ask(time=seconds)["times"])
        for engine, samples in times.items():
            row[engine]["median"] = statistics.median(statistics.median(one) for one in samples)
            row[engine]["minimum"] = min(min(one) for one in samples)
        report = work / f"threads{threads}.json"
        if "median" in row.get("Graft", {}) and report.exists():
            row["Graft"]["conversion"] = json.loads(report.read_text())
    finally:
        for worker in workers.values():
            worker.close()
        for stale in work.glob("cache*"):
            shutil.rmtree(stale)
    return row


def ratios(row):
    """Graft's advantage over TensorFlow and over the fastest other engine, where there is one."""
    times = {engine: cell["median"] for engine, cell in row.items() if "median" in cell}
    graft = times.pop("Graft", None)
    before = times.pop(BEFORE, None)
    found = {} if graft is None or before is None else {BEFORE: before / graft}
    if graft is None or not times:
        return found
    best = min(times, key=times.get)
    found |= {"best peer": times[best] / graft, "the best": best}
    if "TensorFlow" in times:
        found["TensorFlow"] = times["TensorFlow"] / graft
    return found


def geometric_mean(values):
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def markdown(result):
    lines = [
        f"`{result['command']}` on {result['machine']}; Python {result['python']}; "
        + ", ".join(f"{engine} {version}" for engine, version in result["versions"].items())
        + ". Milliseconds, median (minimum) over the interleaved rounds; errors are the largest, as"
        " a share of the largest logit.",
        "",
    ]
    compared = [one for one in (BEFORE, "TensorFlow") if one in (*result["engines"], "TensorFlow")]
    heads = [
        *("model", *result["engines"], "largest error"),
        *(f"{one} ÷ Graft" for one in (*compared, "best peer")),
    ]
    for threads, rows in result["threads"].items():
        lines += [f"**{threads} thread{'s' if int(threads) > 1 else ''}**", ""]
        lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for name, row in rows.items():
            cells = [
                f"{cell['median']:.2f} ({cell['minimum']:.2f})"
                if "median" in cell
                else f"n/a: {cell['reason']}"
                for cell in row.values()
            ]
            errors = [cell["error"] for cell in row.values() if "error" in cell]
            found = ratios(row)
            against = [f"{found[one]:.2f}" if one in found else "" for one in compared]
            best = f"{found['best peer']:.2f} ({found['the best']})" if "best peer" in found else ""
            errors = f"{max(errors):.0e}" if errors else ""
            lines.append("| " + " | ".join([name, *cells, errors, *against, best]) + " |")
        for peer in (*compared, "best peer"):
            mean = geometric_mean([f[peer] for f in map(ratios, rows.values()) if peer in f])
            if mean:
                lines += ["", f"Geometric mean, time of {peer} / time of Graft: {mean:.2f}"]
        for name, row in rows.items():
            if "conversion" in row.get("Graft", {}):
                report = row["Graft"]["conversion"]
                seconds = sum(report["seconds"].values())
                lines += [
                    "",
                    f"`graft convert` of {name}, empty timing cache: {seconds:.1f} s, "
                    f"{report['peak_rss_bytes'] / 1e6:.0f} MB",
                ]
        lines.append("")
    return "\n".join(lines)


def commit():
    """What is checked out, with a + where files differ from it; None without Git."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True
    )
    return described.stdout.strip() or None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=guide_models.MODELS)
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one engine's turn")
    parser.add_argument(
        "--against",
        type=pathlib.Path,
        metavar="BUILD",
        help="another build's folder: both take turns, and the ratio of their times is shown",
    )
    parser.add_argument(
        "--history", type=pathlib.Path, metavar="FILE", help="append the result, a line of JSON"
    )
    args = parser.parse_args()
    if args.against:
        os.environ["GRAFT_BUILD_BEFORE"] = str(args.against.resolve())
        args.engines = [*args.engines, BEFORE]
    result = {
        "schema": 1,
        "command": shlex.join(["bench/bench.py", *sys.argv[1:]]),
        "machine": describe_machine(),
        "python": platform.python_version(),
        "engines": list(args.engines),
        "versions": {},
        "threads": {},
    }
    out = ROOT / "bench/out"
    out.mkdir(exist_ok=True)
    for threads in args.threads:
        rows = result["threads"][str(threads)] = {}
        for name in args.models:
            print(f"{name}, {threads} threads ...", file=sys.stderr, flush=True)
            row = rows[name] = measure(name, threads, args.engines, args.rounds, args.seconds)
            for engine, cell in row.items():
                if "version" in cell:
                    result["versions"][engine] = cell.pop("version")
            (out / "bench.json").write_text(json.dumps(result, indent=1))
            (out / "bench.md").write_text(markdown(result))
    print((out / "bench.md").read_text())
    if args.history:
        with open(args.history, "a") as history:
            line = {"time": int(time.time()), "commit": commit(), **result}
            print(json.dumps(line), file=history)


if __name__ == "__main__":
    main()
