// Serialized engines of the nodes of one name, as a resource of TensorFlow: what saved models carry
// in assets/trt-serialized-engine.<name>.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "tensorflow/core/framework/resource_base.h"

namespace graft_tf {

inline constexpr absl::string_view kEngineContainer = "TF-TRT";

// An engine, and which native segment it computes (SegmentKey); empty where the file does not say.
struct SavedEngine {
  std::string segment;
  std::string plan;
};

class EngineResource : public tensorflow::ResourceBase {
 public:
  // A record of the file: TRTEngineInstance {repeated TensorShapeProto input_shapes = 1; bytes
  // serialized_engine = 2}, and the segment's key as field 15, which other readers skip. DataLoss
  // for bytes that are none.
  absl::Status AddRecord(absl::string_view record);
  // Replaces the segment's engine. Nodes of several models may share a resource: TensorFlow finds
  // it by the last part of their name.
  void Add(SavedEngine engine);
  void Remove(const std::string& segment);
  std::vector<std::string> Records() const;
  // Those that may be the segment's, the likeliest first.
  std::vector<SavedEngine> EnginesFor(const std::string& segment) const;
  std::string DebugString() const override;

 private:
  mutable std::mutex mutex_;
  std::vector<SavedEngine> engines_;
};

}  // namespace graft_tf
