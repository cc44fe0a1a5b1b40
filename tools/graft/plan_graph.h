// A plan as a graph, for viewers of TensorFlow graphs (Netron, TensorBoard).
#pragma once

#include "plan/plan.h"
#include "tf/graph_def.h"

namespace graft {

// A node for each step, in the module's order, named as the step's node; its op is TensorFlow's
// where there is one that does the same but for what is fused into it, else the IR's, in Graft's
// own spelling. Attributes: those of the IR as texts, the tactics, and the type and shape of the
// result. Large constants have type and shape alone. It is for looking at: TensorFlow does not run
// it.
tf::GraphDef GraphOfPlan(const Plan& plan);

}  // namespace graft
