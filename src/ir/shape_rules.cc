// The shape rule of every op: what its results are, from its operands and attributes.
#include <algorithm>

#include "base/half.h"
#include "ir/contents.h"
#include "ir/dim_size.h"
#include "ir/module.h"

namespace graft::ir {
namespace {

// What a rule sees and fills in.
struct Rule {
  const Module& module;
  const Node& node;
  std::vector<Value> results;

  int operand_count() const { return static_cast<int>(node.inputs.size()); }
  const Value& operand(int i) const { return module.value(node.inputs[i]); }
  const Shape& shape(int i) const { return operand(i).shape; }
  int rank(int i) const { return static_cast<int>(shape(i).size()); }
  void Result(DType dtype, Shape shape) {
    Value value;
    value.dtype = dtype;
    value.has_shape = true;
    value.shape = std::move(shape);
    results.push_back(std::move(value));
  }
};

Status CheckOperands(const Rule& r, int least, int most = -1) {
  const int n = r.operand_count();
  if (n < least || (most >= 0 && n > most)) return InvalidArgumentError("{} operands", n);
  return OkStatus();
}

// Two dims that must agree: symbolic ones may, constants must.
bool MayEqual(const Dim& a, const Dim& b) { return !a.is_constant() || !b.is_constant() || a == b; }

Result<Shape> BroadcastShapes(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dim x = i < out.size() - a.size() ? Dim(1) : a[i - (out.size() - a.size())];
    const Dim y = i < out.size() - b.size() ? Dim(1) : b[i - (out.size() - b.size())];
    if (x.is_constant() && y.is_constant() && !(x == 1) && !(y == 1) && !(x == y)) {
      return InvalidArgumentError("shapes {} and {} do not broadcast", ToString(a), ToString(b));
    }
    out[i] = BroadcastDim(x, y);
  }
  return out;
}

// The epilogue's further operands must broadcast to the result; they may not widen it.
Status CheckEpilogue(const Rule& r, const PointwiseProgram& epilogue, int first,
                     const Shape& result, DType sums) {
  if (epilogue.empty()) {
    if (r.operand_count() != first)
      return InvalidArgumentError("{} operands without an epilogue", r.operand_count());
    return OkStatus();
  }
  GRAFT_RETURN_IF_ERROR(Verify(epilogue));
  if (epilogue.inputs != 1 + r.operand_count() - first) {
    return InvalidArgumentError("epilogue of {} inputs with {} operands", epilogue.inputs,
                                r.operand_count());
  }
  std::vector<DType> dtypes = {sums};
  for (int i = first; i < r.operand_count(); ++i) dtypes.push_back(r.operand(i).dtype);
  GRAFT_RETURN_IF_ERROR(VerifyTypes(epilogue, dtypes));
  for (int i = first; i < r.operand_count(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const Shape joined, BroadcastShapes(r.shape(i), result));
    if (joined.size() != result.size())
      return InvalidArgumentError("epilogue operand {} has a higher rank", i);
    for (size_t k = 0; k < joined.size(); ++k) {
      if (!MayEqual(joined[k], result[k]))
        return InvalidArgumentError("epilogue operand {} is wider than the result", i);
    }
  }
  return OkStatus();
}

// Whether sums of products of such operands are formed in `accumulator`.
Status CheckAccumulator(DType accumulator, DType x, DType w) {
  auto both = [&](auto&& holds) { return holds(x) && holds(w); };
  bool fits = x == w && accumulator == x;
  if (accumulator == DType::kInvalid) {
    if (x != w) return InvalidArgumentError("operands of dtypes {} and {}", Name(x), Name(w));
    fits = true;
  } else if (accumulator == DType::kFloat32) {
    fits = both([](DType d) { return d == DType::kFloat32 || IsHalf(d); });
  } else if (accumulator == DType::kInt32) {
    fits |= both([](DType d) { return d == DType::kInt8 || d == DType::kUint8; });
  }
  if (!fits || IsHalf(accumulator)) {
    return InvalidArgumentError("sums in {} of {} by {}", Name(accumulator), Name(x), Name(w));
  }
  return OkStatus();
}

// Checks a convolution or product of operands 0 and 1, and adds its result.
template <class Attributes>
Status AddProduct(Rule& r, const Attributes& attributes, Shape shape) {
  const DType x = r.operand(0).dtype;
  GRAFT_RETURN_IF_ERROR(CheckAccumulator(attributes.accumulator, x, r.operand(1).dtype));
  const DType sums = AccumulatorOf(attributes, x);
  const PointwiseProgram& epilogue = attributes.epilogue;
  GRAFT_RETURN_IF_ERROR(CheckEpilogue(r, epilogue, 2, shape, sums));
  r.Result(epilogue.empty() ? sums : epilogue.instructions.back().dtype, std::move(shape));
  return OkStatus();
}

Status CheckPositive(std::span<const int64_t> values, std::string_view what) {
  for (int64_t v : values) {
    if (v < 1 || v > (int64_t{1} << 30)) return InvalidArgumentError("{} {}", what, v);
  }
  return OkStatus();
}

// What lies within these does not overflow the arithmetic of positions.
Status CheckPads(std::initializer_list<const std::vector<Dim>*> sides) {
  for (const std::vector<Dim>* pads : sides) {
    for (const Dim& pad : *pads) {
      if (pad.is_constant() && (*pad.constant() < 0 || *pad.constant() > (int64_t{1} << 30)))
        return InvalidArgumentError("padding {}", pad.ToString());
    }
  }
  return OkStatus();
}

// The kernels know where each matrix lies.
Status CheckProducts(std::span<const Dim> batch) {
  constexpr int64_t kMost = int64_t{1} << 26;
  int64_t products = 1;
  for (const Dim& d : batch) {
    if (d == 0) return OkStatus();
    const int64_t n = d.constant().value_or(1);
    if (n > kMost / products) return InvalidArgumentError("more than {} products", kMost);
    products *= n;
  }
  return OkStatus();
}

Status CheckFilter(const Shape& filter) {
  for (const Dim& d : filter) {
    if (d.is_constant() && (*d.constant() < 1 || *d.constant() > (int64_t{1} << 30)))
      return InvalidArgumentError("filter {}", ToString(filter));
  }
  return OkStatus();
}

Status CheckSpatial(size_t spatial, std::initializer_list<size_t> sizes) {
  if (spatial < 1 || spatial > 3) return InvalidArgumentError("{} spatial dimensions", spatial);
  for (size_t n : sizes) {
    if (n != spatial)
      return InvalidArgumentError("attributes for {} of {} spatial dimensions", n, spatial);
  }
  return OkStatus();
}

// (size + pads - extent) / stride + 1, with the window's extent.
Dim WindowOutput(const Dim& size, const Dim& pads, const Dim& extent, int64_t stride) {
  // The same value in a form that does not grow with the depth of a network of symbolic sizes.
  if (pads == SamePadding(size, extent, stride)) return CeilDiv(size, stride);
  return FloorDiv(size + pads - extent, stride) + 1;
}

Status CheckAxis(int64_t axis, int rank) {
  if (axis < 0 || axis >= rank) return InvalidArgumentError("axis {} of rank {}", axis, rank);
  return OkStatus();
}

Status Infer(Rule& r, const PointwiseAttributes& a) {
  GRAFT_RETURN_IF_ERROR(Verify(a.program));
  if (a.program.empty())
    return InvalidArgumentError("an element-wise program without instructions");
  if (a.program.inputs != r.operand_count())
    return InvalidArgumentError("{} operands", r.operand_count());
  Shape shape;
  std::vector<DType> dtypes;
  for (int i = 0; i < r.operand_count(); ++i) {
    dtypes.push_back(r.operand(i).dtype);
    GRAFT_ASSIGN_OR_RETURN(shape, BroadcastShapes(shape, r.shape(i)));
  }
  GRAFT_RETURN_IF_ERROR(VerifyTypes(a.program, dtypes));
  r.Result(a.program.instructions.back().dtype, std::move(shape));
  return OkStatus();
}

Status Infer(Rule& r, const ConvAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 2));
  const size_t spatial = a.strides.size();
  GRAFT_RETURN_IF_ERROR(
      CheckSpatial(spatial, {a.dilations.size(), a.pads_before.size(), a.pads_after.size()}));
  GRAFT_RETURN_IF_ERROR(CheckPositive(a.strides, "stride"));
  GRAFT_RETURN_IF_ERROR(CheckPositive(a.dilations, "dilation"));
  GRAFT_RETURN_IF_ERROR(CheckPads({&a.pads_before, &a.pads_after}));
  const Shape& x = r.shape(0);
  const Shape& w = r.shape(1);
  if (x.size() != spatial + 2 || w.size() != spatial + 2) {
    return InvalidArgumentError("input {} and filter {}", ToString(x), ToString(w));
  }
  GRAFT_RETURN_IF_ERROR(CheckFilter(w));
  const Dim& outputs = w.back();
  const bool divides =
      !outputs.is_constant() || !a.groups.is_constant() ||
      (*a.groups.constant() >= 1 && *outputs.constant() % *a.groups.constant() == 0);
  if (!divides) {
    return InvalidArgumentError("{} groups of {} output channels", a.groups.ToString(),
                                outputs.ToString());
  }
  if (!MayEqual(x.back(), w[spatial] * a.groups)) {
    return InvalidArgumentError("input depth {} and filter {} with {} groups", x.back().ToString(),
                                ToString(w), a.groups.ToString());
  }
  Shape out = {x[0]};
  for (size_t i = 0; i < spatial; ++i) {
    const Dim extent = (w[i] - 1) * a.dilations[i] + 1;
    out.push_back(WindowOutput(x[i + 1], a.pads_before[i] + a.pads_after[i], extent, a.strides[i]));
  }
  out.push_back(outputs);
  return AddProduct(r, a, std::move(out));
}

Status Infer(Rule& r, const ConvTransposeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 2));
  const size_t spatial = a.strides.size();
  GRAFT_RETURN_IF_ERROR(CheckSpatial(spatial, {a.dilations.size(), a.pads_before.size(),
                                               a.pads_after.size(), a.output_size.size()}));
  GRAFT_RETURN_IF_ERROR(CheckPositive(a.strides, "stride"));
  GRAFT_RETURN_IF_ERROR(CheckPositive(a.dilations, "dilation"));
  GRAFT_RETURN_IF_ERROR(CheckPads({&a.pads_before, &a.pads_after}));
  const Shape& dy = r.shape(0);
  const Shape& w = r.shape(1);
  if (dy.size() != spatial + 2 || w.size() != spatial + 2) {
    return InvalidArgumentError("input {} and filter {}", ToString(dy), ToString(w));
  }
  GRAFT_RETURN_IF_ERROR(CheckFilter(w));
  if (!MayEqual(dy.back(), w.back())) {
    return InvalidArgumentError("input depth {} and filter {}", dy.back().ToString(), ToString(w));
  }
  Shape out = {dy[0]};
  out.insert(out.end(), a.output_size.begin(), a.output_size.end());
  out.push_back(w[spatial]);
  return AddProduct(r, a, std::move(out));
}

Status Infer(Rule& r, const MatMulAttributes& attributes) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 2));
  const Shape& a = r.shape(0);
  const Shape& b = r.shape(1);
  if (a.size() < 2 || b.size() < 2)
    return InvalidArgumentError("operands {} and {}", ToString(a), ToString(b));
  const Dim& m = a[a.size() - (attributes.transpose_a ? 1 : 2)];
  const Dim& ka = a[a.size() - (attributes.transpose_a ? 2 : 1)];
  const Dim& kb = b[b.size() - (attributes.transpose_b ? 1 : 2)];
  const Dim& n = b[b.size() - (attributes.transpose_b ? 2 : 1)];
  if (!MayEqual(ka, kb))
    return InvalidArgumentError("operands {} and {} do not match", ToString(a), ToString(b));
  GRAFT_ASSIGN_OR_RETURN(
      Shape out, BroadcastShapes(Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2)));
  GRAFT_RETURN_IF_ERROR(CheckProducts(out));
  out.push_back(m);
  out.push_back(n);
  return AddProduct(r, attributes, std::move(out));
}

Status Infer(Rule& r, const PoolAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  const size_t spatial = a.window.size();
  GRAFT_RETURN_IF_ERROR(
      CheckSpatial(spatial, {a.strides.size(), a.pads_before.size(), a.pads_after.size()}));
  GRAFT_RETURN_IF_ERROR(CheckPositive(a.window, "window"));
  GRAFT_RETURN_IF_ERROR(CheckPositive(a.strides, "stride"));
  GRAFT_RETURN_IF_ERROR(CheckPads({&a.pads_before, &a.pads_after}));
  const Shape& x = r.shape(0);
  if (x.size() != spatial + 2) return InvalidArgumentError("input {}", ToString(x));
  Shape out = {x[0]};
  for (size_t i = 0; i < spatial; ++i) {
    out.push_back(
        WindowOutput(x[i + 1], a.pads_before[i] + a.pads_after[i], a.window[i], a.strides[i]));
  }
  out.push_back(x.back());
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const ReduceAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  Shape out = r.shape(0);
  for (size_t i = 0; i < a.axes.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(CheckAxis(a.axes[i], r.rank(0)));
    if (i > 0 && a.axes[i] <= a.axes[i - 1]) return InvalidArgumentError("axes not ascending");
  }
  for (auto axis = a.axes.rbegin(); axis != a.axes.rend(); ++axis) {
    if (a.keep_dims)
      out[*axis] = 1;
    else
      out.erase(out.begin() + *axis);
  }
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const ArgReduceAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  GRAFT_RETURN_IF_ERROR(CheckAxis(a.axis, r.rank(0)));
  if (!IsInteger(a.dtype)) return InvalidArgumentError("an index of dtype {}", Name(a.dtype));
  Shape out = r.shape(0);
  out.erase(out.begin() + a.axis);
  r.Result(a.dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const SoftmaxAttributes&) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  if (r.rank(0) < 1) return InvalidArgumentError("a scalar");
  r.Result(r.operand(0).dtype, r.shape(0));
  return OkStatus();
}

Status Infer(Rule& r, const ReshapeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  // Symbolic products are not compared: they could only be found to differ where they are bound.
  const auto from = ConstantDims(r.shape(0));
  const auto to = ConstantDims(a.shape);
  if (from && to && CountElements(*from) != CountElements(*to)) {
    return InvalidArgumentError("{} cannot become {}", ToString(r.shape(0)), ToString(a.shape));
  }
  r.Result(r.operand(0).dtype, a.shape);
  return OkStatus();
}

Status Infer(Rule& r, const TransposeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  std::vector<int64_t> sorted = a.permutation;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<int64_t>(i)) return InvalidArgumentError("not a permutation");
  }
  if (sorted.size() != r.shape(0).size())
    return InvalidArgumentError("a permutation of {} axes", sorted.size());
  Shape out;
  for (int64_t axis : a.permutation) out.push_back(r.shape(0)[axis]);
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const ConcatAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1));
  GRAFT_RETURN_IF_ERROR(CheckAxis(a.axis, r.rank(0)));
  Shape out = r.shape(0);
  for (int i = 1; i < r.operand_count(); ++i) {
    if (r.rank(i) != r.rank(0) || r.operand(i).dtype != r.operand(0).dtype) {
      return InvalidArgumentError("operand {} is {}{}", i, Name(r.operand(i).dtype),
                                  ToString(r.shape(i)));
    }
    for (int k = 0; k < r.rank(0); ++k) {
      if (k == a.axis) {
        out[k] += r.shape(i)[k];
      } else if (!MayEqual(out[k], r.shape(i)[k])) {
        return InvalidArgumentError("operand {} has shape {}", i, ToString(r.shape(i)));
      } else if (!out[k].is_constant()) {
        out[k] = r.shape(i)[k].is_constant() ? r.shape(i)[k] : out[k];
      }
    }
  }
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const SliceAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  const size_t rank = r.shape(0).size();
  if (a.begin.size() != rank || a.size.size() != rank || a.strides.size() != rank) {
    return InvalidArgumentError("attributes of another rank than {}", rank);
  }
  for (size_t i = 0; i < rank; ++i) {
    if (a.strides[i] == 0) return InvalidArgumentError("stride 0");
    if (!a.begin[i].is_constant() || !a.size[i].is_constant() || !r.shape(0)[i].is_constant())
      continue;
    const int64_t first = *a.begin[i].constant();
    const int64_t count = *a.size[i].constant();
    const Dim last = Dim(first) + Dim(count - 1) * Dim(a.strides[i]);
    const int64_t n = *r.shape(0)[i].constant();
    if (count < 0 ||
        (count > 0 && (first < 0 || first >= n || *last.constant() < 0 || *last.constant() >= n))) {
      return InvalidArgumentError("elements {} to {} of an axis of {}", first, last.ToString(), n);
    }
  }
  r.Result(r.operand(0).dtype, a.size);
  return OkStatus();
}

Status Infer(Rule& r, const PadAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  Shape out = r.shape(0);
  if (a.before.size() != out.size() || a.after.size() != out.size()) {
    return InvalidArgumentError("paddings of another rank than {}", out.size());
  }
  for (size_t i = 0; i < out.size(); ++i) {
    for (const Dim& p : {a.before[i], a.after[i]}) {
      if (p.is_constant() && *p.constant() < 0) return InvalidArgumentError("a negative padding");
      // A mirror has nothing beyond the other edge.
      const Dim room = a.mode == PadMode::kSymmetric ? out[i] - p : out[i] - 1 - p;
      if (a.mode != PadMode::kConstant && room.is_constant() && *room.constant() < 0 && !(p == 0)) {
        return InvalidArgumentError("a mirrored padding of {} on an axis of {}", p.ToString(),
                                    out[i].ToString());
      }
    }
    out[i] = out[i] + a.before[i] + a.after[i];
  }
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const BroadcastAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  GRAFT_ASSIGN_OR_RETURN(const Shape joined, BroadcastShapes(r.shape(0), a.shape));
  if (joined.size() != a.shape.size()) return InvalidArgumentError("the target has a lower rank");
  for (size_t i = 0; i < joined.size(); ++i) {
    if (!MayEqual(joined[i], a.shape[i])) {
      return InvalidArgumentError("{} does not broadcast to {}", ToString(r.shape(0)),
                                  ToString(a.shape));
    }
  }
  r.Result(r.operand(0).dtype, a.shape);
  return OkStatus();
}

Status Infer(Rule& r, const TileAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  Shape out = r.shape(0);
  if (a.multiples.size() != out.size())
    return InvalidArgumentError("multiples of another rank than {}", out.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] *= a.multiples[i];
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status CheckBatch(const Shape& params, const Shape& indices, int64_t batch_dims) {
  for (int64_t i = 0; i < batch_dims; ++i) {
    if (!MayEqual(params[i], indices[i]))
      return InvalidArgumentError("batches of {} and {}", ToString(params), ToString(indices));
  }
  return OkStatus();
}

Status Infer(Rule& r, const GatherAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 2, 2));
  const Shape& params = r.shape(0);
  const Shape& indices = r.shape(1);
  GRAFT_RETURN_IF_ERROR(CheckAxis(a.axis, r.rank(0)));
  if (!IsInteger(r.operand(1).dtype))
    return InvalidArgumentError("indices of dtype {}", Name(r.operand(1).dtype));
  if (a.batch_dims < 0 || a.batch_dims > r.rank(1) || a.batch_dims > a.axis) {
    return InvalidArgumentError("batch_dims {}", a.batch_dims);
  }
  GRAFT_RETURN_IF_ERROR(CheckBatch(params, indices, a.batch_dims));
  Shape out(params.begin(), params.begin() + a.axis);
  out.insert(out.end(), indices.begin() + a.batch_dims, indices.end());
  out.insert(out.end(), params.begin() + a.axis + 1, params.end());
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const GatherNdAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 2, 2));
  const Shape& params = r.shape(0);
  const Shape& indices = r.shape(1);
  if (!IsInteger(r.operand(1).dtype))
    return InvalidArgumentError("indices of dtype {}", Name(r.operand(1).dtype));
  if (indices.empty() || !indices.back().is_constant()) {
    return InvalidArgumentError("indices {}: the last dimension must be constant",
                                ToString(indices));
  }
  const int64_t depth = *indices.back().constant();
  if (a.batch_dims < 0 || a.batch_dims >= r.rank(1) || a.batch_dims + depth > r.rank(0)) {
    return InvalidArgumentError("indices of {} axes into rank {} with batch_dims {}", depth,
                                r.rank(0), a.batch_dims);
  }
  GRAFT_RETURN_IF_ERROR(CheckBatch(params, indices, a.batch_dims));
  Shape out(indices.begin(), indices.end() - 1);
  out.insert(out.end(), params.begin() + a.batch_dims + depth, params.end());
  r.Result(r.operand(0).dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const ResizeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  if (r.rank(0) != 4 || a.size.size() != 2)
    return InvalidArgumentError("input {}", ToString(r.shape(0)));
  if (a.mode == ResizeMode::kArea && a.half_pixel_centers)
    return InvalidArgumentError("areas with half_pixel_centers");
  const DType dtype = a.mode == ResizeMode::kNearest ? r.operand(0).dtype : DType::kFloat32;
  r.Result(dtype, {r.shape(0)[0], a.size[0], a.size[1], r.shape(0)[3]});
  return OkStatus();
}

Status Infer(Rule& r, const DepthToSpaceAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  const Shape& x = r.shape(0);
  if (x.size() != 4 || a.block < 1)
    return InvalidArgumentError("input {} with block {}", ToString(x), a.block);
  const int64_t b = a.block;
  if (a.to_depth) {
    r.Result(r.operand(0).dtype, {x[0], FloorDiv(x[1], b), FloorDiv(x[2], b), x[3] * (b * b)});
  } else {
    r.Result(r.operand(0).dtype, {x[0], x[1] * b, x[2] * b, FloorDiv(x[3], b * b)});
  }
  return OkStatus();
}

Status Infer(Rule& r, const DimsAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 0, 0));
  if (a.dtype != DType::kInt32 && a.dtype != DType::kInt64)
    return InvalidArgumentError("dtype {}", Name(a.dtype));
  if (a.rank != 1 && !(a.rank == 0 && a.values.size() == 1))
    return InvalidArgumentError("rank {}", a.rank);
  r.Result(a.dtype, a.rank == 0 ? Shape{} : Shape{static_cast<int64_t>(a.values.size())});
  r.results[0].contents = a.values;
  return OkStatus();
}

Status Infer(Rule& r, const TopKAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  if (r.rank(0) < 1) return InvalidArgumentError("a scalar");
  Shape out = r.shape(0);
  const Dim left = out.back() - a.k;
  if ((left.is_constant() && *left.constant() < 0) || (a.k.is_constant() && *a.k.constant() < 0))
    return InvalidArgumentError("{} of {} elements", a.k.ToString(), out.back().ToString());
  out.back() = a.k;
  r.Result(r.operand(0).dtype, out);
  r.Result(DType::kInt32, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const CumulativeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  GRAFT_RETURN_IF_ERROR(CheckAxis(a.axis, r.rank(0)));
  r.Result(r.operand(0).dtype, r.shape(0));
  return OkStatus();
}

Status Infer(Rule& r, const ScatterNdAttributes&) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 3, 3));
  const Shape& x = r.shape(0);
  const Shape& indices = r.shape(1);
  const Shape& updates = r.shape(2);
  if (!IsInteger(r.operand(1).dtype))
    return InvalidArgumentError("indices of dtype {}", Name(r.operand(1).dtype));
  if (r.operand(2).dtype != r.operand(0).dtype) {
    return InvalidArgumentError("updates of dtype {} to {}", Name(r.operand(2).dtype),
                                Name(r.operand(0).dtype));
  }
  if (indices.empty() || !indices.back().is_constant()) {
    return InvalidArgumentError("indices {}: the last dimension must be constant",
                                ToString(indices));
  }
  const int64_t depth = *indices.back().constant();
  if (depth < 0 || depth > r.rank(0)) {
    return InvalidArgumentError("indices of {} axes into rank {}", depth, r.rank(0));
  }
  Shape expected(indices.begin(), indices.end() - 1);
  expected.insert(expected.end(), x.begin() + depth, x.end());
  bool fits = updates.size() == expected.size();
  for (size_t i = 0; fits && i < expected.size(); ++i) fits = MayEqual(updates[i], expected[i]);
  if (!fits) {
    return InvalidArgumentError("updates {} by indices {} to {}", ToString(updates),
                                ToString(indices), ToString(x));
  }
  r.Result(r.operand(0).dtype, x);
  return OkStatus();
}

Status Infer(Rule& r, const CropAndResizeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 3, 3));
  const Shape& x = r.shape(0);
  const Shape& boxes = r.shape(1);
  const Shape& images = r.shape(2);
  if (a.mode != ResizeMode::kNearest && a.mode != ResizeMode::kBilinear)
    return InvalidArgumentError("interpolation other than nearest and bilinear");
  if (x.size() != 4 || boxes.size() != 2 || images.size() != 1 || !MayEqual(boxes[1], 4) ||
      !MayEqual(boxes[0], images[0])) {
    return InvalidArgumentError("images {}, boxes {} and their images {}", ToString(x),
                                ToString(boxes), ToString(images));
  }
  if (r.operand(1).dtype != DType::kFloat32 || r.operand(2).dtype != DType::kInt32) {
    return InvalidArgumentError("boxes of dtype {} with images of dtype {}",
                                Name(r.operand(1).dtype), Name(r.operand(2).dtype));
  }
  if (a.size.size() != 2) return InvalidArgumentError("a size of {} entries", a.size.size());
  for (const Dim& d : {x[1], x[2], a.size[0], a.size[1]}) {
    if (d.is_constant() && *d.constant() < 1)
      return InvalidArgumentError("{} cropped to {}", ToString(x), ToString(a.size));
  }
  r.Result(DType::kFloat32, {boxes[0], a.size[0], a.size[1], x[3]});
  return OkStatus();
}

Status Infer(Rule& r, const LrnAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  if (r.rank(0) < 1) return InvalidArgumentError("a scalar");
  if (a.radius < 0 || a.radius > (int64_t{1} << 30))
    return InvalidArgumentError("radius {}", a.radius);
  r.Result(r.operand(0).dtype, r.shape(0));
  return OkStatus();
}

Status Infer(Rule& r, const IotaAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 0, 0));
  if (!IsInteger(a.dtype)) return InvalidArgumentError("dtype {}", Name(a.dtype));
  if (a.count.is_constant() && *a.count.constant() < 0)
    return InvalidArgumentError("{} integers", *a.count.constant());
  r.Result(a.dtype, {a.count});
  return OkStatus();
}

Status Infer(Rule& r, const BitcastAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  const auto from = static_cast<int64_t>(SizeOf(r.operand(0).dtype));
  const auto to = static_cast<int64_t>(SizeOf(a.dtype));
  if (from == 0 || to == 0) {
    return InvalidArgumentError("{} as {}", Name(r.operand(0).dtype), Name(a.dtype));
  }
  Shape out = r.shape(0);
  if (from > to) {
    out.push_back(from / to);
  } else if (from < to) {
    if (out.empty() || !MayEqual(out.back(), to / from)) {
      return InvalidArgumentError("{}{} as {}", Name(r.operand(0).dtype), ToString(out),
                                  Name(a.dtype));
    }
    out.pop_back();
  }
  r.Result(a.dtype, std::move(out));
  return OkStatus();
}

Status Infer(Rule& r, const ReadIntegerAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  const DType dtype = r.operand(0).dtype;
  const std::optional<Dims> dims = ConstantDims(r.shape(0));
  if ((dtype != DType::kInt32 && dtype != DType::kInt64) || !dims || a.element < 0 ||
      a.element >= CountElements(*dims)) {
    return InvalidArgumentError("element {} of {}{}", a.element, Name(dtype), ToString(r.shape(0)));
  }
  r.Result(DType::kInt64, {});
  return OkStatus();
}

Status Infer(Rule& r, const WhereAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  r.Result(DType::kInt64, {a.result_dim, r.rank(0)});
  r.Result(DType::kInt64, {});
  return OkStatus();
}

// [boxes, scores, thresholds]
Status CheckSuppression(const Rule& r, int64_t thresholds) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 3, 3));
  if (r.operand(2).dtype == DType::kFloat32 && r.shape(2) == Shape{thresholds}) return OkStatus();
  return InvalidArgumentError("thresholds {}{}", Name(r.operand(2).dtype), ToString(r.shape(2)));
}

Status Infer(Rule& r, const NonMaxSuppressionAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckSuppression(r, 3));
  const Shape& boxes = r.shape(0);
  const Shape& scores = r.shape(1);
  if (boxes.size() != 2 || scores.size() != 1 || !MayEqual(boxes[0], scores[0]) ||
      !MayEqual(boxes[1], a.overlaps ? boxes[0] : Dim(4))) {
    return InvalidArgumentError("{} {} and scores {}", a.overlaps ? "overlaps" : "boxes",
                                ToString(boxes), ToString(scores));
  }
  r.Result(DType::kInt32, {a.result_dim});
  r.Result(r.operand(1).dtype, {a.result_dim});
  r.Result(DType::kInt64, {});
  return OkStatus();
}

Status Infer(Rule& r, const CombinedNonMaxSuppressionAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckSuppression(r, 2));
  const Shape& boxes = r.shape(0);
  const Shape& scores = r.shape(1);
  if (boxes.size() != 4 || scores.size() != 3 || !MayEqual(boxes[0], scores[0]) ||
      !MayEqual(boxes[1], scores[1]) || !(boxes[2] == 1 || MayEqual(boxes[2], scores[2])) ||
      !MayEqual(boxes[3], 4)) {
    return InvalidArgumentError("boxes {} and scores {}", ToString(boxes), ToString(scores));
  }
  if (a.per_class.is_constant() && *a.per_class.constant() < 1)
    return InvalidArgumentError("{} boxes per class", a.per_class.ToString());
  const DType dtype = r.operand(0).dtype;
  r.Result(dtype, {boxes[0], a.size, 4});
  r.Result(dtype, {boxes[0], a.size});
  r.Result(dtype, {boxes[0], a.size});
  r.Result(DType::kInt32, {boxes[0]});
  return OkStatus();
}

Status Infer(Rule& r, const UniqueAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 1, 1));
  if (r.rank(0) < 1) return InvalidArgumentError("a scalar");
  if (a.dtype != DType::kInt32 && a.dtype != DType::kInt64)
    return InvalidArgumentError("an index of dtype {}", Name(a.dtype));
  Shape rows = r.shape(0);
  rows[0] = a.result_dim;
  r.Result(r.operand(0).dtype, std::move(rows));
  r.Result(a.dtype, {r.shape(0)[0]});
  r.Result(a.dtype, {a.result_dim});
  r.Result(DType::kInt64, {});
  return OkStatus();
}

// Operands 1 and 2 hold one number for the tensor, or one for each index along the axis.
Status CheckQuantizing(const Rule& r, int64_t axis) {
  if (axis < -1 || axis >= r.rank(0))
    return InvalidArgumentError("axis {} of rank {}", axis, r.rank(0));
  for (int i : {1, 2}) {
    const Shape& shape = r.shape(i);
    const bool fits = axis < 0 ? shape.empty() || shape == Shape{1}
                               : shape.size() == 1 && MayEqual(shape[0], r.shape(0)[axis]);
    if (!fits) {
      return InvalidArgumentError("operand {} {} for {} with axis {}", i, ToString(shape),
                                  ToString(r.shape(0)), axis);
    }
  }
  return OkStatus();
}

bool IsSmallInteger(DType d) {
  return d == DType::kInt8 || d == DType::kUint8 || d == DType::kInt16 || d == DType::kUint16;
}

Status Infer(Rule& r, const QuantizeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 3, 3));
  GRAFT_RETURN_IF_ERROR(CheckQuantizing(r, a.axis));
  if (!IsFloating(r.operand(0).dtype) || !IsSmallInteger(a.dtype) ||
      r.operand(1).dtype != DType::kFloat32 || r.operand(2).dtype != a.dtype) {
    return InvalidArgumentError("{} by {} and {} to {}", Name(r.operand(0).dtype),
                                Name(r.operand(1).dtype), Name(r.operand(2).dtype), Name(a.dtype));
  }
  r.Result(a.dtype, r.shape(0));
  return OkStatus();
}

Status Infer(Rule& r, const DequantizeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 3, 3));
  GRAFT_RETURN_IF_ERROR(CheckQuantizing(r, a.axis));
  const DType dtype = r.operand(0).dtype;
  if (!(IsSmallInteger(dtype) || dtype == DType::kInt32) || r.operand(1).dtype != DType::kFloat32 ||
      r.operand(2).dtype != dtype) {
    return InvalidArgumentError("{} by {} and {}", Name(dtype), Name(r.operand(1).dtype),
                                Name(r.operand(2).dtype));
  }
  r.Result(DType::kFloat32, r.shape(0));
  return OkStatus();
}

Status Infer(Rule& r, const FakeQuantizeAttributes& a) {
  GRAFT_RETURN_IF_ERROR(CheckOperands(r, 3, 3));
  const DType dtype = r.operand(0).dtype;
  if (!IsFloating(dtype) || r.operand(1).dtype != dtype || r.operand(2).dtype != dtype) {
    return InvalidArgumentError("{} within {} and {}", Name(dtype), Name(r.operand(1).dtype),
                                Name(r.operand(2).dtype));
  }
  if (a.arithmetic == FakeQuantizeArithmetic::kScaled) {
    if (a.bits < 1 || a.bits > (a.is_signed ? 61 : 62))
      return InvalidArgumentError("{} bits", a.bits);
  } else {
    if (a.bits < 2 || a.bits > 16) return InvalidArgumentError("{} bits", a.bits);
    if (dtype != DType::kFloat32 || a.is_signed || a.rounding != Rounding::kHalfUp ||
        !a.range_given)
      return InvalidArgumentError("a nudged range of {}, or not unsigned, half up and given",
                                  Name(dtype));
  }
  if (a.range_given) {
    GRAFT_RETURN_IF_ERROR(CheckQuantizing(r, a.axis));
  } else if (a.axis < -1 || a.axis >= r.rank(0)) {
    return InvalidArgumentError("axis {} of rank {}", a.axis, r.rank(0));
  }
  r.Result(dtype, r.shape(0));
  return OkStatus();
}

// The body's results, its attributes taken as the module's symbols have them.
Result<std::vector<Value>> InferBody(const Rule& r, const Body& body) {
  Module module;
  module.symbols = r.module.symbols;
  for (int i = 0; i < r.operand_count(); ++i) {
    Value operand;
    operand.dtype = r.operand(i).dtype;
    operand.has_shape = true;
    operand.shape = r.shape(i);
    operand.constant = r.operand(i).constant;
    module.AddValue(std::move(operand));
  }
  auto in_range = [&](int64_t v) { return v >= 0 && v < module.value_count(); };
  for (const BodyNode& node : body.nodes) {
    if (Flags(static_cast<OpKind>(node.attributes.index())) & (kOpaque | kUndecided) ||
        ResultDimOf(node.attributes)) {
      return InvalidArgumentError("{}: {} in a body", node.name,
                                  Name(static_cast<OpKind>(node.attributes.index())));
    }
    if (!std::ranges::all_of(node.operands, in_range))
      return InvalidArgumentError("{}: an operand that does not exist", node.name);
    GRAFT_ASSIGN_OR_RETURN(
        const NodeId id,
        module.AddNode(node.attributes, {node.operands.begin(), node.operands.end()}, node.name));
    if (module.node(id).outputs.size() != 1)
      return InvalidArgumentError("{}: {} results", node.name, module.node(id).outputs.size());
  }
  std::vector<Value> results;
  for (const int64_t v : body.results) {
    if (!in_range(v) || v < r.operand_count()) return InvalidArgumentError("no result {}", v);
    const Value& value = module.value(static_cast<ValueId>(v));
    Value& result = results.emplace_back();
    result.dtype = value.dtype;
    result.has_shape = true;
    result.shape = value.shape;
  }
  return results;
}

Status Infer(Rule& r, const ChoiceAttributes& a) {
  if (a.bodies.empty()) return InvalidArgumentError("no bodies");
  for (const Body& body : a.bodies) {
    Result<std::vector<Value>> results = InferBody(r, body);
    if (!results.ok()) return results.status().WithContext(body.name);
    if (&body == &a.bodies[0]) {
      r.results = *std::move(results);
      continue;
    }
    const bool same = std::ranges::equal(*results, r.results, [](const Value& x, const Value& y) {
      return x.dtype == y.dtype && x.shape == y.shape;
    });
    if (!same)
      return InvalidArgumentError("{} gives other results than {}", body.name, a.bodies[0].name);
  }
  return OkStatus();
}

Status Infer(Rule&, const OpaqueAttributes& a) {
  return InvalidArgumentError("the results of {} cannot be inferred", a.op);
}
Status Infer(Rule&, const std::monostate&) { return InvalidArgumentError("a removed node"); }

}  // namespace

Result<std::vector<Value>> InferResults(const Module& module, const Node& node) {
  Rule rule{module, node, {}};
  for (ValueId id : node.inputs) {
    if (id < 0 || id >= module.value_count())
      return InvalidArgumentError("operand %{} does not exist", id);
    if (!module.value(id).has_shape)
      return InvalidArgumentError("{}: the rank is not known", module.value(id).name);
  }
  GRAFT_RETURN_IF_ERROR(
      std::visit([&](const auto& attributes) { return Infer(rule, attributes); }, node.attributes));
  for (const Value& result : rule.results) {
    for (const Dim& d : result.shape) {
      if (ExpressionSize(d) > kMaxComputedDimSize)
        return InvalidArgumentError("a size that is computed of more than {} unknown sizes",
                                    kMaxComputedDimSize);
    }
  }
  InferContents(module, node, rule.results);
  return std::move(rule.results);
}

}  // namespace graft::ir
