#include "convert/precision_choice.h"

#include <array>
#include <string_view>
#include <utility>

namespace graft::convert {
namespace {

constexpr std::string_view kSuffix = "[precision]";

struct Choice {
  FloatReason reason;
  float number;
  std::string_view text;
};
constexpr std::array kChoices = {
    Choice{FloatReason::kNone, 0, ""},
    Choice{FloatReason::kAccuracy, 1, kTooCoarse},
    Choice{FloatReason::kTime, 2, "the engine is faster so"},
};

}  // namespace

void AddChoice(const PrecisionReport& report, quant::CalibrationTable* table) {
  for (const LayerPrecision& layer : report.layers) {
    FloatReason reason = layer.in_floats;
    // As a whole the model is faster in floats.
    if (!report.integers && layer.integers()) reason = FloatReason::kTime;
    for (const Choice& choice : kChoices) {
      if (choice.reason == reason)
        table->scales.emplace_back(layer.node + std::string(kSuffix), choice.number);
    }
  }
}

std::optional<std::map<std::string, std::string>> ChosenFloats(
    const quant::CalibrationTable& table) {
  std::optional<std::map<std::string, std::string>> floats;
  for (const auto& [name, number] : table.scales) {
    if (!name.ends_with(kSuffix)) continue;
    if (!floats) floats.emplace();
    for (const Choice& choice : kChoices) {
      if (choice.reason != FloatReason::kNone && choice.number == number)
        floats->emplace(name.substr(0, name.size() - kSuffix.size()), choice.text);
    }
  }
  return floats;
}

}  // namespace graft::convert
