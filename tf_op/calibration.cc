#include "calibration.h"

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine_resource.h"
#include "input_tensors.h"
#include "segment.h"
#include "weights_file.h"

namespace graft_tf {
namespace {

using tensorflow::OpKernelContext;

std::atomic<bool> gathers{false};

absl::StatusOr<Owned<graft_calibrator>> MakeCalibrator(
    const tensorflow::FunctionDef& function,
    const std::vector<tensorflow::PartialTensorShape>& input_shapes,
    const InputTensors& arguments) {
  const absl::StatusOr<std::string> bytes = EncodeWithConstants(function);
  if (!bytes.ok()) return bytes.status();
  const nlohmann::json options = {{"opt-level", 0},
                                  {"input-shapes", InputShapesOption(input_shapes)}};
  const std::string options_text = options.dump();
  graft_calibrator* made = nullptr;
  graft_status* status = nullptr;
  // On a thread of its own, as builds are.
  std::thread([&] {
    status = graft_calibrator_create(bytes->data(), bytes->size(), arguments.data(),
                                     arguments.size(), options_text.c_str(), &made);
  }).join();
  TF_RETURN_IF_ERROR(ToAbsl(status));
  return Owned<graft_calibrator>(made);
}

}  // namespace

absl::Status CalibrationData::Add(const graft_tensor* arguments, int32_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ToAbsl(graft_calibrator_add(calibrator_.get(), arguments, count));
}

absl::StatusOr<std::string> CalibrationData::Table() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  graft_bytes* raw = nullptr;
  TF_RETURN_IF_ERROR(ToAbsl(graft_calibrator_finish(calibrator_.get(), "", &raw)));
  const Owned<graft_bytes> bytes(raw);
  return std::string(static_cast<const char*>(graft_bytes_data(bytes.get())),
                     graft_bytes_size(bytes.get()));
}

absl::Status CalibrationGatherer::Start(OpKernelContext* context, const NativeSegment& native) {
  const std::shared_ptr<const tensorflow::FunctionDef> function = native.Whole(context);
  if (function == nullptr) return absl::NotFoundError("its native segment is not there");
  std::string key = SegmentKey(*function, input_shapes_);
  const std::string name = ResourceName(node_);
  data_ = FindResource<CalibrationData>(context, name);
  if (data_ != nullptr && data_->key() == key) return absl::OkStatus();
  absl::StatusOr<Owned<graft_calibrator>> calibrator =
      MakeCalibrator(*function, input_shapes_, InputTensors(context));
  if (!calibrator.ok()) {
    data_.reset();
    return calibrator.status();
  }
  tensorflow::ResourceMgr* const resources = context->resource_manager();
  if (data_ != nullptr) {
    resources->Delete<CalibrationData>(std::string(kEngineContainer), name).IgnoreError();
  }
  data_.reset(new CalibrationData(std::move(key), *std::move(calibrator)));
  data_->Ref();  // the resource manager's
  return resources->Create(std::string(kEngineContainer), name, data_.get());
}

absl::Status CalibrationGatherer::Add(OpKernelContext* context, const NativeSegment& native) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (data_ == nullptr) TF_RETURN_IF_ERROR(Start(context, native));
  const InputTensors inputs(context);
  return data_->Add(inputs.data(), inputs.size());
}

absl::StatusOr<std::string> TakeCalibrationTable(OpKernelContext* context,
                                                 const std::string& resource_name) {
  const auto data = FindResource<CalibrationData>(context, resource_name);
  if (data == nullptr) {
    return absl::NotFoundError(absl::StrCat("engine ", resource_name,
                                            " has no calibration data: it is not of precision INT8 "
                                            "with use_calibration, or has not run"));
  }
  absl::StatusOr<std::string> table = data->Table();
  if (table.ok()) {
    context->resource_manager()
        ->Delete<CalibrationData>(std::string(kEngineContainer), resource_name)
        .IgnoreError();
  }
  return table;
}

bool GathersCalibrationData() { return gathers.load(std::memory_order_relaxed); }
void GatherCalibrationData() { gathers.store(true, std::memory_order_relaxed); }

}  // namespace graft_tf
