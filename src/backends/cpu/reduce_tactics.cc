#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "ir/attribute_names.h"
#include "kernels/cpu/reduce/arg_reduce.h"
#include "kernels/cpu/reduce/reduce.h"

namespace graft::cpu {
namespace {

class ReduceTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const auto& a = *node.get<ir::ReduceAttributes>();
    if (ReduceOperation::Supports(a.kind, dtype)) return std::nullopt;
    return Refuse("no {} of {} on the CPU", ir::EnumName(a.kind), Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::ReduceAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    return MakeStep(node, ReduceOperation::Make({a.kind, x.dtype, x.dims, a.axes}));
  }
};

class ArgReduceTactic final : public CpuTactic {
 public:
  ArgReduceTactic(std::string_view name, int version) : CpuTactic(name, version, {.exact = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const DType index = node.get<ir::ArgReduceAttributes>()->dtype;
    if (ArgReduceOperation::Supports(dtype, index)) return std::nullopt;
    return Refuse("no {} indices of extremes of {} on the CPU", Name(index), Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::ArgReduceAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    const std::span<const int64_t> dims(x.dims);
    ArgReduceProblem problem;
    problem.smallest = a.kind == ir::ArgReduceKind::kMin;
    problem.dtype = x.dtype;
    problem.index_dtype = a.dtype;
    problem.outer = CountElements(dims.first(a.axis));
    problem.count = x.dims[a.axis];
    problem.inner = CountElements(dims.subspan(a.axis + 1));
    return MakeStep(node, ArgReduceOperation::Make(problem));
  }
};

class TopKTactic final : public CpuTactic {
 public:
  TopKTactic(std::string_view name, int version) : CpuTactic(name, version, {.exact = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (TopKOperation::Supports(dtype)) return std::nullopt;
    return Refuse("no top_k of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const BoundValue& x = node.inputs[0];
    const int64_t rows = CountElements({x.dims.data(), x.dims.size() - 1});
    return MakeStep(
        node, TopKOperation::Make({x.dtype, rows, x.dims.back(), node.outputs[0].dims.back()}));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakeReducePasses(std::string_view name, int version) {
  return std::make_unique<ReduceTactic>(name, version);
}
std::unique_ptr<Tactic> MakeArgReduceLines(std::string_view name, int version) {
  return std::make_unique<ArgReduceTactic>(name, version);
}
std::unique_ptr<Tactic> MakeTopKRows(std::string_view name, int version) {
  return std::make_unique<TopKTactic>(name, version);
}

}  // namespace graft::cpu
