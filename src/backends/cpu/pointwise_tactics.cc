#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/pointwise/pointwise.h"

namespace graft::cpu {
namespace {

class PointwiseTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    std::vector<DType> inputs;
    for (ir::ValueId id : node.inputs) inputs.push_back(module.value(id).dtype);
    const Status supported =
        PointwiseKernel::Check(node.get<ir::PointwiseAttributes>()->program, inputs);
    if (supported.ok()) return std::nullopt;
    return Refusal{supported.message()};
  }

  TacticTraits Traits(const ir::Module& module, const ir::Node& node) const override {
    TacticTraits traits;
    traits.strided_inputs = true;
    traits.strided_output = true;
    if (!node.inputs.empty()) {
      const ir::Value& x = module.value(node.inputs[0]);
      const ir::Value& y = module.value(node.outputs[0]);
      traits.in_place = x.dtype == y.dtype && x.shape == y.shape;
    }
    return traits;
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const BoundValue& y = node.outputs[0];
    PointwiseProblem problem;
    problem.program = std::get<ir::PointwiseAttributes>(node.attributes).program;
    for (const BoundValue& x : node.inputs) {
      problem.inputs.push_back({x.dtype, x.dims, x.row_stride});
    }
    problem.output = y.dims;
    problem.output_row_stride = y.row_stride;
    return MakeStep(node, PointwiseOperation::Make(problem));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakePointwiseBlocks(std::string_view name, int version) {
  return std::make_unique<PointwiseTactic>(name, version);
}

}  // namespace graft::cpu
