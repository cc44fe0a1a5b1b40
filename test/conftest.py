"""What all tests of Python share."""

import os

# Read when TensorFlow is loaded, which whatever module comes first does: its errors and warnings are captured and read.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests that count what engines do, or compare bits, would see an engine that takes another's place.
os.environ.setdefault("GRAFT_TF_TUNE", "off")
