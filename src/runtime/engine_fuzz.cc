// Any metadata of a plan makes an engine that runs in little memory, or is refused.
#include <cstdint>

#include "runtime/build_and_run.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  graft::testing::BuildAndRun({reinterpret_cast<const char*>(data), size});
  return 0;
}
