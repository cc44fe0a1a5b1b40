// A choice (ChoiceAttributes) gives way to one of its bodies.
#pragma once

#include "ir/module.h"

namespace graft::ir {

// Appends the body's nodes over these values, the choice's operands, and gives the results.
Result<std::vector<ValueId>> AppendBody(Module& module, const Body& body,
                                        std::vector<ValueId> values);

// The body's nodes take the place of the choice: its readers read their results, which keep the
// names and ranges of the choice's. Compact restores the order.
Status ReplaceByBody(Module& module, NodeId choice, int body);

}  // namespace graft::ir
