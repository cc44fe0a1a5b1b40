// The CPU kernel of TRTEngineOp: runs the engine, and when that cannot be, the native segment,
// counted and with the reason in the log.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "calibration.h"
#include "environment.h"
#include "log.h"
#include "native_segment.h"
#include "ranked_engines.h"
#include "statistics.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace graft_tf {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;

std::string InputShapes(OpKernelContext* context) {
  std::vector<std::string> shapes;
  for (int i = 0; i < context->num_inputs(); ++i)
    shapes.push_back(context->input(i).shape().DebugString());
  return absl::StrCat("[", absl::StrJoin(shapes, ", "), "]");
}

class TRTEngineOp : public tensorflow::AsyncOpKernel {
 public:
  explicit TRTEngineOp(OpKernelConstruction* construction) : AsyncOpKernel(construction) {
    EngineSpec spec;
    spec.node = name();
    OP_REQUIRES_OK(construction,
                   construction->GetAttr("serialized_segment", &spec.serialized_segment));
    tensorflow::NameAttrList function;
    OP_REQUIRES_OK(construction, construction->GetAttr("segment_func", &function));
    if (function.name().empty()) {
      // The 2019 releases name the function by a string.
      std::string old_name;
      OP_REQUIRES_OK(construction, construction->GetAttr("segment_funcdef_name", &old_name));
      function.set_name(old_name);
    }
    OP_REQUIRES_OK(construction, construction->GetAttr("input_shapes", &spec.input_shapes));
    input_shapes_ = spec.input_shapes;
    // Private attributes of later releases; without them building is allowed.
    if (!construction->GetAttr("_allow_build_at_runtime", &spec.allow_build).ok())
      spec.allow_build = true;
    // Of models whose plans are in a file.
    if (construction->GetAttr("_plan_file", &spec.plan_file).ok()) {
      OP_REQUIRES_OK(construction, construction->GetAttr("_plan_offset", &spec.plan_offset));
      OP_REQUIRES_OK(construction, construction->GetAttr("_plan_size", &spec.plan_size));
    }
    // Of models that were saved with their engines as assets.
    construction->GetAttr("_engine_key", &spec.engine_key).IgnoreError();
    spec.inputs = construction->num_inputs();
    spec.outputs = construction->num_outputs();
    bool use_calibration = false;
    OP_REQUIRES_OK(construction, construction->GetAttr("precision_mode", &spec.precision_mode));
    OP_REQUIRES_OK(construction, construction->GetAttr("use_calibration", &use_calibration));
    OP_REQUIRES_OK(construction, construction->GetAttr("calibration_data", &spec.calibration_data));
    OP_REQUIRES_OK(construction,
                   construction->GetAttr("workspace_size_bytes", &spec.workspace_size_bytes));
    OP_REQUIRES_OK(construction,
                   construction->GetAttr("max_cached_engines_count", &spec.max_cached_engines));
    if (spec.precision_mode == "INT8CALIB") {  // 1.12's name for an engine that is calibrated
      spec.precision_mode = "INT8";
      use_calibration = true;
    }
    waits_for_calibration_ = spec.precision_mode == "INT8" && use_calibration &&
                             spec.calibration_data.empty() && !spec.has_plan();
    if (waits_for_calibration_)
      gatherer_ = std::make_unique<CalibrationGatherer>(name(), input_shapes_);
    native_ = std::make_unique<NativeSegment>(std::move(function));
    statistics_ = Statistics::Global().Of(name());
    engines_ = std::make_unique<RankedEngines>(std::move(spec), native_.get(), statistics_);
  }

  void ComputeAsync(OpKernelContext* context, DoneCallback done) override {
    // The numbers that it is calibrated with are TensorFlow's.
    if (waits_for_calibration_ && native_->IsThere(context)) {
      if (statistics_->native_for_calibration.fetch_add(1, std::memory_order_relaxed) == 0) {
        LOG(WARNING) << name() << ": INT8 with use_calibration and without calibration_data: its "
                     << "native segment runs until it is calibrated";
      }
      if (GathersCalibrationData()) {
        const absl::Status status = gatherer_->Add(context, *native_);
        if (!status.ok()) {
          LOG(WARNING) << name() << ": these inputs do not calibrate it: " << status.message();
        }
      }
      native_->Run(context, done);
      return;
    }
    absl::Status status = CheckInputShapes(context);
    if (status.ok()) status = engines_->Run(context);
    if (status.ok()) {
      GRAFT_TF_VLOG(1) << "Executed the engine of " << name()
                       << " for input shapes: " << InputShapes(context);
      statistics_->engine_calls.fetch_add(1, std::memory_order_relaxed);
      done();
      return;
    }
    const std::string reason(status.message());
    if (!NativeExecutionAllowed()) {
      context->CtxFailure(absl::AbortedError(
          absl::StrCat("User disallowed engine native segment execution. ", name(), ": ", reason)));
      done();
      return;
    }
    if (!native_->IsThere(context)) {
      context->CtxFailure(absl::Status(
          status.code(), absl::StrCat(name(), ": ", reason, " (and there is no native segment)")));
      done();
      return;
    }
    if (absl::IsUnavailable(status) && status.message() == kBeingBuilt) {
      statistics_->native_while_building.fetch_add(1, std::memory_order_relaxed);
    } else if (statistics_->CountFallback(reason)) {
      LOG(WARNING) << "Engine retrieval for input shapes: " << InputShapes(context)
                   << " failed. Running native segment for " << name() << ": " << reason;
    }
    GRAFT_TF_VLOG(1) << "Executing native segment: " << name() << ": " << reason;
    native_->Run(context, done);
  }

 private:
  // Against the shapes that conversion recorded; a dimension of -1 takes any size.
  absl::Status CheckInputShapes(OpKernelContext* context) const {
    if (input_shapes_.empty()) return absl::OkStatus();
    if (input_shapes_.size() != static_cast<size_t>(context->num_inputs())) {
      return absl::InvalidArgumentError("the node has another number of inputs than input_shapes");
    }
    for (int i = 0; i < context->num_inputs(); ++i) {
      const tensorflow::TensorShape& shape = context->input(i).shape();
      if (!input_shapes_[i].IsCompatibleWith(shape)) {
        return absl::InvalidArgumentError(absl::StrCat("input ", i, " has shape ",
                                                       shape.DebugString(), ", the engine takes ",
                                                       input_shapes_[i].DebugString()));
      }
    }
    return absl::OkStatus();
  }

  std::vector<tensorflow::PartialTensorShape> input_shapes_;
  bool waits_for_calibration_ = false;
  std::unique_ptr<CalibrationGatherer> gatherer_;  // where it does
  std::unique_ptr<NativeSegment> native_;
  std::unique_ptr<RankedEngines> engines_;
  NodeStatistics* statistics_ = nullptr;
};

REGISTER_KERNEL_BUILDER(Name("TRTEngineOp").Device(tensorflow::DEVICE_CPU), TRTEngineOp);

}  // namespace
}  // namespace graft_tf
