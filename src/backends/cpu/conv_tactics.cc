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
  ConvStep(const ConvKernel& kernel, ConvProblem problem, const float* weights,
           BoundEpilogue epilogue)
      : kernel_(kernel), problem_(problem), weights_(weights), epilogue_(std::move(epilogue)) {}

  size_t workspace_bytes(int width) const override {
    return kernel_workspace(width) + epilogue_.scratch_bytes(width);
  }
  Status Enqueue(const StepPointers& pointers, const Queue& queue) const override {
    ConvArguments arguments;
    arguments.input = static_cast<const float*>(pointers.inputs[0]);
    arguments.weights = weights_;
    arguments.output = static_cast<float*>(pointers.outputs[0]);
    arguments.workspace = pointers.workspace;
    void* scratch =
        static_cast<std::byte*>(pointers.workspace) + kernel_workspace(queue.executor->width());
    epilogue_.Run(pointers, scratch, [&](const Epilogue& epilogue) {
      arguments.epilogue = epilogue;
      kernel_.run(problem_, arguments, *queue.executor);
    });
    return OkStatus();
  }

 private:
  size_t kernel_workspace(int width) const {
    return AlignUp(static_cast<size_t>(kernel_.workspace_size(problem_, width)) * sizeof(float));
  }

  const ConvKernel& kernel_;
  ConvProblem problem_;
  const float* weights_;
  BoundEpilogue epilogue_;
};

// Attributes: ir::ConvAttributes or ir::ConvTransposeAttributes.
template <class Attributes>
class ConvTactic final : public Tactic {
 public:
  explicit ConvTactic(const ConvKernel& kernel) : kernel_(kernel) {}

  std::string_view name() const override { return kernel_.name; }
  int version() const override { return kernel_.version; }
  std::string_view packing() const override { return kernel_.packing; }

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<Attributes>();
    const ir::Value& x = module.value(node.inputs[0]);
    const ir::Value& weights = module.value(node.inputs[1]);
    if (x.dtype != DType::kFloat32 || weights.dtype != DType::kFloat32) {
      return Refuse("{}: convolution of {} by {}", node.name, Name(x.dtype), Name(weights.dtype));
    }
    if (!weights.constant) return Refuse("{}: the filter is not a constant", node.name);
    if (auto refusal = kernel_.refuses(MakeConvFilter(attributes, weights.constant->dims()))) {
      return Refuse("{}: {}", node.name, refusal->reason);
    }
    return RefuseEpilogue(module, node, attributes.epilogue, 2);
  }

  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    TacticTraits traits;
    traits.packed_inputs = {1};
    traits.strided_inputs = true;
    traits.strided_output = true;
    return traits;
  }

  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor& executor) const override {
    const Tensor& weights = *module.value(node.inputs[1]).constant;
    const ConvFilter filter = MakeConvFilter(*node.get<Attributes>(), weights.dims());
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<PackedFloats> packed,
                           PackedFloats::Allocate(kernel_.packed_size(filter)));
    kernel_.pack(filter, weights.data<float>().data(), packed->data(), executor);
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node,
                                          const PackedWeights* packed) const override {
    const auto& attributes = std::get<Attributes>(node.attributes);
    GRAFT_ASSIGN_OR_RETURN(BoundEpilogue epilogue,
                           BoundEpilogue::Bind(node, attributes.epilogue, 2));
    return std::unique_ptr<BoundStep>(std::make_unique<ConvStep>(
        kernel_, MakeConvProblem<Attributes>(node),
        static_cast<const PackedFloats*>(packed)->data(), std::move(epilogue)));
  }

  double Cost(const BoundNode& node) const override {
    return kernel_.cost(MakeConvProblem<Attributes>(node)) / kCyclesPerMillisecond;
  }

 private:
  const ConvKernel& kernel_;
};

}  // namespace

void AddConvTactics(TacticTable& table) {
  for (const ConvKernel& kernel : ConvKernels()) {
    if (&kernel == &ConvKernels().back()) AddOnednnConvTactics(table);
    table.push_back({ir::OpKind::kConv, std::make_unique<ConvTactic<ir::ConvAttributes>>(kernel)});
  }
  for (const ConvKernel& kernel : TransposedConvKernels()) {
    table.push_back({ir::OpKind::kConvTranspose,
                     std::make_unique<ConvTactic<ir::ConvTransposeAttributes>>(kernel)});
  }
}

}  // namespace graft::cpu
