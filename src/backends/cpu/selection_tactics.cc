#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/selection/non_max_suppression.h"
#include "kernels/cpu/selection/where.h"

namespace graft::cpu {
namespace {

// What the four have in common: they compare and choose, so their results have the same bits as the
// reference's.
class SelectionTactic : public CpuTactic {
 public:
  SelectionTactic(std::string_view name, int version) : CpuTactic(name, version, {.exact = true}) {}
};

class WhereTactic final : public SelectionTactic {
 public:
  using SelectionTactic::SelectionTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (WhereOperation::Supports(dtype)) return std::nullopt;
    return Refuse("no where of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const BoundValue& x = node.inputs[0];
    return MakeStep(node, WhereOperation::Make({x.dtype, x.dims}));
  }
};

class NonMaxSuppressionTactic final : public SelectionTactic {
 public:
  using SelectionTactic::SelectionTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (NonMaxSuppressionOperation::Supports(dtype)) return std::nullopt;
    return Refuse("no non_max_suppression of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::NonMaxSuppressionAttributes>(node.attributes);
    NonMaxSuppressionProblem problem;
    problem.dtype = node.inputs[1].dtype;
    problem.count = node.inputs[1].dims[0];
    problem.limit = node.outputs[0].dims[0];
    problem.overlaps = a.overlaps;
    return MakeStep(node, NonMaxSuppressionOperation::Make(problem));
  }
};

class CombinedNonMaxSuppressionTactic final : public SelectionTactic {
 public:
  using SelectionTactic::SelectionTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (dtype == DType::kFloat32) return std::nullopt;
    return Refuse("no combined_non_max_suppression of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::CombinedNonMaxSuppressionAttributes>(node.attributes);
    const Dims& boxes = node.inputs[0].dims;
    CombinedNonMaxSuppressionProblem problem;
    problem.batch = boxes[0];
    problem.count = boxes[1];
    problem.groups = boxes[2];
    problem.classes = node.inputs[1].dims[2];
    problem.per_class = a.per_class.constant().value();
    problem.size = node.outputs[1].dims[1];
    problem.clip = a.clip;
    return MakeStep(node, CombinedNonMaxSuppressionOperation::Make(problem));
  }
};

class UniqueTactic final : public SelectionTactic {
 public:
  using SelectionTactic::SelectionTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const DType index = node.get<ir::UniqueAttributes>()->dtype;
    if (UniqueOperation::Supports(dtype, index)) return std::nullopt;
    return Refuse("no {} indices of unique {} on the CPU", Name(index), Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const BoundValue& x = node.inputs[0];
    return MakeStep(node, UniqueOperation::Make({x.dtype, node.outputs[1].dtype, x.dims[0],
                                                 CountElements(std::span(x.dims).subspan(1))}));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakeWhereScan(std::string_view name, int version) {
  return std::make_unique<WhereTactic>(name, version);
}
std::unique_ptr<Tactic> MakeNonMaxSuppressionHeap(std::string_view name, int version) {
  return std::make_unique<NonMaxSuppressionTactic>(name, version);
}
std::unique_ptr<Tactic> MakeCombinedNonMaxSuppressionHeaps(std::string_view name, int version) {
  return std::make_unique<CombinedNonMaxSuppressionTactic>(name, version);
}
std::unique_ptr<Tactic> MakeUniqueHash(std::string_view name, int version) {
  return std::make_unique<UniqueTactic>(name, version);
}

}  // namespace graft::cpu
