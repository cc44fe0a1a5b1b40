// A graph for TensorBoard.
#pragma once

#include <string>

#include "base/status.h"
#include "tf/graph_def.h"

namespace graft {

// Writes the graph and its functions into a TensorBoard event file in `folder`, which is made; an
// earlier one of Graft is replaced. Attributes of more than 1 KiB (weights, engines) are left out
// and listed in the node's attribute `_too_large_attrs`, as TensorBoard itself does.
Status WriteGraphEvent(const std::string& folder, tf::GraphDef graph);

}  // namespace graft
