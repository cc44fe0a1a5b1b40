#include "backends/cpu/epilogue.h"

#include <algorithm>
#include <limits>

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

// `dims` against the output's: `one` and `same` compare two of them.
template <class Dims, class One>
OperandShape Classify(const Dims& dims, const Dims& output, One&& one) {
  if (dims.empty() || !(dims.back() == output.back())) return OperandShape::kOther;
  if (std::all_of(dims.begin(), dims.end() - 1, one)) return OperandShape::kChannels;
  return dims == output ? OperandShape::kWhole : OperandShape::kOther;
}

}  // namespace

std::optional<Refusal> RefuseEpilogue(const ir::Module& module, const ir::Node& node,
                                      const PointwiseProgram& program, int first_operand) {
  const ir::Shape& output = module.value(node.outputs[0]).shape;
  const auto native = MatchNative(program, [&](int i) {
    const ir::Value& operand = module.value(node.inputs[first_operand + i - 1]);
    return operand.dtype == DType::kFloat32
               ? Classify(operand.shape, output, [](const ir::Dim& d) { return d == 1; })
               : OperandShape::kOther;
  });
  if (native) return std::nullopt;
  return Refuse("{}: epilogue {} is not of bias, residual and bounds", node.name,
                ToString(program));
}

Result<BoundEpilogue> BoundEpilogue::Bind(const BoundNode& node, const PointwiseProgram& program,
                                          int first_operand) {
  const Dims& output = node.outputs[0].dims;
  const auto native = MatchNative(program, [&](int i) {
    return Classify(node.inputs[first_operand + i - 1].dims, output,
                    [](int64_t d) { return d == 1; });
  });
  if (!native) return UnsupportedError("{}: epilogue {}", node.name, ToString(program));
  BoundEpilogue bound;
  if (native->bias > 0) bound.bias_ = first_operand + native->bias - 1;
  if (native->residual > 0) {
    bound.residual_ = first_operand + native->residual - 1;
    bound.residual_stride_ = node.inputs[bound.residual_].row_stride;
  }
  bound.low_ = native->low;
  bound.high_ = native->high;
  return bound;
}

Epilogue BoundEpilogue::ForRun(const StepPointers& pointers) const {
  Epilogue epilogue;
  if (bias_ >= 0) epilogue.bias = static_cast<const float*>(pointers.inputs[bias_]);
  if (residual_ >= 0) {
    epilogue.residual = static_cast<const float*>(pointers.inputs[residual_]);
    epilogue.residual_stride = residual_stride_;
  }
  epilogue.low = low_;
  epilogue.high = high_;
  return epilogue;
}

}  // namespace graft::cpu
