#include "kernels/cpu/data/pad.h"

#include <cstring>

#include "base/strides.h"

namespace graft::cpu {
namespace {

// The input index whose element stands at `index` of the output, or -1.
int64_t Source(PadMode mode, int64_t index, int64_t count) {
  if (index >= 0 && index < count) return index;
  switch (mode) {
    case PadMode::kConstant:
      return -1;
    case PadMode::kReflect:
      return index < 0 ? -index : 2 * count - 2 - index;
    case PadMode::kSymmetric:
      return index < 0 ? -index - 1 : 2 * count - 1 - index;
  }
  return -1;
}

}  // namespace

Result<PadOperation> PadOperation::Make(const PadProblem& p) {
  const size_t rank = p.x.size();
  const std::vector<int64_t> strides = RowMajorStrides(p.x, p.x_row_stride);
  // Axes inside the last padded one are copied at once, as far as x is contiguous there.
  size_t inner = rank;
  int64_t block = 1;
  while (inner > 0 && p.before[inner - 1] == 0 && p.after[inner - 1] == 0 &&
         (p.x[inner - 1] == 1 || strides[inner - 1] == block)) {
    block *= p.x[--inner];
  }
  PadOperation operation;
  operation.element_size_ = p.element_size;
  operation.block_bytes_ = block * static_cast<int64_t>(p.element_size);
  for (size_t axis = 0; axis < inner; ++axis) {
    const int64_t n = p.x[axis];
    const int64_t reach = n - (p.mode == PadMode::kReflect ? 1 : 0);
    if (p.mode != PadMode::kConstant && (p.before[axis] > reach || p.after[axis] > reach)) {
      return InvalidArgumentError("a mirror padding of {} and {} on an axis of {}", p.before[axis],
                                  p.after[axis], n);
    }
    Axis a{strides[axis], {}};
    for (int64_t i = -p.before[axis]; i < n + p.after[axis]; ++i) {
      a.source.push_back(Source(p.mode, i, n));
    }
    operation.blocks_ *= static_cast<int64_t>(a.source.size());
    operation.axes_.push_back(std::move(a));
  }
  for (int64_t i = 0; i < block; ++i) {
    operation.constant_.insert(operation.constant_.end(), p.value, p.value + p.element_size);
  }
  return operation;
}

void PadOperation::RunBlocks(Range blocks, const Buffers& buffers) const {
  const std::byte* x = static_cast<const std::byte*>(buffers.inputs[0]);
  std::byte* y = static_cast<std::byte*>(buffers.outputs[0]) + blocks.begin * block_bytes_;
  const size_t rank = axes_.size();
  const int64_t size = static_cast<int64_t>(element_size_);
  const Axis* row = rank > 0 ? &axes_[rank - 1] : nullptr;
  const int64_t row_length = row ? static_cast<int64_t>(row->source.size()) : 1;
  for (int64_t b = blocks.begin; b < blocks.end;) {
    // One run along the last of the axes.
    int64_t rest = b / row_length;
    int64_t offset = 0;
    bool inside = true;
    for (size_t i = rank; i-- > 1;) {
      const Axis& axis = axes_[i - 1];
      const int64_t n = static_cast<int64_t>(axis.source.size());
      const int64_t source = axis.source[rest % n];
      inside = inside && source >= 0;
      offset += source * axis.x_stride;
      rest /= n;
    }
    const int64_t first = b % row_length;
    const int64_t last = std::min(row_length, first + blocks.end - b);
    for (int64_t i = first; i < last;) {
      const int64_t source = row ? row->source[i] : 0;
      if (!inside || source < 0) {
        std::memcpy(y, constant_.data(), block_bytes_);
        y += block_bytes_, ++i;
        continue;
      }
      // As many blocks as follow one another in x, too.
      int64_t count = 1;
      if (row && row->x_stride * size == block_bytes_) {
        while (i + count < last && row->source[i + count] == source + count) ++count;
      }
      const std::byte* from = x + (offset + source * (row ? row->x_stride : 0)) * size;
      std::memcpy(y, from, count * block_bytes_);
      y += count * block_bytes_, i += count;
    }
    b += last - first;
  }
}

void PadOperation::Run(const Buffers& buffers, Executor& executor) const {
  if (blocks_ == 0 || block_bytes_ == 0) return;
  const int64_t work = blocks_ * block_bytes_ / static_cast<int64_t>(element_size_);
  const int64_t tasks = std::min(blocks_, TaskCount(work, executor));
  executor.ParallelFor(tasks,
                       [&](int64_t task, int) { RunBlocks(Part(blocks_, tasks, task), buffers); });
}

}  // namespace graft::cpu
