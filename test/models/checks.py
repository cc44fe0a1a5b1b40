"""How the large models are judged."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python"))
from support import (  # noqa: E402, F401
    ALLOCATION_COUNT,
    PROGRAM,
    TOLERANCE,
    EngineCalls,
    relative_error,
)


def largest_error(outputs, reference):
    """Over all outputs, as a share of each one's largest value."""
    assert sorted(outputs) == sorted(key for key in reference if key != "image")
    return max(relative_error(value, reference[key]) for key, value in outputs.items())
