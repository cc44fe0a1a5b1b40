// Replaces calls of functions by the functions' bodies.
#pragma once

#include <string>
#include <vector>

#include "tf/graph_def.h"

namespace graft::tf {

// A call that stays a call.
struct KeptCall {
  std::string node;
  std::string function;
  std::string reason;
};

// Inlines PartitionedCall, StatefulPartitionedCall and calls by function name in the main graph, at
// any depth. Nodes of a body are named CALL/NODE. What read output k of the call reads the body's
// tensor; the call itself becomes an Identity (IdentityN, NoOp) of its name, which waits for the
// body's control outputs, so the call's name can still be fetched and depended on. While, If and
// the like stay nodes.
//
// Expects default attributes filled in (AddDefaultAttrs). A call that cannot be inlined (its body
// holds a custom op whose outputs nobody knows, it nests without end, …) stays and is returned with
// the reason. Errors: a call of a function that is not there or has another signature (kDataLoss),
// a graph that unfolds beyond all measure (kUnsupported).
Result<std::vector<KeptCall>> InlineCalls(GraphDef* graph);

}  // namespace graft::tf
