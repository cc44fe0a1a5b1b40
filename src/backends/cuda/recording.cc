// Recordings as CUDA graphs: all parts are captured as one graph, so that a kernel may start before
// the one before it has ended. What is captured is a chain; where parts need not wait for the one
// before, the graph gets other edges, and the driver runs its branches side by side. A part is
// replaced by capturing it anew and giving its kernels' new parameters to the ones in the graph.
#include <algorithm>

#include "backends/cuda/cuda_device.h"

namespace graft::cuda {
namespace {

Status BeginCapture(const Driver& driver, void* stream) {
  // Relaxed: other threads' calls, and the caller's, are not our matter.
  GRAFT_CUDA(driver, StreamBeginCapture, static_cast<CUstream>(stream),
             CU_STREAM_CAPTURE_MODE_RELAXED);
  return OkStatus();
}

Result<CUgraph> EndCapture(const Driver& driver, void* stream) {
  CUgraph graph = nullptr;
  GRAFT_CUDA(driver, StreamEndCapture, static_cast<CUstream>(stream), &graph);
  if (graph == nullptr) return InternalError("CUDA: nothing was captured");
  return graph;
}

// In the order of their making.
Result<std::vector<CUgraphNode>> NodesOf(const Driver& driver, CUgraph graph) {
  size_t count = 0;
  GRAFT_CUDA(driver, GraphGetNodes, graph, nullptr, &count);
  std::vector<CUgraphNode> nodes(count);
  if (count > 0) GRAFT_CUDA(driver, GraphGetNodes, graph, nodes.data(), &count);
  return nodes;
}

Result<CUDA_KERNEL_NODE_PARAMS> KernelOf(const Driver& driver, CUgraphNode node) {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  GRAFT_CUDA(driver, GraphNodeGetType, node, &type);
  if (type != CU_GRAPH_NODE_TYPE_KERNEL)
    return UnsupportedError("a recorded part is not of kernels alone");
  CUDA_KERNEL_NODE_PARAMS kernel = {};
  GRAFT_CUDA(driver, GraphKernelNodeGetParams, node, &kernel);
  return kernel;
}

class CudaRecording final : public Recording {
 public:
  CudaRecording(CudaDevice& device, void* stream, std::shared_ptr<ErrorRecord> error)
      : device_(device), stream_(stream), error_(std::move(error)) {}
  ~CudaRecording() override {
    const CudaDevice::Scope scope(device_);
    if (!scope.status().ok()) return;
    if (executable_) device_.driver().GraphExecDestroy(executable_);
    if (graph_) device_.driver().GraphDestroy(graph_);
  }

  // Takes the graph. marks: how many of `count` nodes it had at each. after: the parts that each
  // waits for.
  Status Build(CUgraph graph, size_t count, std::vector<size_t> marks,
               const std::vector<std::vector<int>>& after) {
    const Driver& driver = device_.driver();
    graph_ = graph;
    GRAFT_ASSIGN_OR_RETURN(nodes_, NodesOf(driver, graph));
    if (nodes_.size() != count)
      return UnsupportedError("CUDA: {} steps recorded as {} nodes", count, nodes_.size());
    marks_ = std::move(marks);
    marks_.push_back(nodes_.size());
    if (!IsChain(after)) GRAFT_RETURN_IF_ERROR(SetOrder(after));
    GRAFT_CUDA(driver, GraphInstantiate, &executable_, graph_, 0);
    return OkStatus();
  }

  Status Launch(void* stream) override {
    const CudaDevice::Scope scope(device_);
    GRAFT_RETURN_IF_ERROR(scope.status());
    if (stream != stream_) device_.AddError(stream, error_);
    GRAFT_CUDA(device_.driver(), GraphLaunch, executable_, static_cast<CUstream>(stream));
    return OkStatus();
  }

  Status Update(int part, void* stream, FunctionRef<Status()> enqueue) override {
    const CudaDevice::Scope scope(device_);
    GRAFT_RETURN_IF_ERROR(scope.status());
    const Driver& driver = device_.driver();
    GRAFT_RETURN_IF_ERROR(BeginCapture(driver, stream));
    const Status queued = enqueue();
    const Result<CUgraph> graph = EndCapture(driver, stream);
    GRAFT_RETURN_IF_ERROR(queued);
    GRAFT_RETURN_IF_ERROR(graph.status());
    if (stream != stream_) {
      // Its steps write into that stream's record from now on.
      GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<ErrorRecord> error, device_.ErrorOf(stream));
      device_.AddError(stream_, std::move(error));
    }
    Status replaced = Replace(part, *graph);
    driver.GraphDestroy(*graph);
    return replaced;
  }

 private:
  static bool IsChain(const std::vector<std::vector<int>>& after) {
    for (size_t part = 1; part < after.size(); ++part) {
      if (after[part] != std::vector<int>{static_cast<int>(part) - 1}) return false;
    }
    return true;
  }

  // The graph as captured is a chain; between parts it gets the edges of `after`.
  Status SetOrder(const std::vector<std::vector<int>>& after) {
    const Driver& driver = device_.driver();
    struct Edge {
      size_t from, to;
    };
    std::vector<Edge> edges;
    std::vector<std::vector<size_t>> ends(after.size());  // by part: nodes to wait for
    for (size_t part = 0; part < after.size(); ++part) {
      std::vector<size_t> before;
      for (const int earlier : after[part])
        before.insert(before.end(), ends[earlier].begin(), ends[earlier].end());
      std::ranges::sort(before);  // parts without nodes may give the same ones
      before.erase(std::ranges::unique(before).begin(), before.end());
      const size_t first = marks_[part], end = marks_[part + 1];
      if (first == end) {
        ends[part] = std::move(before);
        continue;
      }
      for (const size_t node : before) edges.push_back({node, first});
      for (size_t node = first + 1; node < end; ++node) edges.push_back({node - 1, node});
      ends[part] = {end - 1};
    }
    if (nodes_.size() < 2) return OkStatus();
    size_t count = 0;
    GRAFT_CUDA(driver, GraphGetEdges, graph_, nullptr, nullptr, nullptr, &count);
    std::vector<CUgraphNode> from(count), to(count);
    std::vector<CUgraphEdgeData> kinds(count);
    GRAFT_CUDA(driver, GraphGetEdges, graph_, from.data(), to.data(), kinds.data(), &count);
    GRAFT_CUDA(driver, GraphRemoveDependencies, graph_, from.data(), to.data(), kinds.data(),
               count);
    from.clear(), to.clear(), kinds.clear();
    std::vector<bool> is_kernel;
    for (const CUgraphNode node : nodes_) {
      CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
      GRAFT_CUDA(driver, GraphNodeGetType, node, &type);
      is_kernel.push_back(type == CU_GRAPH_NODE_TYPE_KERNEL);
    }
    for (const Edge& edge : edges) {
      from.push_back(nodes_[edge.from]), to.push_back(nodes_[edge.to]);
      CUgraphEdgeData& kind = kinds.emplace_back();
      // Every kernel waits for all those before it (Begin of prelude.cuh).
      if (device_.has_clusters() && is_kernel[edge.from] && is_kernel[edge.to]) {
        kind.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
        kind.type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
      }
    }
    if (from.empty()) return OkStatus();
    GRAFT_CUDA(driver, GraphAddDependencies, graph_, from.data(), to.data(), kinds.data(),
               from.size());
    return OkStatus();
  }

  // The part's kernels get the parameters that their like in the other graph has.
  Status Replace(int part, CUgraph graph) {
    const Driver& driver = device_.driver();
    const std::span<const CUgraphNode> nodes =
        std::span(nodes_).subspan(marks_[part], marks_[part + 1] - marks_[part]);
    GRAFT_ASSIGN_OR_RETURN(const std::vector<CUgraphNode> news, NodesOf(driver, graph));
    Status other = UnsupportedError("the recorded part has another form");
    if (news.size() != nodes.size()) return other;
    for (size_t i = 0; i < nodes.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const CUDA_KERNEL_NODE_PARAMS before, KernelOf(driver, nodes[i]));
      GRAFT_ASSIGN_OR_RETURN(const CUDA_KERNEL_NODE_PARAMS after, KernelOf(driver, news[i]));
      if (before.func != after.func || before.gridDimX != after.gridDimX ||
          before.gridDimY != after.gridDimY || before.gridDimZ != after.gridDimZ)
        return other;
      if (driver.GraphExecKernelNodeSetParams(executable_, nodes[i], &after) != CUDA_SUCCESS)
        return other;
    }
    return OkStatus();
  }

  CudaDevice& device_;
  void* stream_;
  std::shared_ptr<ErrorRecord> error_;
  CUgraph graph_ = nullptr;
  CUgraphExec executable_ = nullptr;
  std::vector<CUgraphNode> nodes_;
  std::vector<size_t> marks_;  // part i has the nodes from marks_[i] on, before marks_[i + 1]
};

}  // namespace

Status CudaDevice::BeginRecording(void* stream) {
  const Scope scope(*this);
  GRAFT_RETURN_IF_ERROR(scope.status());
  // Allocated now, not while the stream is captured.
  GRAFT_RETURN_IF_ERROR(ErrorOf(stream).status());
  GRAFT_RETURN_IF_ERROR(BeginCapture(driver_, stream));
  std::lock_guard lock(mutex_);
  recordings_[stream] = {};
  return OkStatus();
}

Status CudaDevice::MarkPart(void* stream, std::span<const int> after) {
  std::lock_guard lock(mutex_);
  const auto recording = recordings_.find(stream);
  if (recording == recordings_.end())
    return FailedPreconditionError("CUDA: nothing is being recorded on the stream");
  recording->second.marks.push_back(recording->second.nodes);
  recording->second.after.emplace_back(after.begin(), after.end());
  return OkStatus();
}

void CudaDevice::CountNode(void* stream) {
  std::lock_guard lock(mutex_);
  const auto recording = recordings_.find(stream);
  if (recording != recordings_.end()) ++recording->second.nodes;
}

Result<std::unique_ptr<Recording>> CudaDevice::EndRecording(void* stream) {
  const Scope scope(*this);
  GRAFT_RETURN_IF_ERROR(scope.status());
  const Result<CUgraph> graph = EndCapture(driver_, stream);
  UnderWay made;
  {
    std::lock_guard lock(mutex_);
    made = std::move(recordings_[stream]);
    recordings_.erase(stream);
  }
  GRAFT_RETURN_IF_ERROR(graph.status());
  Result<std::shared_ptr<ErrorRecord>> error = ErrorOf(stream);
  if (!error.ok()) {
    driver_.GraphDestroy(*graph);
    return error.status();
  }
  auto recording = std::make_unique<CudaRecording>(*this, stream, *std::move(error));
  GRAFT_RETURN_IF_ERROR(recording->Build(*graph, made.nodes, std::move(made.marks), made.after));
  return std::unique_ptr<Recording>(std::move(recording));
}

}  // namespace graft::cuda
