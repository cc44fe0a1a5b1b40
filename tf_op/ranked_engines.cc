#include "ranked_engines.h"

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"

namespace graft_tf {

using tensorflow::OpKernelContext;

RankedEngines::RankedEngines(EngineSpec spec, const NativeSegment* native,
                             NodeStatistics* statistics)
    : native_(native), statistics_(statistics) {
  // A plan has its ranks.
  if (!spec.has_plan()) {
    for (size_t i = 0; i < spec.input_shapes.size(); ++i) {
      if (spec.input_shapes[i].unknown_rank()) unranked_.push_back(static_cast<int>(i));
    }
  }
  if (unranked_.empty()) {
    only_ = std::make_unique<EngineHolder>(std::move(spec), native, statistics);
  } else {
    spec_ = std::move(spec);
  }
}

absl::Status RankedEngines::Run(OpKernelContext* context) {
  if (only_ != nullptr) return only_->Run(context);
  const absl::StatusOr<EngineHolder*> engine = EngineFor(context);
  return engine.ok() ? (*engine)->Run(context) : engine.status();
}

absl::StatusOr<EngineHolder*> RankedEngines::EngineFor(OpKernelContext* context) {
  std::vector<int> ranks;
  for (const int i : unranked_) ranks.push_back(context->input(i).dims());
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (const auto found = by_ranks_.find(ranks); found != by_ranks_.end())
      return found->second.get();
  }
  const std::lock_guard<std::shared_mutex> lock(mutex_);
  if (const auto found = by_ranks_.find(ranks); found != by_ranks_.end())
    return found->second.get();  // another call was faster
  if (by_ranks_.size() >= kMost) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it has engines for ", kMost, " other combinations of its inputs' ranks"));
  }
  EngineSpec spec = spec_;
  for (size_t i = 0; i < ranks.size(); ++i) {
    const std::vector<int64_t> dims(ranks[i], -1);
    TF_RETURN_IF_ERROR(tensorflow::PartialTensorShape::MakePartialShape(
        dims.data(), ranks[i], &spec.input_shapes[unranked_[i]]));
  }
  auto engine = std::make_unique<EngineHolder>(std::move(spec), native_, statistics_);
  return by_ranks_.emplace(std::move(ranks), std::move(engine)).first->second.get();
}

}  // namespace graft_tf
