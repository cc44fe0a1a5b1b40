// Serialized engines of the nodes of one name, as a resource of TensorFlow: what saved models carry
// in assets/trt-serialized-engine.<name>.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_base.h"
#include "tensorflow/core/framework/resource_mgr.h"

namespace graft_tf {

inline constexpr absl::string_view kEngineContainer = "TF-TRT";

// What a node's resources are found by in that container: the last part of its name.
std::string ResourceName(absl::string_view node);

// The resource of this name, or null.
template <typename T>
tensorflow::core::RefCountPtr<T> FindResource(tensorflow::OpKernelContext* context,
                                              const std::string& name) {
  T* found = nullptr;
  const absl::Status status =
      context->resource_manager()->Lookup(std::string(kEngineContainer), name, &found);
  return tensorflow::core::RefCountPtr<T>(status.ok() ? found : nullptr);
}

// An engine, and by what its node knows it: the node's attribute _engine_key, or what the node's
// native segment computes (SegmentKey).
struct SavedEngine {
  std::string key;
  std::string plan;
};

class EngineResource : public tensorflow::ResourceBase {
 public:
  // A record of the file: TRTEngineInstance {repeated TensorShapeProto input_shapes = 1; bytes
  // serialized_engine = 2}, and the engine's key as field 15, which other readers skip. DataLoss
  // for bytes that are none, Unimplemented for an engine that is not Graft's; such are not kept.
  absl::Status AddRecord(absl::string_view record);
  // Replaces the engine with this key. Nodes of several models may share a resource: TensorFlow
  // finds it by the last part of their name.
  void Add(SavedEngine engine);
  void Remove(const std::string& key);
  std::vector<std::string> Records() const;
  // The plan; empty when there is none.
  std::string Find(const std::string& key) const;
  std::string DebugString() const override;

 private:
  mutable std::mutex mutex_;
  std::vector<SavedEngine> engines_;
};

}  // namespace graft_tf
