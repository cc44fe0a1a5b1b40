#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/scan/cumulative.h"

namespace graft::cpu {
namespace {

class CumulativeTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (CumulativeOperation::Supports(dtype)) return std::nullopt;
    return Refuse("no running sums of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::CumulativeAttributes>(node.attributes);
    const std::span<const int64_t> dims = node.inputs[0].dims;
    const auto axis = static_cast<size_t>(a.axis);
    CumulativeProblem problem;
    problem.product = a.kind == ir::CumulativeKind::kProd;
    problem.exclusive = a.exclusive;
    problem.reverse = a.reverse;
    problem.dtype = node.inputs[0].dtype;
    problem.outer = CountElements(dims.first(axis));
    problem.count = dims[axis];
    problem.inner = CountElements(dims.subspan(axis + 1));
    return MakeStep(node, CumulativeOperation::Make(problem));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakeCumulativeLines(std::string_view name, int version) {
  return std::make_unique<CumulativeTactic>(name, version);
}

}  // namespace graft::cpu
