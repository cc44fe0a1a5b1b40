// The companion ops of TRTEngineOp. They carry engines that were built at run time into saved
// models and back: a resource of the container "TF-TRT" holds serialized engines under the last
// part of their node's name.
#include <memory>
#include <mutex>
#include <string>

#include "calibration.h"
#include "engine_resource.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/lib/io/path.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"

namespace graft_tf {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

absl::Status ScalarString(OpKernelContext* context, const char* input, std::string* value) {
  const Tensor* tensor = nullptr;
  TF_RETURN_IF_ERROR(context->input(input, &tensor));
  if (!tensorflow::TensorShapeUtils::IsScalar(tensor->shape())) {
    return absl::InvalidArgumentError(absl::StrCat(input, " must be a scalar"));
  }
  *value = tensor->scalar<tensorflow::tstring>()();
  return absl::OkStatus();
}

class CreateTRTResourceHandle : public OpKernel {
 public:
  explicit CreateTRTResourceHandle(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("resource_name", &resource_name_));
  }
  void Compute(OpKernelContext* context) override {
    Tensor* handle = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, tensorflow::TensorShape({}), &handle));
    handle->scalar<tensorflow::ResourceHandle>()() = tensorflow::MakeResourceHandle<EngineResource>(
        context, std::string(kEngineContainer), resource_name_);
  }

 private:
  std::string resource_name_;
};

// Fills the resource from a record file; an empty file or name leaves it empty.
class InitializeTRTResource : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    std::string filename;
    OP_REQUIRES_OK(context, ScalarString(context, "filename", &filename));
    tensorflow::core::RefCountPtr<EngineResource> resource;
    OP_REQUIRES_OK(context, tensorflow::LookupOrCreateResource<EngineResource>(
                                context, tensorflow::HandleFromInput(context, 0), &resource,
                                [](EngineResource** created) {
                                  *created = new EngineResource;
                                  return absl::OkStatus();
                                }));
    if (filename.empty()) return;
    std::unique_ptr<tensorflow::RandomAccessFile> file;
    OP_REQUIRES_OK(context, tensorflow::Env::Default()->NewRandomAccessFile(filename, &file));
    tensorflow::io::SequentialRecordReader reader(file.get());
    tensorflow::tstring record;
    while (true) {
      const absl::Status status = reader.ReadRecord(&record);
      if (absl::IsOutOfRange(status)) break;
      OP_REQUIRES_OK(context, status);
      const absl::Status added = resource->AddRecord(record);
      if (absl::IsUnimplemented(added)) {
        LOG(WARNING) << filename << " has " << added.message()
                     << "; its node's engine is built from the native segment";
      } else {
        OP_REQUIRES_OK(context, added);
      }
    }
  }
};

class SerializeTRTResource : public OpKernel {
 public:
  explicit SerializeTRTResource(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("delete_resource", &delete_resource_));
    OP_REQUIRES_OK(construction,
                   construction->GetAttr("save_gpu_specific_engines", &save_engines_));
  }
  void Compute(OpKernelContext* context) override {
    std::string name, filename;
    OP_REQUIRES_OK(context, ScalarString(context, "resource_name", &name));
    OP_REQUIRES_OK(context, ScalarString(context, "filename", &filename));
    EngineResource* found = nullptr;
    OP_REQUIRES_OK(
        context, context->resource_manager()->Lookup(std::string(kEngineContainer), name, &found));
    const tensorflow::core::RefCountPtr<EngineResource> resource(found);
    std::unique_ptr<tensorflow::WritableFile> file;
    OP_REQUIRES_OK(context, tensorflow::Env::Default()->NewWritableFile(filename, &file));
    tensorflow::io::RecordWriter writer(file.get());
    if (save_engines_) {
      for (const std::string& record : resource->Records())
        OP_REQUIRES_OK(context, writer.WriteRecord(record));
    }
    OP_REQUIRES_OK(context, writer.Close());
    OP_REQUIRES_OK(context, file->Close());
    if (delete_resource_) {
      OP_REQUIRES_OK(context, context->resource_manager()->Delete<EngineResource>(
                                  std::string(kEngineContainer), name));
    }
  }

 private:
  bool delete_resource_ = false;
  bool save_engines_ = true;
};

class GetCalibrationDataOp : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    std::string name;
    OP_REQUIRES_OK(context, ScalarString(context, "resource_name", &name));
    absl::StatusOr<std::string> table = TakeCalibrationTable(context, name);
    OP_REQUIRES_OK(context, table.status());
    Tensor* output = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, tensorflow::TensorShape({}), &output));
    output->scalar<tensorflow::tstring>()() = *std::move(table);
  }
};

REGISTER_KERNEL_BUILDER(Name("CreateTRTResourceHandle").Device(tensorflow::DEVICE_CPU),
                        CreateTRTResourceHandle);
REGISTER_KERNEL_BUILDER(Name("InitializeTRTResource").Device(tensorflow::DEVICE_CPU),
                        InitializeTRTResource);
REGISTER_KERNEL_BUILDER(Name("SerializeTRTResource").Device(tensorflow::DEVICE_CPU),
                        SerializeTRTResource);
REGISTER_KERNEL_BUILDER(Name("GetCalibrationDataOp").Device(tensorflow::DEVICE_CPU),
                        GetCalibrationDataOp);

}  // namespace
}  // namespace graft_tf
