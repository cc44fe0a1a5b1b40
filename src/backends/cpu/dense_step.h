// What the steps of convolutions and products share: a workspace, and an epilogue behind the
// kernel.
#pragma once

#include <utility>

#include "backends/cpu/epilogue.h"
#include "base/aligned_buffer.h"

namespace graft::cpu {

class DenseStep : public BoundStep {
 public:
  explicit DenseStep(BoundEpilogue epilogue) : epilogue_(std::move(epilogue)) {}

  size_t workspace_bytes(int width) const final {
    return AlignUp(kernel_workspace_bytes(width)) + epilogue_.scratch_bytes(width);
  }
  Status Enqueue(const StepPointers& pointers, const Queue& queue) const final {
    Executor& executor = *queue.executor;
    auto* workspace = static_cast<std::byte*>(pointers.workspace);
    const size_t kernels = AlignUp(kernel_workspace_bytes(executor.width()));
    Status computed = OkStatus();
    const Status finished = epilogue_.Run(
        pointers, workspace + kernels, executor.width(), [&](const Epilogue& epilogue, void* sums) {
          computed = Compute(pointers, epilogue, sums, workspace, executor);
        });
    return computed.ok() ? finished : computed;
  }

 protected:
  virtual size_t kernel_workspace_bytes(int width) const = 0;
  // Writes sums to `sums`, rows epilogue().sums_stride() apart; kernels of SumsIn::kTiles do not.
  virtual Status Compute(const StepPointers& pointers, const Epilogue& epilogue, void* sums,
                         std::byte* workspace, Executor& executor) const = 0;

 private:
  BoundEpilogue epilogue_;
};

}  // namespace graft::cpu
