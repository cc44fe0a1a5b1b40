// Functional control flow. The code of While, If and Case lies in functions, where nothing that
// works on a graph sees it: no variable in it is frozen, no engine built. Lifting puts the bodies
// into the main graph, as islands of their own beside the node, which stays; lowering makes them
// functions again.
//
// An island: a Placeholder NODE/ATTR/ARGUMENT for each argument, the body's nodes NODE/ATTR/NAME,
// and the node NODE/ATTR, which gathers the results (Identity, IdentityN or NoOp) and waits for the
// side effects. An argument that the caller fills with a constant or a variable's handle, and that
// no iteration changes, is no argument there: the island reads the caller's node itself.
#pragma once

#include <string>
#include <vector>

#include "tf/graph_def.h"

namespace graft::tf {

struct LiftedBody {
  std::string attr;  // of the node: "body", "then_branch", "branches"
  int index = 0;     // in a list of functions
  FuncValue function;
  std::string root;                    // the node that gathers the results
  std::vector<std::string> arguments;  // the placeholders of those that are passed
};

struct LiftedNode {
  std::string name;
  std::vector<LiftedBody> bodies;
  // For each argument, the caller's tensor that the islands read instead; empty for one that is
  // passed.
  std::vector<std::string> captured;
};

// In the order in which they were lifted: one inside of an island after the island's.
using LiftedNodes = std::vector<LiftedNode>;

// Whether there is a While, an If or a Case in the main graph.
bool HasBodies(const GraphDef& graph);

// Lifts every While, If and Case, those in the bodies of others included, whose bodies consist of
// TensorFlow's ops. The outputs of the nodes in `fetched` keep their numbers. Expects default
// attributes filled in and calls inlined.
LiftedNodes LiftBodies(const std::vector<std::string>& fetched, GraphDef* graph);

// The nodes that gather the islands' results, and the islands' placeholders.
std::vector<std::string> Roots(const LiftedNodes& lifted);
std::vector<std::string> Arguments(const LiftedNodes& lifted);

// Makes functions of the islands, whatever became of them, and removes them from the graph, and the
// old functions that nothing mentions any more.
Status LowerBodies(const LiftedNodes& lifted, GraphDef* graph);

}  // namespace graft::tf
