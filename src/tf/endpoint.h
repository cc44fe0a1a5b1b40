// Inputs and outputs of a graph: those that are named, and those to take when nobody names any.
#pragma once

#include <string>
#include <vector>

#include "tf/graph_def.h"
#include "tf/saved_model.h"

namespace graft::tf {

// One input or output of a model.
struct Endpoint {
  std::string key;     // the signature's key; the tensor name where there is no signature
  std::string tensor;  // of the main graph: "a", "a:1"
  DType dtype = DType::kInvalid;
  Shape shape;
};

// The tensor with what its node's own attributes tell of it. kInvalidArgument when there is none.
Result<Endpoint> FindEndpoint(const GraphDef& graph, const std::string& tensor);

// The tensors that a signature's input or output consists of: one under its key, or, of a sparse or
// composite tensor, its parts, as KEY/LABEL.
std::vector<Endpoint> EndpointsOf(const std::string& key, const TensorInfo& info);

// Every placeholder.
Result<std::vector<Endpoint>> DefaultInputs(const GraphDef& graph);

// All outputs of the nodes that nothing reads, but those that are there for their effects alone.
Result<std::vector<Endpoint>> DefaultOutputs(const GraphDef& graph);

}  // namespace graft::tf
