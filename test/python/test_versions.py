"""The package tells in words that it was built for another TensorFlow."""

import pytest

import tensorflow as tf
from graft import _graft, _op_library


def test_the_version_that_it_was_built_against_is_known():
    assert _graft.tensorflow_version == tf.__version__
    _op_library._check_version(tf.__version__, _graft.tensorflow_version)
    _op_library._check_version("2.21.7", "2.21.0")


@pytest.mark.parametrize("found", ["2.20.0", "2.22.0-rc1", "3.21.0"])
def test_another_version_is_named(found):
    with pytest.raises(ImportError) as raised:
        _op_library._check_version(found, "2.21.0")
    for words in (f"TensorFlow {found} is installed", "works with TensorFlow 2.21.0"):
        assert words in str(raised.value)


def test_a_build_without_an_op_library_says_so():
    with pytest.raises(ImportError, match="no op library"):
        _op_library._check_version("2.21.0", "")
