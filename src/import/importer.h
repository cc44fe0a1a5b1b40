// A TensorFlow graph becomes one module: what can be converted as IR, the rest as opaque nodes.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/module.h"
#include "tf/graph_def.h"

namespace graft::importer {

// A tensor that the caller feeds.
struct GraphInput {
  std::string tensor;  // "input_1" or "input_1:0"
  DType dtype = DType::kInvalid;
  tf::Shape shape;  // each unknown dimension becomes a symbol
};

enum class Decision : uint8_t {
  kAccepted,   // covered by IR nodes (by none where it changes nothing)
  kRefused,    // an opaque node stands for it
  kNotNeeded,  // a constant, an input, an identity: free on either side
};

struct NodeReport {
  Decision decision = Decision::kNotNeeded;
  std::string reason;         // of a refusal, without the node's name
  bool fed = false;           // a result of it is an input of the graph
  bool unknown_rank = false;  // that of an operand is why the node is refused
};

struct ImportedGraph {
  // IR nodes name the graph's nodes that they cover in `origin`. Unknown dimensions of an opaque
  // node's results are symbols too (kResultDim): engines downstream of it can still be built.
  ir::Module module;
  std::vector<NodeReport> nodes;  // for each node of the graph
  // The value of each result of each node. -1 for a result that neither exists in TensorFlow's
  // eyes nor is read by anyone.
  std::vector<std::vector<ir::ValueId>> tensors;
};

// Computes a node's results of its operands'.
using Evaluator = std::function<Result<std::vector<Tensor>>(
    const ir::Module& module, const ir::Node& node, std::span<const Tensor> operands)>;

struct ImportOptions {
  // Placeholders with a default that are not fed have it. Otherwise they stay what they are, since
  // whoever runs the graph may feed them.
  bool take_defaults = false;
  // Inputs, and results of opaque nodes, of which no rank is known are taken to have this one: what
  // would convert then? Empty: nodes that compute of them are refused.
  std::optional<int> assumed_rank;
  // Computes small values that constants alone decide, so that an axis or a size may be one (as in
  // tf.linspace); null: they are not known.
  Evaluator evaluate;
};

// Imports every node of a frozen graph without function calls. `outputs` are tensor names.
// kInvalidArgument for names that do not exist, kDataLoss for a malformed graph.
Result<ImportedGraph> ImportGraph(const tf::GraphDef& graph, const std::vector<GraphInput>& inputs,
                                  const std::vector<std::string>& outputs,
                                  const ImportOptions& options = {});

}  // namespace graft::importer
