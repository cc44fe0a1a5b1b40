// What the tactics of the CPU backend share: a name from the kernel tables, traits that hold for
// every node, a cost from the bytes that move, and a step around an operation of the kernel
// library.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend_api/backend.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// For costs that are counted in cycles: of a processor of 3 GHz.
inline constexpr double kCyclesPerMillisecond = 3e6;

class CpuTactic : public Tactic {
 public:
  CpuTactic(std::string_view name, int version, TacticTraits traits = {})
      : name_(name), version_(version), traits_(std::move(traits)) {}
  std::string_view name() const override { return name_; }
  int version() const override { return version_; }
  TacticTraits Traits(const ir::Module&, const ir::Node&) const override { return traits_; }
  // Milliseconds to move every operand and result once at 10 GB/s.
  double Cost(const BoundNode& node) const override;

 private:
  std::string_view name_;
  int version_;
  TacticTraits traits_;
};

// A bound step that runs `Operation`: scratch_bytes(width) and Run(Buffers, Executor&), which gives
// a Status where the operands' data can be wrong. Its error carries the node's name.
template <class Operation>
class OperationStep final : public BoundStep {
 public:
  explicit OperationStep(Operation operation, std::string name = "")
      : operation_(std::move(operation)), name_(std::move(name)) {}
  size_t workspace_bytes(int width) const override { return operation_.scratch_bytes(width); }
  Status Enqueue(const StepPointers& pointers, const Queue& queue) const override {
    const Buffers buffers = {pointers.inputs, pointers.outputs,
                             static_cast<std::byte*>(pointers.workspace)};
    if constexpr (std::is_void_v<decltype(operation_.Run(buffers, *queue.executor))>) {
      operation_.Run(buffers, *queue.executor);
      return OkStatus();
    } else {
      const Status status = operation_.Run(buffers, *queue.executor);
      return status.ok() ? status : status.WithContext(name_);
    }
  }

 private:
  Operation operation_;
  std::string name_;
};

template <class Operation>
std::unique_ptr<BoundStep> MakeStep(Operation operation) {
  return std::make_unique<OperationStep<Operation>>(std::move(operation));
}
// Of an operation that may not have come to be, with the node's name on its error.
template <class Operation>
Result<std::unique_ptr<BoundStep>> MakeStep(const BoundNode& node, Result<Operation> operation) {
  if (!operation.ok()) return operation.status().WithContext(node.name);
  return std::unique_ptr<BoundStep>(
      std::make_unique<OperationStep<Operation>>(std::move(operation).value(), node.name));
}

// The values of dims in a bound node's attributes.
inline std::vector<int64_t> Values(std::span<const ir::Dim> dims) {
  std::vector<int64_t> values;
  for (const ir::Dim& d : dims) values.push_back(d.constant().value());
  return values;
}

}  // namespace graft::cpu
