// Recordings as CUDA graphs: a part is captured as a graph of its own, and all are the children of
// one, in order. A part is replaced by capturing it anew.
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

void DestroyAll(const Driver& driver, std::span<const CUgraph> graphs) {
  for (const CUgraph graph : graphs) {
    if (graph) driver.GraphDestroy(graph);
  }
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

  // parts[0] is what came before the first mark.
  Status Build(std::span<const CUgraph> parts) {
    const Driver& driver = device_.driver();
    GRAFT_CUDA(driver, GraphCreate, &graph_, 0);
    CUgraphNode previous = nullptr;
    for (const CUgraph part : parts) {
      CUgraphNode node = nullptr;
      GRAFT_CUDA(driver, GraphAddChildGraphNode, &node, graph_, previous ? &previous : nullptr,
                 previous ? 1 : 0, part);
      nodes_.push_back(node);
      previous = node;
    }
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
    const CUresult result = driver.GraphExecChildSetParams(executable_, nodes_[part + 1], *graph);
    driver.GraphDestroy(*graph);
    if (result != CUDA_SUCCESS) return UnsupportedError("the recorded part has another form");
    return OkStatus();
  }

 private:
  CudaDevice& device_;
  void* stream_;
  std::shared_ptr<ErrorRecord> error_;
  CUgraph graph_ = nullptr;
  CUgraphExec executable_ = nullptr;
  std::vector<CUgraphNode> nodes_;
};

}  // namespace

Status CudaDevice::BeginRecording(void* stream) {
  const Scope scope(*this);
  GRAFT_RETURN_IF_ERROR(scope.status());
  // Allocated now, not while the stream is captured.
  GRAFT_RETURN_IF_ERROR(ErrorOf(stream).status());
  GRAFT_RETURN_IF_ERROR(BeginCapture(driver_, stream));
  std::lock_guard lock(mutex_);
  recordings_[stream].clear();
  return OkStatus();
}

Status CudaDevice::MarkPart(void* stream) {
  const Scope scope(*this);
  GRAFT_RETURN_IF_ERROR(scope.status());
  GRAFT_ASSIGN_OR_RETURN(const CUgraph part, EndCapture(driver_, stream));
  {
    std::lock_guard lock(mutex_);
    recordings_[stream].push_back(part);
  }
  return BeginCapture(driver_, stream);
}

Result<std::unique_ptr<Recording>> CudaDevice::EndRecording(void* stream) {
  const Scope scope(*this);
  GRAFT_RETURN_IF_ERROR(scope.status());
  Result<CUgraph> last = EndCapture(driver_, stream);
  std::vector<CUgraph> parts;
  {
    std::lock_guard lock(mutex_);
    parts = std::move(recordings_[stream]);
    recordings_.erase(stream);
  }
  struct Guard {  // children are copies
    const Driver& driver;
    std::vector<CUgraph>& graphs;
    ~Guard() { DestroyAll(driver, graphs); }
  } guard{driver_, parts};
  GRAFT_RETURN_IF_ERROR(last.status());
  parts.push_back(*last);
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<ErrorRecord> error, ErrorOf(stream));
  auto recording = std::make_unique<CudaRecording>(*this, stream, std::move(error));
  GRAFT_RETURN_IF_ERROR(recording->Build(parts));
  return std::unique_ptr<Recording>(std::move(recording));
}

}  // namespace graft::cuda
