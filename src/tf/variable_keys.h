// Which checkpoint tensor each variable of a model is restored from.
//
// Two sources tell, and either alone suffices. The restore operation that the saver names: in it, a
// RestoreV2 of constant tensor names feeds the assignments (in TF2 models inside a function, which
// must have been inlined). And the object graph: the checkpoint's own object graph is walked beside
// the model's, by the names of children, and calls in the main graph tell which node is which
// object.
#pragma once

#include <map>
#include <string>

#include "tf/checkpoint.h"
#include "tf/saved_model.h"

namespace graft::tf {

struct VariableKey {
  std::string key;
  TensorSlice slice;  // not empty: the variable is this part of a larger tensor
};
// By the name of the variable's node in the main graph (VarHandleOp, VariableV2, Variable).
using VariableKeys = std::map<std::string, VariableKey, std::less<>>;

// By what the restore operation does. `graph` is the main graph with its calls inlined.
Result<VariableKeys> KeysFromRestore(const GraphDef& graph, const SaverDef& saver);
// By the object graphs. `meta` is as it was read: its calls not inlined.
Result<VariableKeys> KeysFromObjects(const MetaGraph& meta, const Checkpoint& checkpoint);
// Both together; kDataLoss naming the variable when they contradict each other: give keys under
// which the checkpoint has different tensors. (Keras 3 stores a variable under several keys.)
Result<VariableKeys> MergeKeys(VariableKeys restore, const VariableKeys& objects,
                               const Checkpoint& checkpoint);

// The variable's node behind a tensor (through Identity), by name; empty when it is none.
std::string VariableBehind(const GraphDef& graph, const NodeIndex& index, std::string_view tensor);
bool IsVariable(const NodeDef& node);

}  // namespace graft::tf
