#include "engine_holder.h"

#include <algorithm>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "environment.h"
#include "log.h"
#include "step_profile.h"
#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/function.h"
#include "tensorflow/core/framework/node_def_util.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/lib/core/threadpool.h"
#include "tensorflow/core/lib/io/path.h"
#include "tensorflow/core/lib/strings/proto_serialization.h"
#include "tensorflow/core/platform/hash.h"

namespace graft_tf {
namespace {

using tensorflow::OpKernelContext;
using tensorflow::Tensor;

// The constants of a native segment, decoded when the plan asks for them.
class SegmentConstants {
 public:
  explicit SegmentConstants(const tensorflow::FunctionDef* function) {
    if (function == nullptr) return;
    for (const tensorflow::NodeDef& node : function->node_def()) {
      if (node.op() != "Const") continue;
      by_name_[node.name()] = static_cast<int32_t>(constants_.size());
      constants_.push_back({&node});
    }
  }
  // graft_find_weight_fn
  static int32_t Find(void* self, const char* name, graft_weight* weight) {
    auto* constants = static_cast<SegmentConstants*>(self);
    const auto index = constants->by_name_.find(name);
    return index == constants->by_name_.end() ? 1 : At(self, index->second, weight);
  }
  // graft_weight_at_fn
  static int32_t At(void* self, int32_t index, graft_weight* weight) {
    auto* constants = static_cast<SegmentConstants*>(self);
    if (index < 0 || static_cast<size_t>(index) >= constants->constants_.size()) return 1;
    Constant& constant = constants->constants_[index];
    if (!constant.decoded) {
      constant.decoded = true;
      const auto& attrs = constant.node->attr();
      const auto value = attrs.find("value");
      // Strings and what does not decode have no bytes that a plan could refer to: an empty tensor
      // stands for them.
      if (value == attrs.end() || !constant.tensor.FromProto(value->second.tensor()) ||
          !tensorflow::DataTypeCanUseMemcpy(constant.tensor.dtype())) {
        constant.tensor = Tensor();
      }
      for (const auto& d : constant.tensor.shape()) constant.dims.push_back(d.size);
    }
    // The engine holds a reference of its own; what it does not take goes with this object.
    auto* reference = new Tensor(constant.tensor);
    weight->dtype = constant.tensor.dtype();
    weight->rank = static_cast<int32_t>(constant.dims.size());
    weight->dims = constant.dims.data();
    weight->data = reference->tensor_data().data();
    weight->release = [](void* state) { delete static_cast<Tensor*>(state); };
    weight->release_state = reference;
    return 0;
  }

 private:
  struct Constant {
    const tensorflow::NodeDef* node;
    bool decoded = false;
    Tensor tensor;
    std::vector<int64_t> dims;
  };
  std::vector<Constant> constants_;
  std::map<std::string, int32_t> by_name_;
};

// graft_schedule_fn over the device's worker pool.
void Schedule(void* pool, void (*closure)(void*), void* argument) {
  static_cast<tensorflow::thread::ThreadPool*>(pool)->Schedule(
      [closure, argument] { closure(argument); });
}

// Says what a native segment computes, whatever it is called: TensorFlow's loaders rename
// functions, strip default attributes and add private ones.
std::string SegmentKey(const tensorflow::FunctionDef& function) {
  std::vector<std::string> nodes;
  for (const tensorflow::NodeDef& original : function.node_def()) {
    tensorflow::NodeDef node = original;
    const tensorflow::OpDef* op = nullptr;
    if (tensorflow::OpRegistry::Global()->LookUpOpDef(node.op(), &op).ok())
      tensorflow::AddDefaultsToNodeDef(*op, &node);
    node.clear_device();
    node.clear_experimental_debug_info();
    for (const auto& [name, value] : original.attr()) {
      if (absl::StartsWith(name, "_")) node.mutable_attr()->erase(name);
    }
    nodes.push_back(absl::StrCat(tensorflow::DeterministicProtoHash64(node)));
  }
  for (const auto& [name, edge] : function.ret()) nodes.push_back(absl::StrCat(name, "=", edge));
  std::sort(nodes.begin(), nodes.end());
  return absl::StrCat(absl::Hex(tensorflow::Hash64(absl::StrJoin(nodes, ";")), absl::kZeroPad16));
}

// A JSON string.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", std::string(1, c));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&quoted, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// What the node's engines are saved under: the last part of its name.
std::string ResourceName(const std::string& node) {
  return std::string(tensorflow::io::Basename(node));
}

// The op's inputs as the C API takes them. No allocation for the usual numbers and ranks.
class InputTensors {
 public:
  explicit InputTensors(OpKernelContext* context)
      : dims_(context->num_inputs()), tensors_(context->num_inputs()) {
    for (int i = 0; i < context->num_inputs(); ++i) {
      const Tensor& input = context->input(i);
      for (const auto& d : input.shape()) dims_[i].push_back(d.size);
      tensors_[i] = GRAFT_TENSOR_INIT;
      tensors_[i].dtype = input.dtype();
      tensors_[i].rank = static_cast<int32_t>(dims_[i].size());
      tensors_[i].dims = dims_[i].data();
      tensors_[i].data = input.tensor_data().data();
    }
  }
  InputTensors(const InputTensors&) = delete;
  InputTensors& operator=(const InputTensors&) = delete;
  const graft_tensor* data() const { return tensors_.data(); }
  int32_t size() const { return static_cast<int32_t>(tensors_.size()); }

 private:
  absl::InlinedVector<absl::InlinedVector<int64_t, 8>, 8> dims_;
  absl::InlinedVector<graft_tensor, 8> tensors_;
};

struct Outputs {
  OpKernelContext* context;
  absl::Status status;
  // graft_allocate_output_fn
  static void Allocate(void* self, const graft_output_request* request,
                       graft_output_memory* memory) {
    auto* outputs = static_cast<Outputs*>(self);
    if (request->dtype != outputs->context->expected_output_dtype(request->output)) {
      outputs->status =
          absl::InternalError("the engine's result has another dtype than the node's");
      return;
    }
    tensorflow::TensorShape shape;
    for (int32_t i = 0; i < request->rank; ++i) shape.AddDim(request->dims[i]);
    Tensor* tensor = nullptr;
    outputs->status = outputs->context->allocate_output(request->output, shape, &tensor);
    if (!outputs->status.ok()) return;
    // An empty tensor may have no buffer; any address will do for no bytes.
    static char nothing;
    void* data = tensorflow::DMAHelper::base(tensor);
    memory->data = data != nullptr ? data : &nothing;
  }
};

}  // namespace

absl::Status EngineHolder::BuildWith(OpKernelContext* context,
                                     const tensorflow::FunctionDef& function,
                                     const std::string& precision_mode, std::string* plan) {
  // Only what the shapes of this call fix for certain is fixed: their rank. One engine serves all
  // shapes.
  const InputTensors arguments(context);
  const std::string bytes = function.SerializeAsString();
  std::string options =
      absl::StrCat("{\"opt-level\": 0, \"precision-mode\": ", Quoted(precision_mode));
  if (precision_mode == "INT8" && !spec_.calibration_data.empty()) {
    absl::StrAppend(&options, ", \"calibration-tables\": {", Quoted(spec_.node), ": ",
                    Quoted(spec_.calibration_data), "}");
  }
  options += "}";
  graft_bytes* raw = nullptr;
  graft_status* status = nullptr;
  // On a thread of our own: building allocates a lot and must not run on a small stack of
  // TensorFlow's.
  std::thread([&] {
    status = graft_build_segment(bytes.data(), bytes.size(), arguments.data(), arguments.size(),
                                 options.c_str(), &raw);
  }).join();
  TF_RETURN_IF_ERROR(ToAbsl(status));
  const Owned<graft_bytes> owned(raw);
  plan->assign(static_cast<const char*>(graft_bytes_data(owned.get())),
               graft_bytes_size(owned.get()));
  return absl::OkStatus();
}

// In the node's precision. An INT8 engine of which neither nodes nor a table give the ranges is
// TF-TRT's FP16 one.
absl::Status EngineHolder::Build(OpKernelContext* context, const tensorflow::FunctionDef& function,
                                 std::string* plan) {
  const absl::Status status = BuildWith(context, function, spec_.precision_mode, plan);
  if (status.ok() || spec_.precision_mode != "INT8" || !spec_.calibration_data.empty() ||
      !absl::IsInvalidArgument(status))
    return status;
  LOG(WARNING) << spec_.node << ": Set engine precision to FP16 due to missing QDQ OP ("
               << status.message() << ")";
  return BuildWith(context, function, "FP16", plan);
}

EngineHolder::~EngineHolder() {
  // The plan waits to be saved as long as its model lives.
  if (kept_in_ != nullptr) kept_in_->Remove(segment_);
}

// SerializeTRTResource writes what was built here.
absl::Status EngineHolder::KeepForSaving(OpKernelContext* context, std::string plan) {
  EngineResource* resource = nullptr;
  TF_RETURN_IF_ERROR(context->resource_manager()->LookupOrCreate<EngineResource>(
      std::string(kEngineContainer), ResourceName(spec_.node), &resource,
      [](EngineResource** created) {
        *created = new EngineResource;
        return absl::OkStatus();
      }));
  kept_in_.reset(resource);
  kept_in_->Add({segment_, std::move(plan)});
  return absl::OkStatus();
}

absl::Status EngineHolder::Load(OpKernelContext* context, const std::string& plan,
                                const tensorflow::FunctionDef* function) {
  SegmentConstants constants(function);
  graft_engine_options options = GRAFT_ENGINE_OPTIONS_INIT;
  options.check_all_weights = 1;
  options.find_weight = &SegmentConstants::Find;
  options.weight_at = &SegmentConstants::At;
  options.find_weight_state = &constants;
  options.threads = 1;  // no threads of ours inside TensorFlow
  graft_engine* raw = nullptr;
  TF_RETURN_IF_ERROR(ToAbsl(graft_engine_from_bytes(plan.data(), plan.size(), &options, &raw)));
  Owned<graft_engine> engine(raw);
  if (graft_engine_input_count(raw) != context->num_inputs() ||
      graft_engine_output_count(raw) != context->num_outputs()) {
    return absl::InvalidArgumentError(
        "the engine has another number of inputs or outputs than the node");
  }
  engine_ = std::move(engine);
  return absl::OkStatus();
}

// An engine out of the saved model's assets; NotFound when there is none.
absl::Status EngineHolder::LoadSaved(OpKernelContext* context,
                                     const tensorflow::FunctionDef* function) {
  EngineResource* found = nullptr;
  TF_RETURN_IF_ERROR(context->resource_manager()->Lookup(std::string(kEngineContainer),
                                                         ResourceName(spec_.node), &found));
  const tensorflow::core::RefCountPtr<EngineResource> resource(found);
  absl::Status status = absl::NotFoundError("the saved model has no engine for the node");
  for (const SavedEngine& saved : resource->EnginesFor(segment_)) {
    status = Load(context, saved.plan, function);
    if (status.ok()) return status;
    LOG(WARNING) << spec_.node << ": the engine in the saved model's assets does not load ("
                 << status.message() << ")";
  }
  return status;
}

absl::Status EngineHolder::Make(OpKernelContext* context) {
  tensorflow::FunctionDef copy;
  const tensorflow::FunctionDef* function = native_->FindWhole(context, &copy);
  if (!spec_.serialized_segment.empty()) {
    const absl::Status status = Load(context, spec_.serialized_segment, function);
    if (status.ok()) {
      GRAFT_TF_VLOG(1) << "Loaded the engine of " << spec_.node;
      return status;
    }
    if (!spec_.allow_build || function == nullptr) return status;
    // Weights that TensorFlow folded away, a plan of another version: the native segment still says
    // what to compute.
    LOG(WARNING) << spec_.node << ": the saved engine does not load (" << status.message()
                 << "); building it from the native segment";
  }
  if (function != nullptr) segment_ = SegmentKey(*function);
  if (LoadSaved(context, function).ok()) {
    GRAFT_TF_VLOG(1) << "Loaded the engine of " << spec_.node << " from the saved model's assets";
    return absl::OkStatus();
  }
  if (!spec_.allow_build) {
    return absl::FailedPreconditionError(
        "Found no engine in cache matching input shapes. Not building a new engine because "
        "allow_build_at_runtime=False");
  }
  if (function == nullptr)
    return absl::NotFoundError("there is neither an engine nor a native segment to build one of");
  std::string plan;
  TF_RETURN_IF_ERROR(Build(context, *function, &plan));
  TF_RETURN_IF_ERROR(Load(context, plan, function));
  GRAFT_TF_VLOG(1) << "Built the engine of " << spec_.node;
  return KeepForSaving(context, std::move(plan));
}

absl::StatusOr<Owned<graft_context>> EngineHolder::TakeContext(OpKernelContext* context) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!made_) {
      if (EngineBuildAborted()) {
        return absl::AbortedError(
            "Engine creation aborted by TF_TRT_ABORT_CUDA_ENGINE_BUILD variable");
      }
      made_ = true;
      make_status_ = Make(context);
      spec_.serialized_segment = std::string();
    }
    TF_RETURN_IF_ERROR(make_status_);
    if (!idle_.empty()) {
      Owned<graft_context> taken = std::move(idle_.back());
      idle_.pop_back();
      return taken;
    }
  }
  const tensorflow::DeviceBase::CpuWorkerThreads* workers =
      context->device()->tensorflow_cpu_worker_threads();
  graft_context_options options = GRAFT_CONTEXT_OPTIONS_INIT;
  options.threads = workers->num_threads;
  options.schedule = &Schedule;
  options.schedule_state = workers->workers;
  graft_context* created = nullptr;
  TF_RETURN_IF_ERROR(ToAbsl(graft_context_create(engine_.get(), &options, &created)));
  return Owned<graft_context>(created);
}

// As many wait as the device has threads that could run them; what a burst of calls needed beyond
// that goes.
void EngineHolder::GiveBack(Owned<graft_context> context, size_t most_idle) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.size() < most_idle) idle_.push_back(std::move(context));
}

absl::Status EngineHolder::Run(OpKernelContext* context) {
  absl::StatusOr<Owned<graft_context>> taken = TakeContext(context);
  TF_RETURN_IF_ERROR(taken.status());
  const InputTensors inputs(context);
  Outputs outputs{context, absl::OkStatus()};
  absl::Status status;
  {
    const StepProfile profile(context, taken->get());
    status = ToAbsl(graft_context_run(taken->get(), inputs.data(), inputs.size(),
                                      &Outputs::Allocate, &outputs));
  }
  const int threads = context->device()->tensorflow_cpu_worker_threads()->num_threads;
  GiveBack(*std::move(taken), static_cast<size_t>(std::max(threads, 1)));
  return outputs.status.ok() ? status : outputs.status;
}

}  // namespace graft_tf
