// The plan file: a sectioned container (container.h) with FlatBuffers metadata (plan.fbs) and the
// weights, each at a 64-byte boundary. docs/plan-format.md describes the bytes.
#pragma once

#include <functional>
#include <string>

#include "base/executor.h"
#include "base/file.h"
#include "base/status.h"
#include "plan/plan.h"

namespace graft {

struct WritePlanOptions {
  // Names the constants that live elsewhere (in a converted model's native segment): those for
  // which it gives a name are stored by this name and their hash only. Empty: all weights are in
  // the plan.
  std::function<std::string(ir::ValueId)> external_name;
};

// Equal plans give equal bytes. kInvalidArgument when the plan is not whole.
Result<std::string> WritePlan(const Plan& plan, const WritePlanOptions& options = {});
// To a file, whole or not at all; gives its size. Needs no memory for the weights.
Result<size_t> WritePlanFile(const Plan& plan, const std::string& path,
                             const WritePlanOptions& options = {});

struct ReadPlanOptions {
  // Finds a constant that the plan stores by name and hash only. The names in a graph may have
  // changed since (TensorFlow merges equal constants), so any constant that `fits` will do: it has
  // the dtype, the number of elements and the hash of the one that the plan was made for.
  std::function<Result<Tensor>(const std::string& name, FunctionRef<bool(const Tensor&)> fits)>
      external_weight;
  // All weights are compared with their hashes; otherwise only those of plans up to
  // kSmallPlanBytes, the rest by CheckWeights.
  bool check_all_weights = false;
};
inline constexpr size_t kSmallPlanBytes = size_t{64} << 20;

// Trusts no byte: sections, metadata, hashes and the module are verified. Constants share the
// memory of `bytes`. kDataLoss for truncated or altered plans, kUnsupported for newer ones; the
// message names the field.
Result<Plan> ReadPlan(const FileBytes& bytes, const ReadPlanOptions& options = {});

// Reads the file by name; map=false copies it, for files that others may write to.
Result<Plan> LoadPlan(const std::string& path, const ReadPlanOptions& options = {},
                      bool map = true);

}  // namespace graft
