// Which weights of a plan the graph that it was made of holds unchanged.
#pragma once

#include "plan/plan_file.h"
#include "tf/graph_def.h"

namespace graft::convert {

// For WritePlanOptions::external_name: the name of the segment's constant that has the bytes. Both
// outlive the result.
std::function<std::string(ir::ValueId)> ConstantsOf(const tf::GraphDef& segment, const Plan& plan);

}  // namespace graft::convert
