// Any bytes as the state of a calibration: read, or refused without a trace. A right checksum is
// put behind them, which a fuzzer would not find.
#include "base/crc32c.h"
#include "quant/calibration.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft;
  std::string text(reinterpret_cast<const char*>(data), size);
  text += fmt::format("{:08x}\n", Crc32c(0, text.data(), text.size()));
  InlineExecutor executor;
  quant::Calibration calibration({{"x"}, {"y", false, true}}, executor);
  if (!calibration.Restore(text, "key").ok()) {
    GRAFT_CHECK(calibration.batches() == 0, "something was read");
    return 0;
  }
  const std::string state = calibration.Gathered("key");
  quant::Calibration again({{"x"}, {"y", false, true}}, executor);
  GRAFT_CHECK(again.Restore(state, "key").ok(), "its own state is refused");
  GRAFT_CHECK(again.Gathered("key") == state, "the state changed");
  return 0;
}
