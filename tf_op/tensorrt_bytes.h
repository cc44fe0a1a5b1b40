// Engines of TensorRT, as old models have them: to be told from Graft's.
#pragma once

#include "absl/strings/string_view.h"

namespace graft_tf {

// TensorRT's plans begin with a tag of four letters.
inline bool IsTensorRtEngine(absl::string_view bytes) {
  const absl::string_view tag = bytes.substr(0, 4);
  return tag == "ftrt" || tag == "ptrt";
}

inline constexpr char kTensorRtEngine[] =
    "an engine of NVIDIA TensorRT, which nothing but that release of TensorRT runs";

}  // namespace graft_tf
