// The parser of the module text takes any bytes; what it accepts verifies or is refused, prints,
// and reads back to the same text.
#include "ir/module.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<ir::Module> module = ir::ParseText(text);
  if (!module.ok()) return 0;
  static_cast<void>(ir::Verify(*module).ok());
  const Result<std::string> printed = ir::ToText(*module);
  GRAFT_CHECK(printed.ok(), "{}", printed.status().message());
  const Result<ir::Module> again = ir::ParseText(*printed);
  GRAFT_CHECK(again.ok(), "{}", again.status().message());
  GRAFT_CHECK(*ir::ToText(*again) == *printed, "the text changed");
  return 0;
}
