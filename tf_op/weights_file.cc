#include "weights_file.h"

#include <sys/mman.h>

#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/platform/file_system_helper.h"

namespace graft_tf {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

constexpr absl::string_view kMagic = "GRAFTWTS";
constexpr int64_t kAlignment = 64;

// The bytes of a file: mapped, or a copy where it is not a local one.
class WeightsFile {
 public:
  static absl::StatusOr<std::shared_ptr<const WeightsFile>> Open(const std::string& path) {
    auto file = std::make_shared<WeightsFile>();
    tensorflow::Env* const env = tensorflow::Env::Default();
    if (absl::StrContains(path, "://")) {
      // Other file systems give copies, aligned as it comes.
      TF_RETURN_IF_ERROR(file->Copy(env, path));
    } else {
      TF_RETURN_IF_ERROR(env->NewReadOnlyMemoryRegionFromFile(path, &file->region_));
      file->data_ = static_cast<const char*>(file->region_->data());
      file->size_ = file->region_->length();
    }
    if (!absl::StartsWith(absl::string_view(file->data_, file->size_), kMagic))
      return absl::DataLossError(absl::StrCat(path, ": is no file of Graft's weights"));
    return file;
  }
  const char* data() const { return data_; }
  uint64_t size() const { return size_; }
  void Release() const {
    if (region_ != nullptr) madvise(const_cast<char*>(data_), size_, MADV_DONTNEED);
  }

 private:
  absl::Status Copy(tensorflow::Env* env, const std::string& path) {
    std::string contents;
    TF_RETURN_IF_ERROR(tensorflow::ReadFileToString(env, path, &contents));
    copy_ = Tensor(tensorflow::DT_UINT8, tensorflow::TensorShape({int64_t(contents.size())}));
    size_ = contents.size();
    data_ = static_cast<const char*>(copy_.data());
    std::memcpy(copy_.data(), contents.data(), size_);
    return absl::OkStatus();
  }

  std::unique_ptr<tensorflow::ReadOnlyMemoryRegion> region_;
  Tensor copy_;
  const char* data_ = nullptr;
  uint64_t size_ = 0;
};

// Those that are mapped, by the hash of what they hold.
class WeightsFiles {
 public:
  static WeightsFiles& Global() {
    static auto* files = new WeightsFiles;  // kernels may outlive static destruction
    return *files;
  }
  absl::Status Map(const std::string& name, const std::string& path) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<const WeightsFile>& file = files_[name];
    if (file != nullptr) return absl::OkStatus();
    absl::StatusOr<std::shared_ptr<const WeightsFile>> opened = WeightsFile::Open(path);
    if (!opened.ok()) return opened.status();
    file = *std::move(opened);
    return absl::OkStatus();
  }
  std::shared_ptr<const WeightsFile> Find(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = files_.find(name);
    return found == files_.end() ? nullptr : found->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const WeightsFile>> files_;
};

// Over memory that stays. No kernel may write to it: it is not the tensor's own.
class MappedBuffer : public tensorflow::TensorBuffer {
 public:
  MappedBuffer(const char* data, size_t size)
      : TensorBuffer(const_cast<char*>(data)), size_(size) {}
  size_t size() const override { return size_; }
  TensorBuffer* root_buffer() override { return this; }
  bool OwnsMemory() const override { return false; }
  void FillAllocationDescription(tensorflow::AllocationDescription* description) const override {
    description->set_requested_bytes(static_cast<int64_t>(size_));
    description->set_allocator_name("graft weights file");
  }

 private:
  size_t size_;
};

class GraftMapWeights : public OpKernel {
 public:
  explicit GraftMapWeights(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("file", &file_));
  }
  void Compute(OpKernelContext* context) override {
    const Tensor& path = context->input(0);
    OP_REQUIRES(context, tensorflow::TensorShapeUtils::IsScalar(path.shape()),
                absl::InvalidArgumentError("filename must be a scalar"));
    OP_REQUIRES_OK(context, WeightsFiles::Global().Map(
                                file_, std::string(path.scalar<tensorflow::tstring>()())));
  }

 private:
  std::string file_;
};

class GraftWeight : public OpKernel {
 public:
  explicit GraftWeight(OpKernelConstruction* construction) : OpKernel(construction) {
    absl::StatusOr<Tensor> weight = WeightOf(tensorflow::AttrSlice(construction->def()));
    OP_REQUIRES_OK(construction, weight.status());
    weight_ = *std::move(weight);
  }
  void Compute(OpKernelContext* context) override { context->set_output(0, weight_); }
  bool IsExpensive() override { return false; }

 private:
  Tensor weight_;
};

}  // namespace

absl::StatusOr<Tensor> WeightOf(const tensorflow::AttrSlice& attributes) {
  tensorflow::DataType dtype;
  tensorflow::TensorShape shape;
  std::string name;
  int64_t offset = 0;
  TF_RETURN_IF_ERROR(GetNodeAttr(attributes, "dtype", &dtype));
  TF_RETURN_IF_ERROR(GetNodeAttr(attributes, "shape", &shape));
  TF_RETURN_IF_ERROR(GetNodeAttr(attributes, "file", &name));
  TF_RETURN_IF_ERROR(GetNodeAttr(attributes, "offset", &offset));
  const int64_t element = tensorflow::DataTypeSize(dtype), elements = shape.num_elements();
  if (!tensorflow::DataTypeCanUseMemcpy(dtype) || element == 0 ||
      elements > std::numeric_limits<int64_t>::max() / element) {
    return absl::DataLossError(
        absl::StrCat("a weight is ", tensorflow::DataTypeString(dtype), shape.DebugString()));
  }
  const absl::StatusOr<absl::string_view> bytes = PartOf(name, offset, elements * element);
  TF_RETURN_IF_ERROR(bytes.status());
  tensorflow::core::RefCountPtr<tensorflow::TensorBuffer> buffer(
      new MappedBuffer(bytes->data(), bytes->size()));
  return Tensor(dtype, shape, buffer.get());
}

absl::StatusOr<absl::string_view> PartOf(const std::string& file, int64_t offset, int64_t size) {
  const std::shared_ptr<const WeightsFile> found = WeightsFiles::Global().Find(file);
  if (found == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the file of weights ", file, " is not there: the model's initialisation has not run"));
  }
  const auto end = static_cast<int64_t>(found->size());
  if (offset < 0 || offset % kAlignment != 0 || offset > end || size < 0 || size > end - offset) {
    return absl::DataLossError(
        absl::StrCat("the file of weights ", file, " has no ", size, " bytes at ", offset));
  }
  return absl::string_view(found->data() + offset, static_cast<size_t>(size));
}

void ReleaseFile(const std::string& file) {
  if (const auto found = WeightsFiles::Global().Find(file); found != nullptr) found->Release();
}

void ReleaseWeights(const tensorflow::FunctionDef& function) {
  std::string last;
  for (const tensorflow::NodeDef& node : function.node_def()) {
    std::string name;
    if (node.op() != kWeightOp || !tensorflow::TryGetNodeAttr(node, "file", &name) || name == last)
      continue;
    ReleaseFile(name);
    last = name;
  }
}

absl::StatusOr<std::string> EncodeWithConstants(const tensorflow::FunctionDef& function) {
  const auto is_weight = [](const tensorflow::NodeDef& node) { return node.op() == kWeightOp; };
  if (absl::c_none_of(function.node_def(), is_weight)) return function.SerializeAsString();
  tensorflow::FunctionDef whole = function;
  for (tensorflow::NodeDef& node : *whole.mutable_node_def()) {
    if (!is_weight(node)) continue;
    absl::StatusOr<Tensor> weight = WeightOf(tensorflow::AttrSlice(node));
    TF_RETURN_IF_ERROR(weight.status());
    node.set_op("Const");
    for (const char* attribute : {"shape", "file", "offset"}) node.mutable_attr()->erase(attribute);
    weight->AsProtoTensorContent((*node.mutable_attr())["value"].mutable_tensor());
  }
  return whole.SerializeAsString();
}

REGISTER_OP("GraftMapWeights")
    .Attr("file: string")
    .Input("filename: string")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs);

// Stateful, so that no optimizer folds it into a constant, which would be a copy.
REGISTER_OP("GraftWeight")
    .Attr("dtype: type")
    .Attr("shape: shape")
    .Attr("file: string")
    .Attr("offset: int")
    .Output("output: dtype")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::ExplicitShape);

REGISTER_KERNEL_BUILDER(Name("GraftMapWeights").Device(tensorflow::DEVICE_CPU), GraftMapWeights);
REGISTER_KERNEL_BUILDER(Name("GraftWeight").Device(tensorflow::DEVICE_CPU), GraftWeight);

}  // namespace graft_tf
