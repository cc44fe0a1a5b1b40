// What inputs are when nobody feeds them.
#pragma once

#include <string>
#include <vector>

#include "base/tensor.h"
#include "tf/graph_def.h"

namespace graft::convert {

// By input (a tensor's name), the value of a PlaceholderWithDefault that constants alone decide; an
// invalid tensor for any other, which has to be fed.
Result<std::vector<Tensor>> InputDefaults(const tf::GraphDef& graph,
                                          const std::vector<std::string>& inputs);

}  // namespace graft::convert
