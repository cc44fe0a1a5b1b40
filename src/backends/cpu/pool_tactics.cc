#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "ir/attribute_names.h"
#include "kernels/cpu/pool/pool.h"

namespace graft::cpu {
namespace {

Pooling PoolingOf(const ir::PoolAttributes& a) {
  if (a.kind == ir::PoolKind::kAverage) return Pooling::kAverage;
  return a.window.size() == 3 ? Pooling::kMaxOrNan : Pooling::kMax;
}

class PoolTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& a = *node.get<ir::PoolAttributes>();
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (PoolOperation::Supports(PoolingOf(a), dtype)) return std::nullopt;
    return Refuse("no {} pooling of {} on the CPU", ir::EnumName(a.kind), Name(dtype));
  }
  TacticTraits Traits(const ir::Module&, const ir::Node& node) const override {
    TacticTraits traits;
    traits.strided_inputs = true;
    traits.strided_output = true;
    traits.exact = node.get<ir::PoolAttributes>()->kind == ir::PoolKind::kMax;
    return traits;
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::PoolAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    return MakeStep(node, PoolOperation::Make({PoolingOf(a), x.dtype, x.dims, x.row_stride, y.dims,
                                               y.row_stride, a.window, a.strides,
                                               Values(a.pads_before), a.count_padding}));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakePoolWindows(std::string_view name, int version) {
  return std::make_unique<PoolTactic>(name, version);
}

}  // namespace graft::cpu
