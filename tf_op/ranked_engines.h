// The engines of a node: one, or one for each combination of ranks that its calls have, where
// conversion did not know the rank of an input.
#pragma once

#include <map>
#include <memory>
#include <shared_mutex>
#include <vector>

#include "engine_holder.h"

namespace graft_tf {

class RankedEngines {
 public:
  // So many are built; calls of further ranks run the native segment.
  static constexpr size_t kMost = 8;

  RankedEngines(EngineSpec spec, const NativeSegment* native, NodeStatistics* statistics);

  // EngineHolder::Run of the engine for these inputs; ResourceExhausted where there are kMost
  // others.
  absl::Status Run(tensorflow::OpKernelContext* context);

 private:
  absl::StatusOr<EngineHolder*> EngineFor(tensorflow::OpKernelContext* context);

  const NativeSegment* const native_;
  NodeStatistics* const statistics_;
  std::unique_ptr<EngineHolder> only_;  // where all ranks are known
  // Else:
  EngineSpec spec_;
  std::vector<int> unranked_;  // inputs
  std::shared_mutex mutex_;
  std::map<std::vector<int>, std::unique_ptr<EngineHolder>> by_ranks_;  // guarded by mutex_
};

}  // namespace graft_tf
