// Matrix products by the kernels of kernels/cpu/matmul/kernels.inc, one tactic each.
#include "backends/cpu/dense_step.h"
#include "backends/cpu/matmul_problem.h"
#include "backends/cpu/packed_bytes.h"
#include "backends/cpu/tactic_base.h"
#include "backends/cpu/tactics.h"

namespace graft::cpu {
namespace {

class MatMulStep final : public DenseStep {
 public:
  // Without `packed` B is read from the step's pointers.
  MatMulStep(const MatMulKernel& kernel, MatMulProblem problem, const void* packed,
             BoundEpilogue epilogue)
      : DenseStep(std::move(epilogue)),
        kernel_(kernel),
        problem_(std::move(problem)),
        packed_(packed) {}

 protected:
  size_t kernel_workspace_bytes(int width) const override {
    return kernel_.workspace_bytes(problem_, width);
  }
  Status Compute(const StepPointers& pointers, const Epilogue& epilogue, void* sums,
                 std::byte* workspace, Executor& executor) const override {
    kernel_.run(
        problem_,
        {pointers.inputs[0], packed_ ? packed_ : pointers.inputs[1], sums, epilogue, workspace},
        executor);
    return OkStatus();
  }

 private:
  const MatMulKernel& kernel_;
  MatMulProblem problem_;
  const void* packed_;
};

class MatMulTactic final : public Tactic, public PacksBytes {
 public:
  explicit MatMulTactic(const MatMulKernel& kernel) : kernel_(kernel) {}

  std::string_view name() const override { return kernel_.name; }
  int version() const override { return kernel_.version; }
  std::string_view packing() const override { return kernel_.packing; }

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<ir::MatMulAttributes>();
    const ir::Value& a = module.value(node.inputs[0]);
    const ir::Value& b = module.value(node.inputs[1]);
    const DType sums = ir::AccumulatorOf(attributes, a.dtype);
    if (!TakesInput(kernel_.types, a) || sums != kernel_.types.accumulator ||
        !(packs() ? CanPackAs(kernel_.types.filter, b) : b.dtype == kernel_.types.filter)) {
      return Refuse("{}: product of {} and {}, sums in {}", node.name, Name(a.dtype), Name(b.dtype),
                    Name(sums));
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
    return RefuseEpilogue(module, node, attributes.epilogue, sums);
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
    GRAFT_ASSIGN_OR_RETURN(const Tensor b,
                           WeightsAs(kernel_.types.filter, *module.value(node.inputs[1]).constant));
    const MatMulProblem problem = PackedProblem(node, b.dims());
    GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<PackedBytes> packed,
                           PackedBytes::Allocate(kernel_.packed_bytes(problem)));
    kernel_.pack(problem, b.raw(), packed->mutable_data(), executor);
    return std::unique_ptr<PackedWeights>(std::move(packed));
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights* packed,
                                          std::string_view) const override {
    const auto& attributes = std::get<ir::MatMulAttributes>(node.attributes);
    GRAFT_ASSIGN_OR_RETURN(
        BoundEpilogue epilogue,
        BoundEpilogue::Bind(node, attributes.epilogue, kernel_.types.accumulator, kernel_.sums));
    const void* panels = packs() ? static_cast<const PackedBytes*>(packed)->data() : nullptr;
    MatMulProblem problem = ProblemOf(node);
    problem.c_row = epilogue.sums_stride();
    return std::unique_ptr<BoundStep>(
        std::make_unique<MatMulStep>(kernel_, std::move(problem), panels, std::move(epilogue)));
  }

  double Cost(const BoundNode& node) const override {
    return kernel_.cost(ProblemOf(node)) / kCyclesPerMillisecond;
  }

 private:
  size_t PackedSize(const ir::Node& node, const Dims& weights) const override {
    return kernel_.packed_bytes(PackedProblem(node, weights));
  }
  MatMulProblem PackedProblem(const ir::Node& node, const Dims& b) const {
    MatMulProblem problem = MakePackedMatMulProblem(*node.get<ir::MatMulAttributes>(), b);
    problem.types = kernel_.types;
    return problem;
  }
  MatMulProblem ProblemOf(const BoundNode& node) const {
    MatMulProblem problem = MakeMatMulProblem(node);
    problem.types = kernel_.types;
    return problem;
  }
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
