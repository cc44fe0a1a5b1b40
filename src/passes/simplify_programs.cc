// Canonical forms of element-wise programs: scalar operands become immediates, and what frameworks
// spell out in several instructions (ReLU6, hard-swish, swish, GELU, leaky ReLU) becomes the one
// that means it.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "base/dtype_visit.h"
#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

constexpr int kNone = -1;
// Constants of formulas come rounded to single precision at best.
constexpr double kRelativeError = 1e-6;

bool Near(double a, double b) {
  return std::abs(a - b) <= kRelativeError * std::max(std::abs(a), std::abs(b));
}

// coefficient · the product of registers (sorted, with repetition).
struct Product {
  double coefficient = 1;
  std::vector<int> factors;

  bool operator==(const Product& other) const {
    return Near(coefficient, other.coefficient) && factors == other.factors;
  }
  Product Times(double c) const { return {coefficient * c, factors}; }
  Product Times(const Product& other) const {
    Product product = {coefficient * other.coefficient, factors};
    product.factors.insert(product.factors.end(), other.factors.begin(), other.factors.end());
    std::ranges::sort(product.factors);
    return product;
  }
  Product Without(int factor) const {
    Product rest = *this;
    rest.factors.erase(std::ranges::find(rest.factors, factor));
    return rest;
  }
};

// Rebuilds a program instruction by instruction; each is replaced by what it means, given the
// instructions before it.
class Simplifier {
 public:
  // dtypes: of the input registers.
  Simplifier(int inputs, std::vector<DType> dtypes) : dtypes_(std::move(dtypes)) {
    program_.inputs = inputs;
  }

  // Appends the instruction, or finds the register that holds its result already.
  int Emit(PointwiseInstruction in) {
    // Constants stand second where the order does not matter.
    if (IsCommutative(in.op) && Constant(in.operands[0]) && !Constant(in.operands[1])) {
      std::swap(in.operands[0], in.operands[1]);
    }
    int found = Folded(in);
    if (found == kNone) found = Algebra(in);
    if (found == kNone) found = Bounds(in);
    if (found == kNone && IsFloating(in.dtype)) found = Activation(in);
    if (found != kNone) return found;
    for (size_t i = 0; i < program_.instructions.size(); ++i) {
      if (program_.instructions[i] == in) return program_.inputs + static_cast<int>(i);
    }
    dtypes_.push_back(in.dtype);
    return program_.Add(in);
  }

  const PointwiseProgram& program() const { return program_; }

 private:
  const PointwiseInstruction* Definition(int r) const {
    return r >= program_.inputs ? &program_.instructions[r - program_.inputs] : nullptr;
  }
  // The register's definition, where it is of this op.
  const PointwiseInstruction* Is(int r, PointwiseOp op) const {
    const PointwiseInstruction* in = Definition(r);
    return in && in->op == op ? in : nullptr;
  }
  std::optional<double> Constant(int r) const {
    const PointwiseInstruction* in = r < 0 ? nullptr : Is(r, PointwiseOp::kConstant);
    return in ? std::optional(in->p) : std::nullopt;
  }
  bool IsConstant(int r, double value) const {
    const std::optional<double> c = Constant(r);
    return c && *c == value;
  }
  int EmitConstant(double value, DType dtype) {
    return Emit({PointwiseOp::kConstant, dtype, {-1, -1, -1}, RoundTo(dtype, value)});
  }
  int EmitUnary(PointwiseOp op, DType dtype, int x, double p = 0, double q = 0) {
    return Emit({op, dtype, {x, -1, -1}, p, q});
  }

  // Arithmetic on constants, in the precision of the result.
  int Folded(const PointwiseInstruction& in) {
    if (in.dtype != DType::kFloat32 && in.dtype != DType::kFloat64) return kNone;
    const std::optional<double> x = Constant(in.operands[0]);
    const std::optional<double> y = Constant(in.operands[1]);
    if (!x || dtypes_[in.operands[0]] != in.dtype) return kNone;
    switch (in.op) {
      case PointwiseOp::kNeg:
        return EmitConstant(-*x, in.dtype);
      case PointwiseOp::kSqrt:
        return EmitConstant(std::sqrt(*x), in.dtype);
      case PointwiseOp::kAdd:
        return y ? EmitConstant(*x + *y, in.dtype) : kNone;
      case PointwiseOp::kSub:
        return y ? EmitConstant(*x - *y, in.dtype) : kNone;
      case PointwiseOp::kMul:
        return y ? EmitConstant(*x * *y, in.dtype) : kNone;
      case PointwiseOp::kDiv:
        return y && *y != 0 ? EmitConstant(*x / *y, in.dtype) : kNone;
      default:
        return kNone;
    }
  }

  // One-operand forms of two-operand instructions, neutral elements.
  int Algebra(const PointwiseInstruction& in) {
    const int x = in.operands[0];
    const int y = in.operands[1];
    switch (in.op) {
      case PointwiseOp::kCast:
        return dtypes_[x] == in.dtype ? x : kNone;
      case PointwiseOp::kAdd:
      case PointwiseOp::kSub:
        return IsConstant(y, 0) ? x : kNone;
      case PointwiseOp::kMul:
        if (IsConstant(y, 1)) return x;
        return x == y ? EmitUnary(PointwiseOp::kSquare, in.dtype, x) : kNone;
      case PointwiseOp::kDiv:
        if (IsConstant(y, 1)) return x;
        return IsFloating(in.dtype) ? Quotient(in) : kNone;
      case PointwiseOp::kPow:
        return IsFloating(in.dtype) ? Power(in) : kNone;
      case PointwiseOp::kNeg:
        if (const PointwiseInstruction* inner = Is(x, PointwiseOp::kNeg)) return inner->operands[0];
        return kNone;
      default:
        return kNone;
    }
  }

  int Quotient(const PointwiseInstruction& in) {
    const int x = in.operands[0];
    const int y = in.operands[1];
    if (IsConstant(x, 1)) {
      if (const PointwiseInstruction* root = Is(y, PointwiseOp::kSqrt)) {
        return EmitUnary(PointwiseOp::kRsqrt, in.dtype, root->operands[0]);
      }
      return EmitUnary(PointwiseOp::kReciprocal, in.dtype, y);
    }
    // The reciprocal of a power of two is exact.
    int exponent = 0;
    const std::optional<double> c = Constant(y);
    if (!c || std::abs(std::frexp(*c, &exponent)) != 0.5 || std::abs(exponent) > 100) return kNone;
    return Emit({PointwiseOp::kMul, in.dtype, {x, EmitConstant(1 / *c, in.dtype), -1}});
  }

  int Power(const PointwiseInstruction& in) {
    struct Row {
      double exponent;
      PointwiseOp op;
    };
    constexpr Row kRows[] = {{2, PointwiseOp::kSquare},
                             {0.5, PointwiseOp::kSqrt},
                             {-0.5, PointwiseOp::kRsqrt},
                             {-1, PointwiseOp::kReciprocal}};
    if (IsConstant(in.operands[1], 1)) return in.operands[0];
    for (const Row& row : kRows) {
      if (IsConstant(in.operands[1], row.exponent)) {
        return EmitUnary(row.op, in.dtype, in.operands[0]);
      }
    }
    return kNone;
  }

  // ReLU and clamp, spelled as minima and maxima.
  int Bounds(const PointwiseInstruction& in) {
    if (!IsFloating(in.dtype)) return kNone;
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    double low = -kInfinity;
    double high = kInfinity;
    switch (in.op) {
      case PointwiseOp::kRelu:
        low = 0;
        break;
      case PointwiseOp::kClamp:
        low = in.p, high = in.q;
        break;
      case PointwiseOp::kMax:
        if (!Constant(in.operands[1])) return kNone;
        low = *Constant(in.operands[1]);
        break;
      case PointwiseOp::kMin:
        if (!Constant(in.operands[1])) return kNone;
        high = *Constant(in.operands[1]);
        break;
      default:
        return kNone;
    }
    if (!(low <= high)) return kNone;
    int x = in.operands[0];
    // Bounds of bounds: within [a, b] first, then [low, high]; the order matters where they do not
    // overlap.
    if (const PointwiseInstruction* inner = Definition(x)) {
      std::optional<std::pair<double, double>> first;
      if (inner->op == PointwiseOp::kRelu) first = {0, kInfinity};
      if (inner->op == PointwiseOp::kClamp) first = {inner->p, inner->q};
      if (inner->op == PointwiseOp::kMax && Constant(inner->operands[1]))
        first = {*Constant(inner->operands[1]), kInfinity};
      if (inner->op == PointwiseOp::kMin && Constant(inner->operands[1]))
        first = {-kInfinity, *Constant(inner->operands[1])};
      if (first && std::max(first->first, low) <= std::min(first->second, high)) {
        low = std::max(first->first, low);
        high = std::min(first->second, high);
        x = inner->operands[0];
      }
    }
    if (low == 0 && high == kInfinity) {
      return in.op == PointwiseOp::kRelu && x == in.operands[0]
                 ? kNone
                 : EmitUnary(PointwiseOp::kRelu, in.dtype, x);
    }
    if (std::isinf(low) || std::isinf(high)) return kNone;
    // Between two zeros the order of minimum and maximum decides the sign of the result.
    if (low == high && std::signbit(low) != std::signbit(high)) return kNone;
    const PointwiseInstruction clamp = {PointwiseOp::kClamp, in.dtype, {x, -1, -1}, low, high};
    return clamp == in ? kNone : Emit(clamp);
  }

  Product Expand(int r) const {
    if (const std::optional<double> c = Constant(r)) return {*c, {}};
    constexpr size_t kMaxFactors = 8;
    const PointwiseInstruction* in = Definition(r);
    Product whole = {1, {r}};
    if (in == nullptr || !IsFloating(in->dtype)) return whole;
    Product product = whole;
    switch (in->op) {
      case PointwiseOp::kMul:
        product = Expand(in->operands[0]).Times(Expand(in->operands[1]));
        break;
      case PointwiseOp::kSquare:
        product = Expand(in->operands[0]).Times(Expand(in->operands[0]));
        break;
      case PointwiseOp::kDiv:
        if (const std::optional<double> c = Constant(in->operands[1]); c && *c != 0) {
          product = Expand(in->operands[0]).Times(1 / *c);
        }
        break;
      case PointwiseOp::kNeg:
        product = Expand(in->operands[0]).Times(-1);
        break;
      case PointwiseOp::kPow:
        if (IsConstant(in->operands[1], 3)) {
          const Product x = Expand(in->operands[0]);
          product = x.Times(x).Times(x);
        }
        break;
      default:
        break;
    }
    return product.factors.size() <= kMaxFactors ? product : whole;
  }

  // A register that holds the product.
  int Find(const Product& product) const {
    if (product.factors.size() == 1 && Near(product.coefficient, 1)) return product.factors[0];
    const int registers = program_.inputs + static_cast<int>(program_.instructions.size());
    for (int r = program_.inputs; r < registers; ++r) {
      if (!Constant(r) && Expand(r) == product) return r;
    }
    return kNone;
  }

  // The other operand of an addition of a constant near `value`.
  int WithoutAddend(int r, double value) const {
    const PointwiseInstruction* add = Is(r, PointwiseOp::kAdd);
    if (add == nullptr) return kNone;
    const std::optional<double> c = Constant(add->operands[1]);
    return c && Near(*c, value) ? add->operands[0] : kNone;
  }

  // For a factor g of a product: x and the activation x · g(x) that it belongs to, up to `scale`.
  struct Gate {
    PointwiseOp activation;
    double scale;  // scale · x · g(x) is the activation
    Product x;
  };

  std::optional<Gate> GateOf(int r) const {
    const PointwiseInstruction* g = Definition(r);
    if (g == nullptr) return std::nullopt;
    if (g->op == PointwiseOp::kSigmoid) {
      return Gate{PointwiseOp::kSwish, 1, Expand(g->operands[0])};
    }
    if (g->op == PointwiseOp::kClamp && g->p == 0 && g->q == 6) {
      if (const int x = WithoutAddend(g->operands[0], 3); x != kNone) {
        return Gate{PointwiseOp::kHardSwish, 1.0 / 6, Expand(x)};
      }
    }
    if (g->op == PointwiseOp::kClamp && g->p == 0 && g->q == 1) {
      if (const int u = WithoutAddend(g->operands[0], 0.5); u != kNone) {
        return Gate{PointwiseOp::kHardSwish, 1, Expand(u).Times(6)};
      }
    }
    if (g->op == PointwiseOp::kErfc) {
      return Gate{PointwiseOp::kGelu, 0.5, Expand(g->operands[0]).Times(-std::numbers::sqrt2)};
    }
    const int inner = WithoutAddend(r, 1);
    if (inner == kNone) return std::nullopt;
    if (const PointwiseInstruction* erf = Is(inner, PointwiseOp::kErf)) {
      return Gate{PointwiseOp::kGelu, 0.5, Expand(erf->operands[0]).Times(std::numbers::sqrt2)};
    }
    if (const PointwiseInstruction* tanh = Is(inner, PointwiseOp::kTanh)) {
      if (const std::optional<Product> x = GeluTanhArgument(tanh->operands[0])) {
        return Gate{PointwiseOp::kGeluTanh, 0.5, *x};
      }
    }
    return std::nullopt;
  }

  // x, where the register holds sqrt(2/pi) · (x + 0.044715 x³), or the same with x taken out.
  std::optional<Product> GeluTanhArgument(int r) const {
    constexpr double kCubic = 0.044715;
    const Product scaled = Expand(r).Times(1 / std::sqrt(2 / std::numbers::pi));
    for (int s : scaled.factors) {
      const Product x = scaled.Without(s);
      if (const int cubic = WithoutAddend(s, 1); cubic != kNone) {
        if (Expand(cubic) == x.Times(x).Times(kCubic)) return x;
      }
      const PointwiseInstruction* add = Is(s, PointwiseOp::kAdd);
      if (add == nullptr || !x.factors.empty() || !Near(x.coefficient, 1)) continue;
      for (int k = 0; k < 2; ++k) {
        const Product sum = Expand(add->operands[k]);
        if (Expand(add->operands[1 - k]) == sum.Times(sum).Times(sum).Times(kCubic)) return sum;
      }
    }
    return std::nullopt;
  }

  int Activation(const PointwiseInstruction& in) {
    if (in.op == PointwiseOp::kMax) return LeakyRelu(in);
    if (in.op != PointwiseOp::kMul && in.op != PointwiseOp::kDiv) return kNone;
    Product product = Expand(in.operands[0]);
    if (in.op == PointwiseOp::kMul) {
      product = product.Times(Expand(in.operands[1]));
    } else if (const std::optional<double> c = Constant(in.operands[1]); c && *c != 0) {
      product = product.Times(1 / *c);
    } else {
      return kNone;
    }
    for (int g : product.factors) {
      const std::optional<Gate> gate = GateOf(g);
      if (!gate || !(product.Without(g) == gate->x.Times(gate->scale))) continue;
      const int x = Find(gate->x);
      if (x != kNone) return EmitUnary(gate->activation, in.dtype, x);
    }
    return kNone;
  }

  // max(x, p x) with p below 1.
  int LeakyRelu(const PointwiseInstruction& in) {
    for (int k = 0; k < 2; ++k) {
      const Product x = Expand(in.operands[k]);
      const Product slope = Expand(in.operands[1 - k]);
      if (x.factors.empty() || x.factors != slope.factors) continue;
      const double p = slope.coefficient / x.coefficient;
      if (p > 0 && p < 1) {
        return EmitUnary(PointwiseOp::kLeakyRelu, in.dtype, in.operands[k], p);
      }
    }
    return kNone;
  }

  std::vector<DType> dtypes_;
  PointwiseProgram program_;
};

// The scalar that an immediate can hold exactly.
std::optional<double> Scalar(const ir::Module& module, ir::ValueId id) {
  if (id == kOwnResult || !module.value(id).constant) return std::nullopt;
  const Tensor& tensor = *module.value(id).constant;
  if (tensor.elements() != 1) return std::nullopt;
  return TryVisitDType(kFloatTypes + TypeSet<int32_t>{}, tensor.dtype(),
                       [&]<class T>(T) { return std::optional<double>(tensor.data<T>()[0]); });
}

// With scalar operands as instructions at the start.
Expression WithImmediates(const ir::Module& module, const Expression& e) {
  Expression result;
  std::vector<std::optional<double>> scalars;
  for (ir::ValueId id : e.operands) {
    scalars.push_back(Scalar(module, id));
    // A program needs something that gives it a shape.
    if (!scalars.back()) result.operands.push_back(id);
  }
  if (result.operands.empty()) return e;
  result.program.inputs = static_cast<int>(result.operands.size());
  std::vector<int> renumbered;
  int next_input = 0;
  for (size_t i = 0; i < e.operands.size(); ++i) {
    renumbered.push_back(scalars[i] ? result.program.Add(PointwiseOp::kConstant,
                                                         module.value(e.operands[i]).dtype, -1, -1,
                                                         -1, *scalars[i])
                                    : next_input++);
  }
  for (PointwiseInstruction in : e.program.instructions) {
    for (int& operand : in.operands) {
      if (operand >= 0) operand = renumbered[operand];
    }
    renumbered.push_back(result.program.Add(in));
  }
  return result;
}

// `own` is the dtype of kOwnResult.
Expression Simplify(const ir::Module& module, const Expression& expression, DType own) {
  const Expression e = WithImmediates(module, expression);
  std::vector<DType> dtypes;
  for (ir::ValueId id : e.operands) {
    dtypes.push_back(id == kOwnResult ? own : module.value(id).dtype);
  }
  Simplifier simplifier(e.program.inputs, dtypes);
  std::vector<int> registers;
  for (int i = 0; i < e.program.inputs; ++i) registers.push_back(i);
  for (PointwiseInstruction in : e.program.instructions) {
    for (int& operand : in.operands) {
      if (operand >= 0) operand = registers[operand];
    }
    registers.push_back(simplifier.Emit(in));
  }
  return Tidy(WithResult({simplifier.program(), e.operands}, registers.back()));
}

}  // namespace

Result<bool> SimplifyPrograms(ir::Module& module, PassContext&) {
  bool changed = false;
  const ir::NodeId nodes = module.node_count();
  for (ir::NodeId id = 0; id < nodes; ++id) {
    if (module.removed(id)) continue;
    const ir::Node& node = module.node(id);
    const bool pointwise = node.get<ir::PointwiseAttributes>() != nullptr;
    if (!pointwise && (Epilogue(node) == nullptr || Epilogue(node)->empty())) continue;
    const Expression before = ExpressionOf(node);
    const ir::Value& result = module.value(node.outputs[0]);
    const Expression after = Simplify(module, before, OwnDType(module, node));
    if (after == before) continue;
    if (!pointwise) {
      ir::Attributes attributes = node.attributes;
      *MutableEpilogue(attributes) = after.identity() ? PointwiseProgram() : after.program;
      GRAFT_RETURN_IF_ERROR(
          ReplaceNode(module, id, std::move(attributes), WithEpilogueOperands(node.inputs, after))
              .status());
    } else if (after.identity()) {
      // remove-identities decides whether the node itself can go.
      if (!SameType(module.value(after.operands[0]), result)) continue;
      GRAFT_RETURN_IF_ERROR(
          ReplaceNode(module, id, ir::ReshapeAttributes{result.shape}, {after.operands[0]})
              .status());
    } else if (Gives(module, ir::PointwiseAttributes{after.program}, after.operands, result)) {
      // An operand that is an immediate now may have given the result its shape.
      GRAFT_RETURN_IF_ERROR(
          ReplaceNode(module, id, ir::PointwiseAttributes{after.program}, after.operands).status());
    } else {
      continue;
    }
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
