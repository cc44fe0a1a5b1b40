// Calibration tables: the ranges of tensors by name, in the text form that TensorRT reads and
// writes:
//
//   TRT-8602-EntropyCalibration2
//   conv1/Relu: 3c010a14
//
// After the name stand the bits of the f32 scale, amax / 127, in hexadecimal digits, the most
// significant first. Names may hold blanks and colons; some writers leave out leading zeros.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace graft::quant {

struct CalibrationTable {
  std::string version = "8602";  // as in the header: TensorRT's, or another
  std::string algorithm = "EntropyCalibration2";
  std::vector<std::pair<std::string, float>> scales;  // by name, in the order of the text

  // Null where the table has none. 0: all elements were zero.
  const float* Find(std::string_view name) const;
};

// Reads tables of every version and algorithm. DataLoss names the line that offends: a header that
// is none, a line without a scale, a scale that is negative or no number, a name with two scales.
Result<CalibrationTable> ParseCalibrationTable(std::string_view text);

// InvalidArgument for names and scales that would not read back.
Result<std::string> ToText(const CalibrationTable& table);

}  // namespace graft::quant
