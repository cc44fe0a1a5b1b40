// A node's epilogue program as the dense kernels run it.
#pragma once

#include <optional>
#include <span>

#include "backend_api/backend.h"
#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

// Why no dense kernel can run the node's epilogue. Its operands are the node's inputs from
// `first_operand` on.
std::optional<Refusal> RefuseEpilogue(const ir::Module& module, const ir::Node& node,
                                      const PointwiseProgram& program, int first_operand);

// Bias, residual add and clamp are done by the kernels themselves.
class BoundEpilogue {
 public:
  static Result<BoundEpilogue> Bind(const BoundNode& node, const PointwiseProgram& program,
                                    int first_operand);

  Epilogue ForRun(const StepPointers& pointers) const;

 private:
  int bias_ = -1;  // inputs of the node
  int residual_ = -1;
  int64_t residual_stride_ = 0;
  float low_ = 0;
  float high_ = 0;
};

}  // namespace graft::cpu
