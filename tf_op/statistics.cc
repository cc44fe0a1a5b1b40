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
                  {"reasons", node->reasons},
                  {"builds", node->builds.load()},
                  {"loads", node->loads.load()},
                  {"tunings", node->tunings.load()},
                  {"build_seconds", 1e-6 * static_cast<double>(node->build_microseconds.load())},
                  {"load_seconds", 1e-6 * static_cast<double>(node->load_microseconds.load())},
                  {"native_while_building", node->native_while_building.load()},
                  {"native_for_calibration", node->native_for_calibration.load()}};
  }
  return json.dump();
}

}  // namespace graft_tf
