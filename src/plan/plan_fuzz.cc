// Any bytes are a plan or are refused; what is read can be written.
#include <algorithm>

#include "plan/container.h"
#include "plan/plan_file.h"

namespace {

void ReadAndWrite(std::string_view text) {
  // A copy on the heap, at the end of which the sanitizer stands.
  std::shared_ptr<std::byte[]> copy(new std::byte[text.size()]);
  std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), copy.get());
  const graft::FileBytes bytes{std::shared_ptr<const std::byte>(copy, copy.get()), text.size()};
  const graft::Result<graft::Plan> plan = graft::ReadPlan(bytes);
  if (!plan.ok()) return;
  const graft::Result<std::string> written = graft::WritePlan(*plan);
  GRAFT_CHECK(written.ok(), "{}", written.status().message());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  ReadAndWrite(input);
  // Hashes keep the fuzzer out of the metadata: here they are always right.
  const std::string weights(256, '\1');
  const graft::NewSection sections[] = {{graft::SectionKind::kMetadata, {{0, input}}},
                                        {graft::SectionKind::kWeights, {{0, weights}}},
                                        {graft::SectionKind::kPacked, {{0, weights}}}};
  ReadAndWrite(graft::WriteContainer(sections).Joined());
  return 0;
}
