#include "kernels/cpu/data/copy.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/strides.h"

namespace graft::cpu {
namespace {

// Side of the square blocks of a transposition: both sides of a block of 8-byte elements fit the
// first-level cache many times over, and a row of it is at most two cache lines.
constexpr int64_t kTile = 16;

// A few elements: calling memcpy would cost more than the copy.
template <size_t kBytes>
void CopyShortRows(int64_t rows, const std::byte* x, int64_t x_row, std::byte* y, int64_t y_row) {
  for (int64_t r = 0; r < rows; ++r) std::memcpy(y + r * y_row, x + r * x_row, kBytes);
}

void CopyRows(int64_t rows, int64_t bytes, const std::byte* x, int64_t x_row, std::byte* y,
              int64_t y_row) {
  switch (bytes) {
    case 4:
      return CopyShortRows<4>(rows, x, x_row, y, y_row);
    case 8:
      return CopyShortRows<8>(rows, x, x_row, y, y_row);
    case 12:
      return CopyShortRows<12>(rows, x, x_row, y, y_row);
    case 16:
      return CopyShortRows<16>(rows, x, x_row, y, y_row);
    case 32:
      return CopyShortRows<32>(rows, x, x_row, y, y_row);
    case 64:
      return CopyShortRows<64>(rows, x, x_row, y, y_row);
    default:
      for (int64_t r = 0; r < rows; ++r) std::memcpy(y + r * y_row, x + r * x_row, bytes);
  }
}

// A block with strides in elements of T.
struct Block {
  int64_t rows;
  int64_t columns;
  int64_t x_row;
  int64_t x_column;
  int64_t y_row;
  int64_t y_column;
};

template <class T>
void CopyTile(const Block& b, const T* x, T* y) {
  for (int64_t r = 0; r < b.rows; ++r) {
    for (int64_t c = 0; c < b.columns; ++c) {
      y[r * b.y_row + c * b.y_column] = x[r * b.x_row + c * b.x_column];
    }
  }
}

template <class T>
void CopyBlock(const Block& b, const std::byte* from, std::byte* to) {
  const T* x = reinterpret_cast<const T*>(from);
  T* y = reinterpret_cast<T*>(to);
  constexpr int64_t kSize = sizeof(T);
  if (b.y_column != 1 || (b.x_column != 1 && b.x_column != 0 && b.x_row != 1)) {
    return CopyTile(b, x, y);
  }
  if (b.x_column == 1) {
    return CopyRows(b.rows, b.columns * kSize, from, b.x_row * kSize, to, b.y_row * kSize);
  }
  if (b.x_column == 0) {
    for (int64_t r = 0; r < b.rows; ++r) std::fill_n(y + r * b.y_row, b.columns, x[r * b.x_row]);
    return;
  }
  Block tile = b;
  for (int64_t r = 0; r < b.rows; r += kTile) {
    tile.rows = std::min(kTile, b.rows - r);
    for (int64_t c = 0; c < b.columns; c += kTile) {
      tile.columns = std::min(kTile, b.columns - c);
      CopyTile(tile, x + r + c * b.x_column, y + r * b.y_row + c);
    }
  }
}

}  // namespace

CopyOperation::Part CopyOperation::Plan(const CopyProblem& problem) {
  // Axes of one element vanish; neighbours that both sides walk as one become one.
  std::vector<Outer> axes;
  for (size_t i = 0; i < problem.dims.size(); ++i) {
    const Outer axis{problem.dims[i], problem.x_strides[i], problem.y_strides[i]};
    if (axis.count == 1) continue;
    if (!axes.empty() && axes.back().x_stride == axis.x_stride * axis.count &&
        axes.back().y_stride == axis.y_stride * axis.count) {
      axes.back() = {axes.back().count * axis.count, axis.x_stride, axis.y_stride};
    } else {
      axes.push_back(axis);
    }
  }
  Part part{problem.input, problem.x_offset, problem.y_offset, {}};
  auto take = [&](size_t i) {
    const Outer axis = axes[i];
    axes.erase(axes.begin() + i);
    return axis;
  };
  if (!axes.empty()) {
    const Outer column = take(axes.size() - 1);
    part.columns = column.count;
    part.x_column = column.x_stride;
    part.y_column = column.y_stride;
  }
  if (!axes.empty()) {
    size_t row_axis = axes.size() - 1;
    if (part.x_column != 1) {
      for (size_t i = 0; i < axes.size(); ++i) {
        if (axes[i].x_stride == 1) row_axis = i;
      }
    }
    const Outer row = take(row_axis);
    part.rows = row.count;
    part.x_row = row.x_stride;
    part.y_row = row.y_stride;
  }
  part.outer = std::move(axes);
  part.all_rows = part.rows;
  for (const Outer& axis : part.outer) part.all_rows *= axis.count;
  return part;
}

CopyOperation::CopyOperation(std::span<const CopyProblem> problems, size_t element_size)
    : element_size_(element_size) {
  for (const CopyProblem& problem : problems) {
    if (CountElements(problem.dims) > 0) parts_.push_back(Plan(problem));
  }
}

void CopyOperation::RunPart(const Part& part, Range rows, const Buffers& buffers) const {
  const int64_t size = static_cast<int64_t>(element_size_);
  const std::byte* x = static_cast<const std::byte*>(buffers.inputs[part.input]);
  std::byte* y = static_cast<std::byte*>(buffers.outputs[0]);
  for (int64_t row = rows.begin; row < rows.end;) {
    const int64_t r = row % part.rows;
    const int64_t count = std::min(rows.end - row, part.rows - r);
    int64_t x_offset = part.x_offset + r * part.x_row;
    int64_t y_offset = part.y_offset + r * part.y_row;
    int64_t rest = row / part.rows;
    for (size_t i = part.outer.size(); i-- > 0; rest /= part.outer[i].count) {
      const int64_t index = rest % part.outer[i].count;
      x_offset += index * part.outer[i].x_stride;
      y_offset += index * part.outer[i].y_stride;
    }
    const Block block{count, part.columns, part.x_row, part.x_column, part.y_row, part.y_column};
    const std::byte* from = x + x_offset * size;
    std::byte* to = y + y_offset * size;
    switch (size) {
      case 1:
        CopyBlock<uint8_t>(block, from, to);
        break;
      case 2:
        CopyBlock<uint16_t>(block, from, to);
        break;
      case 4:
        CopyBlock<uint32_t>(block, from, to);
        break;
      default:
        CopyBlock<uint64_t>(block, from, to);
    }
    row += count;
  }
}

void CopyOperation::Run(const Buffers& buffers, Executor& executor) const {
  int64_t work = 0;
  for (const Part& part : parts_) work += part.all_rows * part.columns;
  const int64_t tasks = TaskCount(work, executor);
  if (tasks == 1) {
    for (const Part& part : parts_) RunPart(part, {0, part.all_rows}, buffers);
    return;
  }
  for (const Part& part : parts_) {
    if (part.all_rows >= tasks) {
      executor.ParallelFor(tasks, [&](int64_t task, int) {
        RunPart(part, graft::cpu::Part(part.all_rows, tasks, task), buffers);
      });
      continue;
    }
    // Few long rows: each is cut.
    executor.ParallelFor(tasks, [&](int64_t task, int) {
      const Range columns = graft::cpu::Part(part.columns, tasks, task);
      Part piece = part;
      piece.columns = columns.size();
      piece.x_offset += columns.begin * part.x_column;
      piece.y_offset += columns.begin * part.y_column;
      RunPart(piece, {0, part.all_rows}, buffers);
    });
  }
}

CopyProblem TransposeCopy(const Dims& x, int64_t x_row_stride, std::span<const int64_t> permutation,
                          int64_t y_row_stride) {
  const std::vector<int64_t> strides = RowMajorStrides(x, x_row_stride);
  CopyProblem copy;
  for (int64_t axis : permutation) {
    copy.dims.push_back(x[axis]);
    copy.x_strides.push_back(strides[axis]);
  }
  copy.y_strides = RowMajorStrides(copy.dims, y_row_stride);
  return copy;
}

CopyProblem SliceCopy(const Dims& x, int64_t x_row_stride, std::span<const int64_t> begin,
                      std::span<const int64_t> size, std::span<const int64_t> strides,
                      int64_t y_row_stride) {
  CopyProblem copy;
  copy.dims.assign(size.begin(), size.end());
  copy.x_strides = RowMajorStrides(x, x_row_stride);
  copy.y_strides = RowMajorStrides(copy.dims, y_row_stride);
  for (size_t i = 0; i < begin.size(); ++i) {
    copy.x_offset += begin[i] * copy.x_strides[i];
    copy.x_strides[i] *= strides[i];
  }
  return copy;
}

CopyProblem BroadcastCopy(const Dims& x, int64_t x_row_stride, const Dims& y,
                          int64_t y_row_stride) {
  CopyProblem copy;
  copy.dims = y;
  copy.y_strides = RowMajorStrides(y, y_row_stride);
  copy.x_strides = BroadcastStrides(x, x_row_stride, y);
  return copy;
}

CopyProblem TileCopy(const Dims& x, int64_t x_row_stride, std::span<const int64_t> multiples,
                     int64_t y_row_stride) {
  Dims y = x;
  for (size_t i = 0; i < x.size(); ++i) y[i] *= multiples[i];
  const std::vector<int64_t> x_strides = RowMajorStrides(x, x_row_stride);
  const std::vector<int64_t> y_strides = RowMajorStrides(y, y_row_stride);
  CopyProblem copy;
  for (size_t i = 0; i < x.size(); ++i) {
    copy.dims.insert(copy.dims.end(), {multiples[i], x[i]});
    copy.x_strides.insert(copy.x_strides.end(), {0, x_strides[i]});
    copy.y_strides.insert(copy.y_strides.end(), {y_strides[i] * x[i], y_strides[i]});
  }
  return copy;
}

CopyProblem DepthToSpaceCopy(const Dims& x, int64_t x_row_stride, int64_t block, bool to_depth,
                             int64_t y_row_stride) {
  // Both directions pair the pixels [N, H, W, block, block, C] of the deep side, where C is the
  // flat side's depth, with the flat side's [N, H, block, W, block, C].
  const int64_t flat_depth = to_depth ? x[3] : x[3] / (block * block);
  const Dims deep =
      to_depth ? Dims{x[0], x[1] / block, x[2] / block, flat_depth * block * block} : x;
  const Dims flat = {x[0], deep[1] * block, deep[2] * block, flat_depth};
  const std::vector<int64_t> d = RowMajorStrides(deep, to_depth ? y_row_stride : x_row_stride);
  const std::vector<int64_t> f = RowMajorStrides(flat, to_depth ? x_row_stride : y_row_stride);
  CopyProblem copy;
  std::vector<int64_t>& deep_strides = to_depth ? copy.y_strides : copy.x_strides;
  std::vector<int64_t>& flat_strides = to_depth ? copy.x_strides : copy.y_strides;
  copy.dims = {deep[0], deep[1], block, deep[2], block, flat_depth};
  deep_strides = {d[0], d[1], flat_depth * block, d[2], flat_depth, 1};
  flat_strides = {f[0], f[1] * block, f[1], f[2] * block, f[2], 1};
  return copy;
}

CopyProblem ConcatCopy(int input, const Dims& x, int64_t x_row_stride, int64_t axis,
                       int64_t position, const Dims& y, int64_t y_row_stride) {
  CopyProblem copy;
  copy.input = input;
  copy.dims = x;
  copy.x_strides = RowMajorStrides(x, x_row_stride);
  copy.y_strides = RowMajorStrides(y, y_row_stride);
  copy.y_offset = position * copy.y_strides[axis];
  return copy;
}

}  // namespace graft::cpu
