#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.h"
#include "kernels/cpu/pointwise/lower_halves.h"
#include "kernels/cpu/pointwise/pointwise.h"

namespace graft::cpu {
namespace {

// Elements of a block. Few enough that the live registers of usual programs share the first-level
// cache, enough that choosing the next instruction costs nothing.
constexpr int64_t kBlock = 1024;
// Rows longer than this are blocks of their own, read and written where they are.
constexpr int64_t kLongRow = 256;
// Inputs and their wide forms; each instruction's result, rounded and wide again; the copy.
constexpr int kMaxRegisters = (2 + 3) * kMaxPointwiseInstructions + 1;

// A register during one run: where its elements are, and whether they vary.
struct Operand {
  const std::byte* data;
  size_t mask;
};

template <class T>
void FillAs(std::byte* to, const std::byte* value, int64_t count) {
  T v;
  std::memcpy(&v, value, sizeof(T));
  std::fill_n(reinterpret_cast<T*>(to), count, v);
}

void Fill(std::byte* to, const std::byte* value, int64_t count, size_t size) {
  switch (size) {
    case 1:
      return FillAs<uint8_t>(to, value, count);
    case 2:
      return FillAs<uint16_t>(to, value, count);
    case 4:
      return FillAs<uint32_t>(to, value, count);
    default:
      return FillAs<uint64_t>(to, value, count);
  }
}

// `count` elements, `stride` apart, side by side.
void Gather(std::byte* to, const std::byte* from, int64_t stride, int64_t count, size_t size) {
  if (stride == 1) {
    std::memcpy(to, from, count * size);
  } else if (stride == 0) {
    Fill(to, from, count, size);
  } else {
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(to + i * size, from + i * stride * static_cast<int64_t>(size), size);
    }
  }
}

Result<InstructionLoop> FindLoop(const PointwiseInstruction& in, std::span<const DType> registers) {
  if (in.op == PointwiseOp::kCast) {
    const DType from = registers[in.operands[0]];
    if (InstructionLoop loop = VectorCastLoop(from, in.dtype)) return loop;
    if (InstructionLoop loop = CastLoop(from, in.dtype)) return loop;
    return UnsupportedError("no cast from {} to {} on the CPU", Name(from), Name(in.dtype));
  }
  // Tests give bool and select reads one: the arithmetic is that of the other side.
  const DType dtype = in.op == PointwiseOp::kSelect ? in.dtype : registers[in.operands[0]];
  if (InstructionLoop loop = VectorLoop(in.op, dtype)) return loop;
  if (InstructionLoop loop = ScalarLoop(in.op, dtype)) return loop;
  return UnsupportedError("no {} of {} on the CPU", Name(in.op), Name(dtype));
}

}  // namespace

Status PointwiseKernel::Check(const PointwiseProgram& original, std::span<const DType> inputs) {
  GRAFT_RETURN_IF_ERROR(Verify(original));
  GRAFT_RETURN_IF_ERROR(VerifyTypes(original, inputs));
  const PointwiseProgram program = LowerHalves(original, inputs);
  std::vector<DType> dtypes(inputs.begin(), inputs.end());
  for (const PointwiseInstruction& in : program.instructions) {
    if (in.op == PointwiseOp::kConstant) {
      if (!CastLoop(DType::kFloat64, in.dtype))
        return UnsupportedError("a constant of {} on the CPU", Name(in.dtype));
    } else if (const Result<InstructionLoop> loop = FindLoop(in, dtypes); !loop.ok()) {
      return loop.status();
    }
    dtypes.push_back(in.dtype);
  }
  if (dtypes.empty()) return InvalidArgumentError("an element-wise program without a result");
  return OkStatus();
}

Result<PointwiseKernel> PointwiseKernel::Compile(const PointwiseProgram& original,
                                                 std::span<const DType> inputs) {
  GRAFT_RETURN_IF_ERROR(Verify(original));
  GRAFT_RETURN_IF_ERROR(VerifyTypes(original, inputs));
  PointwiseProgram program = LowerHalves(original, inputs);
  std::vector<DType> dtypes(inputs.begin(), inputs.end());
  for (const PointwiseInstruction& in : program.instructions) dtypes.push_back(in.dtype);
  if (dtypes.empty()) return InvalidArgumentError("an element-wise program without a result");
  // The output is written by an instruction's loop: where none computes it, a copy does.
  if (program.empty() || program.instructions.back().op == PointwiseOp::kConstant) {
    const DType dtype = program.empty() ? dtypes[0] : dtypes.back();
    program.Add(PointwiseOp::kCast, dtype, program.empty() ? 0 : program.result());
    dtypes.push_back(dtype);
  }

  PointwiseKernel kernel;
  kernel.inputs_ = program.inputs;
  kernel.result_ = program.result();
  const int count = program.result() + 1;
  std::vector<int> last_use(count, count);
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    for (int r : program.instructions[i].operands) {
      if (r >= 0) last_use[r] = static_cast<int>(i);
    }
  }

  // Inputs that are not read in place and results get a block of scratch each; a result's block is
  // free again after its last use.
  std::vector<size_t> free;
  const size_t block_bytes = kBlock * sizeof(double);
  auto take_block = [&] {
    if (free.empty()) {
      free.push_back(kernel.scratch_bytes_);
      kernel.scratch_bytes_ += block_bytes;
    }
    const size_t offset = free.back();
    free.pop_back();
    return offset;
  };
  for (int r = 0; r < count; ++r) kernel.registers_.push_back({dtypes[r], SizeOf(dtypes[r]), 0});
  for (int r = 0; r < program.inputs; ++r) kernel.registers_[r].offset = take_block();
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const PointwiseInstruction& in = program.instructions[i];
    Register& result = kernel.registers_[program.inputs + i];
    if (in.op == PointwiseOp::kConstant) {
      const InstructionLoop cast = CastLoop(DType::kFloat64, in.dtype);
      if (cast == nullptr) return UnsupportedError("a constant of {} on the CPU", Name(in.dtype));
      result.constant = true;
      result.offset = kernel.constants_.size();
      kernel.constants_.resize(result.offset + kUniformBytes);
      cast({{&in.p},
            {0},
            kernel.constants_.data() + result.offset,
            kUniformBytes / result.size,
            0,
            0});
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const InstructionLoop loop, FindLoop(in, dtypes));
    result.offset = take_block();
    Instruction instruction{loop, {}, program.inputs + static_cast<int>(i), in.p, in.q};
    std::copy_n(in.operands, 3, instruction.operands);
    kernel.instructions_.push_back(instruction);
    for (int k = 0; k < OperandCount(in.op); ++k) {
      const int r = in.operands[k];
      const bool again = std::find(in.operands, in.operands + k, r) != in.operands + k;
      if (r >= program.inputs && last_use[r] == static_cast<int>(i) && !again &&
          !kernel.registers_[r].constant) {
        free.push_back(kernel.registers_[r].offset);
      }
    }
  }
  return kernel;
}

struct PointwiseKernel::Block {
  Operand registers[kMaxRegisters];
  std::byte* scratch;
  std::byte* output;
  int64_t count;
  bool* undefined;
};

// Of the block's registers the inputs and constants are set.
void PointwiseKernel::Execute(Block& block) const {
  Operand* const registers = block.registers;
  for (const Instruction& in : instructions_) {
    InstructionBlock b{};
    bool uniform = true;
    for (int k = 0; k < 3 && in.operands[k] >= 0; ++k) {
      b.x[k] = registers[in.operands[k]].data;
      b.mask[k] = registers[in.operands[k]].mask;
      uniform = uniform && b.mask[k] == 0;
    }
    const bool last = in.result == result_;
    std::byte* y = last ? block.output : block.scratch + registers_[in.result].offset;
    uniform = uniform && !last;
    b.y = y;
    b.count = uniform ? kUniformBytes / registers_[in.result].size : block.count;
    b.p = in.p;
    b.q = in.q;
    b.undefined = block.undefined;
    in.loop(b);
    registers[in.result] = {y, uniform ? 0 : ~size_t{0}};
  }
}

bool PointwiseKernel::RunRows(int64_t rows, int64_t columns, std::span<const RowsOperand> operands,
                              void* output, int64_t output_row_stride, void* scratch) const {
  if (rows == 0 || columns == 0) return true;
  // Where every operand is contiguous or one value, the rows are one long row.
  bool joined = output_row_stride == columns || rows == 1;
  for (const RowsOperand& operand : operands) {
    joined = joined && (rows == 1 || operand.row_stride == columns * operand.column_stride);
  }
  if (joined) {
    columns *= rows;
    rows = 1;
  }
  const int64_t block_rows = columns > kLongRow ? 1 : std::min(rows, kBlock / columns);
  const int64_t block_columns = std::min(columns, kBlock);
  const size_t out_size = registers_[result_].size;

  bool undefined = false;
  Block block;
  block.undefined = &undefined;
  block.scratch = static_cast<std::byte*>(scratch);
  const bool output_in_place = block_rows == 1 || output_row_stride == columns;
  std::byte* result_block = block.scratch + registers_[result_].offset;

  for (size_t r = inputs_; r < registers_.size(); ++r) {
    if (registers_[r].constant) block.registers[r] = {constants_.data() + registers_[r].offset, 0};
  }

  // How each input is read: in place, or copied into its scratch block; copies that no block
  // changes are made once.
  enum class Fetch : uint8_t { kOnce, kInPlace, kCopy };
  Fetch fetch[kMaxPointwiseInstructions];
  for (int k = 0; k < inputs_; ++k) {
    const RowsOperand& operand = operands[k];
    const size_t size = registers_[k].size;
    const std::byte* data = static_cast<const std::byte*>(operand.data);
    std::byte* copy = block.scratch + registers_[k].offset;
    const bool one_row = rows == 1 || operand.row_stride == 0;
    if (one_row && (operand.column_stride == 0 || columns == 1)) {
      fetch[k] = Fetch::kOnce;
      Fill(copy, data, kUniformBytes / size, size);
      block.registers[k] = {copy, 0};
    } else if (operand.column_stride == 1 && (block_rows == 1 || operand.row_stride == columns)) {
      fetch[k] = Fetch::kInPlace;
      block.registers[k].mask = ~size_t{0};
    } else if (one_row && columns <= block_columns) {
      fetch[k] = Fetch::kOnce;
      Gather(copy, data, operand.column_stride, columns, size);
      for (int64_t r = 1; r < block_rows; ++r) {
        std::memcpy(copy + r * columns * size, copy, columns * size);
      }
      block.registers[k] = {copy, ~size_t{0}};
    } else {
      fetch[k] = Fetch::kCopy;
      block.registers[k] = {copy, ~size_t{0}};
    }
  }

  for (int64_t r = 0; r < rows; r += block_rows) {
    const int64_t n = std::min(block_rows, rows - r);
    for (int64_t c = 0; c < columns; c += block_columns) {
      const int64_t m = std::min(block_columns, columns - c);
      block.count = n * m;
      for (int k = 0; k < inputs_; ++k) {
        if (fetch[k] == Fetch::kOnce) continue;
        const RowsOperand& operand = operands[k];
        const size_t size = registers_[k].size;
        const std::byte* data =
            static_cast<const std::byte*>(operand.data) +
            (r * operand.row_stride + c * operand.column_stride) * static_cast<int64_t>(size);
        if (fetch[k] == Fetch::kInPlace) {
          block.registers[k].data = data;
          continue;
        }
        std::byte* copy = block.scratch + registers_[k].offset;
        for (int64_t i = 0; i < n; ++i) {
          Gather(copy + i * m * size, data + i * operand.row_stride * static_cast<int64_t>(size),
                 operand.column_stride, m, size);
        }
      }
      std::byte* out = static_cast<std::byte*>(output) + (r * output_row_stride + c) * out_size;
      block.output = output_in_place ? out : result_block;
      Execute(block);
      if (output_in_place) continue;
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(out + i * output_row_stride * out_size, result_block + i * m * out_size,
                    m * out_size);
      }
    }
  }
  return !undefined;
}

}  // namespace graft::cpu
