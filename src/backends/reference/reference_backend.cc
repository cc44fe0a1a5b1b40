#include "backends/reference/reference_backend.h"

#include "backend_api/host_device.h"
#include "backend_api/table_backend.h"
#include "backends/reference/problems.h"
#include "ir/attribute_names.h"

namespace graft {
namespace {

using reference::Array;
using reference::ConstArray;
using reference::Inputs;
using reference::Outputs;

// The sets of dtypes in kernels.inc.
bool kFloats(DType d) { return IsFloating(d); }
bool kNumbers(DType d) { return kFloats(d) || IsInteger(d); }
bool kAll(DType d) { return kNumbers(d) || d == DType::kBool; }
bool kSized(DType d) { return SizeOf(d) > 0; }

using Kernel = std::function<Status(Inputs, Outputs)>;

struct Row {
  ir::OpKind op;
  std::string_view name;
  bool (*takes)(DType);
  Kernel (*make)(const ir::Attributes&);
};

template <class OpAttributes>
Kernel MakeKernel(const ir::Attributes& attributes) {
  return [problem = reference::ToProblem(std::get<OpAttributes>(attributes))](
             Inputs in, Outputs out) -> Status {
    GRAFT_RETURN_IF_ERROR(reference::CheckData(problem, in));
    if constexpr (std::is_void_v<decltype(reference::Run(problem, in, out))>) {
      reference::Run(problem, in, out);
      return OkStatus();
    } else {
      return reference::Run(problem, in, out);
    }
  };
}

constexpr Row kRows[] = {
#define GRAFT_REFERENCE_KERNEL(Op, name, dtypes) \
  {ir::OpKind::k##Op, name, dtypes, &MakeKernel<ir::Op##Attributes>},
#include "kernels/reference/kernels.inc"
#undef GRAFT_REFERENCE_KERNEL
};

class ReferenceStep final : public BoundStep {
 public:
  ReferenceStep(Kernel kernel, const BoundNode& node)
      : kernel_(std::move(kernel)),
        name_(node.name),
        inputs_(node.inputs),
        outputs_(node.outputs) {}

  Status Enqueue(const StepPointers& pointers, const Queue&) const override {
    std::vector<ConstArray> in;
    std::vector<Array> out;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const BoundValue& v = inputs_[i];
      in.push_back(
          {v.dtype, v.dims, v.row_stride, static_cast<const std::byte*>(pointers.inputs[i])});
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const BoundValue& v = outputs_[i];
      out.push_back({v.dtype, v.dims, v.row_stride, static_cast<std::byte*>(pointers.outputs[i])});
    }
    if (const Status status = kernel_(in, out); !status.ok()) return status.WithContext(name_);
    return OkStatus();
  }

 private:
  Kernel kernel_;
  std::string name_;
  std::vector<BoundValue> inputs_;
  std::vector<BoundValue> outputs_;
};

std::optional<Refusal> RefuseProgram(const ir::Attributes& attributes) {
  const PointwiseProgram* program = ir::ProgramOf(attributes);
  if (program == nullptr) return std::nullopt;
  for (const PointwiseInstruction& in : program->instructions) {
    if (!kAll(in.dtype)) return Refuse("{} of dtype {}", Name(in.op), Name(in.dtype));
  }
  return std::nullopt;
}

class ReferenceTactic final : public Tactic {
 public:
  explicit ReferenceTactic(const Row& row) : row_(row) {}

  std::string_view name() const override { return row_.name; }

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    if (node.kind() != row_.op) return Refuse("{} is no {}", name(), ir::Name(node.kind()));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const DType dtype = module.value(node.inputs[i]).dtype;
      // Further operands have the first one's dtype, are indices, or are read by the program.
      if (i == 0 ? !row_.takes(dtype) : !(row_.takes(dtype) || kAll(dtype)))
        return Refuse("operand {} of dtype {}", i, Name(dtype));
    }
    if (const auto* reduce = node.get<ir::ReduceAttributes>()) {
      const bool logical =
          reduce->kind == ir::ReduceKind::kAll || reduce->kind == ir::ReduceKind::kAny;
      const DType dtype = module.value(node.inputs[0]).dtype;
      if (logical != (dtype == DType::kBool))
        return Refuse("{} of dtype {}", ir::EnumName(reduce->kind), Name(dtype));
    }
    return RefuseProgram(node.attributes);
  }

  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    return {.strided_inputs = true, .strided_output = true, .exact = true};
  }

  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    GRAFT_RETURN_IF_ERROR(VerifyBound(node));
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].dense() && !node.inputs[i].in_result)
        return UnsupportedError("{}: operand {} is not dense", node.name, i);
    }
    return std::unique_ptr<BoundStep>(
        std::make_unique<ReferenceStep>(row_.make(node.attributes), node));
  }

  // Slower than any other tactic.
  double Cost(const BoundNode&) const override { return 1e9; }

 private:
  const Row& row_;
};

TacticTable AllTactics() {
  TacticTable table;
  for (const Row& row : kRows) table.push_back({row.op, std::make_unique<ReferenceTactic>(row)});
  return table;
}

class ReferenceBackendImpl final : public TableBackend {
 public:
  ReferenceBackendImpl() : TableBackend(AllTactics()) {}

  std::string_view name() const override { return "reference"; }
  Device& device() override { return device_; }

  std::string Fingerprint() const override { return "reference"; }

 private:
  HostDevice device_;
};

}  // namespace

Backend& ReferenceBackend() {
  static ReferenceBackendImpl backend;
  return backend;
}

}  // namespace graft
