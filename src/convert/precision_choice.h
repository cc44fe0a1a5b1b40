// A choice of precisions kept in the calibration table that it was made with, so that every engine
// that is built with that table has it.
//
// For each product that can be on integers the table has an entry of a name that no tensor has,
// "conv1[precision]", with a number in the place of a scale: 0, it is on integers; 1, in floats
// because integers are too coarse for it; 2, in floats because the model is faster so.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "convert/precision_search.h"
#include "quant/calibration_table.h"

namespace graft::convert {

void AddChoice(const PrecisionReport& report, quant::CalibrationTable* table);

// The nodes that the table's choice leaves in floats, with the reason for reports; none where the
// table has no choice. Numbers other than these mean integers.
std::optional<std::map<std::string, std::string>> ChosenFloats(
    const quant::CalibrationTable& table);

}  // namespace graft::convert
