// Convolutions and products of f64 and integers, by the kernels of kernels/cpu/plain.
#include "backends/cpu/conv_problem.h"
#include "backends/cpu/dense_step.h"
#include "backends/cpu/matmul_problem.h"
#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/plain/plain.h"

namespace graft::cpu {
namespace {

template <class A>
struct AnyConv {
  using Attributes = A;
  using Problem = ConvProblem;
  static Problem MakeProblem(const BoundNode& node) { return MakeConvProblem<A>(node); }
  static int64_t& OutputStride(Problem& p) { return p.output_stride; }
  static double MultiplyAdds(const Problem& p) { return p.multiply_adds(); }
};
struct Conv : AnyConv<ir::ConvAttributes> {
  static constexpr auto kLoop = PlainConvLoop;
};
struct ConvTranspose : AnyConv<ir::ConvTransposeAttributes> {
  static constexpr auto kLoop = PlainConvTransposeLoop;
};
struct MatMul {
  using Attributes = ir::MatMulAttributes;
  using Problem = MatMulProblem;
  static constexpr auto kLoop = PlainMatMulLoop;
  static Problem MakeProblem(const BoundNode& node) { return MakeMatMulProblem(node); }
  static int64_t& OutputStride(Problem& p) { return p.c_row; }
  static double MultiplyAdds(const Problem& p) {
    return static_cast<double>(p.a_offsets.size()) * static_cast<double>(p.rows) *
           static_cast<double>(p.columns * p.depth);
  }
};

template <class Problem>
class PlainStep final : public DenseStep {
 public:
  PlainStep(PlainKernel<Problem> kernel, BoundEpilogue epilogue)
      : DenseStep(std::move(epilogue)), kernel_(std::move(kernel)) {}

 protected:
  size_t kernel_workspace_bytes(int) const override { return 0; }
  Status Compute(const StepPointers& pointers, const Epilogue& epilogue, void* sums, std::byte*,
                 Executor& executor) const override {
    kernel_.Run({pointers.inputs[0], pointers.inputs[1], sums, epilogue.finish}, executor);
    return OkStatus();
  }

 private:
  PlainKernel<Problem> kernel_;
};

template <class Op>
class PlainTactic final : public CpuTactic {
 public:
  PlainTactic(std::string_view name, int version)
      : CpuTactic(name, version, {.strided_inputs = true, .strided_output = true}) {}

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const auto& attributes = *node.get<typename Op::Attributes>();
    const DType dtype = module.value(node.inputs[0]).dtype;
    const DType filter = module.value(node.inputs[1]).dtype;
    const DType sums = ir::AccumulatorOf(attributes, dtype);
    if (filter != dtype || sums != dtype)
      return Refuse("{}: no plain {} of {} by {}, sums in {}", node.name, ir::Name(node.kind()),
                    Name(dtype), Name(filter), Name(sums));
    if (Op::kLoop(dtype) == nullptr)
      return Refuse("{}: no plain {} of {}", node.name, ir::Name(node.kind()), Name(dtype));
    return RefuseEpilogue(module, node, attributes.epilogue, sums);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& attributes = std::get<typename Op::Attributes>(node.attributes);
    GRAFT_ASSIGN_OR_RETURN(
        BoundEpilogue epilogue,
        BoundEpilogue::Bind(node, attributes.epilogue, node.inputs[0].dtype, SumsIn::kOutput));
    typename Op::Problem problem = Op::MakeProblem(node);
    Op::OutputStride(problem) = epilogue.sums_stride();
    PlainKernel<typename Op::Problem> kernel(std::move(problem), Op::kLoop(node.inputs[0].dtype));
    return std::unique_ptr<BoundStep>(
        std::make_unique<PlainStep<typename Op::Problem>>(std::move(kernel), std::move(epilogue)));
  }
  double Cost(const BoundNode& node) const override {
    return Op::MultiplyAdds(Op::MakeProblem(node)) / kCyclesPerMillisecond;
  }
};

}  // namespace

std::unique_ptr<Tactic> MakePlainConv(std::string_view name, int version) {
  return std::make_unique<PlainTactic<Conv>>(name, version);
}
std::unique_ptr<Tactic> MakePlainConvTranspose(std::string_view name, int version) {
  return std::make_unique<PlainTactic<ConvTranspose>>(name, version);
}
std::unique_ptr<Tactic> MakePlainMatMul(std::string_view name, int version) {
  return std::make_unique<PlainTactic<MatMul>>(name, version);
}

}  // namespace graft::cpu
