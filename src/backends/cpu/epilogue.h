// A node's epilogue program as the dense kernels run it: bias, residual add and bounds by
// themselves; any other program on each block of rows that they have just written.
#pragma once

#include <memory>
#include <optional>

#include "backend_api/backend.h"
#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

// Why the dense kernels cannot run the node's epilogue. Its operands are the node's inputs from
// `first_operand` on.
std::optional<Refusal> RefuseEpilogue(const ir::Module& module, const ir::Node& node,
                                      const PointwiseProgram& program, int first_operand);

class BoundEpilogue {
 public:
  static Result<BoundEpilogue> Bind(const BoundNode& node, const PointwiseProgram& program,
                                    int first_operand);
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

  // Behind the kernel's own workspace, at a 64-byte boundary.
  size_t scratch_bytes(int width) const;
  // Calls run(epilogue) with the epilogue for these pointers, valid during the call.
  // Fails where the program's integer arithmetic has no result.
  Status Run(const StepPointers& pointers, void* scratch,
             FunctionRef<void(const Epilogue& epilogue)> run) const;

 private:
  struct Program;  // what the kernels do not do by themselves
  BoundEpilogue();

  int bias_ = -1;  // inputs of the node
  int residual_ = -1;
  int64_t residual_stride_ = 0;
  float low_;
  float high_;
  std::unique_ptr<const Program> program_;
};

}  // namespace graft::cpu
