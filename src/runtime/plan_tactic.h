// From a plan's choice of a tactic to this build's.
#pragma once

#include "backend_api/backend.h"
#include "backend_api/choices.h"

namespace graft {

// Null unless the backend has the tactic, in that version and among those for the node's op, and it
// takes the node: a plan's bytes may name any.
const Tactic* FindTactic(const Backend& backend, const ir::Module& module, const ir::Node& node,
                         const TacticChoice& choice);

}  // namespace graft
