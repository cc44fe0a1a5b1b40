#include "native_segment.h"

#include "tensorflow/core/common_runtime/device.h"
#include "tensorflow/core/framework/function.h"
#include "weights_file.h"

namespace graft_tf {

using tensorflow::FunctionLibraryRuntime;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

bool NativeSegment::IsThere(OpKernelContext* context) const {
  FunctionLibraryRuntime* library = context->function_library();
  return library != nullptr && exists() &&
         library->GetFunctionLibraryDefinition()->Contains(function_.name());
}

namespace {

// The constant of a function that is nothing else, or null.
const tensorflow::NodeDef* SharedConstant(const tensorflow::NodeDef& call,
                                          const tensorflow::FunctionLibraryDefinition& functions) {
  if (call.op() != "PartitionedCall") return nullptr;
  const auto f = call.attr().find("f");
  if (f == call.attr().end()) return nullptr;
  const tensorflow::FunctionDef* function = functions.Find(f->second.func().name());
  if (function == nullptr || function->node_def_size() != 1 || function->ret_size() != 1 ||
      (function->node_def(0).op() != "Const" && function->node_def(0).op() != kWeightOp))
    return nullptr;
  return &function->node_def(0);
}

}  // namespace

std::shared_ptr<const tensorflow::FunctionDef> NativeSegment::Whole(
    OpKernelContext* context) const {
  FunctionLibraryRuntime* library = context->function_library();
  if (library == nullptr || !exists()) return nullptr;
  const tensorflow::FunctionLibraryDefinition& functions = *library->GetFunctionLibraryDefinition();
  tensorflow::core::RefCountPtr<tensorflow::FunctionRecord> found =
      functions.FindRecord(function_.name());
  if (found == nullptr) return nullptr;
  const auto record = std::make_shared<decltype(found)>(std::move(found));
  const tensorflow::FunctionDef& function = (*record)->fdef();
  std::shared_ptr<tensorflow::FunctionDef> copy;
  for (int i = 0; i < function.node_def_size(); ++i) {
    const tensorflow::NodeDef* constant = SharedConstant(function.node_def(i), functions);
    if (constant == nullptr) continue;
    if (copy == nullptr) copy = std::make_shared<tensorflow::FunctionDef>(function);
    tensorflow::NodeDef& node = *copy->mutable_node_def(i);
    const std::string name = node.name();
    const auto inputs = node.input();
    node = *constant;
    node.set_name(name);
    *node.mutable_input() = inputs;
  }
  if (copy != nullptr) return copy;
  return {record, &function};
}

namespace {

// At every run: the library knows what it has instantiated, and a handle that is kept here would
// need to know which library it is of. A kernel may be called under another library than before
// (another session's, a function's copy), which may lie where one that is gone has lain.
absl::Status Instantiate(const tensorflow::NameAttrList& function, FunctionLibraryRuntime* library,
                         FunctionLibraryRuntime::Handle* handle) {
  FunctionLibraryRuntime::InstantiateOptions options;
  options.target = library->device()->name();
  options.is_multi_device_function = false;
  return library->Instantiate(function.name(), tensorflow::AttrSlice(&function.attr()), options,
                              handle);
}

}  // namespace

void NativeSegment::Run(OpKernelContext* context,
                        const tensorflow::AsyncOpKernel::DoneCallback& done) {
  FunctionLibraryRuntime* library = context->function_library();
  OP_REQUIRES_ASYNC(
      context, library != nullptr,
      absl::InternalError("the native segment cannot run: the context has no function library"),
      done);
  FunctionLibraryRuntime::Handle handle;
  OP_REQUIRES_OK_ASYNC(context, Instantiate(function_, library, &handle), done);
  FunctionLibraryRuntime::Options options(context->step_id());
  options.rendezvous = context->rendezvous();
  options.cancellation_manager = context->cancellation_manager();
  options.step_container = context->step_container();
  options.stats_collector = context->stats_collector();
  options.collective_executor = context->collective_executor();
  options.runner = context->runner();
  std::vector<Tensor> arguments;
  arguments.reserve(context->num_inputs());
  for (int i = 0; i < context->num_inputs(); ++i) arguments.push_back(context->input(i));
  auto* results = new std::vector<Tensor>;
  library->Run(options, handle, arguments, results,
               [context, results, done](const absl::Status& status) {
                 if (!status.ok()) {
                   context->SetStatus(status);
                 } else if (results->size() != static_cast<size_t>(context->num_outputs())) {
                   context->SetStatus(
                       absl::InternalError("the native segment gave another number of results"));
                 } else {
                   for (size_t i = 0; i < results->size(); ++i) {
                     // An engine that failed on its way has left outputs behind.
                     delete context->release_output(static_cast<int>(i)).tensor;
                     context->set_output(static_cast<int>(i), (*results)[i]);
                   }
                 }
                 delete results;
                 done();
               });
}

}  // namespace graft_tf
