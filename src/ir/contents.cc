#include "ir/contents.h"

#include <algorithm>
#include <cmath>

#include "ir/dim_size.h"

namespace graft::ir {
namespace {

constexpr int64_t kMaxElements = 64;

using Index = std::vector<int64_t>;
using Contents = std::vector<Dim>;

// An operand whose contents and dimensions are all known.
struct Known {
  const Contents& values;
  Dims dims;
  const Dim& at(const Index& index) const { return values[Offset(index)]; }
  int64_t Offset(const Index& index) const {
    int64_t offset = 0;
    for (size_t i = 0; i < dims.size(); ++i) offset = offset * dims[i] + index[i];
    return offset;
  }
};

std::optional<Known> KnownOperand(const Module& module, ValueId id) {
  const Value& value = module.value(id);
  if (!value.contents || !value.has_shape) return std::nullopt;
  const std::optional<Dims> dims = ConstantDims(value.shape);
  if (!dims || CountElements(*dims) != static_cast<int64_t>(value.contents->size()))
    return std::nullopt;
  return Known{*value.contents, *dims};
}

// Calls each(index) for every index of `dims` in row-major order; stops when it returns false.
template <class Each>
bool ForEachIndex(const Dims& dims, Each each) {
  Index index(dims.size(), 0);
  for (int64_t n = CountElements(dims); n > 0; --n) {
    if (!each(index)) return false;
    for (size_t axis = dims.size(); axis-- > 0;) {
      if (++index[axis] < dims[axis]) break;
      index[axis] = 0;
    }
  }
  return true;
}

// The result's elements, each an operand element chosen by `source(index)` (null: not known).
template <class Source>
std::optional<Contents> Pick(const Dims& dims, Source source) {
  Contents picked;
  const bool all = ForEachIndex(dims, [&](const Index& index) {
    const Dim* from = source(index);
    if (from) picked.push_back(*from);
    return from != nullptr;
  });
  return all ? std::optional(std::move(picked)) : std::nullopt;
}

Index BroadcastIndex(const Index& index, const Dims& dims) {
  Index own(dims.size());
  for (size_t i = 0; i < dims.size(); ++i)
    own[i] = dims[i] == 1 ? 0 : index[index.size() - dims.size() + i];
  return own;
}

// The truth of `x op y` where it does not depend on the symbols.
std::optional<bool> Decide(PointwiseOp op, const Dim& x, const Dim& y) {
  const std::optional<int64_t> difference = (x - y).constant();
  if (!difference) return std::nullopt;
  switch (op) {
    case PointwiseOp::kEqual:
      return *difference == 0;
    case PointwiseOp::kNotEqual:
      return *difference != 0;
    case PointwiseOp::kLess:
      return *difference < 0;
    case PointwiseOp::kLessEqual:
      return *difference <= 0;
    case PointwiseOp::kGreater:
      return *difference > 0;
    case PointwiseOp::kGreaterEqual:
      return *difference >= 0;
    default:
      return std::nullopt;
  }
}

// Expressions do not wrap as machine integers do; a constant that would is not known.
bool Fits(const Dim& d, DType dtype) {
  if (ExpressionSize(d) > kMaxComputedDimSize || !IsHeld(d)) return false;
  if (!d.is_constant() || dtype != DType::kInt32) return true;
  return *d.constant() == static_cast<int32_t>(*d.constant());
}

using Register = std::optional<Dim>;

Register Execute(const PointwiseInstruction& in, const std::vector<Register>& registers,
                 const std::vector<DType>& dtypes) {
  if (in.op == PointwiseOp::kConstant) {
    if (in.p != std::trunc(in.p) || std::abs(in.p) > 0x1p53) return std::nullopt;
    return Dim(static_cast<int64_t>(in.p));
  }
  const Register& x = registers[in.operands[0]];
  if (!x) return std::nullopt;
  if (in.op == PointwiseOp::kSelect)
    return x->is_constant() ? registers[in.operands[*x == 0 ? 2 : 1]] : std::nullopt;
  if (OperandCount(in.op) == 1) {
    switch (in.op) {
      case PointwiseOp::kCast:
        if (in.dtype != DType::kBool || dtypes[in.operands[0]] == DType::kBool) return x;
        return x->is_constant() ? Register(Dim(*x == 0 ? 0 : 1)) : std::nullopt;
      case PointwiseOp::kNeg:
        return Dim(0) - *x;
      case PointwiseOp::kSquare:
        return *x * *x;
      case PointwiseOp::kNot:
        if (in.dtype != DType::kBool) return std::nullopt;
        return x->is_constant() ? Register(Dim(*x == 0 ? 1 : 0)) : std::nullopt;
      default:
        return std::nullopt;
    }
  }
  const Register& y = registers[in.operands[1]];
  if (!y) return std::nullopt;
  switch (in.op) {
    case PointwiseOp::kAdd:
      return *x + *y;
    case PointwiseOp::kSub:
      return *x - *y;
    case PointwiseOp::kMul:
      return *x * *y;
    case PointwiseOp::kDiv:
      // Truncation and floor agree where neither side is negative, which is known of constants
      // only.
      if (!x->is_constant() || !y->is_constant() || *x->constant() < 0 || *y->constant() <= 0)
        return std::nullopt;
      return FloorDiv(*x, *y);
    case PointwiseOp::kFloorDiv:
      return *y == 0 ? Register() : FloorDiv(*x, *y);
    case PointwiseOp::kFloorMod:
      return *y == 0 ? Register() : Mod(*x, *y);
    case PointwiseOp::kMin:
      return Min(*x, *y);
    case PointwiseOp::kMax:
      return Max(*x, *y);
    case PointwiseOp::kAnd:
      return in.dtype == DType::kBool ? Register(Min(*x, *y)) : std::nullopt;
    case PointwiseOp::kOr:
      return in.dtype == DType::kBool ? Register(Max(*x, *y)) : std::nullopt;
    default: {
      const std::optional<bool> truth = Decide(in.op, *x, *y);
      return truth ? Register(Dim(*truth)) : std::nullopt;
    }
  }
}

// One overload for each op that shapes are computed with; the template stands for all others.
struct Inference {
  const std::vector<Known>& operands;
  const std::vector<DType>& dtypes;
  const Dims& dims;  // of the result

  std::optional<Contents> operator()(const PointwiseAttributes& a) const {
    Contents contents;
    const bool all = ForEachIndex(dims, [&](const Index& index) {
      std::vector<Register> registers;
      std::vector<DType> register_dtypes = dtypes;
      for (const Known& operand : operands)
        registers.push_back(operand.at(BroadcastIndex(index, operand.dims)));
      for (const PointwiseInstruction& in : a.program.instructions) {
        // Floating intermediates round: not exact integers.
        Register result =
            IsFloating(in.dtype) ? Register() : Execute(in, registers, register_dtypes);
        if (result && !Fits(*result, in.dtype)) result.reset();
        registers.push_back(std::move(result));
        register_dtypes.push_back(in.dtype);
      }
      if (registers.back()) contents.push_back(*registers.back());
      return registers.back().has_value();
    });
    return all ? std::optional(std::move(contents)) : std::nullopt;
  }

  std::optional<Contents> operator()(const ReduceAttributes& a) const {
    const Known& x = operands[0];
    std::vector<std::optional<Dim>> sums(CountElements(dims));
    int64_t reduced = 1;
    for (int64_t axis : a.axes) reduced *= x.dims[axis];
    if (reduced == 0) return std::nullopt;
    bool known = true;
    ForEachIndex(x.dims, [&](const Index& index) {
      int64_t offset = 0;
      for (size_t i = 0; i < x.dims.size(); ++i) {
        if (!std::binary_search(a.axes.begin(), a.axes.end(), static_cast<int64_t>(i)))
          offset = offset * x.dims[i] + index[i];
      }
      std::optional<Dim>& sum = sums[offset];
      sum = sum ? Join(a.kind, *sum, x.at(index)) : std::optional<Dim>(x.at(index));
      return known = sum && Fits(*sum, DType::kInt64);
    });
    if (!known || a.kind == ReduceKind::kMean) return std::nullopt;
    Contents contents;
    for (std::optional<Dim>& sum : sums) contents.push_back(std::move(*sum));
    return contents;
  }
  static std::optional<Dim> Join(ReduceKind kind, const Dim& a, const Dim& b) {
    switch (kind) {
      case ReduceKind::kSum:
        return a + b;
      case ReduceKind::kProd:
        return a * b;
      case ReduceKind::kMax:
      case ReduceKind::kAny:
        return Max(a, b);
      case ReduceKind::kMin:
      case ReduceKind::kAll:
        return Min(a, b);
      case ReduceKind::kMean:
        return std::nullopt;
    }
    return std::nullopt;
  }

  std::optional<Contents> operator()(const ReshapeAttributes&) const { return operands[0].values; }

  std::optional<Contents> operator()(const TransposeAttributes& a) const {
    Index from(dims.size());
    return Pick(dims, [&](const Index& index) {
      for (size_t i = 0; i < index.size(); ++i) from[a.permutation[i]] = index[i];
      return &operands[0].at(from);
    });
  }

  std::optional<Contents> operator()(const ConcatAttributes& a) const {
    return Pick(dims, [&](const Index& index) -> const Dim* {
      Index from = index;
      for (const Known& operand : operands) {
        if (from[a.axis] < operand.dims[a.axis]) return &operand.at(from);
        from[a.axis] -= operand.dims[a.axis];
      }
      return nullptr;
    });
  }

  std::optional<Contents> operator()(const SliceAttributes& a) const {
    const Known& x = operands[0];
    return Pick(dims, [&](const Index& index) -> const Dim* {
      Index from(index.size());
      for (size_t i = 0; i < index.size(); ++i) {
        if (!a.begin[i].is_constant()) return nullptr;
        from[i] = *a.begin[i].constant() + index[i] * a.strides[i];
        if (from[i] < 0 || from[i] >= x.dims[i]) return nullptr;
      }
      return &x.at(from);
    });
  }

  std::optional<Contents> operator()(const BroadcastAttributes&) const {
    const Known& x = operands[0];
    return Pick(dims, [&](const Index& index) { return &x.at(BroadcastIndex(index, x.dims)); });
  }

  std::optional<Contents> operator()(const TileAttributes&) const {
    const Known& x = operands[0];
    return Pick(dims, [&](Index index) {
      for (size_t i = 0; i < index.size(); ++i) index[i] %= x.dims[i];
      return &x.at(index);
    });
  }

  std::optional<Contents> operator()(const GatherAttributes& a) const {
    const Known& params = operands[0];
    const Known& indices = operands[1];
    if (a.batch_dims != 0) return std::nullopt;
    const auto middle = static_cast<int64_t>(indices.dims.size());
    return Pick(dims, [&](const Index& index) -> const Dim* {
      const auto first = index.begin() + a.axis;
      const Dim& row = indices.at(Index(first, first + middle));
      if (!row.is_constant() || *row.constant() < 0 || *row.constant() >= params.dims[a.axis])
        return nullptr;
      Index from(index.begin(), first);
      from.push_back(*row.constant());
      from.insert(from.end(), first + middle, index.end());
      return &params.at(from);
    });
  }

  template <class Other>
  std::optional<Contents> operator()(const Other&) const {
    return std::nullopt;
  }
};

}  // namespace

bool IsHeld(const Dim& dim) {
  constexpr int64_t kMost = int64_t{1} << 62;
  return !dim.is_constant() || (-kMost <= *dim.constant() && *dim.constant() <= kMost);
}

void InferContents(const Module& module, const Node& node, std::vector<Value>& results) {
  if (results.size() != 1 || results[0].contents) return;
  Value& result = results[0];
  if (result.dtype != DType::kInt32 && result.dtype != DType::kInt64 &&
      result.dtype != DType::kBool)
    return;
  const std::optional<Dims> dims = ConstantDims(result.shape);
  if (!dims) return;
  const int64_t elements = CountElements(*dims);
  if (elements < 0 || elements > kMaxElements) return;
  std::vector<Known> operands;
  std::vector<DType> dtypes;
  for (ValueId id : node.inputs) {
    std::optional<Known> operand = KnownOperand(module, id);
    if (!operand) return;
    operands.push_back(*operand);
    dtypes.push_back(module.value(id).dtype);
  }
  std::optional<Contents> contents =
      std::visit(Inference{operands, dtypes, *dims}, node.attributes);
  if (contents && std::all_of(contents->begin(), contents->end(),
                              [&](const Dim& d) { return Fits(d, result.dtype); }))
    result.contents = std::move(contents);
}

}  // namespace graft::ir
