// Matrix products by the kernels of kernels/cpu/matmul/kernels.inc, one tactic each.
#include "backends/cpu/epilogue.h"
#include "backends/cpu/matmul_problem.h"
#include "backends/cpu/packed_floats.h"
#include "backends/cpu/tactics.h"
#include "base/aligned_buffer.h"

namespace graft::cpu {
namespace {

constexpr double kCyclesPerMillisecond = 3e6;

class MatMulStep final : public BoundStep {
 public:
  MatMulStep(const MatMulKernel& kernel, MatMulProblem problem, const float* panels,
             BoundEpilogue epilogue)
      : kernel_(kernel),
        problem_(std::move(problem)),
        panels_(panels),
        epilogue_(std::move(epilogue)) {}

  size_t workspace_bytes(int width) const override {
    return kernel_workspace(width) + epilogue_.scratch_bytes(width);
  }
  Status Enqueue(const StepPointers& pointers, const Queue& queue) const override {
    MatMulArguments arguments;
    arguments.a = static_cast<const float*>(pointers.inputs[0]);
    arguments.b = panels_ ? panels_ : static_cast<const float*>(pointers.inputs[1]);
    arguments.c = static_cast<float*>(pointers.outputs[0]);
    arguments.workspace = static_cast<float*>(pointers.workspace);
    void* scratch =
        static_cast<std::byte*>(pointers.workspace) + kernel_workspace(queue.executor->width());
    return epilogue_.Run(pointers, scratch, [&](const Epilogue& epilogue) {
      arguments.epilogue = epilogue;
      kernel_.run(problem_, arguments, *queue.executor);
    });
  }

 private:
  size_t kernel_workspace(int width) const {
    return AlignUp(static_cast<size_t>(kernel_.workspace_size(problem_, width)) * sizeof(float));
  }

  const MatMulKernel& kernel_;
  MatMulProblem problem_;
  const float* panels_;  // null: B is read from the step's pointers
  BoundEpilogue epilogue_;
};

class MatMulTactic final : public Tactic {
 public:
  explicit MatMulTactic(const MatMulKernel& kernel) : kernel_(kernel) {}

  std::string_view name() const override { return kernel_.name; }
  int version() const override { return kernel_.version; }
  std::string_view packing() const override { return kernel_.packing; }

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<ir::MatMulAttributes>();
    const ir::Value& a = module.value(node.inputs[0]);
    const ir::Value& b = module.value(node.inputs[1]);
    if (a.dtype != DType::kFloat32 || b.dtype != DType::kFloat32) {
      return Refuse("{}: product of {} and {}", node.name, Name(a.dtype), Name(b.dtype));
    }
    // Panels are one stack for all products or one for each, never broadcast.
    const ir::Shape& y = module.value(node.outputs[0]).shape;
    const ir::Shape b_batch(b.shape.begin(), b.shape.end() - 2);
    const bool packable =
        b.constant && (ir::Product(b_batch) == 1 || b_batch == ir::Shape(y.begin(), y.end() - 2));
    if (packs() && !packable) {
      return Refuse("{}: the second operand is not a constant stack of {}", node.name,
                    ir::ToString(y));
    }
    if (!packs() && packable) {
      return Refuse("{}: a constant need not be packed on every run", node.name);
    }
    return RefuseEpilogue(module, node, attributes.epilogue, 2);
  }

  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    TacticTraits traits;
    if (packs()) traits.packed_inputs = {1};
    traits.strided_inputs = true;
    traits.strided_output = true;
    return traits;
  }

  Result<std::unique_ptr<PackedWeights>> Pack(const ir::Module& module, const ir::Node& node,
                                              Executor& executor) const override {
    if (!packs()) return Tactic::Pack(module, node, executor);
    const Tensor& b = *module.value(node.inputs[1]).constant;
    const MatMulProblem problem =
        MakePackedMatMulProblem(*node.get<ir::MatMulAttributes>(), b.dims());
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<PackedFloats> packed,
                           PackedFloats::Allocate(MatMulPanelsSize(problem)));
    PackMatMul(problem, b.data<float>().data(), packed->data(), executor);
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view) const override {
    const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
    GRAFT_ASSIGN_OR_RETURN(BoundEpilogue epilogue,
                           BoundEpilogue::Bind(node, attributes.epilogue, 2));
    const float* panels = packs() ? static_cast<const PackedFloats*>(packed)->data() : nullptr;
    return std::unique_ptr<BoundStep>(std::make_unique<MatMulStep>(kernel_, MakeMatMulProblem(node),
                                                                   panels, std::move(epilogue)));
  }

  double Cost(const BoundNode& node) const override {
    return kernel_.cost(MakeMatMulProblem(node)) / kCyclesPerMillisecond;
  }

 private:
  bool packs() const { return !kernel_.packing.empty(); }
  const MatMulKernel& kernel_;
};

}  // namespace

void AddMatMulTactics(TacticTable& table) {
  for (const MatMulKernel& kernel : MatMulKernels()) {
    if (&kernel == &MatMulKernels().back()) AddOnednnMatMulTactics(table);
    table.push_back({ir::OpKind::kMatMul, std::make_unique<MatMulTactic>(kernel)});
  }
}

}  // namespace graft::cpu
