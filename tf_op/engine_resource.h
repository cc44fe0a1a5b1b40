// Serialized engines of one node, as a resource of TensorFlow: what saved models carry in
// assets/trt-serialized-engine.<name>.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "tensorflow/core/framework/resource_base.h"

namespace graft_tf {

inline constexpr absl::string_view kEngineContainer = "TF-TRT";

class EngineResource : public tensorflow::ResourceBase {
 public:
  // A record of the file: TRTEngineInstance {repeated TensorShapeProto input_shapes = 1; bytes
  // serialized_engine = 2}. DataLoss for bytes that are none.
  absl::Status AddRecord(absl::string_view record);
  void AddEngine(std::string plan);
  std::vector<std::string> Records() const;
  // The serialized engines.
  std::vector<std::string> Engines() const;
  std::string DebugString() const override;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> engines_;
};

}  // namespace graft_tf
