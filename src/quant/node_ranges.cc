#include "quant/node_ranges.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype_visit.h"

namespace graft::quant {
namespace {

std::vector<double> Numbers(const Tensor& tensor) {
  std::vector<double> numbers;
  TryVisitDType(kFloatTypes, tensor.dtype(), [&]<class T>(T) {
    for (T v : tensor.data<T>()) numbers.push_back(static_cast<double>(v));
  });
  return numbers;
}

// A range along an axis where integers have one scale for the whole value.
void Join(ir::QuantizationRange* range) {
  range->amax = {*std::max_element(range->amax.begin(), range->amax.end())};
  range->axis = -1;
}

}  // namespace

Result<NodeRange> FromFakeQuantize(const ir::FakeQuantizeAttributes& attributes, const Tensor& min,
                                   const Tensor& max) {
  const std::vector<double> low = Numbers(min);
  const std::vector<double> high = Numbers(max);
  if (low.empty() || low.size() != high.size())
    return InvalidArgumentError("ranges from {} to {} elements", min.elements(), max.elements());
  NodeRange result;
  ir::QuantizationRange range;
  bool is_empty = true;
  bool holds_zero = true;
  for (size_t i = 0; i < low.size(); ++i) {
    if (!std::isfinite(low[i]) || !std::isfinite(high[i]) || low[i] > high[i])
      return InvalidArgumentError("the range [{}, {}]", low[i], high[i]);
    const auto amax = static_cast<float>(std::max(std::abs(low[i]), std::abs(high[i])));
    if (!std::isfinite(amax)) return InvalidArgumentError("the range [{}, {}]", low[i], high[i]);
    is_empty = is_empty && amax == 0;
    holds_zero = holds_zero && low[i] <= 0 && high[i] >= 0;
    range.amax.push_back(std::max(amax, std::numeric_limits<float>::min()));
  }
  if (is_empty) return result;
  // TensorFlow takes vectors along an axis; a single range serves everything.
  if (range.amax.size() > 1) range.axis = std::max<int64_t>(attributes.axis, 0);
  if (!holds_zero) {
    result.warnings.push_back(
        fmt::format("the range [{}, {}] does not hold zero: INT8 takes [{}, {}]", low[0], high[0],
                    -range.amax[0], range.amax[0]));
  }
  if (attributes.bits != 8)
    result.warnings.push_back(fmt::format("{} bits: INT8 takes 8", attributes.bits));
  result.range = std::move(range);
  return result;
}

Result<std::vector<std::string>> ReadQuantizationNodes(ir::Module& module) {
  std::vector<std::string> warnings;
  const ir::Uses uses(module);
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (module.removed(id)) continue;
    const ir::Node node = module.node(id);
    const auto* attributes = node.get<ir::FakeQuantizeAttributes>();
    if (attributes == nullptr) continue;
    const auto& min = module.value(node.inputs[1]).constant;
    const auto& max = module.value(node.inputs[2]).constant;
    if (!min || !max) continue;
    ir::Value& x = module.value(node.inputs[0]);
    // An output of the module needs somebody who writes it.
    if (uses.is_output(node.outputs[0]) && x.producer < 0) continue;
    Result<NodeRange> read = FromFakeQuantize(*attributes, *min, *max);
    if (!read.ok()) return read.status().WithContext(node.name);
    for (const std::string& warning : read->warnings)
      warnings.push_back(fmt::format("{}: {}", node.name, warning));
    if (std::optional<ir::QuantizationRange>& range = read->range) {
      if (!x.constant) Join(&*range);
      if (x.quantization && x.quantization->amax != range->amax) {
        warnings.push_back(
            fmt::format("{}: {} is quantised by another node before, whose range "
                        "counts",
                        node.name, x.name));
      } else {
        x.quantization = std::move(range);
      }
    }
    module.ReplaceUses(node.outputs[0], node.inputs[0]);
    module.RemoveNode(id);
  }
  return warnings;
}

}  // namespace graft::quant
