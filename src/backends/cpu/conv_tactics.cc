// Convolution, and transposed convolution, by the kernels of kernels/cpu/conv, one tactic each.
#include "backends/cpu/conv_problem.h"
#include "backends/cpu/epilogue.h"
#include "backends/cpu/packed_floats.h"
#include "backends/cpu/tactics.h"
#include "base/aligned_buffer.h"

namespace graft::cpu {
namespace {

constexpr double kCyclesPerMillisecond = 3e6;

class ConvStep final : public BoundStep {
 public:
  // Without `weights` the filter is packed on every run, into the workspace.
  ConvStep(const ConvKernel& kernel, ConvProblem problem, const float* weights,
           BoundEpilogue epilogue)
      : kernel_(kernel), problem_(problem), weights_(weights), epilogue_(std::move(epilogue)) {}

  size_t workspace_bytes(int width) const override {
    return packed_bytes() + kernel_workspace(width) + epilogue_.scratch_bytes(width);
  }
  Status Enqueue(const StepPointers& pointers, const Queue& queue) const override {
    std::byte* workspace = static_cast<std::byte*>(pointers.workspace);
    ConvArguments arguments;
    arguments.input = static_cast<const float*>(pointers.inputs[0]);
    arguments.weights = weights_;
    if (weights_ == nullptr) {
      float* packed = reinterpret_cast<float*>(workspace);
      kernel_.pack(problem_.filter, static_cast<const float*>(pointers.inputs[1]), packed,
                   *queue.executor);
      arguments.weights = packed;
      workspace += packed_bytes();
    }
    arguments.output = static_cast<float*>(pointers.outputs[0]);
    arguments.workspace = workspace;
    void* scratch = workspace + kernel_workspace(queue.executor->width());
    return epilogue_.Run(pointers, scratch, [&](const Epilogue& epilogue) {
      arguments.epilogue = epilogue;
      kernel_.run(problem_, arguments, *queue.executor);
    });
  }

 private:
  size_t packed_bytes() const {
    if (weights_ != nullptr) return 0;
    return AlignUp(static_cast<size_t>(kernel_.packed_size(problem_.filter)) * sizeof(float));
  }
  size_t kernel_workspace(int width) const {
    return AlignUp(static_cast<size_t>(kernel_.workspace_size(problem_, width)) * sizeof(float));
  }

  const ConvKernel& kernel_;
  ConvProblem problem_;
  const float* weights_;
  BoundEpilogue epilogue_;
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
class ConvTactic final : public Tactic {
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
    if (x.dtype != DType::kFloat32 || weights.dtype != DType::kFloat32) {
      return Refuse("{}: convolution of {} by {}", node.name, Name(x.dtype), Name(weights.dtype));
    }
    if (packs_ahead_ && !weights.constant)
      return Refuse("{}: the filter is not a constant", node.name);
    if (!packs_ahead_ && weights.constant)
      return Refuse("{}: a constant need not be packed on every run", node.name);
    if (const std::optional<Dims> dims = KnownFilter(attributes, weights.shape)) {
      if (auto refusal = kernel_.refuses(MakeConvFilter(attributes, *dims)))
        return Refuse("{}: {}", node.name, refusal->reason);
    } else if (!computes_any_) {
      return Refuse("{}: filter {} is not known", node.name, ir::ToString(weights.shape));
    }
    return RefuseEpilogue(module, node, attributes.epilogue, 2);
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
    const Tensor& weights = *module.value(node.inputs[1]).constant;
    const ConvFilter filter = MakeConvFilter(*node.get<Attributes>(), weights.dims());
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<PackedFloats> packed,
                           PackedFloats::Allocate(kernel_.packed_size(filter)));
    kernel_.pack(filter, weights.data<float>().data(), packed->data(), executor);
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view) const override {
    const auto& attributes = std::get<Attributes>(node.attributes);
    GRAFT_ASSIGN_OR_RETURN(BoundEpilogue epilogue,
                           BoundEpilogue::Bind(node, attributes.epilogue, 2));
    const float* weights =
        packs_ahead_ ? static_cast<const PackedFloats*>(packed)->data() : nullptr;
    return std::unique_ptr<BoundStep>(std::make_unique<ConvStep>(
        kernel_, MakeConvProblem<Attributes>(node), weights, std::move(epilogue)));
  }

  double Cost(const BoundNode& node) const override {
    const ConvProblem problem = MakeConvProblem<Attributes>(node);
    double cycles = kernel_.cost(problem);
    if (!packs_ahead_) cycles += static_cast<double>(kernel_.packed_size(problem.filter));
    return cycles / kCyclesPerMillisecond;
  }

 private:
  const ConvKernel& kernel_;
  bool packs_ahead_;
  bool computes_any_;
  std::string name_;
};

}  // namespace

void AddConvTactics(TacticTable& table) {
  for (const Packing packing : {Packing::kEveryRun, Packing::kAhead}) {
    for (const ConvKernel& kernel : ConvKernels()) {
      const bool last = &kernel == &ConvKernels().back();
      if (packing == Packing::kAhead && last) AddOnednnConvTactics(table);
      table.push_back({ir::OpKind::kConv,
                       std::make_unique<ConvTactic<ir::ConvAttributes>>(kernel, packing, last)});
    }
    for (const ConvKernel& kernel : TransposedConvKernels()) {
      const bool last = &kernel == &TransposedConvKernels().back();
      table.push_back(
          {ir::OpKind::kConvTranspose,
           std::make_unique<ConvTactic<ir::ConvTransposeAttributes>>(kernel, packing, last)});
    }
  }
}

}  // namespace graft::cpu
