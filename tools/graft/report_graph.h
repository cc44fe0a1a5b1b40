// A model's graph as the report draws it: the nodes of engines in the place of their engine node.
#pragma once

#include <string>
#include <vector>

#include "ir/module.h"
#include "tf/graph_def.h"

namespace graft {

struct GraphPicture {
  static constexpr int kNative = -1;
  struct Node {
    std::string name;  // of a function's body: FUNCTION/NAME
    std::string op;
    int engine = kNative;     // index in engines
    std::vector<int> inputs;  // indices in nodes
    std::string reason;       // why it stays native, where that is known
  };
  std::vector<Node> nodes;
  std::vector<std::string> engines;  // engine nodes by name
};

// A converted graph. What an edge names and the graph does not have is left out.
GraphPicture PictureOf(const tf::GraphDef& graph);

// A graph that one engine holds whole, but for what feeds it.
GraphPicture PictureOfWhole(const tf::GraphDef& graph, const std::string& engine);

// An engine's module, for a plan whose model is not there.
GraphPicture PictureOf(const ir::Module& module, const std::string& engine);

}  // namespace graft
