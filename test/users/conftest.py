"""The situations, converted every way and run, once for all tests; a table of them at the end."""

import os
import pathlib
import sys

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

import support  # noqa: E402

support.use_build()


def pytest_configure(config):
    config.user_table = []


def pytest_terminal_summary(terminalreporter, config):
    if not config.user_table:
        return
    terminalreporter.write_sep("-", "situations: largest error; ops/converted/engines and time to native's of each way")
    ways = ("program", "v1", "v2", "online", "optimize")
    terminalreporter.write_line(" " * 44 + "".join(f"  {way:>12}     " for way in ways))
    for line in sorted(config.user_table):
        terminalreporter.write_line(line)
