// runtime_check PLAN: what a run costs the host, many contexts, threads and streams, and where the
// device's memory goes, on every card of this machine; prints a table and exits with 1 when a bar
// is missed. The plan's inputs are floats.
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

#include "backends/cuda/driver.h"
#include "base/file.h"
#include "runtime/backend_table.h"
#include "runtime/context.h"
#include "runtime/load.h"

namespace graft {
namespace {

using Clock = std::chrono::steady_clock;
double Microseconds(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

bool failed = false;

// bar 0: for information.
void Row(const std::string& what, double value, const char* unit, double bar = 0) {
  const bool bad = bar > 0 && !(value <= bar);
  failed |= bad;
  std::printf("%-58s %10.1f %-4s %s\n", what.c_str(), value, unit,
              bar == 0 ? "" : fmt::format("{} {}", bad ? "MISSED" : "<=", bar).c_str());
}
void Same(const std::string& what, bool same) {
  failed |= !same;
  std::printf("%-58s %s\n", what.c_str(), same ? "ok" : "FAILED");
}
template <class T>
T Get(Result<T> result) {
  if (!result.ok()) {
    std::printf("FAILED: %s\n", result.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(result);
}
void Need(const Status& status) {
  if (!status.ok()) Get(Result<int>(status));
}

// Used megabytes of the card.
double UsedMegabytes(int ordinal) {
  const cuda::Driver& driver = *Get(cuda::OpenDriver());
  static auto* const info = reinterpret_cast<decltype(&::cuMemGetInfo)>(
      dlsym(dlopen("libcuda.so.1", RTLD_NOW), "cuMemGetInfo_v2"));
  CUcontext context = nullptr, popped = nullptr;
  size_t free = 0, total = 0;
  // It is retained already, and once more for each call, which does no harm.
  if (driver.PrimaryCtxRetain(&context, ordinal) != CUDA_SUCCESS) return 0;
  driver.CtxPushCurrent(context);
  info(&free, &total);
  driver.CtxPopCurrent(&popped);
  return static_cast<double>(total - free) / 1e6;
}

// The engine's inputs for a batch and room for its outputs, on the device.
class Buffers {
 public:
  Buffers(const Engine& engine, int64_t batch) : device_(engine.backend().device()) {
    std::minstd_rand random(7);
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (const Binding& input : engine.inputs()) {
      Dims& dims = dims_.emplace_back();
      for (const ir::Dim& d : input.shape) dims.push_back(d.constant().value_or(batch));
      Tensor& tensor = host_.emplace_back(Get(Tensor::Allocate(input.dtype, dims)));
      auto* const values = reinterpret_cast<float*>(tensor.mutable_raw());
      for (size_t i = 0; i < tensor.bytes() / sizeof(float); ++i) values[i] = uniform(random);
      inputs_.push_back(Get(device_.Allocate(tensor.bytes())));
      Need(CopyBytes(device_, inputs_.back(), MemorySpace::kDevice, tensor.raw(),
                     MemorySpace::kHost, tensor.bytes(), nullptr));
    }
    for (const Binding& output : engine.outputs()) {
      size_t& bytes = bytes_.emplace_back(SizeOf(output.dtype));
      for (const ir::Dim& d : output.shape) bytes *= d.constant().value_or(batch);
      outputs_.push_back(Get(device_.Allocate(bytes)));
    }
    for (size_t i = 0; i < dims_.size(); ++i)
      views_.push_back({engine.inputs()[i].dtype, dims_[i], inputs_[i], MemorySpace::kDevice});
  }
  ~Buffers() {
    for (void* memory : inputs_) device_.Free(memory);
    for (void* memory : outputs_) device_.Free(memory);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  std::span<const TensorView> views() const { return views_; }
  const std::vector<Tensor>& host() const { return host_; }
  Result<OutputMemory> Place(const OutputRequest& request) {
    if (request.bytes > bytes_[request.output]) return InternalError("a larger output");
    bytes_[request.output] = request.bytes;
    return OutputMemory{outputs_[request.output], MemorySpace::kDevice};
  }
  Status Enqueue(Context& context, void* stream) {
    return context.Enqueue(
        views_, [this](const OutputRequest& r) { return Place(r); }, stream);
  }
  Status Run(Context& context) {
    return context.Run(views_, [this](const OutputRequest& r) { return Place(r); });
  }
  std::vector<std::byte> Read() const {
    std::vector<std::byte> all;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      std::vector<std::byte> bytes(bytes_[i]);
      Need(CopyBytes(device_, bytes.data(), MemorySpace::kHost, outputs_[i], MemorySpace::kDevice,
                     bytes.size(), nullptr));
      all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
  }

 private:
  Device& device_;
  std::vector<Dims> dims_;
  std::vector<Tensor> host_;
  std::vector<TensorView> views_;
  std::vector<void*> inputs_, outputs_;
  std::vector<size_t> bytes_;
};

using EnginePointer = std::shared_ptr<const Engine>;

EnginePointer Load(const std::string& path, int ordinal) {
  LoadOptions options;
  options.backend = "cuda";
  options.device = ordinal;
  return Get(LoadEngine(path, options));
}

void CheckCalls(const EnginePointer& engine) {
  Device& device = engine->backend().device();
  const auto context = Get(Context::Create(engine));
  void* const stream = Get(device.CreateStream());
  {
    Buffers one(*engine, 1);
    for (int i = 0; i < 5; ++i) Need(one.Enqueue(*context, stream));
    Need(device.Synchronize(stream));
    // A few at a time, so that the queue is never full.
    double host = 1e9, wall = 1e9, call = 1e9;
    constexpr int kRuns = 8;
    for (int round = 0; round < 200; ++round) {
      const auto start = Clock::now();
      for (int i = 0; i < kRuns; ++i) Need(one.Enqueue(*context, stream));
      host = std::min(host, Microseconds(start) / kRuns);
      Need(device.Synchronize(stream));
    }
    for (int round = 0; round < 20; ++round) {
      const auto start = Clock::now();
      for (int i = 0; i < 100; ++i) Need(one.Enqueue(*context, stream));
      Need(device.Synchronize(stream));
      wall = std::min(wall, Microseconds(start) / 100);
    }
    for (int round = 0; round < 200; ++round) {
      const auto start = Clock::now();
      Need(one.Run(*context));
      call = std::min(call, Microseconds(start));
    }
    Row("batch 1: device's time of a run, queued", wall, "us");
    Row("batch 1: host's time to queue a recorded run", host, "us", 20);
    Row("batch 1: a run that is waited for, beyond the device's", call - wall, "us");
    std::vector<Tensor> outputs;
    double from_host = 1e9;
    for (int round = 0; round < 50; ++round) {
      const auto start = Clock::now();
      outputs = Get(context->Run(one.host()));
      from_host = std::min(from_host, Microseconds(start));
    }
    Row("batch 1: a run with inputs and outputs in the host's memory", from_host, "us");
  }
  for (const int64_t batch : {100, 32, 2, 3, 7, 8, 5}) {
    Buffers buffers(*engine, batch);
    const int64_t symbols[] = {batch};
    InlineExecutor executor;
    const bool binds_alone = engine->module().symbols.size() == 1 && batch == 5;
    if (binds_alone) {
      const auto binding = Clock::now();
      Get(engine->FindShapePlan(symbols, executor));
      Row("batch 5: host's time to bind it alone", Microseconds(binding), "us");
    }
    const auto start = Clock::now();
    Need(buffers.Enqueue(*context, stream));
    const double first = Microseconds(start);
    Need(device.Synchronize(stream));
    const auto again = Clock::now();
    Need(buffers.Enqueue(*context, stream));
    const double recorded = Microseconds(again);
    Need(device.Synchronize(stream));
    // The largest one makes the arena and may load kernels.
    Row(fmt::format("batch {}: host's time of the first run", batch), first, "us",
        batch == 100 ? 0 : 1000);
    Row(fmt::format("batch {}: of the second, which is recorded", batch), recorded, "us");
  }
  device.DestroyStream(stream);
}

void RunThreads(const EnginePointer& engine, const std::vector<std::byte>& expected) {
  constexpr int kThreads = 8, kStreams = 8, kRuns = 20;
  std::vector<std::jthread> threads;
  std::atomic<int> different = 0;
  const auto begun = Clock::now();
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      Device& device = engine->backend().device();
      std::vector<std::unique_ptr<Context>> contexts;
      std::vector<std::unique_ptr<Buffers>> all;
      std::vector<void*> streams;
      for (int s = 0; s < kStreams; ++s) {
        contexts.push_back(Get(Context::Create(engine)));
        all.push_back(std::make_unique<Buffers>(*engine, 1));
        streams.push_back(Get(device.CreateStream()));
      }
      for (int run = 0; run < kRuns; ++run) {
        for (int s = 0; s < kStreams; ++s) Need(all[s]->Enqueue(*contexts[s], streams[s]));
      }
      for (int s = 0; s < kStreams; ++s) {
        Need(device.Synchronize(streams[s]));
        different += all[s]->Read() != expected;
        contexts[s].reset();
        device.DestroyStream(streams[s]);
      }
    });
  }
  threads.clear();
  Row("8 threads, 8 streams each, 20 runs on each", Microseconds(begun) / 1e3, "ms");
  Same("  the same results", different == 0);
}

void CheckContexts(const EnginePointer& engine, int ordinal) {
  Buffers buffers(*engine, 1);
  Need(buffers.Run(*Get(Context::Create(engine))));
  const std::vector<std::byte> expected = buffers.Read();
  const double before = UsedMegabytes(ordinal);
  const auto start = Clock::now();
  for (int i = 0; i < 1000; ++i) {
    const auto context = Get(Context::Create(engine));
    for (int run = 0; run < 3; ++run) Need(buffers.Run(*context));
  }
  Row("1000 contexts, three runs each", Microseconds(start) / 1e6, "s");
  Row("  megabytes that stay", UsedMegabytes(ordinal) - before, "MB", 8);
  Same("  the same results", buffers.Read() == expected);

  // The driver keeps what the most at once have needed; once more must need no more.
  RunThreads(engine, expected);
  const double after = UsedMegabytes(ordinal);
  Row("  megabytes that stay, of 64 recordings and streams", after - before, "MB");
  RunThreads(engine, expected);
  Row("  megabytes that stay when it is done again", UsedMegabytes(ordinal) - after, "MB", 8);
}

std::vector<std::byte> CheckCard(const std::string& path, int ordinal) {
  std::printf("cuda:%d %s\n", ordinal, Get(FindBackend("cuda", ordinal))->Fingerprint().c_str());
  const double before = UsedMegabytes(ordinal);
  std::vector<std::byte> result;
  {
    const auto start = Clock::now();
    const EnginePointer engine = Load(path, ordinal);
    const auto context = Get(Context::Create(engine));
    const double loaded = Microseconds(start);
    Buffers buffers(*engine, 1);
    const auto run = Clock::now();
    Need(buffers.Run(*context));
    Row("plan to engine and context", loaded / 1e3, "ms");
    Row("plan to the first result", (loaded + Microseconds(run)) / 1e3, "ms", 150);
    result = buffers.Read();
    Row("  megabytes of the device then, with modules", UsedMegabytes(ordinal) - before, "MB");
    Row("  arena", static_cast<double>(context->arena_bytes()) / 1e6, "MB");
    Row("  plan file", static_cast<double>(Get(ReadFile(path)).size) / 1e6, "MB");
    Same("another load gives the same engine", Load(path, ordinal) == engine);
    CheckCalls(engine);
    CheckContexts(engine, ordinal);
  }
  Row("megabytes that stay when the engine is gone (modules)", UsedMegabytes(ordinal) - before,
      "MB");
  return result;
}

int Main(const std::string& path) {
  int count = 0;
  Get(cuda::OpenDriver())->DeviceGetCount(&count);
  std::vector<std::vector<std::byte>> results;
  for (int i = 0; i < count; ++i) results.push_back(CheckCard(path, i));
  if (count > 1) {
    Same("the cards give the same results", results[0] == results[1]);
    // Contexts on both at once, their runs in turns from one thread.
    std::vector<EnginePointer> engines;
    std::vector<std::unique_ptr<Context>> contexts;
    std::vector<std::unique_ptr<Buffers>> buffers;
    std::vector<void*> streams;
    for (int i = 0; i < 2; ++i) {
      engines.push_back(Load(path, i));
      contexts.push_back(Get(Context::Create(engines[i])));
      buffers.push_back(std::make_unique<Buffers>(*engines[i], 1));
      streams.push_back(Get(engines[i]->backend().device().CreateStream()));
    }
    for (int run = 0; run < 50; ++run) {
      for (int i = 0; i < 2; ++i) Need(buffers[i]->Enqueue(*contexts[i], streams[i]));
    }
    for (int i = 0; i < 2; ++i) {
      Need(engines[i]->backend().device().Synchronize(streams[i]));
      Same(fmt::format("both at once: cuda:{}", i), buffers[i]->Read() == results[i]);
    }
    Same("each card has an engine of its own", engines[0] != engines[1]);
    contexts.clear();
    for (int i = 0; i < 2; ++i) engines[i]->backend().device().DestroyStream(streams[i]);
    buffers.clear();
  }
  std::printf("%s\n", failed ? "FAILED" : "passed");
  return failed;
}

}  // namespace
}  // namespace graft

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: runtime_check PLAN\n", stderr), 2;
  return graft::Main(argv[1]);
}
