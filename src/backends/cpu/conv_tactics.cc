// Convolution, and transposed convolution, by the kernels of kernels/cpu/conv, one tactic each.
#include <algorithm>

#include "backends/cpu/conv_problem.h"
#include "backends/cpu/dense_step.h"
#include "backends/cpu/packed_bytes.h"
#include "backends/cpu/tactic_base.h"
#include "backends/cpu/tactics.h"

namespace graft::cpu {
namespace {

class ConvStep final : public DenseStep {
 public:
  // Without `weights` the filter is packed on every run, into the workspace.
  ConvStep(const ConvKernel& kernel, ConvProblem problem, const void* weights,
           BoundEpilogue epilogue)
      : DenseStep(std::move(epilogue)), kernel_(kernel), problem_(problem), weights_(weights) {}

 protected:
  size_t kernel_workspace_bytes(int width) const override {
    return packed_bytes() + kernel_.workspace_bytes(problem_, width);
  }
  Status Compute(const StepPointers& pointers, const Epilogue& epilogue, void* sums,
                 std::byte* workspace, Executor& executor) const override {
    ConvArguments arguments{pointers.inputs[0], weights_, sums, epilogue,
                            workspace + packed_bytes()};
    if (weights_ == nullptr) {
      kernel_.pack(problem_.filter, pointers.inputs[1], workspace, executor);
      arguments.weights = workspace;
    }
    kernel_.run(problem_, arguments, executor);
    return OkStatus();
  }

 private:
  size_t packed_bytes() const {
    return weights_ ? 0 : AlignUp(kernel_.packed_bytes(problem_.filter));
  }

  const ConvKernel& kernel_;
  ConvProblem problem_;
  const void* weights_;
};

// When a filter gets the form that its kernel wants: once, as a constant, or on every run.
enum class Packing : uint8_t { kAhead, kEveryRun };

// The filter's dimensions where a kernel can look at it before there is an image.
std::optional<Dims> KnownFilter(const ir::ConvAttributes& attributes, const ir::Shape& weights) {
  return attributes.groups.is_constant() ? ir::ConstantDims(weights) : std::nullopt;
}
std::optional<Dims> KnownFilter(const ir::ConvTransposeAttributes&, const ir::Shape& weights) {
  return ir::ConstantDims(weights);
}

// Attributes: ir::ConvAttributes or ir::ConvTransposeAttributes.
template <class Attributes>
class ConvTactic final : public Tactic, public PacksBytes {
 public:
  // `computes_any`: the kernel gives right results for every filter, those that it refuses too.
  ConvTactic(const ConvKernel& kernel, Packing packing, bool computes_any)
      : kernel_(kernel),
        packs_ahead_(packing == Packing::kAhead),
        computes_any_(computes_any),
        name_(packs_ahead_ ? kernel.name : fmt::format("{}.any_filter", kernel.name)) {}

  std::string_view name() const override { return name_; }
  int version() const override { return kernel_.version; }
  std::string_view packing() const override { return packs_ahead_ ? kernel_.packing : ""; }

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<Attributes>();
    const ir::Value& x = module.value(node.inputs[0]);
    const ir::Value& weights = module.value(node.inputs[1]);
    const DType sums = ir::AccumulatorOf(attributes, x.dtype);
    if (!TakesInput(kernel_.types, x) || sums != kernel_.types.accumulator ||
        !CanPackAs(kernel_.types.filter, weights)) {
      return Refuse("{}: convolution of {} by {}, sums in {}", node.name, Name(x.dtype),
                    Name(weights.dtype), Name(sums));
    }
    if (packs_ahead_ && !weights.constant)
      return Refuse("{}: the filter is not a constant", node.name);
    if (!packs_ahead_ && weights.constant)
      return Refuse("{}: a constant need not be packed on every run", node.name);
    if (const std::optional<Dims> dims = KnownFilter(attributes, weights.shape)) {
      if (auto refusal = kernel_.refuses(FilterOf(attributes, *dims)))
        return Refuse("{}: {}", node.name, refusal->reason);
    } else if (!computes_any_) {
      return Refuse("{}: filter {} is not known", node.name, ir::ToString(weights.shape));
    }
    return RefuseEpilogue(module, node, attributes.epilogue, sums);
  }

  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    TacticTraits traits;
    if (packs_ahead_) traits.packed_inputs = {1};
    traits.strided_inputs = true;
    traits.strided_output = true;
    return traits;
  }

  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor& executor) const override {
    if (!packs_ahead_) return Tactic::Pack(module, node, executor);
    GRAFT_ASSIGN_OR_RETURN(const Tensor weights,
                           WeightsAs(kernel_.types.filter, *module.value(node.inputs[1]).constant));
    const ConvFilter filter = FilterOf(*node.get<Attributes>(), weights.dims());
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<PackedBytes> packed,
                           PackedBytes::Allocate(kernel_.packed_bytes(filter)));
    kernel_.pack(filter, weights.raw(), packed->mutable_data(), executor);
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view) const override {
    const auto& attributes = std::get<Attributes>(node.attributes);
    GRAFT_ASSIGN_OR_RETURN(
        BoundEpilogue epilogue,
        BoundEpilogue::Bind(node, attributes.epilogue, kernel_.types.accumulator, kernel_.sums));
    const void* weights = packs_ahead_ ? static_cast<const PackedBytes*>(packed)->data() : nullptr;
    ConvProblem problem = ProblemOf(node);
    problem.output_stride = epilogue.sums_stride();
    return std::unique_ptr<BoundStep>(
        std::make_unique<ConvStep>(kernel_, problem, weights, std::move(epilogue)));
  }

  double Cost(const BoundNode& node) const override {
    const ConvProblem problem = ProblemOf(node);
    double cycles = kernel_.cost(problem);
    // Four bytes in a cycle.
    if (!packs_ahead_) cycles += static_cast<double>(kernel_.packed_bytes(problem.filter)) / 4;
    return cycles / kCyclesPerMillisecond;
  }

 private:
  size_t PackedSize(const ir::Node& node, const Dims& weights) const override {
    return kernel_.packed_bytes(FilterOf(*node.get<Attributes>(), weights));
  }
  ConvFilter FilterOf(const Attributes& attributes, std::span<const int64_t> weights) const {
    ConvFilter filter = MakeConvFilter(attributes, weights);
    filter.types = kernel_.types;
    return filter;
  }
  ConvProblem ProblemOf(const BoundNode& node) const {
    ConvProblem problem = MakeConvProblem<Attributes>(node);
    problem.filter.types = kernel_.types;
    return problem;
  }

  const ConvKernel& kernel_;
  bool packs_ahead_;
  bool computes_any_;
  std::string name_;
};

bool IsLastOfItsTypes(const ConvKernel& kernel, std::span<const ConvKernel> kernels) {
  return std::none_of(&kernel + 1, kernels.data() + kernels.size(),
                      [&](const ConvKernel& later) { return later.types == kernel.types; });
}

}  // namespace

void AddConvTactics(TacticTable& table) {
  for (const Packing packing : {Packing::kEveryRun, Packing::kAhead}) {
    for (const ConvKernel& kernel : ConvKernels()) {
      if (packing == Packing::kAhead && &kernel == &ConvKernels().back()) {
        AddOnednnConvTactics(table);
      }
      table.push_back(
          {ir::OpKind::kConv, std::make_unique<ConvTactic<ir::ConvAttributes>>(
                                  kernel, packing, IsLastOfItsTypes(kernel, ConvKernels()))});
    }
    for (const ConvKernel& kernel : TransposedConvKernels()) {
      table.push_back({ir::OpKind::kConvTranspose,
                       std::make_unique<ConvTactic<ir::ConvTransposeAttributes>>(
                           kernel, packing, IsLastOfItsTypes(kernel, TransposedConvKernels()))});
    }
  }
}

}  // namespace graft::cpu
