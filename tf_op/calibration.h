// The ranges that an INT8 node learns from its inputs while its native segment runs, as a resource
// of TensorFlow: what the op GetCalibrationDataOp gives, with which TensorFlow's own converter
// calibrates. Graft's converters watch the inputs from outside.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "graft_status.h"
#include "native_segment.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_base.h"
#include "tensorflow/core/platform/refcount.h"

namespace graft_tf {

// Of a segment, which `key` names (SegmentKey). Any number of threads.
class CalibrationData : public tensorflow::ResourceBase {
 public:
  CalibrationData(std::string key, Owned<graft_calibrator> calibrator)
      : key_(std::move(key)), calibrator_(std::move(calibrator)) {}
  const std::string& key() const { return key_; }
  absl::Status Add(const graft_tensor* arguments, int32_t count);
  // The table's text.
  absl::StatusOr<std::string> Table() const;
  std::string DebugString() const override { return "calibration data"; }

 private:
  const std::string key_;
  mutable std::mutex mutex_;
  Owned<graft_calibrator> calibrator_;  // guarded by mutex_
};

// What one kernel adds to. Kernels of one node and segment share what they learn; another segment
// under a node's name starts anew. `input_shapes`: those that conversion knew.
class CalibrationGatherer {
 public:
  CalibrationGatherer(std::string node, std::vector<tensorflow::PartialTensorShape> input_shapes)
      : node_(std::move(node)), input_shapes_(std::move(input_shapes)) {}
  // The op's inputs are one batch.
  absl::Status Add(tensorflow::OpKernelContext* context, const NativeSegment& native);

 private:
  absl::Status Start(tensorflow::OpKernelContext* context, const NativeSegment& native);

  const std::string node_;
  const std::vector<tensorflow::PartialTensorShape> input_shapes_;
  std::mutex mutex_;
  tensorflow::core::RefCountPtr<CalibrationData> data_;  // guarded by mutex_
};

// The table of a node's data, which goes by it. NotFound: nothing was gathered.
absl::StatusOr<std::string> TakeCalibrationTable(tensorflow::OpKernelContext* context,
                                                 const std::string& resource_name);

// Whether nodes gather: somebody will ask. Otherwise a model that waits for its calibration would
// run twice at every call.
bool GathersCalibrationData();
void GatherCalibrationData();

}  // namespace graft_tf
