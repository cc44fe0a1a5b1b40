// A convolution or matmul beside an element-wise scale and offset by constant channel vectors (what
// a batch norm is): the scale goes into the weights, computed in double and rounded once; the
// offset becomes the bias, which is the first step of the epilogue.
#include <algorithm>
#include <cmath>
#include <limits>

#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

// x * scale + offset, channel by channel.
struct Affine {
  std::vector<double> scale;
  std::vector<double> offset;

  explicit Affine(int64_t channels) : scale(channels, 1), offset(channels, 0) {}
  bool scales() const {
    return std::ranges::any_of(scale, [](double s) { return s != 1; });
  }
  bool shifts() const {
    return std::ranges::any_of(offset, [](double o) { return o != 0; });
  }
  bool finite() const {
    auto is_finite = [](double v) { return std::isfinite(v); };
    return std::ranges::all_of(scale, is_finite) && std::ranges::all_of(offset, is_finite);
  }
};

// An op whose weights can be changed.
bool HasConstantWeights(const ir::Module& module, const ir::Node& node) {
  if (Epilogue(node) == nullptr) return false;
  const ir::Value& weights = module.value(node.inputs[1]);
  return weights.constant && (weights.dtype == DType::kFloat32 || weights.dtype == DType::kFloat64);
}

// The number that register `r` holds for every channel, where it is constant.
std::optional<std::vector<double>> ConstantRegister(const ir::Module& module, const Expression& e,
                                                    int r, int64_t channels) {
  const int inputs = e.program.inputs;
  if (r < inputs) {
    if (e.operands[r] == kOwnResult) return std::nullopt;
    return ChannelVector(module.value(e.operands[r]), channels);
  }
  const PointwiseInstruction& in = e.program.instructions[r - inputs];
  if (in.op != PointwiseOp::kConstant) return std::nullopt;
  return std::vector<double>(channels, in.p);
}

// Takes the instruction that alone reads register x out of the expression and into `affine`, if it
// is a multiplication, addition, subtraction or division by a constant.
bool PeelOne(const ir::Module& module, int x, Expression& e, Affine& affine) {
  const int64_t channels = static_cast<int64_t>(affine.scale.size());
  int reader = -1;
  int other = -1;
  bool x_first = true;
  for (int i = 0; i < static_cast<int>(e.program.instructions.size()); ++i) {
    const PointwiseInstruction& in = e.program.instructions[i];
    for (int k = 0; k < OperandCount(in.op); ++k) {
      if (in.operands[k] != x) continue;
      if (reader >= 0 || OperandCount(in.op) != 2) return false;
      reader = i;
      other = in.operands[1 - k];
      x_first = k == 0;
    }
  }
  if (reader < 0) return false;
  const PointwiseInstruction in = e.program.instructions[reader];
  const auto c = ConstantRegister(module, e, other, channels);
  if (!c || !IsFloating(in.dtype)) return false;
  for (int64_t i = 0; i < channels; ++i) {
    double& s = affine.scale[i];
    double& o = affine.offset[i];
    switch (in.op) {
      case PointwiseOp::kMul:
        s *= (*c)[i], o *= (*c)[i];
        break;
      case PointwiseOp::kAdd:
        o += (*c)[i];
        break;
      case PointwiseOp::kSub:
        if (!x_first) s = -s, o = -o;
        o += x_first ? -(*c)[i] : (*c)[i];
        break;
      case PointwiseOp::kDiv:
        if (!x_first) return false;
        s /= (*c)[i], o /= (*c)[i];
        break;
      default:
        return false;
    }
  }
  if (reader + 1 == static_cast<int>(e.program.instructions.size())) {
    e = {PointwiseProgram{1, {}}, {e.operands[x]}};
  } else {
    e.program = DropInstruction(e.program, reader, x);
  }
  return true;
}

// Peels what can be peeled, from register x on. The expression is as before, but for the affine
// start; false: nothing was peeled, or it is not finite.
bool Peel(const ir::Module& module, ir::ValueId operand, Expression& e, Affine& affine) {
  bool peeled = false;
  for (;;) {
    const auto at = std::ranges::find(e.operands, operand);
    if (!PeelOne(module, static_cast<int>(at - e.operands.begin()), e, affine)) break;
    peeled = true;
    if (e.program.empty()) break;
  }
  e = Tidy(e);
  return peeled && affine.finite();
}

// The weights times factor(index along `axis`, index along the last axis).
template <class T>
Result<Tensor> Scaled(const Tensor& weights, size_t axis, auto&& factor) {
  GRAFT_ASSIGN_OR_RETURN(Tensor scaled, Tensor::Allocate(weights.dtype(), weights.dims()));
  const std::span<const T> from = weights.data<T>();
  const std::span<T> to = scaled.mutable_data<T>();
  const int64_t last = weights.dims().back();
  int64_t inner = 1;
  for (size_t i = axis + 1; i < weights.dims().size(); ++i) inner *= weights.dims()[i];
  const int64_t size = weights.dims()[axis];
  for (int64_t i = 0; i < weights.elements(); ++i) {
    to[i] = static_cast<T>(from[i] * factor(i / inner % size, i % last));
  }
  return scaled;
}

// The range of scaled weights that had one: along the last axis or along `axis`, where it was, or
// along the last one where it was one for the tensor. None where it lay along another axis.
std::optional<ir::QuantizationRange> ScaledRange(const ir::Value& weights, size_t axis,
                                                 auto&& factor) {
  if (!weights.quantization) return std::nullopt;
  ir::QuantizationRange range = *weights.quantization;
  const Dims& dims = weights.constant->dims();
  const size_t last = dims.size() - 1;
  const size_t own = range.axis == -1 ? last : static_cast<size_t>(range.axis);
  if (own != last && own != axis) return std::nullopt;
  std::vector<double> largest(dims[own], 0);
  for (int64_t i = 0; i < dims[axis]; ++i) {
    for (int64_t k = axis == last ? i : 0; k < (axis == last ? i + 1 : dims[last]); ++k) {
      double& of = largest[own == last ? k : i];
      of = std::max(of, std::abs(factor(i, k)));
    }
  }
  if (range.axis == -1) range.amax.assign(largest.size(), range.amax[0]);
  range.axis = static_cast<int64_t>(own);
  for (size_t i = 0; i < largest.size(); ++i) {
    const auto amax = static_cast<float>(range.amax[i] * largest[i]);
    if (!std::isfinite(amax)) return std::nullopt;
    range.amax[i] = std::max(amax, std::numeric_limits<float>::min());  // zeros have any range
  }
  return range;
}

Result<ir::ValueId> ScaleWeights(ir::Module& module, ir::ValueId weights, size_t axis,
                                 auto&& factor) {
  const Tensor& tensor = *module.value(weights).constant;
  GRAFT_ASSIGN_OR_RETURN(Tensor scaled, tensor.dtype() == DType::kFloat32
                                            ? Scaled<float>(tensor, axis, factor)
                                            : Scaled<double>(tensor, axis, factor));
  std::optional<ir::QuantizationRange> range = ScaledRange(module.value(weights), axis, factor);
  const ir::ValueId id =
      module.AddConstant(module.value(weights).name + "/scaled", std::move(scaled));
  module.value(id).quantization = std::move(range);
  return id;
}

// `expression` over the op's own result, after a bias: nothing is added where all are zero.
Expression WithBias(ir::Module& module, const std::string& name, DType dtype,
                    const std::vector<double>& bias, const Expression& expression) {
  if (std::ranges::all_of(bias, [](double b) { return b == 0; })) return expression;
  const Dims dims = {static_cast<int64_t>(bias.size())};
  Tensor tensor;
  if (dtype == DType::kFloat32) {
    const std::vector<float> rounded(bias.begin(), bias.end());
    tensor = Tensor::Of<float>(dims, rounded);
  } else {
    tensor = Tensor::Of<double>(dims, bias);
  }
  PointwiseProgram add{2, {}};
  add.Add(PointwiseOp::kAdd, dtype, 0, 1);
  const ir::ValueId value = module.AddConstant(name + "/bias", std::move(tensor));
  return Inline(expression, 0, {std::move(add), {kOwnResult, value}});
}

// The op's new form in place of `replaced`, whose results it gives.
Result<ir::NodeId> Rebuild(ir::Module& module, ir::NodeId op, ir::NodeId replaced, ir::ValueId data,
                           ir::ValueId weights, const Expression& epilogue) {
  ir::Attributes attributes = module.node(op).attributes;
  *MutableEpilogue(attributes) = epilogue.identity() ? PointwiseProgram() : epilogue.program;
  const std::string name = module.node(op).name;
  const ir::Node covered = module.node(op);
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId rebuilt,
                         ReplaceNode(module, replaced, std::move(attributes),
                                     WithEpilogueOperands({data, weights}, epilogue), name));
  Cover(module, rebuilt, covered);
  return rebuilt;
}

// The element-wise node `id` after a convolution or matmul: its affine start goes into that.
Result<bool> FoldIntoProducer(ir::Module& module, const ir::Uses& uses, ir::NodeId id) {
  for (ir::ValueId v : module.node(id).inputs) {
    const ir::Value& value = module.value(v);
    const auto channels = value.shape.empty() ? std::nullopt : value.shape.back().constant();
    const ir::NodeId op = value.producer;
    if (op < 0 || !channels || !uses.single(v)) continue;
    if (!HasConstantWeights(module, module.node(op))) continue;
    if (value.shape != module.value(module.node(id).outputs[0]).shape) continue;
    // What the op adds already must be affine itself, to be scaled with the rest.
    Affine affine(*channels);
    Expression own = ExpressionOf(module.node(op));
    if (!own.identity() && !(Peel(module, kOwnResult, own, affine) && own.identity())) continue;
    Expression rest = Tidy(ExpressionOf(module.node(id)));
    if (!Peel(module, v, rest, affine)) continue;

    const DType dtype = value.dtype;
    const ir::ValueId data = module.node(op).inputs[0];
    const std::string name = module.node(op).name;
    ir::ValueId weights = module.node(op).inputs[1];
    if (affine.scales()) {
      const size_t axis =
          AxesOfWeights(module.node(op), module.value(weights).constant->dims().size())->output;
      GRAFT_ASSIGN_OR_RETURN(
          weights, ScaleWeights(module, weights, axis,
                                [&](int64_t channel, int64_t) { return affine.scale[channel]; }));
    }
    const Expression epilogue =
        WithBias(module, name, dtype, affine.offset, {PointwiseProgram{1, {}}, {kOwnResult}});
    // The op gets its new form; what is left of the element-wise node reads it.
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId rebuilt,
                           Rebuild(module, op, rest.identity() ? id : op, data, weights, epilogue));
    if (!rest.identity()) {
      ir::Value& between = module.value(module.node(rebuilt).outputs[0]);
      between.name = module.value(module.node(id).outputs[0]).name + "/affine";
      between.low = -std::numeric_limits<float>::infinity();
      between.high = std::numeric_limits<float>::infinity();
      between.quantization.reset();
      std::ranges::replace(rest.operands, v, module.node(rebuilt).outputs[0]);
      GRAFT_RETURN_IF_ERROR(
          ReplaceNode(module, id, ir::PointwiseAttributes{rest.program}, rest.operands).status());
    }
    return true;
  }
  return false;
}

bool HasPadding(const ir::Node& node) {
  const auto* conv = node.get<ir::ConvAttributes>();
  return conv && !(AllZero(conv->pads_before) && AllZero(conv->pads_after));
}

// What an offset on each input channel adds to each output channel.
template <class T>
std::vector<double> BiasOfOffset(const Tensor& weights, size_t input_axis, size_t output_axis,
                                 int64_t groups, const std::vector<double>& offset) {
  const Dims& dims = weights.dims();
  const int64_t outputs = dims[output_axis];
  const int64_t inputs = dims[input_axis];
  std::vector<double> bias(outputs, 0);
  const std::span<const T> w = weights.data<T>();
  const bool input_last = input_axis > output_axis;
  const int64_t last = dims.back();
  const int64_t before_last = dims[dims.size() - 2];
  for (int64_t i = 0; i < weights.elements(); ++i) {
    const int64_t a = i % last;
    const int64_t b = i / last % before_last;
    const int64_t m = input_last ? b : a;
    const int64_t c = (input_last ? a : b) + m / (outputs / groups) * inputs;
    bias[m] += w[i] * offset[c];
  }
  return bias;
}

// The convolution or matmul `id` after an element-wise node that is affine.
Result<bool> FoldFromProducer(ir::Module& module, const ir::Uses& uses, ir::NodeId id) {
  const ir::Node& node = module.node(id);
  // A transposed convolution covers its input unevenly: an offset is not a bias there.
  if (!HasConstantWeights(module, node) || node.get<ir::ConvTransposeAttributes>()) return false;
  const ir::ValueId x = node.inputs[0];
  const ir::NodeId producer = module.value(x).producer;
  if (producer < 0 || !uses.single(x)) return false;
  if (!module.node(producer).get<ir::PointwiseAttributes>()) return false;
  const auto* matmul = node.get<ir::MatMulAttributes>();
  const Tensor& weights = *module.value(node.inputs[1]).constant;
  // Weights of several matrices have a bias for each; a transposed operand has its channels
  // elsewhere.
  if (matmul && (matmul->transpose_a || weights.dims().size() != 2)) return false;
  const auto channels = module.value(x).shape.back().constant();
  if (!channels) return false;

  Expression e = Tidy(ExpressionOf(module.node(producer)));
  for (ir::ValueId v : std::vector(e.operands)) {
    const ir::Value& source = module.value(v);
    if (source.constant || source.dtype != module.value(x).dtype) continue;
    if (source.shape != module.value(x).shape) continue;
    Affine affine(*channels);
    Expression rest = e;
    if (!Peel(module, v, rest, affine) || !rest.identity()) continue;
    if (affine.shifts() && HasPadding(node)) continue;

    const WeightAxes axes = *AxesOfWeights(node, weights.dims().size());
    const ir::Dim groups =
        node.get<ir::ConvAttributes>() ? node.get<ir::ConvAttributes>()->groups : ir::Dim(1);
    if (!groups.is_constant()) continue;
    const std::vector<double> bias = weights.dtype() == DType::kFloat32
                                         ? BiasOfOffset<float>(weights, axes.input, axes.output,
                                                               *groups.constant(), affine.offset)
                                         : BiasOfOffset<double>(weights, axes.input, axes.output,
                                                                *groups.constant(), affine.offset);
    const int64_t per_group = weights.dims()[axes.input];
    const int64_t outputs_per_group = weights.dims()[axes.output] / *groups.constant();
    GRAFT_ASSIGN_OR_RETURN(
        const ir::ValueId scaled,
        ScaleWeights(module, node.inputs[1], axes.input, [&](int64_t c, int64_t last) {
          return affine.scale[c + (groups == 1 ? 0 : last / outputs_per_group * per_group)];
        }));
    const Expression epilogue = WithBias(module, module.node(id).name, module.value(x).dtype, bias,
                                         ExpressionOf(module.node(id)));
    if (!Fits(epilogue)) return false;
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId rebuilt, Rebuild(module, id, id, v, scaled, epilogue));
    Cover(module, rebuilt, module.node(producer));
    return true;
  }
  return false;
}

}  // namespace

Result<bool> FoldScale(ir::Module& module, PassContext&) {
  const ir::Uses uses(module);
  const ir::ValueId known_values = module.value_count();
  const ir::NodeId nodes = module.node_count();
  auto known = [&](ir::NodeId id) {
    return std::ranges::all_of(module.node(id).inputs,
                               [&](ir::ValueId v) { return v < known_values; });
  };
  bool changed = false;
  for (ir::NodeId id = 0; id < nodes; ++id) {
    // `uses` does not know what this sweep has made: the next one goes on from there.
    if (module.removed(id) || !known(id)) continue;
    GRAFT_ASSIGN_OR_RETURN(const bool folded, module.node(id).get<ir::PointwiseAttributes>()
                                                  ? FoldIntoProducer(module, uses, id)
                                                  : FoldFromProducer(module, uses, id));
    changed |= folded;
  }
  return changed;
}

}  // namespace graft::passes
