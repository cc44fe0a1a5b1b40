// What the engine ops of this process did, for tests, logs and users who want to know: counted
// always, by node name.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace graft_tf {

struct NodeStatistics {
  std::atomic<int64_t> engine_calls{0};
  std::atomic<int64_t> fallbacks{0};
  // Native runs that are no fallbacks: while the engine is built in the background, or its INT8
  // ranges are not known yet.
  std::atomic<int64_t> native_while_building{0};
  std::atomic<int64_t> native_for_calibration{0};
  std::atomic<int64_t> builds{0};
  std::atomic<int64_t> loads{0};
  std::atomic<int64_t> tunings{0};  // of built engines, in the background
  std::atomic<int64_t> build_microseconds{0};
  std::atomic<int64_t> load_microseconds{0};
  std::mutex mutex;
  std::map<std::string, int64_t> reasons;  // of fallbacks, guarded by mutex

  // Counts a fallback; true for the first few with this reason, which are worth a line in the log.
  bool CountFallback(const std::string& reason);
};

class Statistics {
 public:
  static Statistics& Global();
  // The node's counters; they live as long as the process.
  NodeStatistics* Of(const std::string& node);
  // {"node": {"engine_calls": n, "fallbacks": n, "reasons": {"why": n}, "builds": n, "loads": n,
  // "tunings": n, "build_seconds": s, "load_seconds": s, "native_while_building": n,
  // "native_for_calibration": n}}
  std::string ToJson();

 private:
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<NodeStatistics>> nodes_;
};

}  // namespace graft_tf
