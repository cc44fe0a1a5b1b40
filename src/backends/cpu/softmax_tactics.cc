#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/softmax/softmax.h"

namespace graft::cpu {
namespace {

class SoftmaxTactic final : public CpuTactic {
 public:
  SoftmaxTactic(std::string_view name, int version)
      : CpuTactic(name, version,
                  {.strided_inputs = true, .strided_output = true, .in_place = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (dtype == DType::kFloat32 || dtype == DType::kFloat64) return std::nullopt;
    return Refuse("no softmax of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const BoundValue& x = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    SoftmaxProblem problem;
    problem.log = std::get<ir::SoftmaxAttributes>(node.attributes).log;
    problem.dtype = x.dtype;
    problem.rows = CountElements({x.dims.data(), x.dims.size() - 1});
    problem.columns = x.dims.back();
    problem.x_row_stride = x.row_stride;
    problem.y_row_stride = y.row_stride;
    return MakeStep(node, SoftmaxOperation::Make(problem));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakeSoftmaxRows(std::string_view name, int version) {
  return std::make_unique<SoftmaxTactic>(name, version);
}

}  // namespace graft::cpu
