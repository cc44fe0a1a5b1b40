// Any bytes are a plan or are refused; what is read can be written and read again.
#include "plan/plan_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using graft::FileBytes;
  using graft::Plan;
  using graft::Result;
  // A copy on the heap, at the end of which the sanitizer stands.
  std::shared_ptr<std::byte[]> copy(new std::byte[size]);
  std::copy_n(reinterpret_cast<const std::byte*>(data), size, copy.get());
  const FileBytes bytes{std::shared_ptr<const std::byte>(copy, copy.get()), size};
  const Result<Plan> plan = graft::ReadPlan(bytes);
  if (!plan.ok()) return 0;
  const Result<std::string> written = graft::WritePlan(*plan);
  GRAFT_CHECK(written.ok(), "{}", written.status().message());
  return 0;
}
