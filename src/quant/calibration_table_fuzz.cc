// Any bytes as a calibration table: read or refused; what is read is written and reads back.
#include "quant/calibration_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<quant::CalibrationTable> table = quant::ParseCalibrationTable(text);
  if (!table.ok()) return 0;
  const Result<std::string> written = quant::ToText(*table);
  GRAFT_CHECK(written.ok(), "{}", written.status().message());
  const Result<quant::CalibrationTable> again = quant::ParseCalibrationTable(*written);
  GRAFT_CHECK(again.ok(), "{}", again.status().message());
  GRAFT_CHECK(again->scales == table->scales, "the table changed");
  return 0;
}
