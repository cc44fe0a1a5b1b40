#include "backends/cpu/epilogue.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/strides.h"
#include "kernels/cpu/pointwise/pointwise.h"
#include "kernels/cpu/pointwise/requantize.h"

namespace graft::cpu {
namespace {

enum class OperandShape { kChannels, kWhole, kOther };

// The programs that kernels run by themselves: adds of a bias and of a residual, then bounds.
struct Native {
  int bias = -1;  // registers of the program
  int residual = -1;
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

template <class ShapeOf>
std::optional<Native> MatchNative(const PointwiseProgram& program, ShapeOf&& shape_of) {
  Native native;
  bool bounded = false;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const PointwiseInstruction& in = program.instructions[i];
    if (in.dtype != DType::kFloat32) return std::nullopt;
    const int previous = i == 0 ? 0 : program.inputs + static_cast<int>(i) - 1;
    switch (in.op) {
      case PointwiseOp::kAdd: {
        if (bounded || (in.operands[0] == previous) == (in.operands[1] == previous)) {
          return std::nullopt;
        }
        const int operand = in.operands[in.operands[0] == previous ? 1 : 0];
        if (operand < 1 || operand >= program.inputs) return std::nullopt;
        const OperandShape shape = shape_of(operand);
        if (shape == OperandShape::kChannels && native.bias < 0) {
          native.bias = operand;
        } else if (shape == OperandShape::kWhole && native.residual < 0) {
          native.residual = operand;
        } else {
          return std::nullopt;
        }
        break;
      }
      case PointwiseOp::kRelu:
      case PointwiseOp::kClamp: {
        if (in.operands[0] != previous) return std::nullopt;
        const bool relu = in.op == PointwiseOp::kRelu;
        const float low = relu ? 0.0f : static_cast<float>(in.p);
        const float high = relu ? std::numeric_limits<float>::infinity() : static_cast<float>(in.q);
        native.low = std::min(std::max(native.low, low), high);
        native.high = std::min(std::max(native.high, low), high);
        bounded = true;
        break;
      }
      default:
        return std::nullopt;
    }
  }
  return native;
}

OperandShape Classify(const BoundValue& operand, const Dims& output) {
  const Dims& dims = operand.dims;
  if (dims.empty() || dims.back() != output.back()) return OperandShape::kOther;
  if (CountElements(dims) == dims.back()) return OperandShape::kChannels;
  return dims == output ? OperandShape::kWhole : OperandShape::kOther;
}

}  // namespace

std::optional<Refusal> RefuseEpilogue(const ir::Module& module, const ir::Node& node,
                                      const PointwiseProgram& program, DType sums) {
  if (program.empty()) return std::nullopt;
  std::vector<DType> dtypes = {sums};
  for (size_t i = kFirstEpilogueOperand; i < node.inputs.size(); ++i) {
    dtypes.push_back(module.value(node.inputs[i]).dtype);
  }
  const Status supported = PointwiseKernel::Check(program, dtypes);
  if (supported.ok()) return std::nullopt;
  return Refuse("{}: {}", node.name, supported.message());
}

// The program, and how its operands lie along the output's rows (all but the last axis, flat).
struct BoundEpilogue::Program {
  struct Operand {
    int input;  // of the node
    size_t element_size;
    Dims strides;  // elements, along each axis of the output's rows
    int64_t column_stride;
  };
  PointwiseKernel kernel;
  std::vector<Operand> operands;
  Dims row_dims;
  size_t sum_size;  // of an element
  size_t output_size;
  int64_t output_stride;
  // Every operand moves by the same distance from each row to the next.
  bool uniform_rows = true;
  // The program does no more than this, with its operands where the loop takes them.
  std::optional<RequantizingProgram> requantizes;

  int64_t RowOffset(const Operand& operand, int64_t row) const {
    int64_t offset = 0;
    for (size_t axis = row_dims.size(); axis-- > 0; row /= row_dims[axis]) {
      offset += row % row_dims[axis] * operand.strides[axis];
    }
    return offset;
  }

  // Operand number `i`, an input of the program, at an element of the output's.
  template <class T>
  const T* OperandAt(const StepPointers& pointers, int i, int64_t row, int64_t column) const {
    const Operand& operand = operands[i - 1];
    return static_cast<const T*>(pointers.inputs[operand.input]) + RowOffset(operand, row) +
           column * operand.column_stride;
  }

  void RunRequantization(const StepPointers& pointers, const SumsBlock& block) const {
    const RequantizingProgram& p = *requantizes;
    Requantization r;
    r.low = p.low;
    r.high = p.high;
    r.multiplier = OperandAt<float>(pointers, p.multiplier, block.row, block.column);
    if (p.bias > 0) r.bias = OperandAt<int32_t>(pointers, p.bias, block.row, block.column);
    if (p.residual > 0) {
      r.residual = OperandAt<int8_t>(pointers, p.residual, block.row, block.column);
      const Dims& strides = operands[p.residual - 1].strides;
      r.residual_stride = strides.empty() ? 0 : strides.back();
      r.residual_multiplier = p.residual_multiplier;
    }
    auto* output =
        static_cast<int8_t*>(pointers.outputs[0]) + block.row * output_stride + block.column;
    Requantize(r, block.rows, block.columns, static_cast<const int32_t*>(block.sums),
               block.sums_stride, output, output_stride);
  }

  // False where integer arithmetic had no result.
  bool Run(const StepPointers& pointers, const SumsBlock& block, std::byte* scratch) const {
    if (requantizes) {
      RunRequantization(pointers, block);
      return true;
    }
    bool defined = true;
    const auto size = static_cast<int64_t>(output_size);
    const int64_t column = block.column;
    auto* output =
        static_cast<std::byte*>(pointers.outputs[0]) + (block.row * output_stride + column) * size;
    const auto* sums = static_cast<const std::byte*>(block.sums);
    RowsOperand bound[kMaxPointwiseInstructions + 1];
    const int64_t step = uniform_rows ? block.rows : 1;
    for (int64_t r = 0; r < block.rows; r += step) {
      bound[0] = {sums + r * block.sums_stride * static_cast<int64_t>(sum_size), block.sums_stride,
                  1};
      for (size_t i = 0; i < operands.size(); ++i) {
        const Operand& operand = operands[i];
        const int64_t offset = RowOffset(operand, block.row + r) + column * operand.column_stride;
        bound[i + 1] = {static_cast<const std::byte*>(pointers.inputs[operand.input]) +
                            offset * static_cast<int64_t>(operand.element_size),
                        operand.strides.empty() ? 0 : operand.strides.back(),
                        operand.column_stride};
      }
      defined &= kernel.RunRows(step, block.columns, {bound, operands.size() + 1}, output,
                                output_stride, scratch);
      output += step * output_stride * size;
    }
    return defined;
  }
};

BoundEpilogue::BoundEpilogue()
    : low_(-std::numeric_limits<float>::infinity()),
      high_(std::numeric_limits<float>::infinity()) {}
BoundEpilogue::~BoundEpilogue() = default;
BoundEpilogue::BoundEpilogue(BoundEpilogue&&) noexcept = default;
BoundEpilogue& BoundEpilogue::operator=(BoundEpilogue&&) noexcept = default;

Result<BoundEpilogue> BoundEpilogue::Bind(const BoundNode& node, const PointwiseProgram& program,
                                          DType sums, SumsIn kernel_sums) {
  const BoundValue& y = node.outputs[0];
  const Dims& output = y.dims;
  BoundEpilogue bound;
  bound.sums_stride_ = y.row_stride;
  if (kernel_sums == SumsIn::kOutput && sums != y.dtype) {
    bound.sums_stride_ = output.back();
    bound.sums_bytes_ = CountElements(output) * SizeOf(sums);
  }
  const auto native = MatchNative(program, [&](int i) {
    const BoundValue& operand = node.inputs[kFirstEpilogueOperand + i - 1];
    return operand.dtype == DType::kFloat32 ? Classify(operand, output) : OperandShape::kOther;
  });
  if (native && kernel_sums == SumsIn::kOutput) {
    if (native->bias > 0) bound.bias_ = kFirstEpilogueOperand + native->bias - 1;
    if (native->residual > 0) {
      bound.residual_ = kFirstEpilogueOperand + native->residual - 1;
      bound.residual_stride_ = node.inputs[bound.residual_].row_stride;
    }
    bound.low_ = native->low;
    bound.high_ = native->high;
    return bound;
  }

  std::vector<DType> dtypes = {sums};
  std::vector<Program::Operand> operands;
  bool uniform_rows = true;
  const Dims row_dims(output.begin(), output.end() - 1);
  for (size_t i = kFirstEpilogueOperand; i < node.inputs.size(); ++i) {
    const BoundValue& value = node.inputs[i];
    Dims strides = BroadcastStrides(value.dims, value.row_stride, output);
    const int64_t column_stride = strides.back();
    strides.pop_back();
    // Along an axis of one row, such as that of a single image, nothing moves.
    int64_t distance = strides.empty() ? 0 : strides.back();
    for (size_t axis = strides.size(); axis-- > 0;) {
      if (row_dims[axis] == 1) continue;
      uniform_rows &= strides[axis] == distance;
      distance *= row_dims[axis];
    }
    dtypes.push_back(value.dtype);
    operands.push_back(
        {static_cast<int>(i), SizeOf(value.dtype), std::move(strides), column_stride});
  }
  std::optional<RequantizingProgram> requantizes = MatchRequantization(program, dtypes);
  if (requantizes) {
    auto is_channels = [&](int i) {
      const Program::Operand& operand = operands[i - 1];
      return operand.column_stride == 1 &&
             std::ranges::all_of(operand.strides, [](int64_t stride) { return stride == 0; });
    };
    const bool fits =
        uniform_rows && is_channels(requantizes->multiplier) &&
        (requantizes->bias < 0 || is_channels(requantizes->bias)) &&
        (requantizes->residual < 0 || operands[requantizes->residual - 1].column_stride == 1);
    if (!fits) requantizes.reset();
  }
  // A program without instructions has no operands either: it copies the sums out of their tile.
  PointwiseProgram complete = program;
  complete.inputs = static_cast<int>(dtypes.size());
  GRAFT_ASSIGN_OR_RETURN(PointwiseKernel kernel, PointwiseKernel::Compile(complete, dtypes));
  bound.program_ = std::make_unique<const Program>(
      Program{std::move(kernel), std::move(operands), row_dims, SizeOf(sums), SizeOf(y.dtype),
              y.row_stride, uniform_rows, requantizes});
  return bound;
}

size_t BoundEpilogue::scratch_bytes(int width) const {
  if (!program_) return 0;
  return AlignUp(program_->kernel.scratch_bytes()) * width + AlignUp(sums_bytes_);
}

Status BoundEpilogue::Run(const StepPointers& pointers, void* scratch, int width,
                          FunctionRef<void(const Epilogue& epilogue, void* sums)> run) const {
  Epilogue epilogue;
  if (bias_ >= 0) epilogue.bias = static_cast<const float*>(pointers.inputs[bias_]);
  if (residual_ >= 0) {
    epilogue.residual = static_cast<const float*>(pointers.inputs[residual_]);
    epilogue.residual_stride = residual_stride_;
  }
  epilogue.low = low_;
  epilogue.high = high_;
  if (!program_) {
    run(epilogue, pointers.outputs[0]);
    return OkStatus();
  }

  const size_t scratch_size = AlignUp(program_->kernel.scratch_bytes());
  std::byte* scratches = static_cast<std::byte*>(scratch);
  std::byte* sums = sums_bytes_ > 0 ? scratches + scratch_size * width
                                    : static_cast<std::byte*>(pointers.outputs[0]);
  std::atomic<bool> defined = true;
  auto finish_block = [&](const SumsBlock& block, int worker) {
    SumsBlock placed = block;
    if (placed.sums == nullptr) {
      placed.sums = sums + (block.row * sums_stride_ + block.column) *
                               static_cast<int64_t>(program_->sum_size);
      placed.sums_stride = sums_stride_;
    }
    if (!program_->Run(pointers, placed, scratches + scratch_size * worker)) defined = false;
  };
  const BlockFunction finish = finish_block;
  epilogue.finish = &finish;
  run(epilogue, sums);
  return defined ? OkStatus() : UndefinedArithmetic();
}

}  // namespace graft::cpu
