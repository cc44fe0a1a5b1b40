// Writing slices to where indices say, on any dtype.
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/op_kinds.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// y = x; then for each tuple t of indices, in order: y[tuple_t, :] = y[tuple_t, :] ∘ updates[t, :].
struct ScatterProblem {
  ScatterKind kind = ScatterKind::kUpdate;
  DType dtype = DType::kFloat32;
  DType index_dtype = DType::kInt32;
  Dims x;             // dense
  int64_t depth = 1;  // axes of x that a tuple names
  int64_t tuples = 1;
};

// Joins `count` elements of an update to y.
using ScatterLoop = void (*)(const void* update, void* y, int64_t count);

class ScatterOperation {
 public:
  // kUnsupported where Supports says no.
  static Result<ScatterOperation> Make(const ScatterProblem& problem);
  static bool Supports(ScatterKind kind, DType dtype, DType index_dtype);

  size_t scratch_bytes(int) const { return 0; }
  // Inputs are x, indices, updates; y may be x. kInvalidArgument for an index out of range.
  Status Run(const Buffers& buffers, Executor& executor) const;

 private:
  template <class Index>
  Status CheckIndices(const void* indices) const;
  template <class Index>
  void RunColumns(Range columns, const Buffers& buffers) const;

  ScatterProblem problem_;
  ScatterLoop loop_ = nullptr;
  int64_t slice_ = 1;  // elements of y[tuple, :]
};

}  // namespace graft::cpu
