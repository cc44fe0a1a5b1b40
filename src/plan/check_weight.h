// One weight of a plan compared with its hash; CheckWeights (plan.h) compares all.
#pragma once

#include "plan/plan.h"

namespace graft {

// DataLoss with the constant's name.
Status CheckWeight(const Plan& plan, const UncheckedWeight& weight);

}  // namespace graft
