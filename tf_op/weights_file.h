// The weights of native segments, and plans, that lie in a file of the SavedModel instead of in its
// graph: GraftMapWeights, which a model's initialisation runs, maps the file, and the segments'
// GraftWeight nodes are tensors over it. src/tf/weights_file.h says how file and nodes are made.
#pragma once

#include "absl/status/statusor.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/node_def_util.h"
#include "tensorflow/core/framework/tensor.h"

namespace graft_tf {

inline constexpr char kWeightOp[] = "GraftWeight";

// The tensor that the attributes of a GraftWeight node mean. Its memory is the mapped file's, which
// stays mapped until the program ends: signatures outlive models, and a model that is loaded again
// finds it there.
absl::StatusOr<tensorflow::Tensor> WeightOf(const tensorflow::AttrSlice& attributes);

// `size` bytes at `offset` of the file. FailedPrecondition where it is not mapped, DataLoss where
// they are not in it.
absl::StatusOr<absl::string_view> PartOf(const std::string& file, int64_t offset, int64_t size);

// Lets go of the pages that reading has brought into this process: of the weights of a function, or
// of a whole file. What reads on brings them back.
void ReleaseWeights(const tensorflow::FunctionDef& function);
void ReleaseFile(const std::string& file);

// The function, encoded, with constants in the places of its GraftWeight nodes.
absl::StatusOr<std::string> EncodeWithConstants(const tensorflow::FunctionDef& function);

}  // namespace graft_tf
