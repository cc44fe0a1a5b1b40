// From coloured nodes back to TensorFlow: the border of each segment, the segment as a graph of its
// own, its native function, and the graph in which one engine node stands for all of it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tf/wired_graph.h"

namespace graft::partition {

using tf::WiredGraph;

// A tensor that crosses a segment's border.
struct Port {
  int node = -1;  // the producer's index in the graph
  int output = 0;
  DType dtype = DType::kInvalid;
  tf::Shape shape;  // -1 or unknown rank where not known
};

struct SegmentPorts {
  std::string engine;               // name of the engine node
  std::vector<int> nodes;           // members, in topological order
  std::vector<int> constants;       // copied into the segment: what members read of them and what
                                    // those are computed of, in topological order
  std::vector<Port> inputs;         // one for each distinct tensor, in order of discovery
  std::vector<Port> outputs;        // those that nodes outside read or the user fetches
  std::vector<int> control_inputs;  // nodes outside that members wait for
};

// dtype and shape of a tensor of the graph; kFailedPrecondition when they are not known.
using TensorInfo = std::function<Result<Port>(int node, int output)>;

// `segments` holds the members of each in topological order; `copied` tells the constants;
// `fetches` are tensor names.
Result<std::vector<SegmentPorts>> FindPorts(const WiredGraph& wired,
                                            const std::vector<std::vector<int>>& segments,
                                            const std::vector<bool>& copied,
                                            const std::vector<std::string>& fetches,
                                            const std::vector<std::string>& engine_names,
                                            const TensorInfo& info);

// The segment alone: placeholders TensorRTInputPH_i, copied constants, members. Its outputs are
// OutputTensors.
Result<tf::GraphDef> SegmentGraph(const WiredGraph& wired, const SegmentPorts& ports);
// Names of the output tensors in that graph (and in the main one): "conv1/Relu", "split:1".
std::vector<std::string> OutputTensors(const tf::GraphDef& graph, const SegmentPorts& ports);

// The function `<engine>_native_segment`: arguments and results in the order of the ports.
Result<tf::FunctionDef> NativeSegment(const WiredGraph& wired, const SegmentPorts& ports);
std::string NativeSegmentName(const std::string& engine);

// What the engine node says beside its ports.
struct EngineAttributes {
  std::string serialized_segment;  // plan bytes; empty: built at first run
  std::string precision_mode = "FP32";
  std::string calibration_data;
  std::string profile_strategy;
  int64_t max_cached_engines_count = 1;
  int64_t max_batch_size = 1;
  int64_t workspace_size_bytes = int64_t{1} << 30;
  bool use_calibration = false;
  bool static_engine = true;
  bool use_implicit_batch = false;
  bool allow_build_at_runtime = true;
  // Whether the graph keeps the function that the engine stands for. Without it there is nothing to
  // fall back to, and the plan must hold all its weights.
  bool native_segment = true;
};

struct EngineNode {
  SegmentPorts ports;
  EngineAttributes attributes;
};

// The graph with each segment's members replaced by its engine node, and the native functions
// added. Fetched members stay reachable under their names by an Identity (or IdentityN) in their
// place. Constants that only members read go. An engine waits for the control inputs of its members
// but for those that its other inputs wait for already.
Result<tf::GraphDef> Encapsulate(const WiredGraph& wired, const std::vector<EngineNode>& engines,
                                 const std::vector<std::string>& fetches);

}  // namespace graft::partition
