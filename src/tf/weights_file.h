// Large constants of the native segments of a SavedModel, and its engines' plans, in a file among
// its assets instead of in the graph.
//
// TensorFlow keeps several copies of a graph and its functions, and of all that attributes hold. In
// the file the bytes lie once, and the op library maps it: pages that no call needs are no memory.
//
// In the graph, a constant becomes
//
//     GraftWeight {dtype, shape, file, offset}     with the name, and so the edges, of the Const
//
// an engine node has _plan_file, _plan_offset and _plan_size instead of its serialized_segment, and
// the model's initialisation runs GraftMapWeights {file} with the asset's path. `file` is the
// hash of the contents: the op library knows the mapping under it.
//
// The file is a header, "GRAFTWTS" and zeros up to 64 bytes, and the tensors' bytes (row-major,
// little-endian) and the plans, each at a multiple of 64 and filled up with zeros. Equal ones lie
// there once.
#pragma once

#include <string>

#include "tf/saved_model.h"

namespace graft::tf {

// Nothing changes where all together is small.
Status MoveWeightsToFile(MetaGraph* meta);

// Puts the constants back, which then refer to the mapped file, and takes out the nodes that load
// it. `directory` is the SavedModel's.
Status TakeWeightsFromFile(const std::string& directory, MetaGraph* meta);

}  // namespace graft::tf
