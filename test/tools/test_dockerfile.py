"""The Dockerfile is as its linter wants it, copies files that are there, and its first layers hold all that the
set-up reads."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()


def test_the_linter_finds_nothing():
    linter = shutil.which("hadolint", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("hadolint")
    assert linter, "hadolint is not installed (requirements-tests.txt)"
    done = subprocess.run([linter, "-"], input=(ROOT / "Dockerfile").read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stdout.decode()
    # It finds what there is.
    assert subprocess.run([linter, "-"], input=b"FROM debian:latest\n", capture_output=True).returncode != 0


def test_what_is_copied_is_there():
    copied = [line.split()[1:-1] for line in LINES if line.startswith("COPY ") and "--from" not in line]
    assert copied
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source


def test_the_first_set_up_has_what_it_reads():
    before = LINES[: LINES.index("RUN tools/setup.sh")]
    copied = {source for line in before if line.startswith("COPY ") for source in line.split()[1:-1]}
    script = (ROOT / "tools/setup.sh").read_text()
    plain = re.sub(r"case .*?esac", "", script, flags=re.DOTALL)
    read = set(re.findall(r"(?:tools/debian-packages\S*\.txt|requirements\S*\.txt)", plain))
    assert read and read <= copied


def test_the_context_leaves_out_what_is_built():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {"build/", ".venv/", ".git"} <= set(ignored)
