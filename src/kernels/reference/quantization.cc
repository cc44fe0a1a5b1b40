#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

// Calls each(element's row, column, index along the axis), 0 for no axis.
template <class Each>
void ForEachElement(const ConstArray& x, int64_t axis, Each each) {
  int64_t inner = 1;  // elements between neighbours along the axis
  for (int64_t i = axis + 1; axis >= 0 && i < x.rank(); ++i) inner *= x.dims[i];
  for (int64_t row = 0, at = 0; row < x.rows(); ++row) {
    for (int64_t column = 0; column < x.row_length(); ++column, ++at) {
      each(row, column, axis < 0 ? 0 : at / inner % x.dims[axis]);
    }
  }
}

// The numbers of T that a fake quantisation can give: whole multiples of `step` between two ends.
// Every operation is rounded to T, halves by way of f32, in the order of TensorFlow's kernels.
template <class T>
class Grid {
 public:
  using W = ArithmeticType<T>;

  static Grid Scaled(const FakeQuantizeProblem& problem, W min, W max) {
    const double levels =
        std::ldexp(1.0, static_cast<int>(problem.bits) - (problem.is_signed ? 1 : 0));
    const W least = R(problem.is_signed ? problem.narrow_range - levels : 0);
    const W most = R(levels - 1);
    const W by_min =
        R(least * min) > 0 ? R(least / min) : static_cast<W>(std::numeric_limits<T>::max());
    const W by_max =
        R(most * max) > 0 ? R(most / max) : static_cast<W>(std::numeric_limits<T>::max());
    Grid grid;
    if (by_min < by_max) {
      grid.factor_ = by_min;
      grid.step_ = R(min / least);
      grid.low_ = min;
      grid.high_ = R(most * grid.step_);
    } else {
      grid.factor_ = by_max;
      grid.step_ = R(max / most);
      grid.low_ = R(least * grid.step_);
      grid.high_ = max;
    }
    return grid;
  }

  // f32 alone.
  static Grid Nudged(const FakeQuantizeProblem& problem, W min, W max) {
    Grid grid;
    grid.empty_ = min == 0 && max == 0;
    const W least = problem.narrow_range ? 1 : 0;
    const W most = static_cast<W>(std::ldexp(1.0, static_cast<int>(problem.bits)) - 1);
    grid.step_ = (max - min) / (most - least);
    const W inverse = (most - least) / (max - min);
    const W exact = least - min / grid.step_;
    W zero = std::floor(exact);
    if (exact - zero >= W{0.5}) zero += 1;
    if (zero < least) zero = least;
    if (zero > most) zero = most;
    grid.low_ = (least - zero) * grid.step_;
    grid.high_ = (most - zero) * grid.step_;
    grid.divides_ = problem.kind == FakeQuantizeArithmetic::kNudgedDividing;
    grid.factor_ = grid.divides_ ? grid.step_ : inverse;
    const W product = -grid.low_ * inverse;
    grid.zero_ = std::floor(product + W{0.5});
    return grid;
  }

  W RoundScaled(W x, bool clamps, bool half_up) const {
    if (clamps) x = Clamp(x);
    const W scaled = R(x * factor_);
    const W whole = half_up ? R(std::floor(R(scaled + W{0.5}))) : R(std::nearbyint(scaled));
    return R(whole * step_);
  }

  W RoundNudged(W x) const {
    if (empty_) return 0;
    const W offset = Clamp(x) - low_;
    const W scaled = divides_ ? offset / factor_ : offset * factor_;
    const W shifted = scaled - zero_;
    return std::floor(shifted + W{0.5}) * step_;
  }

 private:
  // Rounded to T.
  template <class X>
  static W R(X x) {
    return static_cast<W>(static_cast<T>(x));
  }

  // NaN passes; no bound holds where the range is NaN, but the result is NaN then.
  W Clamp(W x) const {
    if (x > high_) x = high_;
    return x < low_ ? low_ : x;
  }

  W low_ = 0, high_ = 0, step_ = 1, factor_ = 1, zero_ = 0;
  bool divides_ = false;
  bool empty_ = false;
};

template <class T>
void FakeQuantize(const FakeQuantizeProblem& problem, Inputs in, Outputs out) {
  using W = ArithmeticType<T>;
  const bool is_nudged = problem.kind != FakeQuantizeArithmetic::kScaled;
  const int64_t ranges = problem.axis < 0 ? 1 : in[0].dims[problem.axis];
  std::vector<W> min(ranges, std::numeric_limits<W>::infinity());
  std::vector<W> max(ranges, -std::numeric_limits<W>::infinity());
  if (problem.range_given) {
    std::copy_n(in[1].Row<T>(0), ranges, min.begin());
    std::copy_n(in[2].Row<T>(0), ranges, max.begin());
  } else {
    ForEachElement(in[0], problem.axis, [&](int64_t row, int64_t column, int64_t i) {
      const W x = in[0].Row<T>(row)[column];
      // One NaN is enough.
      min[i] =
          x != x || min[i] != min[i] ? std::numeric_limits<W>::quiet_NaN() : std::min(min[i], x);
      max[i] =
          x != x || max[i] != max[i] ? std::numeric_limits<W>::quiet_NaN() : std::max(max[i], x);
    });
  }
  std::vector<Grid<T>> grids;
  for (int64_t i = 0; i < ranges; ++i) {
    grids.push_back(is_nudged ? Grid<T>::Nudged(problem, min[i], max[i])
                              : Grid<T>::Scaled(problem, min[i], max[i]));
  }
  ForEachElement(in[0], problem.axis, [&](int64_t row, int64_t column, int64_t i) {
    const W x = in[0].Row<T>(row)[column];
    const W y = is_nudged ? grids[i].RoundNudged(x)
                          : grids[i].RoundScaled(x, problem.range_given, problem.half_up);
    out[0].Row<T>(row)[column] = static_cast<T>(y);
  });
}

}  // namespace

void Run(const QuantizeProblem& problem, Inputs in, Outputs out) {
  VisitDType(kFloatTypes, in[0].dtype, [&]<class T>(T) {
    VisitDType(kIntegerTypes, out[0].dtype, [&]<class Q>(Q) {
      constexpr auto kLeast = static_cast<float>(std::numeric_limits<Q>::min());
      constexpr auto kMost = static_cast<float>(std::numeric_limits<Q>::max());
      ForEachElement(in[0], problem.axis, [&](int64_t row, int64_t column, int64_t i) {
        const auto x = static_cast<float>(in[0].Row<T>(row)[column]);
        const float q =
            std::nearbyint(x * in[1].Row<float>(0)[i]) + static_cast<float>(in[2].Row<Q>(0)[i]);
        out[0].Row<Q>(row)[column] = static_cast<Q>(q >= kLeast ? std::min(q, kMost) : kLeast);
      });
    });
  });
}

void Run(const DequantizeProblem& problem, Inputs in, Outputs out) {
  VisitDType(kIntegerTypes, in[0].dtype, [&]<class Q>(Q) {
    ForEachElement(in[0], problem.axis, [&](int64_t row, int64_t column, int64_t i) {
      const auto q = static_cast<uint32_t>(in[0].Row<Q>(row)[column]);
      const auto zero = static_cast<uint32_t>(in[2].Row<Q>(0)[i]);
      const auto difference = static_cast<int32_t>(q - zero);
      out[0].Row<float>(row)[column] = static_cast<float>(difference) * in[1].Row<float>(0)[i];
    });
  });
}

void Run(const FakeQuantizeProblem& problem, Inputs in, Outputs out) {
  VisitDType(kFloatTypes, in[0].dtype, [&]<class T>(T) { FakeQuantize<T>(problem, in, out); });
}

}  // namespace graft::reference
