#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/lrn/lrn.h"

namespace graft::cpu {
namespace {

class LrnTactic final : public CpuTactic {
 public:
  LrnTactic(std::string_view name, int version)
      : CpuTactic(name, version,
                  {.strided_inputs = true, .strided_output = true, .in_place = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const auto& a = *node.get<ir::LrnAttributes>();
    if (dtype != DType::kFloat32)
      return Refuse("no local response normalisation of {} on the CPU", Name(dtype));
    // The power is taken by way of a logarithm.
    if (a.bias < 0 || a.alpha < 0) return Refuse("bias {} and alpha {}", a.bias, a.alpha);
    return std::nullopt;
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::LrnAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    LrnProblem problem;
    problem.rows = CountElements(std::span(x.dims).first(x.dims.size() - 1));
    problem.channels = x.dims.back();
    problem.x_row_stride = x.row_stride;
    problem.y_row_stride = node.outputs[0].row_stride;
    // Farther there are no channels.
    problem.radius = std::min(a.radius, problem.channels);
    problem.bias = static_cast<float>(a.bias);
    problem.alpha = static_cast<float>(a.alpha);
    problem.beta = static_cast<float>(a.beta);
    return MakeStep(LrnOperation(problem));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakeLrnRows(std::string_view name, int version) {
  return std::make_unique<LrnTactic>(name, version);
}

}  // namespace graft::cpu
