"""Runs clang-tidy over the C++ sources that differ from the main branch, or with --all over all.

What was found clean is remembered by the hash of the preprocessed source and the configuration, so
a second run looks at what has changed since, in headers too. The memory is a folder of empty files
that can be deleted at any time.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
CACHE = pathlib.Path(os.environ.get("GRAFT_CACHE", pathlib.Path.home() / ".cache" / "graft"))
CLEAN = CACHE / "tidy"
TIDY = "clang-tidy-16"


def git(*args):
    return subprocess.run(
        ["git", *args], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def changed_files():
    """Files that differ from the main branch; on that branch itself, since the commit before."""
    base = git("merge-base", "HEAD", "main").strip()
    if base == git("rev-parse", "HEAD").strip():
        base = "HEAD~1"
    return set(git("diff", "--name-only", base).split())


def compiler_arguments(entry):
    """The compile command without compiler, launcher and output."""
    words = shlex.split(entry["command"])
    words = words[next(i for i, word in enumerate(words) if word.startswith("-")) :]
    output = words.index("-o")
    del words[output : output + 2]
    return [word for word in words if word != "-c"]


def fingerprint(entry, configuration):
    """Hash of all that clang-tidy will see; comments stay, since they can silence a check."""
    preprocessed = subprocess.run(
        ["clang++-16", "-E", "-P", "-C", *compiler_arguments(entry)],
        cwd=entry["directory"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if preprocessed.returncode != 0:
        return None  # clang-tidy will say why
    return hashlib.sha256(configuration + preprocessed.stdout).hexdigest()


def tidy_command():
    headers = f"{ROOT}/(src|include|tools|tf_op|python|test|bench)/"
    return [TIDY, "--quiet", "-p", BUILD, f"--header-filter=^{headers}"]


def check(entry, configuration, command):
    """(clean, known before, what clang-tidy said)"""
    key = fingerprint(entry, configuration)
    if key and (CLEAN / key).exists():
        return True, True, ""
    done = subprocess.run(
        [*command, entry["file"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    clean = done.returncode == 0
    if clean and key:
        (CLEAN / key).touch()
    return clean, False, "" if clean else done.stdout + done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    entries = {entry["file"]: entry for entry in commands}
    ours = {str(ROOT / name) for name in git("ls-files").split()}
    sources = sorted(ours & entries.keys())
    if not args.all:
        changed = {str(ROOT / name) for name in changed_files()}
        sources = [source for source in sources if source in changed]
    version = subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE, check=True).stdout
    configuration = version + (ROOT / ".clang-tidy").read_bytes()
    command = tidy_command()
    CLEAN.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    dirty = known = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = pool.map(lambda s: check(entries[s], configuration, command), sources)
        for done, (source, (clean, remembered, text)) in enumerate(zip(sources, results), 1):
            known += remembered
            if not clean:
                dirty += 1
                print(text, flush=True)
            if sys.stdout.isatty():
                print(f"\rclang-tidy: {done} of {len(sources)}", end="", flush=True)
    print(
        f"clang-tidy: {len(sources)} files, {dirty} with findings, {known} clean since before, "
        f"{time.monotonic() - start:.0f} s"
    )
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
