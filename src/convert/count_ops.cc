#include "convert/count_ops.h"

#include <unordered_map>

namespace graft::convert {

DroppedNodes ExplainDropped(const partition::Clusters& clusters,
                            const partition::ClusterOptions& options, size_t node_count,
                            std::vector<std::string>* warnings) {
  DroppedNodes dropped{std::vector<std::string>(node_count), std::vector<bool>(node_count)};
  for (const partition::Segment& segment : clusters.too_small) {
    for (int v : segment.nodes) dropped.idle[v] = segment.size == 0;
  }
  auto explain = [&](const std::vector<partition::Segment>& segments, const std::string& reason) {
    for (const partition::Segment& segment : segments) {
      for (int v : segment.nodes) dropped.reasons[v] = reason;
    }
  };
  explain(clusters.too_small,
          fmt::format("its segment has fewer than minimum_segment_size ({}) nodes",
                      options.minimum_segment_size));
  const int maximum = options.maximum_segments;
  explain(clusters.too_many,
          fmt::format("its segment is smaller than the {} that are converted at most", maximum));
  if (clusters.too_many.empty()) return dropped;
  warnings->push_back(
      fmt::format("{} of {} segments stay in TensorFlow: only the {} largest are converted "
                  "(TF_TRT_MAX_ALLOWED_ENGINES; 0: all)",
                  clusters.too_many.size(), clusters.too_many.size() + maximum, maximum));
  return dropped;
}

namespace {

// Why a node is outside of engines.
std::string ReasonOf(const ConvertedOps& in, size_t v) {
  if (!in.candidates.reasons[v].empty()) return in.candidates.reasons[v];
  if (in.candidates.nodes[v].copied)
    return "constants alone decide it, and nodes outside of engines read it";
  return in.dropped.reasons[v];
}

}  // namespace

void CountOps(const ConvertedOps& in, ConvertReport* report) {
  std::unordered_map<std::string_view, std::string_view> left;  // name → op
  for (const tf::NodeDef& node : in.converted.nodes) {
    if (node.op != "TRTEngineOp" && node.op != "Const") left.emplace(node.name, node.op);
  }
  std::vector<bool> converted(in.graph.nodes.size(), false);
  for (const partition::EngineNode& e : in.engines) {
    for (int v : e.ports.nodes) converted[v] = true;
    // What constants decide may be needed outside as well.
    for (int v : e.ports.constants) converted[v] = !left.contains(in.graph.nodes[v].name);
  }
  bool learns = false;
  for (size_t v = 0; v < in.graph.nodes.size(); ++v) {
    const tf::NodeDef& node = in.graph.nodes[v];
    // One of them says it for all: the model was built for training.
    const std::string& kept = in.candidates.reasons[v];
    if (!learns && kept.find("set_learning_phase(0)") != std::string::npos) {
      report->warnings.push_back(fmt::format("{} ({}): {}", node.name, node.op, kept));
      learns = true;
    }
    // What no entry point needs saves and restores variables. Who named none wants all.
    const bool needed = in.needed.empty() || in.needed[v] != 0;
    if (node.op == "Const" || in.bodies.scaffold.contains(node.name) || !needed) continue;
    // A fetched call of several results has become an IdentityN.
    const bool hands_on = node.op == "Identity" || node.op == "IdentityN";
    const bool counts = !in.dropped.idle[v] && node.op != "Placeholder" &&
                        node.op != "PlaceholderWithDefault" && node.op != "NoOp" &&
                        !(hands_on && in.fetched.contains(node.name));
    const bool in_function = in.bodies.Contain(node.name);
    report->total_ops += counts;
    report->function_ops += counts && in_function;
    std::string reason = ReasonOf(in, v);
    if (converted[v]) {
      report->converted_ops += counts;
      report->converted_function_ops += counts && in_function;
    } else if (counts) {
      report->unconverted.push_back({node.op, node.name, reason, in_function});
    }
    const auto found = left.find(node.name);
    if (in_function || found == left.end()) continue;
    // The name of a fetched member is an Identity's now.
    if (converted[v]) reason = std::string(partition::kExcluded);
    report->left_out.push_back({std::string(found->second), node.name, std::move(reason)});
  }
}

}  // namespace graft::convert
