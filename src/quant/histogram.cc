#include "quant/histogram.h"

#include <algorithm>
#include <cmath>

namespace graft::quant {
namespace {

// Elements of one task: enough to be worth a thread's while.
constexpr int64_t kBlock = int64_t{1} << 16;

struct Extent {
  int64_t finite = 0;
  float amax = 0;
};

}  // namespace

void Histogram::Add(std::span<const float> values, Executor& executor) {
  const auto size = static_cast<int64_t>(values.size());
  const int64_t blocks = (size + kBlock - 1) / kBlock;
  const auto block = [&](int64_t i) {
    return values.subspan(i * kBlock, std::min(kBlock, size - i * kBlock));
  };
  std::vector<Extent> extents(executor.width());
  executor.ParallelFor(blocks, [&](int64_t i, int worker) {
    Extent extent = extents[worker];
    for (float x : block(i)) {
      if (!std::isfinite(x)) continue;
      ++extent.finite;
      extent.amax = std::max(extent.amax, std::abs(x));
    }
    extents[worker] = extent;
  });
  Extent all;
  for (const Extent& e : extents) {
    all.finite += e.finite;
    all.amax = std::max(all.amax, e.amax);
  }
  if (all.finite == 0) return;
  count_ += all.finite;
  const double largest = all.amax;
  amax_ = std::max(amax_, largest);
  if (width_ == 0) {
    const int64_t zeros = bins_.empty() ? 0 : bins_[0];
    bins_.assign(kFirstBins, 0);
    bins_[0] = zeros;
    // A width that is no number of f32 is as good as none.
    width_ = largest / static_cast<double>(kFirstBins);
    if (static_cast<float>(width_) == 0) width_ = 0;
  }
  if (width_ == 0) {
    bins_[0] += all.finite;
    return;
  }
  const double needed = std::ceil(largest / width_);
  const auto needed_bins =
      needed >= static_cast<double>(kMaxBins) ? kMaxBins : static_cast<int64_t>(needed);
  if (needed_bins > static_cast<int64_t>(bins_.size())) bins_.resize(needed_bins, 0);

  const auto width = static_cast<float>(width_);
  const auto last = static_cast<float>(bins_.size() - 1);
  std::vector<std::vector<int64_t>> counts(executor.width());
  executor.ParallelFor(blocks, [&](int64_t i, int worker) {
    std::vector<int64_t>& own = counts[worker];
    own.resize(bins_.size());
    for (float x : block(i)) {
      // The quotient may be infinite where the width is small.
      if (std::isfinite(x)) ++own[static_cast<size_t>(std::min(std::abs(x) / width, last))];
    }
  });
  for (const std::vector<int64_t>& own : counts) {
    for (size_t i = 0; i < own.size(); ++i) bins_[i] += own[i];
  }
}

}  // namespace graft::quant
