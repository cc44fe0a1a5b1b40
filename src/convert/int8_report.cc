#include "convert/int8_report.h"

#include <algorithm>
#include <set>

#include "passes/rewrite.h"
#include "quant/range_rules.h"

namespace graft::convert {

int Int8Report::integers() const {
  return static_cast<int>(std::ranges::count_if(layers, &Int8Layer::integers));
}

void Int8Report::Add(const Int8Report& other) {
  layers.insert(layers.end(), other.layers.begin(), other.layers.end());
  from_table += other.from_table;
  from_nodes += other.from_nodes;
  missing += other.missing;
}

Int8Report DescribeLayers(const ir::Module& module) {
  Int8Report report;
  for (const quant::MissingRange& needed : quant::FindNeededRanges(module)) {
    const auto& range = module.value(needed.value).quantization;
    report.missing += !range;
    report.from_table += range && range->origin == ir::RangeOrigin::kTable;
    report.from_nodes += range && range->origin == ir::RangeOrigin::kNode;
  }
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id)) continue;
    const ir::Node& node = module.node(id);
    if (passes::Epilogue(node) == nullptr) continue;
    Int8Layer& layer = report.layers.emplace_back(Int8Layer{node.name, false, ""});
    const ir::Value& x = module.value(node.inputs[0]);
    const ir::Value& weights = module.value(node.inputs[1]);
    if (x.dtype != DType::kFloat32) {
      layer.reason = fmt::format("it computes on {}", Name(x.dtype));
    } else if (!weights.constant) {
      layer.reason = fmt::format("{} is not constant", quant::TableName(weights));
    } else if (!x.quantization) {
      layer.reason = fmt::format("{} has no range", quant::TableName(x));
    }
  }
  return report;
}

void MarkIntegers(const std::vector<std::string>& integers,
                  const std::map<std::string, std::string>& floats, Int8Report* report) {
  const std::set<std::string_view> on_integers(integers.begin(), integers.end());
  for (Int8Layer& layer : report->layers) {
    layer.integers = on_integers.contains(layer.node);
    if (layer.integers || !layer.reason.empty()) continue;
    const auto given = floats.find(layer.node);
    layer.reason =
        given != floats.end() ? given->second : "the backend has no kernel on integers for it";
  }
}

Status CheckTableIsUsed(const quant::CalibrationTable& table, const Int8Report& report) {
  if (report.from_table > 0 || report.missing == 0) return OkStatus();
  if (table.scales.empty())
    return InvalidArgumentError(
        "the calibration table holds no tensors; {} of the model need a range", report.missing);
  return InvalidArgumentError(
      "none of the {} tensors of the calibration table, {} and others, is among the {} of the "
      "model "
      "that need a range: it is another model's",
      table.scales.size(), table.scales[0].first, report.missing);
}

}  // namespace graft::convert
