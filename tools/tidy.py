"""Runs clang-tidy over the C++ sources that differ from the main branch, or with --all over all."""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"


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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    sources = sorted(
        {entry["file"] for entry in commands if not entry["file"].startswith(str(BUILD))}
    )
    if not args.all:
        changed = {str(ROOT / name) for name in changed_files()}
        sources = [source for source in sources if source in changed]
    if not sources:
        print("clang-tidy: no changed source")
        return 0
    return subprocess.run(
        ["run-clang-tidy-16", "-quiet", "-p", BUILD, *(f"^{source}$" for source in sources)]
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
