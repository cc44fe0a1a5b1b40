// How long runs take.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/observer.h"

namespace graft {

// start_ns: what SteadyNow() gave.
inline double SecondsSince(int64_t start_ns) {
  return static_cast<double>(SteadyNow() - start_ns) * 1e-9;
}
inline double MillisecondsSince(int64_t start_ns) { return SecondsSince(start_ns) * 1e3; }

// 0 of none.
inline double Median(std::vector<double> times) {
  if (times.empty()) return 0;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace graft
