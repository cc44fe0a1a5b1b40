// How far results may differ, in one table (tolerance.inc), and the comparison by it. Tests, the
// tuner and the tools use these; nobody invents a bound.
#pragma once

#include <string>

#include "backend_api/backend.h"

namespace graft {

struct Tolerance {
  // Of the element, or of the largest one up to 1 where that is more.
  double of_element = 0;
  // Of the largest finite element.
  double of_largest = 0;
  // Whatever the size of the elements.
  double absolute = 0;
};

// The tolerance of the node's output 0. Others (indices) are exact.
Tolerance ToleranceOf(const BoundNode& node);

// Why `got` may not stand for `expected`, both laid out as `type`; "" when it may. NaN equals NaN;
// infinities must agree.
std::string Difference(const BoundValue& type, const Tolerance& tolerance, const void* expected,
                       const void* got);

}  // namespace graft
