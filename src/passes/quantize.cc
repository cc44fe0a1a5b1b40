// Convolutions and products whose operands have quantisation ranges are computed on 8-bit integers,
// and what lies between them moves integers. The exact forms stand in docs/numerics.md: an epilogue
// is a program over the 32-bit sums, so what is rounded where can be read off the module.
//
// Integers go as far as somebody wants them: a value becomes integers where an integer product
// reads it, directly or by way of ops that hand elements on. Results of products that only float
// ops read, and outputs, are floats made of the sums.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/strides.h"
#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"
#include "quant/node_ranges.h"
#include "quant/range_rules.h"

namespace graft::passes {
namespace {

using Op = PointwiseOp;
constexpr DType kFloat = DType::kFloat32;
constexpr DType kSums = DType::kInt32;
constexpr DType kInteger = DType::kInt8;
constexpr float kMost = 127;
// Sums in 32 bits hold a bias of at most so much, beside all products.
constexpr double kMostBias = 1 << 30;

// Writes an element-wise program whose operands are found on the way.
class ProgramWriter {
 public:
  int Operand(ir::ValueId v) {
    auto at = std::ranges::find(operands_, v);
    if (at == operands_.end()) at = operands_.insert(operands_.end(), v);
    return static_cast<int>(at - operands_.begin());
  }
  int Add(PointwiseInstruction instruction) {
    instructions_.push_back(instruction);
    return kFirstResult + static_cast<int>(instructions_.size()) - 1;
  }
  int Add(Op op, DType dtype, int x, int y = -1, double p = 0, double q = 0) {
    return Add({op, dtype, {x, y, -1}, p, q});
  }
  int Constant(float value) { return Add(Op::kConstant, kFloat, -1, -1, value); }

  Expression Finish() const {
    const int inputs = static_cast<int>(operands_.size());
    Expression e = {PointwiseProgram{inputs, {}}, operands_};
    for (PointwiseInstruction in : instructions_) {
      for (int& r : in.operands) {
        if (r >= kFirstResult) r += inputs - kFirstResult;
      }
      e.program.Add(in);
    }
    return e;
  }

 private:
  static constexpr int kFirstResult = 1 << 16;
  std::vector<ir::ValueId> operands_;
  std::vector<PointwiseInstruction> instructions_;
};

// The integers that a result may have.
struct Bounds {
  float low = -kMost;
  float high = kMost;
};

// The integers of register x, in units of the result's.
int AddRounding(ProgramWriter& w, int x, Bounds bounds, bool may_be_nan) {
  x = w.Add(Op::kRound, kFloat, x);
  if (may_be_nan) {
    const int least = w.Constant(bounds.low);
    const int is_number = w.Add(Op::kGreaterEqual, DType::kBool, x, least);
    x = w.Add({Op::kSelect, kFloat, {is_number, x, least}});
  }
  x = w.Add(Op::kClamp, kFloat, x, -1, bounds.low, bounds.high);
  return w.Add(Op::kCast, kInteger, x);
}

// A product that is to be computed on integers.
struct Product {
  Tensor weights;             // i8
  std::vector<float> scales;  // of the weights, by output channel
  std::vector<int32_t> bias;  // in units of the sums; empty: none
};

// Of every channel along `axis`, the largest absolute value; nullopt where one is not finite.
std::optional<std::vector<float>> LargestWeights(const Tensor& weights, size_t axis) {
  const Dims& dims = weights.dims();
  int64_t inner = 1;
  for (size_t i = axis + 1; i < dims.size(); ++i) inner *= dims[i];
  std::vector<float> largest(dims[axis], 0);
  const std::span<const float> w = weights.data<float>();
  for (int64_t i = 0; i < weights.elements(); ++i) {
    if (!std::isfinite(w[i])) return std::nullopt;
    float& of = largest[i / inner % dims[axis]];
    of = std::max(of, std::abs(w[i]));
  }
  return largest;
}

// The range of weights, by output channel: a quantisation node's, or the largest weight's.
std::optional<std::vector<float>> RangeOfWeights(const ir::Value& weights, size_t axis) {
  std::optional<std::vector<float>> largest = LargestWeights(*weights.constant, axis);
  if (!largest || !weights.quantization) return largest;
  const ir::QuantizationRange& range = *weights.quantization;
  if (range.axis == static_cast<int64_t>(axis)) return range.amax;
  return std::vector<float>(largest->size(), std::ranges::max(range.amax));
}

// `weights` with those that read input channel c times factors[c]. Each group of a convolution
// reads its own channels.
Result<Tensor> ForInputs(const Tensor& weights, WeightAxes axes,
                         const std::vector<float>& factors) {
  GRAFT_ASSIGN_OR_RETURN(Tensor scaled, Tensor::Allocate(kFloat, weights.dims()));
  const Dims& dims = weights.dims();
  const std::vector<int64_t> strides = RowMajorStrides(dims);
  const int64_t input_stride = strides[axes.input], output_stride = strides[axes.output];
  const int64_t inputs = dims[axes.input];  // of a group
  const int64_t groups = static_cast<int64_t>(factors.size()) / inputs;
  const int64_t outputs = dims[axes.output] / groups;
  const std::span<const float> from = weights.data<float>();
  const std::span<float> to = scaled.mutable_data<float>();
  for (int64_t i = 0; i < weights.elements(); ++i) {
    const int64_t in = i / input_stride % inputs;
    const int64_t group = i / output_stride % dims[axes.output] / outputs;
    to[i] = from[i] * factors[group * inputs + in];
  }
  return scaled;
}

class Quantizer {
 public:
  Quantizer(ir::Module& module, const PassContext& context)
      : module_(module), context_(context), uses_(module) {}

  Result<bool> Run() {
    const ir::NodeId nodes = module_.node_count();
    for (ir::NodeId id = 0; id < nodes; ++id) {
      GRAFT_ASSIGN_OR_RETURN(std::optional<Product> product, ReadProduct(id));
      if (product) products_.emplace(id, std::move(*product));
    }
    if (products_.empty()) return false;
    FindWanted();
    for (const ir::ValueId v : module_.inputs) {
      if (wanted_[v]) GRAFT_RETURN_IF_ERROR(QuantizeFloats(v));
    }
    for (ir::NodeId id = 0; id < nodes; ++id) GRAFT_RETURN_IF_ERROR(Rewrite(id));
    return true;
  }

 private:
  // A value's integers.
  struct Integers {
    ir::ValueId value = -1;
    float amax = 0;
  };

  bool IsFloats(ir::ValueId v) const {
    return module_.value(v).dtype == kFloat && !module_.value(v).constant;
  }
  std::optional<float> Amax(ir::ValueId v) const {
    const auto& range = module_.value(v).quantization;
    if (!range || !IsFloats(v)) return std::nullopt;
    const float amax = std::ranges::max(range->amax);
    // Of a range that is next to nothing there is no inverse scale.
    return std::isfinite(quant::InverseScaleOf(amax)) ? std::optional(amax) : std::nullopt;
  }
  const Integers* Find(ir::ValueId v) const {
    const auto found = integers_.find(v);
    return found == integers_.end() ? nullptr : &found->second;
  }
  bool Supports(const ir::Module& module, const ir::Node& node) const {
    return !context_.supports || context_.supports(module, node);
  }

  // The product that node `id` is to become; nothing where it stays as it is.
  Result<std::optional<Product>> ReadProduct(ir::NodeId id) const {
    if (module_.removed(id)) return std::optional<Product>();
    const ir::Node& node = module_.node(id);
    if (Epilogue(node) == nullptr) return std::optional<Product>();
    const std::optional<float> amax = Amax(node.inputs[0]);
    const ir::Value& weights = module_.value(node.inputs[1]);
    if (!amax || !weights.constant || weights.dtype != kFloat) return std::optional<Product>();
    const WeightAxes axes = *AxesOfWeights(node, weights.constant->dims().size());
    const size_t axis = axes.output;
    const int64_t channels = weights.constant->dims()[axis];
    Tensor numbers = *weights.constant;
    std::optional<std::vector<float>> largest = RangeOfWeights(weights, axis);
    if (const std::vector<float> factors = Factors(node.inputs[0]); !factors.empty()) {
      GRAFT_ASSIGN_OR_RETURN(numbers, ForInputs(numbers, axes, factors));
      largest = LargestWeights(numbers, axis);
    }
    if (channels == 0 || !largest) return std::optional<Product>();
    const double terms =
        static_cast<double>(weights.constant->elements()) / static_cast<double>(channels);
    const double most_bias = std::min(kMostBias, 2147483647.0 - terms * kMost * kMost);
    if (most_bias < 1) return std::optional<Product>();

    Product product;
    Expression epilogue = Tidy(ExpressionOf(node));
    const std::optional<std::vector<double>> bias = TakeBias(epilogue, channels);
    if (bias && !std::ranges::all_of(*bias, [](double b) { return std::isfinite(b); }))
      return std::optional<Product>();
    const double input_scale = quant::ScaleOf(*amax);
    std::vector<float> inverse(channels);
    for (int64_t c = 0; c < channels; ++c) {
      // Beside a bias that needs more, the weights of a channel can be as coarse as that.
      const double b = bias ? std::abs((*bias)[c]) : 0;
      const float least = static_cast<float>(b / (input_scale * most_bias));
      const float scale = quant::ScaleOf((*largest)[c]);
      const bool fits = scale > 0 && scale >= least && std::isfinite(1 / scale);
      const float own = fits ? scale : std::max(least, std::numeric_limits<float>::min() * 128);
      product.scales.push_back(own);
      inverse[c] = fits ? quant::InverseScaleOf((*largest)[c]) : 1 / own;
      if (!std::isfinite(inverse[c])) return std::optional<Product>();
      if (bias) {
        const double units = (*bias)[c] / (input_scale * static_cast<double>(own));
        product.bias.push_back(
            static_cast<int32_t>(std::clamp(std::nearbyint(units), -most_bias, most_bias)));
      }
    }
    GRAFT_ASSIGN_OR_RETURN(product.weights, Rounded(numbers, axis, inverse));
    GRAFT_ASSIGN_OR_RETURN(const bool supported, IsSupported(node, product));
    if (!supported || !context_.integers(node)) return std::optional<Product>();
    return std::optional(std::move(product));
  }

  // What integers of the value's channels are worth, of those of its range as a whole: empty where
  // all are worth the same. The more a channel has of the 127, the coarser are the weights beside
  // it, so each takes half of the difference (in the exponent), as in cross-layer equalisation
  // (Nagel et al., 2019); the weights of a depthwise convolution have a scale for each channel, and
  // lose nothing.
  std::vector<float> Factors(ir::ValueId v) const {
    const ir::Value& value = module_.value(v);
    const std::optional<float> amax = Amax(v);
    if (!amax || value.quantization->axis < 0 || !products_.contains(value.producer) ||
        !quant::MayDifferByChannel(module_, uses_, v))
      return {};
    // The channels' factors are those of the product's result, and where it is bounded, the
    // integers end at 127 whatever they are worth.
    const ir::Node& producer = module_.node(value.producer);
    const auto channels = static_cast<int64_t>(value.quantization->amax.size());
    Expression rest = Tidy(ExpressionOf(producer));
    TakeBias(rest, channels);
    if (!rest.program.empty()) {
      const PointwiseInstruction& last = rest.program.instructions.back();
      const bool is_bound =
          last.op == Op::kRelu || (last.op == Op::kClamp && last.p == 0 && last.q >= *amax);
      if (rest.program.instructions.size() != 1 || rest.operands.size() != 1 || !is_bound)
        return {};
    }
    const bool is_depthwise = std::ranges::all_of(uses_.of(v), [&](ir::NodeId reader) {
      const auto* conv = module_.node(reader).get<ir::ConvAttributes>();
      return conv != nullptr && conv->groups == channels;
    });
    std::vector<float> factors;
    for (const float own : value.quantization->amax)
      factors.push_back(is_depthwise ? own / *amax : std::sqrt(own / *amax));
    return factors;
  }

  static Result<Tensor> Rounded(const Tensor& weights, size_t axis,
                                const std::vector<float>& inverse) {
    GRAFT_ASSIGN_OR_RETURN(Tensor rounded, Tensor::Allocate(kInteger, weights.dims()));
    const std::span<const float> from = weights.data<float>();
    const std::span<int8_t> to = rounded.mutable_data<int8_t>();
    int64_t inner = 1;
    for (size_t i = axis + 1; i < weights.dims().size(); ++i) inner *= weights.dims()[i];
    const int64_t channels = weights.dims()[axis];
    for (int64_t i = 0; i < weights.elements(); ++i) {
      const float q = std::nearbyint(from[i] * inverse[i / inner % channels]);
      to[i] = static_cast<int8_t>(std::clamp(q, -kMost, kMost));
    }
    return rounded;
  }

  // The constants that the epilogue adds to the op's own result before anything else, which it then
  // does no longer.
  std::optional<std::vector<double>> TakeBias(Expression& e, int64_t channels) const {
    int reader = -1;
    for (int i = 0; i < static_cast<int>(e.program.instructions.size()); ++i) {
      const PointwiseInstruction& in = e.program.instructions[i];
      for (int k = 0; k < OperandCount(in.op); ++k) {
        if (in.operands[k] != 0) continue;
        if (reader >= 0) return std::nullopt;
        reader = i;
      }
    }
    if (reader < 0) return std::nullopt;
    const PointwiseInstruction& in = e.program.instructions[reader];
    if (in.op != Op::kAdd || in.dtype != kFloat) return std::nullopt;
    const int other = in.operands[in.operands[0] == 0 ? 1 : 0];
    if (other >= e.program.inputs) return std::nullopt;
    std::optional<std::vector<double>> bias =
        ChannelVector(module_.value(e.operands[other]), channels);
    if (!bias) return std::nullopt;
    if (e.program.instructions.size() == 1) {
      e = {PointwiseProgram{1, {}}, {kOwnResult}};
    } else {
      e.program = DropInstruction(e.program, reader, 0);
      e = Tidy(e);
    }
    return bias;
  }

  // Whether the backend has a kernel for such a product of integers, with the simplest epilogue
  // that one has.
  Result<bool> IsSupported(const ir::Node& node, const Product& product) const {
    ir::Module trial;
    trial.symbols = module_.symbols;
    const ir::ValueId x = trial.AddInput("x", kInteger, module_.value(node.inputs[0]).shape);
    const ir::ValueId w = trial.AddConstant("w", product.weights);
    const ir::ValueId m = trial.AddConstant("m", Tensor::Of<float>({1}, std::vector<float>{1}));
    ProgramWriter writer;
    int y = writer.Operand(kOwnResult);
    y = writer.Add(Op::kMul, kFloat, writer.Add(Op::kCast, kFloat, y), writer.Operand(m));
    AddRounding(writer, y, {}, false);
    const Expression e = writer.Finish();
    Result<ir::NodeId> id =
        trial.AddNode(WithIntegers(node, e.program), WithEpilogueOperands({x, w}, e), node.name);
    if (!id.ok()) return false;
    return Supports(trial, trial.node(*id));
  }

  static ir::Attributes WithIntegers(const ir::Node& node, PointwiseProgram epilogue) {
    ir::Attributes attributes = node.attributes;
    *MutableEpilogue(attributes) = std::move(epilogue);
    std::visit(
        [](auto& a) {
          if constexpr (requires { a.accumulator; }) a.accumulator = kSums;
        },
        attributes);
    return attributes;
  }

  // Whether the node can give its result in integers that it has not to round anew.
  bool GivesIntegers(ir::NodeId id) const {
    if (id < 0 || module_.removed(id)) return false;
    const ir::Node& node = module_.node(id);
    return products_.contains(id) || quant::SharesScale(node) || node.kind() == ir::OpKind::kConcat;
  }

  // An operand of an epilogue that is as large as the result.
  bool IsResidual(const ir::Node& node, ir::ValueId v) const {
    return v >= 0 && IsFloats(v) && module_.value(v).shape == module_.value(node.outputs[0]).shape;
  }

  // Backwards: who wants a value as integers comes after it.
  void FindWanted() {
    wanted_.assign(module_.value_count(), false);
    auto want = [&](ir::ValueId v) {
      if (Amax(v)) wanted_[v] = true;
    };
    for (ir::NodeId id = module_.node_count() - 1; id >= 0; --id) {
      if (module_.removed(id) || module_.node(id).outputs.empty()) continue;
      const ir::Node& node = module_.node(id);
      const ir::ValueId out = node.outputs[0];
      if (products_.contains(id)) {
        for (const ir::ValueId v : node.inputs) {
          if (v == node.inputs[0] || IsResidual(node, v)) want(v);
        }
      } else if (!wanted_[out]) {
        continue;
      } else if (quant::SharesScale(node) || node.kind() == ir::OpKind::kConcat) {
        for (const ir::ValueId v : node.inputs) {
          ir::Value& value = module_.value(v);
          if (!IsFloats(v)) continue;
          // What has no range of its own is made at once as the result wants it.
          if (!value.quantization && GivesIntegers(value.producer))
            value.quantization = module_.value(out).quantization;
          if (GivesIntegers(value.producer) || node.kind() != ir::OpKind::kConcat) want(v);
        }
      }
    }
  }

  Result<ir::ValueId> AddPointwise(const Expression& e, const std::string& name) {
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id,
                           module_.AddNode(ir::PointwiseAttributes{e.program}, e.operands, name));
    return module_.node(id).outputs[0];
  }

  // From here on `out` is known by its integers `q`, of which float readers get floats.
  Status Know(ir::ValueId out, ir::ValueId q, float amax, const std::vector<float>& factors = {}) {
    const std::string name = module_.value(out).name;
    module_.value(q).name = name + "/int8";
    ProgramWriter w;
    const int x = w.Add(Op::kCast, kFloat, w.Operand(q));
    if (factors.empty()) {
      w.Add(Op::kMul, kFloat, x, w.Constant(quant::ScaleOf(amax)));
    } else {
      std::vector<float> scales;
      for (const float factor : factors) scales.push_back(quant::ScaleOf(amax) * factor);
      const auto channels = static_cast<int64_t>(scales.size());
      w.Add(
          Op::kMul, kFloat, x,
          w.Operand(module_.AddConstant(name + "/scales", Tensor::Of<float>({channels}, scales))));
    }
    GRAFT_ASSIGN_OR_RETURN(
        const ir::ValueId floats,
        AddPointwise(w.Finish(), quant::TableName(module_.value(out)) + "/dequantize"));
    GRAFT_RETURN_IF_ERROR(ReplaceValue(module_, out, floats));
    integers_[floats] = integers_[out] = {q, amax};
    return OkStatus();
  }

  void SetBounds(ir::ValueId q, Bounds bounds) {
    module_.value(q).low = bounds.low;
    module_.value(q).high = bounds.high;
  }
  Bounds BoundsOf(ir::ValueId v) const {
    return module_.value(v).low >= 0 ? Bounds{0, kMost} : Bounds{};
  }

  Result<ir::ValueId> IntegersOfFloats(ir::ValueId v, float amax) {
    ProgramWriter w;
    const int x = w.Add(Op::kMul, kFloat, w.Operand(v), w.Constant(quant::InverseScaleOf(amax)));
    const Bounds bounds = BoundsOf(v);
    AddRounding(w, x, bounds, true);
    GRAFT_ASSIGN_OR_RETURN(
        const ir::ValueId q,
        AddPointwise(w.Finish(), quant::TableName(module_.value(v)) + "/quantize"));
    module_.value(q).name = module_.value(v).name + "/int8";
    SetBounds(q, bounds);
    return q;
  }

  // Float readers of `v` go on reading it.
  Status QuantizeFloats(ir::ValueId v) {
    const float amax = *Amax(v);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId q, IntegersOfFloats(v, amax));
    integers_[v] = {q, amax};
    return OkStatus();
  }

  // The same value in units of another range.
  Result<ir::ValueId> Rescaled(const Integers& from, float amax) {
    if (from.amax == amax) return from.value;
    const double m =
        static_cast<double>(quant::ScaleOf(from.amax)) / static_cast<double>(quant::ScaleOf(amax));
    ProgramWriter w;
    const int x = w.Add(Op::kCast, kFloat, w.Operand(from.value));
    const Bounds bounds = BoundsOf(from.value);
    AddRounding(w, w.Add(Op::kMul, kFloat, x, w.Constant(static_cast<float>(m))), bounds, false);
    const std::string name = module_.value(from.value).name;
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId q, AddPointwise(w.Finish(), name + "/rescale"));
    module_.value(q).name = name + "/rescaled";
    SetBounds(q, bounds);
    return q;
  }

  Status Rewrite(ir::NodeId id) {
    if (module_.removed(id) || module_.node(id).outputs.empty()) return OkStatus();
    const ir::Node node = module_.node(id);
    const ir::ValueId out = node.outputs[0];
    if (const auto product = products_.find(id); product != products_.end())
      return RewriteProduct(id, product->second);
    bool done = false;
    if (wanted_[out] && quant::SharesScale(node)) {
      GRAFT_ASSIGN_OR_RETURN(done, MoveIntegers(id));
    } else if (wanted_[out] && node.kind() == ir::OpKind::kConcat) {
      GRAFT_ASSIGN_OR_RETURN(done, ConcatIntegers(id));
    } else {
      GRAFT_ASSIGN_OR_RETURN(done, AverageIntegers(id));
    }
    for (const ir::ValueId v : node.outputs) {
      if (wanted_[v] && !(done && v == out)) GRAFT_RETURN_IF_ERROR(QuantizeFloats(v));
    }
    return OkStatus();
  }

  // Appends the node over integers where the backend has a kernel for it, else nothing.
  Result<std::optional<ir::ValueId>> TryNode(const ir::Node& node,
                                             std::vector<ir::ValueId> operands) {
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id,
                           module_.AddNode(node.attributes, std::move(operands), node.name));
    if (!Supports(module_, module_.node(id))) {
      module_.RemoveNode(id);
      return std::optional<ir::ValueId>();
    }
    Cover(module_, id, node);
    return std::optional(module_.node(id).outputs[0]);
  }

  Result<bool> MoveIntegers(ir::NodeId id) {
    const ir::Node node = module_.node(id);
    const Integers* from = Find(node.inputs[0]);
    if (from == nullptr) return false;
    const ir::ValueId out = node.outputs[0];
    GRAFT_ASSIGN_OR_RETURN(const std::optional<ir::ValueId> moved, TryNode(node, {from->value}));
    if (!moved) return false;
    SetBounds(*moved, BoundsOf(from->value));
    const float amax = *Amax(out);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId q, Rescaled({*moved, from->amax}, amax));
    GRAFT_RETURN_IF_ERROR(Know(out, q, amax));
    return true;
  }

  Result<bool> ConcatIntegers(ir::NodeId id) {
    const ir::Node node = module_.node(id);
    const ir::ValueId out = node.outputs[0];
    const float amax = *Amax(out);
    if (std::ranges::none_of(node.inputs, [&](ir::ValueId v) { return Find(v) != nullptr; }))
      return false;
    std::vector<ir::ValueId> operands;
    bool is_positive = true;
    for (const ir::ValueId v : node.inputs) {
      const Integers* from = Find(v);
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId q,
                             from != nullptr ? Rescaled(*from, amax) : IntegersOfFloats(v, amax));
      operands.push_back(q);
      is_positive = is_positive && module_.value(q).low >= 0;
    }
    GRAFT_ASSIGN_OR_RETURN(const std::optional<ir::ValueId> joined, TryNode(node, operands));
    if (!joined) return false;
    SetBounds(*joined, is_positive ? Bounds{0, kMost} : Bounds{});
    GRAFT_RETURN_IF_ERROR(Know(out, *joined, amax));
    return true;
  }

  // An average of integers: their sum is exact, whatever its order, so only what is made of it is
  // rounded.
  Result<bool> AverageIntegers(ir::NodeId id) {
    const ir::Node node = module_.node(id);
    if (!quant::IsAverage(node)) return false;
    const Integers* from = Find(node.inputs[0]);
    if (from == nullptr) return false;
    ir::Attributes attributes = node.attributes;
    double count = 1;
    if (const auto* pool = node.get<ir::PoolAttributes>()) {
      for (const int64_t n : pool->window) count *= static_cast<double>(n);
    } else if (const auto* reduce = node.get<ir::ReduceAttributes>()) {
      for (const int64_t axis : reduce->axes) {
        const std::optional<int64_t> n = module_.value(node.inputs[0]).shape[axis].constant();
        if (!n || *n == 0) return false;
        count *= static_cast<double>(*n);
      }
      ir::ReduceAttributes sum = *reduce;
      sum.kind = ir::ReduceKind::kSum;
      attributes = sum;
    }
    // Sums that a float does not hold exactly depend on their order.
    if (count * kMost >= 1 << 24) return false;
    ProgramWriter widen;
    widen.Add(Op::kCast, kFloat, widen.Operand(from->value));
    const float own = quant::ScaleOf(from->amax);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId wide,
                           AddPointwise(widen.Finish(), node.name + "/widen"));
    ir::Node average = node;
    average.attributes = std::move(attributes);
    GRAFT_ASSIGN_OR_RETURN(const std::optional<ir::ValueId> result, TryNode(average, {wide}));
    if (!result) return false;
    const ir::ValueId out = node.outputs[0];
    // A pooling has divided already, by what each window counts.
    const bool is_pool = node.get<ir::PoolAttributes>() != nullptr;
    const float divisor = is_pool ? 1 : static_cast<float>(count);
    const float amax = wanted_[out] ? *Amax(out) : 0;
    double m = own;
    if (wanted_[out]) m /= static_cast<double>(quant::ScaleOf(amax));
    ProgramWriter w;
    const int y =
        w.Add(Op::kMul, kFloat, w.Operand(*result), w.Constant(static_cast<float>(m) / divisor));
    if (!wanted_[out] || uses_.is_output(out)) {
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId floats,
                             AddPointwise(w.Finish(), node.name + "/scale"));
      GRAFT_RETURN_IF_ERROR(ReplaceValue(module_, out, floats));
      if (!wanted_[out]) return true;
      GRAFT_RETURN_IF_ERROR(QuantizeFloats(floats));
      integers_[out] = integers_[floats];
      return true;
    }
    const Bounds bounds = BoundsOf(from->value);
    AddRounding(w, y, bounds, false);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId q, AddPointwise(w.Finish(), node.name + "/scale"));
    SetBounds(q, bounds);
    GRAFT_RETURN_IF_ERROR(Know(out, q, amax));
    return true;
  }

  // Whether the instructions may be applied to numbers in other units: what they do to all of their
  // operands times a factor, they do to the result.
  bool Scales(const ir::Node& node, const Expression& e) const {
    for (size_t i = 1; i < e.operands.size(); ++i) {
      if (!IsResidual(node, e.operands[i]) || Find(e.operands[i]) == nullptr) return false;
    }
    return std::ranges::all_of(e.program.instructions, [](const PointwiseInstruction& in) {
      const bool scales = in.op == Op::kAdd || in.op == Op::kSub || in.op == Op::kMin ||
                          in.op == Op::kMax || in.op == Op::kRelu || in.op == Op::kClamp ||
                          in.op == Op::kLeakyRelu;
      return scales && in.dtype == kFloat;
    });
  }

  // A last instruction that bounds the result bounds its integers instead.
  static Bounds TakeBounds(Expression& e, float amax) {
    Bounds bounds;
    if (e.program.empty()) return bounds;
    const PointwiseInstruction& last = e.program.instructions.back();
    if (last.op != Op::kRelu && last.op != Op::kClamp) return bounds;
    if (last.op == Op::kRelu) {
      bounds.low = 0;
    } else {
      const float inverse = quant::InverseScaleOf(amax);
      auto round = [&](double end) {
        return std::clamp(std::nearbyint(static_cast<float>(end) * inverse), -kMost, kMost);
      };
      bounds = {round(last.p), round(last.q)};
    }
    const int operand = last.operands[0];
    if (operand < e.program.inputs) {
      // Bounds of an operand itself, which is the op's own result or it would not be last.
      if (operand != 0) return {};
      e = {PointwiseProgram{1, {}}, {kOwnResult}};
    } else {
      e = Tidy(WithResult(e, operand));
    }
    return bounds;
  }

  Status RewriteProduct(ir::NodeId id, const Product& product) {
    const ir::Node node = module_.node(id);
    const ir::ValueId out = node.outputs[0];
    const Integers x = *Find(node.inputs[0]);
    // Outputs are floats. What reads them as integers rounds them then.
    const bool gives_integers = wanted_[out] && !uses_.is_output(out);
    const float amax = gives_integers ? *Amax(out) : 0;
    const double out_scale = gives_integers ? quant::ScaleOf(amax) : 1;
    const auto channels = static_cast<int64_t>(product.scales.size());
    Expression rest = Tidy(ExpressionOf(node));
    TakeBias(rest, channels);
    const Bounds bounds = gives_integers ? TakeBounds(rest, amax) : Bounds{};
    const bool scales = gives_integers && Scales(node, rest);
    const double unit = scales ? out_scale : 1;
    const std::vector<float> factors = gives_integers ? Factors(out) : std::vector<float>();

    std::vector<float> multipliers;
    for (int64_t c = 0; c < channels; ++c) {
      const double of_result = factors.empty() ? unit : unit * static_cast<double>(factors[c]);
      multipliers.push_back(static_cast<float>(static_cast<double>(quant::ScaleOf(x.amax)) *
                                               static_cast<double>(product.scales[c]) / of_result));
    }
    ProgramWriter w;
    int y = w.Operand(kOwnResult);
    if (!product.bias.empty()) {
      const ir::ValueId bias = module_.AddConstant(node.name + "/bias_int32",
                                                   Tensor::Of<int32_t>({channels}, product.bias));
      y = w.Add(Op::kAdd, kSums, y, w.Operand(bias));
    }
    const ir::ValueId multiplier =
        module_.AddConstant(node.name + "/multiplier", Tensor::Of<float>({channels}, multipliers));
    y = w.Add(Op::kMul, kFloat, w.Add(Op::kCast, kFloat, y), w.Operand(multiplier));
    // The rest of the epilogue, by the registers of its program.
    std::vector<int> registers = {y};
    for (size_t i = 1; i < rest.operands.size(); ++i) {
      const ir::ValueId v = rest.operands[i];
      const Integers* residual = IsResidual(node, v) ? Find(v) : nullptr;
      if (residual == nullptr) {
        registers.push_back(w.Operand(v));
        continue;
      }
      const double m = static_cast<double>(quant::ScaleOf(residual->amax)) / unit;
      const int r = w.Add(Op::kCast, kFloat, w.Operand(residual->value));
      registers.push_back(w.Add(Op::kMul, kFloat, r, w.Constant(static_cast<float>(m))));
    }
    for (PointwiseInstruction in : rest.program.instructions) {
      for (int& r : in.operands) {
        if (r >= 0) r = registers[r];
      }
      if (scales && in.op == Op::kClamp) {
        in.p = static_cast<float>(in.p / unit);
        in.q = static_cast<float>(in.q / unit);
      }
      registers.push_back(w.Add(in));
    }
    y = rest.program.empty() ? registers[0] : registers.back();
    if (gives_integers) {
      if (!scales) y = w.Add(Op::kMul, kFloat, y, w.Constant(quant::InverseScaleOf(amax)));
      AddRounding(w, y, bounds, !scales);
    }
    const Expression e = w.Finish();
    const ir::ValueId weights =
        module_.AddConstant(module_.value(node.inputs[1]).name + "/int8", product.weights);
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId made,
                           module_.AddNode(WithIntegers(node, e.program),
                                           WithEpilogueOperands({x.value, weights}, e), node.name));
    Cover(module_, made, node);
    const ir::ValueId result = module_.node(made).outputs[0];
    if (gives_integers) {
      SetBounds(result, bounds);
      GRAFT_RETURN_IF_ERROR(Know(out, result, amax, factors));
    } else {
      GRAFT_RETURN_IF_ERROR(ReplaceValue(module_, out, result));
      if (wanted_[out]) {
        GRAFT_RETURN_IF_ERROR(QuantizeFloats(result));
        integers_[out] = integers_[result];
      }
    }
    module_.RemoveNode(id);
    return OkStatus();
  }

  ir::Module& module_;
  const PassContext& context_;
  const ir::Uses uses_;  // as it was
  std::map<ir::NodeId, Product> products_;
  std::vector<bool> wanted_;  // by value, of those there were
  // By float value, of those there were and of those that stand for them now.
  std::map<ir::ValueId, Integers> integers_;
};

}  // namespace

Result<bool> Quantize(ir::Module& module, PassContext& context) {
  if (!context.integers) return false;
  return Quantizer(module, context).Run();
}

}  // namespace graft::passes
