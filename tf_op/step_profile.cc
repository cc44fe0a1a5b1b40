#include "step_profile.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tensorflow/core/common_runtime/step_stats_collector.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/node_def.pb.h"
#include "tensorflow/core/platform/env_time.h"
#include "tensorflow/core/profiler/lib/traceme.h"
#include "tensorflow/core/profiler/lib/traceme_encode.h"

namespace graft_tf {

using tensorflow::NodeExecStatsInterface;
using tensorflow::OpKernelContext;
using tensorflow::StepStatsCollectorInterface;
using tsl::profiler::TraceMe;

class StepProfile::Collector {
 public:
  Collector(OpKernelContext* op, StepStatsCollectorInterface* run_metadata)
      : engine_(op->op_kernel().name()),
        device_(op->device()->attributes().name()),
        run_metadata_(run_metadata) {}

  // graft_observer
  static void Begin(void* self, int32_t part, const char* name, const char* detail) {
    static_cast<Collector*>(self)->Begin(part, name, detail);
  }
  static void End(void* self) { static_cast<Collector*>(self)->End(); }

 private:
  struct Part {
    int64_t activity;
    std::unique_ptr<tensorflow::NodeDef> node;  // of a step in RunMetadata
    NodeExecStatsInterface* stats = nullptr;    // deletes itself when it is done
  };

  void Begin(int32_t part, const char* name, const char* detail) {
    Part& begun = parts_.emplace_back();
    begun.activity = TraceMe::ActivityStart([&] {
      // As TensorFlow calls the ops that it waits for; of those that call back, as this one, it
      // shows no more than that they were started.
      const std::string shown =
          part == GRAFT_PART_RUN ? absl::StrCat(engine_, ":TRTEngineOp") : name;
      return tsl::profiler::TraceMeEncode(shown, {{"tactic", detail}});
    });
    if (run_metadata_ == nullptr || part != GRAFT_PART_STEP) return;
    begun.node = std::make_unique<tensorflow::NodeDef>();
    begun.node->set_name(absl::StrCat(engine_, "/", name));
    begun.node->set_op(detail);
    begun.stats = run_metadata_->CreateNodeExecStats(begun.node.get());
    if (begun.stats == nullptr) return;
    begun.stats->SetScheduled(static_cast<int64_t>(tensorflow::EnvTime::NowNanos()));
    begun.stats->RecordExecutorStarted();
    begun.stats->RecordComputeStarted();
  }

  void End() {
    Part& ended = parts_.back();
    if (ended.stats != nullptr) {
      ended.stats->RecordComputeEnded();
      ended.stats->RecordExecutorEnded();
      ended.stats->Done(device_);
    }
    TraceMe::ActivityEnd(ended.activity);
    parts_.pop_back();
  }

  const std::string engine_;
  const std::string device_;
  StepStatsCollectorInterface* const run_metadata_;
  std::vector<Part> parts_;  // under way, the innermost last
};

StepProfile::StepProfile(OpKernelContext* op, graft_context* context) : context_(context) {
  StepStatsCollectorInterface* const run_metadata = op->stats_collector();
  if (!TraceMe::Active() && run_metadata == nullptr) return;
  collector_ = std::make_unique<Collector>(op, run_metadata);
  const graft_observer observer = {sizeof(graft_observer), collector_.get(), &Collector::Begin,
                                   &Collector::End};
  graft_context_observe(context, &observer);
}

StepProfile::~StepProfile() {
  if (collector_ != nullptr) graft_context_observe(context_, nullptr);
}

}  // namespace graft_tf
