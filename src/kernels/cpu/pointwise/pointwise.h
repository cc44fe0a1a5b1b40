// Element-wise programs on the CPU. A program is compiled once into loops over blocks of elements
// that stay in the first-level cache from one instruction to the next.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/pointwise.h"
#include "base/status.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pointwise/instructions.h"

namespace graft::cpu {

// An operand over a block of rows: element (r, c) lies r · row_stride + c · column_stride elements
// after data. Strides of 0 broadcast: a bias vector has strides (0, 1), a scalar (0, 0).
struct RowsOperand {
  const void* data = nullptr;
  int64_t row_stride = 0;
  int64_t column_stride = 1;
};

// A compiled program. Immutable; any number of threads run it, each with its own scratch.
class PointwiseKernel {
 public:
  // kUnsupported, with the instruction named, for dtypes without arithmetic here.
  static Result<PointwiseKernel> Compile(const PointwiseProgram& program,
                                         std::span<const DType> inputs);

  // Why Compile would fail, without its work.
  static Status Check(const PointwiseProgram& program, std::span<const DType> inputs);

  DType result_dtype() const { return registers_[result_].dtype; }
  // Of 64-byte aligned memory, for each thread that runs.
  size_t scratch_bytes() const { return scratch_bytes_; }

  // Runs the program on a block of rows, one operand for each of the program's inputs. The output's
  // columns are contiguous. It may be the very memory of operands with its shape and strides: a
  // convolution passes the rows that it has just written as operand 0 and as output. False where
  // integer arithmetic had no result.
  bool RunRows(int64_t rows, int64_t columns, std::span<const RowsOperand> operands, void* output,
               int64_t output_row_stride, void* scratch) const;

 private:
  struct Register {
    DType dtype;
    size_t size;    // of an element
    size_t offset;  // of its block in scratch; constants: in constants_
    bool constant = false;
  };
  struct Instruction {
    InstructionLoop loop;
    int operands[3];
    int result;
    double p;
    double q;
  };
  struct Block;

  void Execute(Block& block) const;

  int inputs_ = 0;
  int result_ = 0;
  size_t scratch_bytes_ = 0;
  std::vector<Register> registers_;
  std::vector<Instruction> instructions_;
  // Uniform registers, kUniformBytes each.
  std::vector<std::byte> constants_;
};

// The error of a program that divides an integer by zero.
Status UndefinedArithmetic();

// A whole element-wise operation over broadcast operands.
struct PointwiseProblem {
  struct Input {
    DType dtype;
    Dims dims;
    int64_t row_stride;  // elements between runs of the last axis
  };
  PointwiseProgram program;
  std::vector<Input> inputs;
  Dims output;  // every input broadcasts to it by NumPy's rule
  int64_t output_row_stride = 1;
};

class PointwiseOperation {
 public:
  static Result<PointwiseOperation> Make(const PointwiseProblem& problem);

  size_t scratch_bytes(int width) const { return kernel_.scratch_bytes() * width; }
  // The output may share the buffer of inputs that have its dtype, dims and row stride.
  // kInvalidArgument where integer arithmetic has no result.
  Status Run(const Buffers& buffers, Executor& executor) const;

 private:
  // An operand's strides along the collapsed axes, in elements.
  struct Walk {
    size_t element_size;
    std::vector<int64_t> outer;
    int64_t row;
    int64_t column;
  };

  explicit PointwiseOperation(PointwiseKernel kernel) : kernel_(std::move(kernel)) {}
  bool RunRange(int64_t first_row, int64_t last_row, int64_t first_column, int64_t last_column,
                const Buffers& buffers, int worker) const;

  PointwiseKernel kernel_;
  std::vector<int64_t> outer_dims_;
  int64_t outer_count_ = 1;
  int64_t rows_ = 1;
  int64_t columns_ = 1;
  std::vector<Walk> walks_;  // the inputs', then the output's
};

}  // namespace graft::cpu
