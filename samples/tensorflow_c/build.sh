#!/bin/sh
# build.sh PYTHON OUTPUT: compiles the sample against the TensorFlow of that Python, whose package has headers and libraries.
set -e
folder=$("$1" -c 'import importlib.util; print(importlib.util.find_spec("tensorflow").submodule_search_locations[0])')
${CXX:-c++} -std=c++17 -O2 -Wall -o "$2" "$(dirname "$0")/run_saved_model.cc" \
  -isystem "$folder/include" -Wl,-rpath,"$folder" \
  "$folder/libtensorflow_cc.so.2" "$folder/libtensorflow_framework.so.2"
