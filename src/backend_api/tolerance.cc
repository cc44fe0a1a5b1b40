#include "backend_api/tolerance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/dtype_visit.h"

namespace graft {
namespace {

enum class Rule { kExact, kElementwise, kAccumulated };
struct Row {
  Rule rule;
  double factor;
};

Row RowOf(ir::OpKind op) {
  switch (op) {
#define GRAFT_TOLERANCE(Op, rule, factor) \
  case ir::OpKind::k##Op:                 \
    return {Rule::rule, factor};
#include "backend_api/tolerance.inc"
#undef GRAFT_TOLERANCE
    case ir::OpKind::kChoice:
    case ir::OpKind::kOpaque:
      break;
  }
  return {Rule::kExact, 0};
}

// 0 for what is no floating-point type.
double Epsilon(DType dtype) {
  return TryVisitDType(kFloatTypes, dtype,
                       []<class T>(T) { return double{std::numeric_limits<T>::epsilon()}; });
}

// Terms in each sum that the node forms; 0 where it forms none.
struct CountTerms {
  const BoundNode& node;

  static double Product(std::span<const int64_t> dims) {
    return static_cast<double>(CountElements(dims));
  }
  std::span<const int64_t> operand(int i) const { return node.inputs[i].dims; }

  double operator()(const ir::ConvAttributes&) const {
    return Product(operand(1).first(operand(1).size() - 1));
  }
  double operator()(const ir::ConvTransposeAttributes& a) const {
    return Product(operand(1).first(a.strides.size())) * static_cast<double>(operand(1).back());
  }
  double operator()(const ir::MatMulAttributes& a) const {
    const auto dims = operand(0);
    return static_cast<double>(dims[dims.size() - (a.transpose_a ? 2 : 1)]);
  }
  double operator()(const ir::PoolAttributes& a) const {
    return a.kind == ir::PoolKind::kMax ? 0 : Product(a.window);
  }
  double operator()(const ir::ReduceAttributes& a) const {
    if (a.kind != ir::ReduceKind::kSum && a.kind != ir::ReduceKind::kMean &&
        a.kind != ir::ReduceKind::kProd)
      return 0;
    double terms = 1;
    for (int64_t axis : a.axes) terms *= static_cast<double>(operand(0)[axis]);
    return terms;
  }
  double operator()(const ir::SoftmaxAttributes&) const {
    return static_cast<double>(operand(0).back());
  }
  double operator()(const ir::ResizeAttributes& a) const {
    switch (a.mode) {
      case ir::ResizeMode::kNearest:
        return 0;
      case ir::ResizeMode::kBilinear:
        return 4;
      case ir::ResizeMode::kBicubic:
        return 16;
      case ir::ResizeMode::kArea:
        return Covered(1) * Covered(2);
    }
    return 0;
  }
  // Pixels along an axis that an area may touch.
  double Covered(int axis) const {
    const auto to = static_cast<double>(std::max<int64_t>(node.outputs[0].dims[axis], 1));
    return static_cast<double>(operand(0)[axis]) / to + 2;
  }
  double operator()(const ir::CumulativeAttributes& a) const {
    return static_cast<double>(operand(0)[a.axis]);
  }
  // As if all updates met in one place.
  double operator()(const ir::ScatterNdAttributes& a) const {
    if (a.kind != ir::ScatterKind::kAdd && a.kind != ir::ScatterKind::kSub) return 0;
    return Product(operand(1));
  }
  double operator()(const ir::CropAndResizeAttributes& a) const {
    return a.mode == ir::ResizeMode::kNearest ? 0 : 4;
  }
  double operator()(const ir::LrnAttributes& a) const {
    return static_cast<double>(2 * a.radius + 1);
  }
  template <class Other>
  double operator()(const Other&) const {
    return 0;
  }
};

// The dtype of the sums of a convolution or product, else the result's.
DType SumsOf(const BoundNode& node) {
  return std::visit(
      [&](const auto& a) {
        if constexpr (requires { a.accumulator; })
          return ir::AccumulatorOf(a, node.inputs[0].dtype);
        return node.outputs[0].dtype;
      },
      node.attributes);
}

struct Differing {
  double expected = 0;
  double got = 0;
  int64_t row = -1;
  int64_t column = 0;
};

template <class T>
std::string Compare(const BoundValue& type, const Tolerance& tolerance, const T* expected,
                    const T* got) {
  const int64_t columns = type.dims.empty() ? 1 : type.dims.back();
  const int64_t rows = columns == 0 ? 0 : CountElements(type.dims) / columns;
  auto for_each = [&](auto each) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t i = r * type.row_stride + c;
        each(expected[i], got[i], r, c);
      }
    }
  };
  double largest = 0;
  for_each([&](T x, T, int64_t, int64_t) {
    const double size = std::abs(static_cast<double>(x));
    if (std::isfinite(size)) largest = std::max(largest, size);
  });
  Differing worst;
  double worst_excess = 0;
  for_each([&](T want, T have, int64_t r, int64_t c) {
    if (want == have || (want != want && have != have)) return;
    const auto x = static_cast<double>(want);
    const auto y = static_cast<double>(have);
    double excess = INFINITY;
    if (std::isfinite(x) && std::isfinite(y)) {
      const double allowed = tolerance.absolute + tolerance.of_largest * largest +
                             tolerance.of_element * std::max(std::abs(x), std::min(largest, 1.0));
      excess = std::abs(x - y) - allowed;
    }
    if (excess > worst_excess) worst = {x, y, r, c}, worst_excess = excess;
  });
  if (worst.row < 0) return "";
  return fmt::format("{:.9g} instead of {:.9g} in row {}, column {} of {}; the largest is {:.3g}",
                     worst.got, worst.expected, worst.row, worst.column,
                     Describe(type.dtype, type.dims), largest);
}

}  // namespace

Tolerance ToleranceOf(const BoundNode& node) {
  const Row row = RowOf(static_cast<ir::OpKind>(node.attributes.index()));
  const DType result = node.outputs[0].dtype;
  const double eps = Epsilon(result);
  const double sum_eps = Epsilon(SumsOf(node));
  Tolerance tolerance;
  if (row.rule == Rule::kAccumulated && sum_eps > 0) {
    tolerance.of_largest = row.factor * std::sqrt(std::visit(CountTerms{node}, node.attributes)) *
                           (eps > 0 ? std::max(eps, sum_eps) : 0);
    // A sum that rounding has moved across a half becomes the integer beside.
    if (IsInteger(result)) tolerance.absolute = 1;
  }
  if (row.rule == Rule::kElementwise) tolerance.of_element = row.factor * eps;
  // An epilogue rounds as the same program in a node of its own.
  if (const PointwiseProgram* program = ir::ProgramOf(node.attributes)) {
    tolerance.of_element = RowOf(ir::OpKind::kPointwise).factor *
                           static_cast<double>(program->instructions.size()) * eps;
  }
  return tolerance;
}

std::string Difference(const BoundValue& type, const Tolerance& tolerance, const void* expected,
                       const void* got) {
  std::optional<std::string> difference = TryVisitDType(
      kEngineTypes, StorageOf(type.dtype), [&]<class T>(T) -> std::optional<std::string> {
        // A bool may hold any byte.
        using Held = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;
        return Compare(type, tolerance, static_cast<const Held*>(expected),
                       static_cast<const Held*>(got));
      });
  return difference.value_or(fmt::format("{} cannot be compared", Name(type.dtype)));
}

}  // namespace graft
