// Loads a converted SavedModel through TensorFlow's C API and runs its signature once:
//
//   run_saved_model OP_LIBRARY SAVED_MODEL_DIR INPUT_TENSOR OUTPUT_TENSOR [DIM]…
//   run_saved_model libgraft_tf_op.so converted serving_default_image:0 StatefulPartitionedCall:0 2
//   16 16 3
//
// The one line that a program needs for Graft is TF_LoadLibrary, before the model is loaded: it
// registers TRTEngineOp. The input is of floats, filled with 0, 1/n, 2/n, …; the output's
// dimensions and elements are printed, a line each.
#include <tensorflow/c/c_api.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

struct Free {
  void operator()(TF_Status* p) const { TF_DeleteStatus(p); }
  void operator()(TF_Graph* p) const { TF_DeleteGraph(p); }
  void operator()(TF_SessionOptions* p) const { TF_DeleteSessionOptions(p); }
  void operator()(TF_Tensor* p) const { TF_DeleteTensor(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

void Check(const Owned<TF_Status>& status, const char* what) {
  if (TF_GetCode(status.get()) == TF_OK) return;
  std::fprintf(stderr, "%s: %s\n", what, TF_Message(status.get()));
  std::exit(1);
}

// "node:1", or "node" for its first output.
TF_Output Find(TF_Graph* graph, const std::string& tensor) {
  const size_t colon = tensor.rfind(':');
  TF_Operation* operation = TF_GraphOperationByName(graph, tensor.substr(0, colon).c_str());
  if (operation == nullptr) {
    std::fprintf(stderr, "the model has no tensor %s\n", tensor.c_str());
    std::exit(1);
  }
  return {operation, colon == std::string::npos ? 0 : std::atoi(tensor.c_str() + colon + 1)};
}

Owned<TF_Tensor> Ramp(const std::vector<int64_t>& dims) {
  size_t count = 1;
  for (const int64_t d : dims) count *= static_cast<size_t>(d);
  Owned<TF_Tensor> tensor(TF_AllocateTensor(TF_FLOAT, dims.data(), static_cast<int>(dims.size()),
                                            count * sizeof(float)));
  float* elements = static_cast<float*>(TF_TensorData(tensor.get()));
  for (size_t i = 0; i < count; ++i)
    elements[i] = static_cast<float>(i) / static_cast<float>(count);
  return tensor;
}

void Print(const TF_Tensor* tensor) {
  size_t count = 1;
  for (int i = 0; i < TF_NumDims(tensor); ++i) {
    std::printf("%s%lld", i ? " " : "", static_cast<long long>(TF_Dim(tensor, i)));
    count *= static_cast<size_t>(TF_Dim(tensor, i));
  }
  std::printf("\n");
  const float* elements = static_cast<const float*>(TF_TensorData(tensor));
  for (size_t i = 0; i < count; ++i) std::printf("%.9g\n", elements[i]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: %s OP_LIBRARY SAVED_MODEL_DIR INPUT OUTPUT [DIM]...\n", argv[0]);
    return 2;
  }
  std::vector<int64_t> dims;
  for (int i = 5; i < argc; ++i) dims.push_back(std::atoll(argv[i]));

  const Owned<TF_Status> status(TF_NewStatus());
  TF_Library* library = TF_LoadLibrary(argv[1], status.get());
  Check(status, argv[1]);

  const Owned<TF_Graph> graph(TF_NewGraph());
  const Owned<TF_SessionOptions> options(TF_NewSessionOptions());
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(options.get(), nullptr, argv[2], tags, 1,
                                                     graph.get(), nullptr, status.get());
  Check(status, argv[2]);

  const TF_Output input = Find(graph.get(), argv[3]);
  const TF_Output output = Find(graph.get(), argv[4]);
  const Owned<TF_Tensor> fed = Ramp(dims);
  TF_Tensor* fed_values[] = {fed.get()};
  TF_Tensor* fetched_values[] = {nullptr};
  TF_SessionRun(session, nullptr, &input, fed_values, 1, &output, fetched_values, 1, nullptr, 0,
                nullptr, status.get());
  Check(status, "the model");
  const Owned<TF_Tensor> fetched(fetched_values[0]);
  if (TF_TensorType(fetched.get()) != TF_FLOAT) {
    std::fprintf(stderr, "%s: not a tensor of floats\n", argv[4]);
    return 1;
  }
  Print(fetched.get());

  TF_CloseSession(session, status.get());
  TF_DeleteSession(session, status.get());
  TF_DeleteLibraryHandle(library);
  return 0;
}
