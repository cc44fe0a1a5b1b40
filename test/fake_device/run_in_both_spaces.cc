// Runs a plan of the fake device with its inputs and outputs in the host's memory and in the
// device's, waiting and on a stream of the caller's, plain and replayed; all must agree, and
// nothing may be copied at the engine's border where the spaces are the same. Writes the outputs,
// and prints how many steps were bound by what the plan holds prepared.
//
//   run_in_both_spaces PLAN FOLDER name=file.npy …
#include <cstdio>
#include <filesystem>

#include "fake_device/device_tensor.h"
#include "graft/command.h"
#include "graft/npy.h"
#include "runtime/backend_table.h"
#include "runtime/symbol_binding.h"

namespace graft {
namespace {

using fake_device::DeviceTensor;
using fake_device::FakeDevice;
using fake_device::Outputs;

Status ExpectCopies(const FakeDevice::Copies& before, int64_t to_device, int64_t to_host) {
  const FakeDevice::Copies after = TheFakeDevice().copies();
  const int64_t up = after.to_device - before.to_device;
  const int64_t down = after.to_host - before.to_host;
  if (up == to_device && down == to_host) return OkStatus();
  return InternalError("{} copies to the device and {} to the host, not {} and {}", up, down,
                       to_device, to_host);
}

// A stream of the caller's.
class Stream {
 public:
  ~Stream() { TheFakeDevice().DestroyStream(stream_); }
  void* get() const { return stream_; }

 private:
  void* stream_ = TheFakeDevice().CreateStream().value();
};

Status Run(const std::string& plan, const std::string& folder,
           std::span<const std::string> arguments) {
  GRAFT_ASSIGN_OR_RETURN(const std::shared_ptr<const Engine> engine, LoadEngine(plan));
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> context, Context::Create(engine));
  std::vector<Tensor> tensors(engine->inputs().size());
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    GRAFT_ASSIGN_OR_RETURN(const int i, FindInput(engine->module(), argument.substr(0, equals)));
    GRAFT_ASSIGN_OR_RETURN(tensors[i], ReadInput(engine->inputs()[i], argument.substr(equals + 1)));
  }
  const std::vector<bool> say_shapes = InputsThatSayShapes(engine->module());
  std::vector<TensorView> on_host, on_device;
  std::vector<DeviceTensor> copies;
  copies.reserve(tensors.size());
  int64_t inputs_read = 0;
  int64_t shapes_read = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const bool read = engine->ReadsInput(i) && tensors[i].bytes() > 0;
    inputs_read += read;
    on_host.push_back(ViewOf(tensors[i]));
    if (say_shapes[i]) {
      shapes_read += read;
      on_device.push_back(on_host.back());
      continue;
    }
    copies.emplace_back(tensors[i]);
    on_device.push_back(copies.back().view());
  }
  // Numbers of results are read whatever the spaces.
  const auto counts = static_cast<int64_t>(engine->stages().results.size());
  const size_t outputs = engine->outputs().size();

  FakeDevice::Copies before = TheFakeDevice().copies();
  Outputs expected(outputs, MemorySpace::kHost);
  GRAFT_RETURN_IF_ERROR(context->Run(on_host, expected));
  const std::vector<Tensor> results = expected.Read();
  const int64_t written =
      std::count_if(results.begin(), results.end(), [](const Tensor& t) { return t.bytes() > 0; });
  GRAFT_RETURN_IF_ERROR(ExpectCopies(before, inputs_read, written + counts));
  const Stream stream;
  for (int run = 0; run < 3; ++run) {
    Outputs there(outputs, MemorySpace::kDevice);
    before = TheFakeDevice().copies();
    GRAFT_RETURN_IF_ERROR(context->Enqueue(on_device, there, stream.get()));
    GRAFT_RETURN_IF_ERROR(TheFakeDevice().Synchronize(stream.get()));
    GRAFT_RETURN_IF_ERROR(ExpectCopies(before, shapes_read, counts));
    const std::vector<Tensor> again = there.Read();
    for (size_t i = 0; i < outputs; ++i) {
      if (!BitwiseEqual(again[i], results[i]))
        return InternalError("output {} is another in the device's memory", i);
    }
  }
  if (TheFakeDevice().recordings().launches == 0) return InternalError("nothing was replayed");
  std::printf("%lld steps bound by what was prepared\n", static_cast<long long>(PreparedSteps()));
  for (size_t i = 0; i < outputs; ++i) {
    const std::string file = FileNameOf(engine->outputs()[i].name) + ".npy";
    GRAFT_RETURN_IF_ERROR(WriteNpy(std::filesystem::path(folder) / file, results[i]));
  }
  return OkStatus();
}

}  // namespace
}  // namespace graft

int main(int argc, char** argv) {
  graft::AddBackendForTests("fake_device", graft::FindFakeDeviceBackend);
  graft::PreferHalfSteps(true);  // the plan may have them
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() < 2) {
    std::fprintf(stderr, "run_in_both_spaces PLAN FOLDER name=file.npy …\n");
    return graft::kUsage;
  }
  return graft::Report(graft::Run(arguments[0], arguments[1], std::span(arguments).subspan(2)));
}
