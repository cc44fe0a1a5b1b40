// Graphs of any size in the shapes that networks have, for asking how the time of a conversion
// grows.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "tf/graph_def.h"
#include "tf/opdefs.h"

namespace graft::convert {

class LargeGraph {
 public:
  explicit LargeGraph(int nodes) : size_(nodes) {
    graph_.versions.producer = tf::kGraphDefVersion;
    graph_.nodes.push_back(
        {.name = "x",
         .op = "Placeholder",
         .attrs = {{"dtype", DType::kFloat32}, {"shape", tf::Shape{false, {-1, 4}}}}});
  }
  bool full() const { return static_cast<int>(graph_.nodes.size()) >= size_; }
  std::string Add(const std::string& op, std::vector<std::string> inputs) {
    std::string name = fmt::format("n{}", graph_.nodes.size());
    graph_.nodes.push_back(
        {.name = name, .op = op, .inputs = std::move(inputs), .attrs = {{"T", DType::kFloat32}}});
    return name;
  }
  std::string Constant() {
    std::string name = fmt::format("c{}", graph_.nodes.size());
    graph_.nodes.push_back(
        {.name = name,
         .op = "Const",
         .attrs = {{"dtype", DType::kFloat32},
                   {"value", tf::TensorValue(Tensor::Of<float>({4}, {1.0f, 2.0f, 3.0f, 4.0f}))}}});
    return name;
  }
  // A node that stays in TensorFlow where this op is denied.
  static constexpr const char* kDenied = "Tanh";
  std::string Native(std::string input) { return Add(kDenied, {std::move(input)}); }
  tf::GraphDef Finish() {
    tf::AddDefaultAttrs(&graph_);
    return std::move(graph_);
  }
  const std::string& last() const { return graph_.nodes.back().name; }

 private:
  int size_;
  tf::GraphDef graph_;
};

// One node after the other.
inline tf::GraphDef Chain(int nodes) {
  LargeGraph g(nodes);
  for (std::string at = "x"; !g.full();) at = g.Add("Exp", {at});
  return g.Finish();
}

// Residual blocks with weights: x + f(x).
inline tf::GraphDef Residual(int nodes) {
  LargeGraph g(nodes);
  for (std::string at = "x"; !g.full();) {
    const std::string scaled = g.Add("Mul", {at, g.Constant()});
    at = g.Add("AddV2", {at, g.Add("Relu", {g.Add("Sqrt", {scaled})})});
  }
  return g.Finish();
}

// All nodes read one, and are summed up.
inline tf::GraphDef FanOut(int nodes) {
  LargeGraph g(nodes);
  std::string sum = "x";
  while (!g.full()) sum = g.Add("AddV2", {sum, g.Add("Exp", {"x"})});
  return g.Finish();
}

// Small parts in a row, each parted from the next by an op that stays native.
inline tf::GraphDef Islands(int nodes) {
  LargeGraph g(nodes);
  for (std::string at = "x"; !g.full();)
    at = g.Native(g.Add("Relu", {g.Add("Sqrt", {g.Add("Exp", {at})})}));
  return g.Finish();
}

// The same with a way around every native op: no two neighbours may become one.
inline tf::GraphDef BypassedIslands(int nodes) {
  LargeGraph g(nodes);
  for (std::string at = "x"; !g.full();) {
    const std::string part = g.Add("Sqrt", {g.Add("Exp", {at})});
    at = g.Add("AddV2", {part, g.Native(part)});
  }
  return g.Finish();
}

// Many branches of small parts side by side, which meet at the end.
inline tf::GraphDef Branches(int nodes) {
  LargeGraph g(nodes);
  std::string sum = "x";
  while (!g.full()) {
    std::string at = "x";
    for (int i = 0; i < 4; ++i) at = g.Native(g.Add("Sqrt", {g.Add("Exp", {at})}));
    sum = g.Add("AddV2", {sum, at});
  }
  return g.Finish();
}

// Two rows of islands; a third part beside each pair reads both. Whether it may join a neighbour is
// decided only by looking far down the rows.
inline tf::GraphDef Ladder(int nodes) {
  LargeGraph g(nodes);
  for (std::string left = "x", right = "x"; !g.full();) {
    const std::string part = g.Add("Exp", {left});
    left = g.Native(part);
    right = g.Native(g.Add("Exp", {right}));
    g.Add("AddV2", {part, right});
  }
  return g.Finish();
}

// Two operands each from among the last nodes, one in twenty nodes native.
inline tf::GraphDef Tangle(int nodes) {
  LargeGraph g(nodes);
  std::mt19937 random(1);
  std::vector<std::string> names = {"x"};
  auto pick = [&] {
    const size_t reach = std::min<size_t>(names.size(), 40);
    return names[names.size() - 1 - random() % reach];
  };
  while (!g.full())
    names.push_back(random() % 20 == 0 ? g.Native(pick()) : g.Add("AddV2", {pick(), pick()}));
  return g.Finish();
}

struct GraphShape {
  const char* name;
  tf::GraphDef (*make)(int nodes);
};
inline constexpr GraphShape kGraphShapes[] = {
    {"chain", Chain},
    {"residual", Residual},
    {"fan_out", FanOut},
    {"islands", Islands},
    {"bypassed", BypassedIslands},
    {"branches", Branches},
    {"ladder", Ladder},
    {"tangle", Tangle},
};

}  // namespace graft::convert
