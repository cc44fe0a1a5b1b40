#include "backends/cuda/tactics.h"

#include "backends/cuda/product.h"
#include "backends/cuda/program_text.h"
#include "base/strides.h"

namespace graft::cuda {
namespace {

constexpr TacticRow kRows[] = {
#define GRAFT_CUDA_TACTIC(Op, name, version, cards, refuse, plan, strided_in, strided_out) \
  {ir::OpKind::k##Op, name, version, cards, &refuse, &plan, strided_in, strided_out},
#define GRAFT_CUDA_PACKED_TACTIC(Op, name, version, cards, refuse, plan) \
  {ir::OpKind::k##Op, name, version, cards, &refuse, &plan, true, true, true},
#include "backends/cuda/tactics.inc"
#undef GRAFT_CUDA_PACKED_TACTIC
#undef GRAFT_CUDA_TACTIC
};

}  // namespace

std::span<const TacticRow> Tactics() { return kRows; }

bool IsNumber(DType dtype) { return IsFloating(dtype) || IsInteger(dtype); }
bool IsComputed(DType dtype) { return IsNumeric(dtype); }
bool IsSized(DType dtype) { return SizeOf(dtype) > 0; }

std::optional<Refusal> RefuseOperand(const ir::Module& module, const ir::Node& node, size_t operand,
                                     bool (*takes)(DType)) {
  const DType dtype = module.value(node.inputs[operand]).dtype;
  if (!takes(dtype)) return Refuse("operand {} of dtype {}", operand, Name(dtype));
  return std::nullopt;
}

std::optional<Refusal> RefuseRank(const ir::Module& module, const ir::Node& node, size_t most) {
  for (const auto& values : {node.inputs, node.outputs}) {
    for (const ir::ValueId v : values) {
      if (module.value(v).shape.size() > most)
        return Refuse("rank {}, at most {}", module.value(v).shape.size(), most);
    }
  }
  return std::nullopt;
}

std::optional<Refusal> RefuseProgram(const ir::Attributes& attributes) {
  const PointwiseProgram* const program = ir::ProgramOf(attributes);
  if (!program) return std::nullopt;
  for (const PointwiseInstruction& in : program->instructions) {
    if (!IsComputed(in.dtype)) return Refuse("{} of dtype {}", Name(in.op), Name(in.dtype));
  }
  return std::nullopt;
}

namespace {

// How an epilogue operand lies: at rows of one distance, or generally.
struct RowAddress {
  std::vector<int64_t> strides;  // in the result's axes
  int64_t row_stride = 0;
  bool general = false;
};
RowAddress AddressOf(const BoundValue& operand, const Dims& dims) {
  RowAddress address = {BroadcastStrides(operand.dims, operand.row_stride, dims)};
  int64_t product = 1;
  for (size_t axis = dims.size() - 1; axis-- > 0;) {
    if (dims[axis] == 1) continue;
    if (product == 1) address.row_stride = address.strides[axis];
    address.general |= address.strides[axis] != address.row_stride * product;
    product *= dims[axis];
  }
  return address;
}

}  // namespace

void AddEpilogueOperands(const BoundNode& node, size_t first, Parameter* parameter) {
  const Dims& dims = node.outputs[0].dims;
  if (first == node.inputs.size()) {  // the struct has room for one
    parameter->Null().Ints({}, 3 + kEpilogueRank);
    return;
  }
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const auto [strides, row_stride, general] = AddressOf(node.inputs[i], dims);
    parameter->Input(static_cast<int>(i)).Int(strides.back()).Int(row_stride).Int(general);
    std::vector<int64_t> padded(kEpilogueRank - strides.size(), 0);
    padded.insert(padded.end(), strides.begin(), strides.end());
    parameter->Ints(padded, kEpilogueRank);
  }
}

std::string EpilogueText(const BoundNode& node, size_t first, DType result,
                         const PointwiseProgram& epilogue) {
  std::vector<DType> inputs = {result};
  for (size_t i = first; i < node.inputs.size(); ++i) inputs.push_back(node.inputs[i].dtype);
  return fmt::format("#define EPILOGUE_OPERANDS {}\n",
                     std::max<size_t>(node.inputs.size() - first, 1)) +
         IncludedProgram(epilogue, inputs, /*first=*/true);
}

bool LiesInEights(const BoundNode& node, size_t first) {
  const BoundValue& y = node.outputs[0];
  const auto in_words = [](int64_t elements, DType dtype) {
    const auto size = static_cast<int64_t>(SizeOf(dtype));
    return dtype != DType::kBool && elements * size % std::min<int64_t>(8 * size, 16) == 0;
  };
  if (y.dims.back() % 8 != 0 || !in_words(y.row_stride, y.dtype)) return false;
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const RowAddress address = AddressOf(node.inputs[i], y.dims);
    if (address.general) return false;
    if (address.strides.back() == 0) continue;
    if (!in_words(address.row_stride, node.inputs[i].dtype)) return false;
  }
  return true;
}

bool RowsAreAlike(const BoundNode& node, size_t first) {
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const RowAddress address = AddressOf(node.inputs[i], node.outputs[0].dims);
    if (address.general || address.row_stride != 0) return false;
  }
  return true;
}

int StagedColumns(const BoundNode& node, size_t first) {
  return SizeOf(node.outputs[0].dtype) == 2 && RowsAreAlike(node, first) ? 32 : 0;
}

bool TakesStaged(const BoundNode& node, size_t first) {
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const RowAddress address = AddressOf(node.inputs[i], node.outputs[0].dims);
    const bool neighbours = address.strides.back() == 1 && SizeOf(node.inputs[i].dtype) == 2;
    if (address.general || (address.row_stride != 0 && !neighbours)) return false;
  }
  return true;
}

std::string EachOperandText(const BoundNode& node, size_t first, bool columns) {
  std::string text = "#define EACH_OPERAND(X)";
  for (size_t i = first; i < node.inputs.size(); ++i) {
    const RowAddress address = AddressOf(node.inputs[i], node.outputs[0].dims);
    const int64_t step = address.strides.back();
    // enum Along of vector.cuh
    const bool same = columns && address.row_stride == 0;
    const int along = address.general ? 0 : step == 1 ? (same ? 3 : 1) : step == 0 ? 2 : 0;
    text += fmt::format(" X({}, {}, {})", i - first, TypeOf(node.inputs[i].dtype), along);
  }
  return text + "\n";
}

std::vector<int64_t> EpilogueDims(const BoundNode& node) {
  const Dims& dims = node.outputs[0].dims;
  std::vector<int64_t> padded(kEpilogueRank - dims.size(), 1);
  padded.insert(padded.end(), dims.begin(), dims.end());
  return padded;
}

std::vector<int64_t> AsThree(std::span<const int64_t> values, int64_t fill) {
  std::vector<int64_t> three(3 - values.size(), fill);
  three.insert(three.end(), values.begin(), values.end());
  return three;
}

std::vector<int64_t> ImageOf(const Dims& dims) {
  return AsThree(std::span(dims).subspan(1, dims.size() - 2), 1);
}

std::vector<int64_t> Known(const std::vector<ir::Dim>& dims) {
  std::optional<std::vector<int64_t>> known = ir::ConstantDims(dims);
  GRAFT_CHECK(known.has_value(), "{} is not bound", ir::ToString(dims));
  return *std::move(known);
}

}  // namespace graft::cuda
