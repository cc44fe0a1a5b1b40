// The bodies of While, If and Case in a graph that they were lifted into (tf/lift.h).
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "partition/candidates.h"
#include "tf/lift.h"

namespace graft::convert {

// Nodes of the graph that stand for bodies.
struct Bodies {
  std::set<std::string, std::less<>> scaffold;              // their arguments and results
  std::set<std::string, std::less<>> roots;                 // their results
  std::vector<std::pair<std::string, std::string>> owners;  // node, root of one of its bodies

  // Whether the node is one of a body: ROOT/…, or the root.
  bool Contain(std::string_view name) const;
};

Bodies FindBodies(const tf::LiftedNodes& lifted);

// What decides whether a loop goes on computes a few scalars, each time round: an engine would cost
// more than it saves.
void KeepConditions(const tf::LiftedNodes& lifted, const tf::GraphDef& graph,
                    partition::CandidateOptions* candidates);

}  // namespace graft::convert
