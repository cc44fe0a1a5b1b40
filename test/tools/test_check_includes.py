"""The include checker refuses what the library table forbids."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools"))
import check_includes  # noqa: E402


@pytest.mark.parametrize(
    "path, include, allowed",
    [
        ("src/ir/module.cc", "base/status.h", True),
        ("src/import/conv.cc", "base/status.h", True),  # through ir
        ("src/ir/module.cc", "tf/graph_def.h", False),
        ("src/kernels/cpu/conv.cc", "ir/module.h", False),
        ("src/nowhere/x.cc", "base/status.h", False),
        ("tf_op/engine_op.cc", "graft/c_api.h", True),
        ("tf_op/engine_op.cc", "runtime/engine.h", False),
    ],
)
def test_include(path, include, allowed):
    problems = list(check_includes.check_source(pathlib.Path(path), f'#include "{include}"\n'))
    assert not problems if allowed else len(problems) == 1


def test_forbidden_text():
    paths = check_includes.FORBIDDEN["a path of somebody's machine"]
    assert paths.search("see /" + "home/ann/model.pb")
    assert not paths.search("https://example.org/home/ann")
