// Strided copies: what transpose, concatenation, slice, broadcast, tile, reshape and depth-to-space
// are, on any dtype.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// y[y_offset + Σ i·y_strides] = x[x_offset + Σ i·x_strides] for every index i below dims. Strides
// may be 0 (broadcast) or negative on x's side.
struct CopyProblem {
  int input = 0;
  Dims dims;
  std::vector<int64_t> x_strides;
  std::vector<int64_t> y_strides;
  int64_t x_offset = 0;
  int64_t y_offset = 0;
};

// Some copies into one output, none of which overlap in it.
class CopyOperation {
 public:
  // element_size: 1, 2, 4 or 8 bytes.
  CopyOperation(std::span<const CopyProblem> problems, size_t element_size);

  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  struct Outer {
    int64_t count;
    int64_t x_stride;
    int64_t y_stride;
  };
  // A copy of rows × columns blocks. The axis that is contiguous in y comes last; where x is
  // contiguous along another one, that is the axis of rows, so that a block is a transposition.
  struct Part {
    int input;
    int64_t x_offset;
    int64_t y_offset;
    std::vector<Outer> outer;
    int64_t rows = 1;
    int64_t x_row = 0;
    int64_t y_row = 0;
    int64_t columns = 1;
    int64_t x_column = 1;
    int64_t y_column = 1;
    int64_t all_rows = 1;  // rows · the outer counts
  };

  static Part Plan(const CopyProblem& problem);
  void RunPart(const Part& part, Range rows, const Buffers& buffers) const;

  size_t element_size_;
  std::vector<Part> parts_;
};

// The copies that the IR's ops are; x_row_stride and y_row_stride as in RowMajorStrides.
CopyProblem TransposeCopy(const Dims& x, int64_t x_row_stride, std::span<const int64_t> permutation,
                          int64_t y_row_stride);
CopyProblem SliceCopy(const Dims& x, int64_t x_row_stride, std::span<const int64_t> begin,
                      std::span<const int64_t> size, std::span<const int64_t> strides,
                      int64_t y_row_stride);
CopyProblem BroadcastCopy(const Dims& x, int64_t x_row_stride, const Dims& y, int64_t y_row_stride);
CopyProblem TileCopy(const Dims& x, int64_t x_row_stride, std::span<const int64_t> multiples,
                     int64_t y_row_stride);
// x[N, H, W, C]; the inverse with to_depth.
CopyProblem DepthToSpaceCopy(const Dims& x, int64_t x_row_stride, int64_t block, bool to_depth,
                             int64_t y_row_stride);
// Operand `input` of dims x, `position` elements into y's axis.
CopyProblem ConcatCopy(int input, const Dims& x, int64_t x_row_stride, int64_t axis,
                       int64_t position, const Dims& y, int64_t y_row_stride);

}  // namespace graft::cpu
