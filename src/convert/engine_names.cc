#include "convert/engine_names.h"

#include <algorithm>

#include "base/hash.h"

namespace graft::convert {
namespace {

// A number for the graph, of what decides its engines and their native segments.
int ContentNumber(const tf::GraphDef& graph, const ConvertOptions& options,
                  const std::vector<partition::Segment>& segments) {
  constexpr uint64_t kNumbers = 1'000'000'000;
  std::string content = fmt::format("{} {} {}\n", options.model_hash, options.options_text,
                                    options.attributes.precision_mode);
  for (const partition::Segment& segment : segments) {
    for (int v : segment.nodes) content += graph.nodes[v].name + "\n";
    content += "\n";
  }
  return static_cast<int>(HashBytes(content).low % kNumbers);
}

}  // namespace

std::string EnginePrefix(const tf::GraphDef& graph, const ConvertOptions& options,
                         const std::vector<partition::Segment>& segments) {
  for (int number = options.graph_number < 0 ? ContentNumber(graph, options, segments)
                                             : options.graph_number;
       ; ++number) {
    std::string prefix = fmt::format("TRTEngineOp_{:03}_", number);
    const bool taken =
        std::any_of(graph.nodes.begin(), graph.nodes.end(),
                    [&](const tf::NodeDef& node) { return node.name.starts_with(prefix); });
    if (!taken) return prefix;
  }
}

}  // namespace graft::convert
