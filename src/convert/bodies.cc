#include "convert/bodies.h"

#include <unordered_set>

namespace graft::convert {

bool Bodies::Contain(std::string_view name) const {
  for (size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
    if (roots.contains(name.substr(0, slash))) return true;
  }
  return roots.contains(name);
}

Bodies FindBodies(const tf::LiftedNodes& lifted) {
  Bodies bodies;
  for (const std::string& argument : tf::Arguments(lifted)) bodies.scaffold.insert(argument);
  for (const tf::LiftedNode& node : lifted) {
    for (const tf::LiftedBody& body : node.bodies) {
      bodies.scaffold.insert(body.root);
      bodies.roots.insert(body.root);
      bodies.owners.emplace_back(node.name, body.root);
    }
  }
  return bodies;
}

void KeepConditions(const tf::LiftedNodes& lifted, const tf::GraphDef& graph,
                    partition::CandidateOptions* candidates) {
  std::unordered_set<std::string_view> conditions;
  for (const tf::LiftedNode& node : lifted) {
    for (const tf::LiftedBody& body : node.bodies) {
      if (body.attr == "cond") conditions.insert(body.root);
    }
  }
  for (const tf::NodeDef& node : graph.nodes) {
    const std::string_view name = node.name;
    for (size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
      if (conditions.contains(name.substr(0, slash)))
        candidates->native_nodes[node.name] = "it belongs to the condition of a loop";
    }
  }
}

}  // namespace graft::convert
