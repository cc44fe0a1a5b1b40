#include "environment.h"

#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "tensorflow/core/platform/logging.h"

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

int BuildLevel() {
  const char* value = std::getenv("GRAFT_TF_OPT_LEVEL");
  if (value == nullptr || *value == '\0') return 0;
  int level = 0;
  if (absl::SimpleAtoi(value, &level) && level >= 0 && level <= 5) return level;
  LOG(WARNING) << "GRAFT_TF_OPT_LEVEL '" << value << "': must be 0 to 5; it is taken as 0";
  return 0;
}

std::optional<int> BackgroundTuneLevel() {
  constexpr int kLevel = 3;  // of engines that are tuned at conversion
  const char* value = std::getenv("GRAFT_TF_TUNE");
  if (value != nullptr && absl::EqualsIgnoreCase(value, "off")) return std::nullopt;
  if (value != nullptr && *value != '\0' && !absl::EqualsIgnoreCase(value, "background")) {
    LOG(WARNING) << "GRAFT_TF_TUNE '" << value
                 << "': must be background or off; it is taken as background";
  }
  return BuildLevel() < kLevel ? std::optional(kLevel) : std::nullopt;
}

bool BuildsInBackground() {
  const char* value = std::getenv("GRAFT_TF_BUILD");
  if (value == nullptr || *value == '\0' || absl::EqualsIgnoreCase(value, "wait")) return false;
  if (absl::EqualsIgnoreCase(value, "background")) return true;
  LOG(WARNING) << "GRAFT_TF_BUILD '" << value << "': must be wait or background; calls wait";
  return false;
}

}  // namespace graft_tf
