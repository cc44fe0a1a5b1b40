#include "statistics.h"

#include <nlohmann/json.hpp>

namespace graft_tf {

bool NodeStatistics::CountFallback(const std::string& reason) {
  constexpr int64_t kLogged = 3;
  fallbacks.fetch_add(1, std::memory_order_relaxed);
  std::lock_guard<std::mutex> lock(mutex);
  return ++reasons[reason] <= kLogged;
}

Statistics& Statistics::Global() {
  static Statistics* statistics =
      new Statistics;  // never destroyed: kernels may outlive static destruction
  return *statistics;
}

NodeStatistics* Statistics::Of(const std::string& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::unique_ptr<NodeStatistics>& entry = nodes_[node];
  if (!entry) entry = std::make_unique<NodeStatistics>();
  return entry.get();
}

std::string Statistics::ToJson() {
  nlohmann::json json = nlohmann::json::object();
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [name, node] : nodes_) {
    std::lock_guard<std::mutex> node_lock(node->mutex);
    json[name] = {{"engine_calls", node->engine_calls.load()},
                  {"fallbacks", node->fallbacks.load()},
                  {"reasons", node->reasons}};
  }
  return json.dump();
}

}  // namespace graft_tf

// For Python, by ctypes: copies the statistics as JSON into the buffer, cut off at `size`; returns
// the length needed.
extern "C" __attribute__((visibility("default"))) int64_t graft_tf_statistics(char* buffer,
                                                                              int64_t size) {
  const std::string json = graft_tf::Statistics::Global().ToJson();
  if (size > 0) {
    const int64_t n = std::min<int64_t>(size - 1, static_cast<int64_t>(json.size()));
    json.copy(buffer, n);
    buffer[n] = '\0';
  }
  return static_cast<int64_t>(json.size()) + 1;
}
