// Turns variables into constants.
#pragma once

#include <string>
#include <vector>

#include "tf/checkpoint.h"
#include "tf/graph_def.h"
#include "tf/variable_keys.h"

namespace graft::tf {

// A variable that stays a variable.
struct KeptVariable {
  std::string node;
  std::string reason;
};

struct FreezeReport {
  int frozen = 0;
  std::vector<KeptVariable> kept;
};

// Replaces what the nodes in `live` (those the outputs need) read of variables by constants with
// the checkpoint's values: VariableV2 and ReadVariableOp become Const, ResourceGather becomes
// GatherV2, and so on. A variable that a live node assigns or uses in a way that cannot be replaced
// stays, as does one whose value the checkpoint does not have; each is reported. Nodes that are not
// live (initialisation, saver) are left alone, so that kept variables can still be restored.
//
// `graph` has its calls inlined. A variable for which `keys` has no entry is looked up under its
// own name, as the TF1 saver does.
Result<FreezeReport> FreezeVariables(const VariableKeys& keys, const Checkpoint& checkpoint,
                                     const std::vector<bool>& live, GraphDef* graph);

}  // namespace graft::tf
