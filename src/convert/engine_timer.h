// An engine at one shape, to be timed in turns with others.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "backend_api/device_buffer.h"
#include "runtime/context.h"

namespace graft::convert {

// Inputs and outputs lie where the engine's steps work, so that no copy counts; inputs whose
// elements are dimensions lie in the host's memory, as engines want it.
class EngineTimer {
 public:
  static Result<EngineTimer> Create(std::shared_ptr<const Engine> engine,
                                    std::shared_ptr<Executor> executor, std::vector<Tensor> inputs);

  // Binds the shape and records it, which is no part of a run.
  Status WarmUp();
  // Runs for about so many microseconds, once at least.
  Status Run(double microseconds);
  // The least microseconds of one run.
  double best() const { return best_; }

 private:
  // The engine asks for either: the host's where both are the same.
  struct OutputBuffer {
    std::vector<std::byte> host;
    DeviceBuffer device;
  };

  Result<OutputMemory> Place(const OutputRequest& request);
  Status RunOnce();

  std::shared_ptr<const Engine> engine_;
  std::vector<Tensor> inputs_;
  std::vector<DeviceBuffer> input_buffers_;   // on devices with memory of their own
  std::vector<OutputBuffer> output_buffers_;  // by output
  std::vector<TensorView> views_;
  std::unique_ptr<Context> context_;
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace graft::convert
