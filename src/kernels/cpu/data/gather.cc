#include "kernels/cpu/data/gather.h"

#include <fmt/ranges.h>

#include <atomic>
#include <cstring>

namespace graft::cpu {
namespace {

int64_t Product(std::span<const int64_t> dims) {
  int64_t product = 1;
  for (int64_t n : dims) product *= n;
  return product;
}

}  // namespace

Result<GatherOperation> GatherOperation::Make(const GatherProblem& problem) {
  if (problem.index_dtype != DType::kInt32 && problem.index_dtype != DType::kInt64) {
    return UnsupportedError("indices of {}", Name(problem.index_dtype));
  }
  GatherOperation operation;
  operation.problem_ = problem;
  return operation;
}

GatherProblem GatherOperation::Along(const Dims& params, const Dims& indices, int64_t axis,
                                     int64_t batch_dims) {
  const std::span<const int64_t> p(params);
  GatherProblem problem;
  problem.batches = Product(p.first(batch_dims));
  problem.outer = Product(p.subspan(batch_dims, axis - batch_dims));
  problem.dims = {params[axis]};
  problem.tuples = Product(std::span<const int64_t>(indices).subspan(batch_dims));
  problem.slice_bytes = Product(p.subspan(axis + 1));
  return problem;
}

GatherProblem GatherOperation::Nd(const Dims& params, const Dims& indices, int64_t batch_dims) {
  const std::span<const int64_t> p(params);
  const std::span<const int64_t> i(indices);
  const int64_t depth = indices.back();
  GatherProblem problem;
  problem.batches = Product(p.first(batch_dims));
  problem.dims.assign(params.begin() + batch_dims, params.begin() + batch_dims + depth);
  problem.tuples = Product(i.subspan(batch_dims, i.size() - 1 - batch_dims));
  problem.slice_bytes = Product(p.subspan(batch_dims + depth));
  return problem;
}

template <class Index>
bool GatherOperation::RunSlices(Range slices, const Buffers& buffers) const {
  const GatherProblem& p = problem_;
  const std::byte* params = static_cast<const std::byte*>(buffers.inputs[0]);
  const Index* indices = static_cast<const Index*>(buffers.inputs[1]);
  std::byte* y = static_cast<std::byte*>(buffers.outputs[0]) + slices.begin * p.slice_bytes;
  const int64_t depth = static_cast<int64_t>(p.dims.size());
  const int64_t volume = Product(p.dims);
  for (int64_t slice = slices.begin; slice < slices.end; ++slice, y += p.slice_bytes) {
    const int64_t tuple = slice % p.tuples;
    const int64_t position = slice / p.tuples;  // batch · outer + o
    const Index* index = indices + (position / p.outer * p.tuples + tuple) * depth;
    int64_t offset = 0;
    for (int64_t k = 0; k < depth; ++k) {
      if (index[k] < 0 || index[k] >= p.dims[k]) return false;
      offset = offset * p.dims[k] + index[k];
    }
    std::memcpy(y, params + (position * volume + offset) * p.slice_bytes, p.slice_bytes);
  }
  return true;
}

Status GatherOperation::Run(const Buffers& buffers, Executor& executor) const {
  const int64_t slices = problem_.batches * problem_.outer * problem_.tuples;
  // Slices without elements are not read: any index will do, as in TensorFlow.
  if (slices == 0 || problem_.slice_bytes == 0) return OkStatus();
  const int64_t work = slices * std::max<int64_t>(problem_.slice_bytes / 4, 1);
  const int64_t tasks = std::min(slices, TaskCount(work, executor));
  std::atomic<bool> inside = true;
  executor.ParallelFor(tasks, [&](int64_t task, int) {
    const Range range = Part(slices, tasks, task);
    const bool all = problem_.index_dtype == DType::kInt32 ? RunSlices<int32_t>(range, buffers)
                                                           : RunSlices<int64_t>(range, buffers);
    if (!all) inside.store(false, std::memory_order_relaxed);
  });
  if (!inside) {
    return InvalidArgumentError("an index is out of range of axes of {}",
                                fmt::join(problem_.dims, " and "));
  }
  return OkStatus();
}

}  // namespace graft::cpu
