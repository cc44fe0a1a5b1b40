// Padding with a constant or a mirror image, on any dtype.
#pragma once

#include <cstdint>
#include <vector>

#include "base/op_kinds.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

struct PadProblem {
  PadMode mode = PadMode::kConstant;
  Dims x;
  int64_t x_row_stride = 1;
  std::vector<int64_t> before;
  std::vector<int64_t> after;
  size_t element_size = 4;
  std::byte value[8] = {};  // one element, for kConstant
};

class PadOperation {
 public:
  // kInvalidArgument when a mirror would reach beyond its axis.
  static Result<PadOperation> Make(const PadProblem& problem);

  size_t scratch_bytes(int) const { return 0; }
  // The output is dense.
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  // An axis that is padded, or stands outside one that is.
  struct Axis {
    int64_t x_stride;             // in elements
    std::vector<int64_t> source;  // of each output index, the input's; -1: the constant
  };

  void RunBlocks(Range blocks, const Buffers& buffers) const;

  std::vector<Axis> axes_;
  // What is copied at once, in bytes of input and output: the axes inside the last padded one.
  int64_t block_bytes_ = 0;
  int64_t blocks_ = 1;
  size_t element_size_ = 4;
  std::vector<std::byte> constant_;  // a block of it
};

}  // namespace graft::cpu
