#include "environment.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace graft_tf {
namespace {

bool Flag(const char* name, bool otherwise) {
  const char* value = std::getenv(name);
  if (value == nullptr) return otherwise;
  for (const absl::string_view text : {"1", "true"})
    if (absl::EqualsIgnoreCase(value, text)) return true;
  for (const absl::string_view text : {"0", "false"})
    if (absl::EqualsIgnoreCase(value, text)) return false;
  return otherwise;
}

}  // namespace

bool NativeExecutionAllowed() { return Flag("TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION", true); }

bool EngineBuildAborted() { return Flag("TF_TRT_ABORT_CUDA_ENGINE_BUILD", false); }

}  // namespace graft_tf
