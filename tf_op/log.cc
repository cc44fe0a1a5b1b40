#include "log.h"

namespace graft_tf {
namespace {

void Write(void*, int32_t level, const char* module, const char* message) {
  switch (level) {
    case 0:
      LOG(INFO) << module << ": " << message;
      break;
    case 1:
      LOG(WARNING) << module << ": " << message;
      break;
    default:
      LOG(ERROR) << module << ": " << message;
  }
}

// Loading the library is all the set-up there is: TensorFlow registers ops and kernels the same
// way.
[[maybe_unused]] const bool kInstalled = [] {
  graft_set_log_sink(&Write, nullptr);
  return true;
}();

}  // namespace
}  // namespace graft_tf
