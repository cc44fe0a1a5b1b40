// TF-TRT's names of an engine's inputs and outputs, by position. Saved models and plans carry them.
#pragma once

#include <fmt/format.h>

#include <string>

namespace graft {

inline std::string InputBindingName(int index) { return fmt::format("TensorRTInputPH_{}", index); }
inline std::string OutputBindingName(int index) {
  return fmt::format("TensorRTOutputPH_{}", index);
}

}  // namespace graft
