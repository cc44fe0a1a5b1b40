// Any bytes as a checkpoint's index.
#include "tf/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto index = graft::tf::ParseCheckpointIndex({reinterpret_cast<const char*>(data), size});
  (void)index.ok();
  return 0;
}
