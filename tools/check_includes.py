"""Holds the architecture: which library may include which, and what no file may say.

A library may include itself, its declared dependencies and theirs (docs/architecture.md draws
them). The linker enforces the same table through src/*/CMakeLists.txt; includes are checked too
because a header-only use links silently.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

DEPENDENCIES = {
    "base": [],
    "ir": ["base"],
    "tf": ["base"],
    "kernels": ["base"],
    "backend_api": ["ir"],
    "plan": ["backend_api"],
    "backends": ["backend_api", "kernels"],
    "runtime": ["plan", "backends"],
    "quant": ["ir"],
    "import": ["ir", "tf"],
    "passes": ["ir", "backend_api", "quant"],
    "tune": ["backend_api"],
    "partition": ["import", "backend_api"],
    "convert": ["runtime", "passes", "tune", "partition", "quant"],
    "c_api": ["convert"],
}

# The op library lives inside TensorFlow's process, where only the C API is a safe border.
C_API_ONLY = {"tf_op": "graft/c_api.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# The brackets keep this file from matching itself.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.])/(?:work|root|home)/[\w.]"),
    "work left for later": re.compile(r"\bTO[D]O\b|\bFIX[M]E\b"),
}


def closure(library):
    reachable = {library}
    for dependency in DEPENDENCIES[library]:
        reachable |= closure(dependency)
    return reachable


def check_source(path, text):
    """Yields what is wrong with the includes of one C++ file."""
    top, *rest = path.parts
    for include in INCLUDE.findall(text):
        owner = include.split("/")[0]
        if top == "src" and len(rest) > 1:
            if rest[0] not in DEPENDENCIES:
                yield f"src/{rest[0]} is not in the library table of tools/check_includes.py"
                return
            oracle_of_a_test = "_test" in path.stem and include.startswith("backends/reference/")
            if owner in DEPENDENCIES and owner not in closure(rest[0]) and not oracle_of_a_test:
                yield f'{rest[0]} may not include "{include}"'
        elif top in C_API_ONLY and (owner in DEPENDENCIES or owner == "graft"):
            if include != C_API_ONLY[top]:
                yield f'{top} may include only "{C_API_ONLY[top]}" of Graft, not "{include}"'


def main():
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    problems = []
    for name in filter(None, listing.stdout.decode().split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" in data:
            continue
        text = data.decode(errors="replace")
        if path.suffix in (".cc", ".h", ".inc"):
            problems += [f"{name}: {problem}" for problem in check_source(pathlib.Path(name), text)]
        for what, pattern in FORBIDDEN.items():
            if match := pattern.search(text):
                line = text.count("\n", 0, match.start()) + 1
                problems.append(f"{name}:{line}: {what}: {match[0]}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
