// A node's epilogue program as the dense kernels run it: bias, residual add and bounds by
// themselves; any other program on each block of sums that they have just made, from where those
// are to the output. Sums that have the output's dtype are made in it.
#pragma once

#include <memory>
#include <optional>

#include "backend_api/backend.h"
#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

// The input of a convolution or product that is its epilogue's first operand.
inline constexpr int kFirstEpilogueOperand = 2;

// Why the dense kernels cannot run the node's epilogue on sums of such a dtype.
std::optional<Refusal> RefuseEpilogue(const ir::Module& module, const ir::Node& node,
                                      const PointwiseProgram& program, DType sums);

class BoundEpilogue {
 public:
  // `kernel` says where the kernel leaves its sums of the dtype `sums`.
  static Result<BoundEpilogue> Bind(const BoundNode& node, const PointwiseProgram& program,
                                    DType sums, SumsIn kernel);
  ~BoundEpilogue();
  BoundEpilogue(BoundEpilogue&&) noexcept;
  BoundEpilogue& operator=(BoundEpilogue&&) noexcept;

  // What a kernel is asked for, before there are pointers.
  struct Form {
    bool bias;
    bool residual;
    int64_t residual_stride;
    float low;
    float high;
  };
  Form form() const { return {bias_ >= 0, residual_ >= 0, residual_stride_, low_, high_}; }

  // Elements between rows of the sums that the kernel writes.
  int64_t sums_stride() const { return sums_stride_; }

  // Behind the kernel's own workspace, at a 64-byte boundary.
  size_t scratch_bytes(int width) const;
  // Calls run(epilogue, sums) with the epilogue for these pointers, valid during the call, and
  // where the kernel is to write its sums. Fails where the program's integer arithmetic has no
  // result.
  Status Run(const StepPointers& pointers, void* scratch, int width,
             FunctionRef<void(const Epilogue& epilogue, void* sums)> run) const;

 private:
  struct Program;  // what the kernels do not do by themselves
  BoundEpilogue();

  int bias_ = -1;  // inputs of the node
  int residual_ = -1;
  int64_t residual_stride_ = 0;
  int64_t sums_stride_ = 0;
  size_t sums_bytes_ = 0;  // where they are not made in the output
  float low_;
  float high_;
  std::unique_ptr<const Program> program_;
};

}  // namespace graft::cpu
