// Gathering slices by index, on any dtype.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// For each batch b, each outer position o and each index tuple i of the batch:
//   y[b, o, i, :] = params[b, o, tuple_i, :],
// where a tuple holds one index for each of `dims`. Gather along an axis has tuples of one;
// GatherNd has no outer positions.
struct GatherProblem {
  int64_t batches = 1;
  int64_t outer = 1;
  std::vector<int64_t> dims;
  int64_t tuples = 1;       // a batch
  int64_t slice_bytes = 4;  // of params[b, o, tuple, :]
  DType index_dtype = DType::kInt32;
};

class GatherOperation {
 public:
  // kUnsupported for indices that are neither int32 nor int64.
  static Result<GatherOperation> Make(const GatherProblem& problem);
  // params[…, axis, …] by indices as the IR's gather and gather_nd define them; all dense.
  static GatherProblem Along(const Dims& params, const Dims& indices, int64_t axis,
                             int64_t batch_dims);
  static GatherProblem Nd(const Dims& params, const Dims& indices, int64_t batch_dims);

  size_t scratch_bytes(int) const { return 0; }
  // kInvalidArgument for an index out of range.
  Status Run(const Buffers& buffers, Executor& executor) const;

 private:
  // False when an index is out of range.
  template <class Index>
  bool RunSlices(Range slices, const Buffers& buffers) const;

  GatherProblem problem_;
};

}  // namespace graft::cpu
