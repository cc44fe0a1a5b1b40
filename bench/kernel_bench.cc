// Every tactic of the CPU backend on single convolutions and products: GFLOP/s, one thread unless
// told otherwise.
//
//   kernel_bench [--threads N] [--seconds S] [--filter TEXT] [--cold] [--count] [problem…]
//   kernel_bench --device cuda:0 [--batch N] [--seconds S] [--filter TEXT] [problem…]
//
// --cold: the weights are in no cache when a run begins, as in a large model.
// --device: every tactic of a device's backend instead, with its rates, and how far the results are
// from those of the last tactic, as a share of the largest. --batch replaces the problems' own. A
// problem that ends in *N counts N times in the sums of the fastest.
// --count: nothing is timed; each tactic runs twice, the second time in CountedRun, for tools that
// count instructions in functions (test/python/test_instruction_counts.py).
//
// A problem is batch x height x width x channels, a dash, kernel height x width x output channels,
// and options: s2 (stride), d2 (dilation), g32 (groups; "gc" for as many as channels), valid (no
// padding): 1x56x56x64-3x3x64-s2. A product is matmul-MxKxN, with the second matrix constant. The
// option f16 stores the weights in 16 bits, half all values; i8 is a layer of 8-bit integers,
// requantised. With add, the epilogue adds a tensor like the result.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "base/aligned_buffer.h"
#include "base/dtype_visit.h"
#include "base/half.h"
#include "kernels/cpu/fma_peak.h"
#include "kernels/cpu/targets.h"
#include "runtime/backend_table.h"

namespace graft {
namespace {

const char* const kLayers[] = {
    // ResNet-50
    "1x224x224x3-7x7x64-s2",
    "1x56x56x64-1x1x64",
    "1x56x56x64-3x3x64",
    "1x56x56x64-1x1x256",
    "1x56x56x256-1x1x64",
    "1x56x56x128-3x3x128-s2",
    "1x28x28x128-3x3x128",
    "1x28x28x128-1x1x512",
    "1x28x28x512-1x1x128",
    "1x14x14x256-3x3x256",
    "1x14x14x256-1x1x1024",
    "1x14x14x1024-1x1x256",
    "1x14x14x1024-1x1x512-s2",
    "1x7x7x512-3x3x512",
    "1x7x7x512-1x1x2048",
    "1x7x7x2048-1x1x512",
    // Inception v3
    "1x149x149x32-3x3x32-valid",
    "1x17x17x128-1x7x192",
    "1x35x35x288-3x3x384-s2-valid",
    // VGG16
    "1x224x224x3-3x3x64",
    "1x224x224x64-3x3x64",
    "1x112x112x128-3x3x128",
    "1x28x28x512-3x3x512",
    "matmul-1x25088x4096",
    // MobileNet v2, NASNet mobile
    "1x112x112x48-3x3x48-gc",
    "1x112x112x144-3x3x144-s2-gc",
    "1x28x28x288-3x3x288-gc",
    "1x7x7x1344-3x3x1344-gc",
    "1x28x28x88-5x5x88-gc",
    "1x14x14x176-7x7x176-s2-gc",
    "1x112x112x24-1x1x144",
    "1x56x56x144-1x1x32",
    "1x7x7x1344-1x1x448",
    "matmul-1x2048x1000",
    "matmul-64x768x3072",
};

struct Options {
  bool cold = false;
  bool count = false;
  int threads = 1;
  double seconds = 0.3;
  std::string filter;
  std::string device;
  int64_t batch = 0;  // 0: the problem's own
  std::vector<std::string> problems;
};

struct Problem {
  ir::Module module;
  ir::NodeId node = -1;
  double operations = 0;
};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::vector<int64_t> ParseDims(const std::string& text, size_t count) {
  std::vector<int64_t> dims;
  for (const std::string& part : Split(text, 'x')) dims.push_back(std::atoll(part.c_str()));
  if (dims.size() != count) dims.clear();
  return dims;
}

// Floats between -1 and 1, integers between -127 and 127.
Tensor RandomTensor(Dims dims, DType dtype = DType::kFloat32) {
  Tensor tensor = Tensor::Allocate(dtype, std::move(dims)).value();
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  VisitDType(kEngineTypes, dtype, [&]<class T>(T) {
    const float scale = kIsFloat<T> ? 1 : 127;
    for (T& v : tensor.mutable_data<T>()) v = static_cast<T>(scale * uniform(generator));
  });
  return tensor;
}

// The dtypes of a layer, and its epilogue: a bias and a ReLU, requantised where it is of integers.
struct Layer {
  DType input = DType::kFloat32;
  DType weights = DType::kFloat32;
  bool add = false;

  // The option's layer, or nothing when it names no dtype.
  static std::optional<Layer> Of(const std::string& option) {
    if (option == "f16") return Layer{.weights = DType::kFloat16};
    if (option == "half") return Layer{DType::kFloat16, DType::kFloat16};
    if (option == "i8") return Layer{DType::kInt8, DType::kInt8};
    return std::nullopt;
  }
  bool integers() const { return input == DType::kInt8; }

  template <class Attributes>
  Result<ir::NodeId> Add(ir::Module& module, Attributes attributes, const Dims& x, const Dims& w,
                         const Dims& y) const {
    std::vector<ir::ValueId> operands = {module.AddInput("x", input, ir::MakeShape(x)),
                                         module.AddConstant("w", RandomTensor(w, weights))};
    const Dims channels = {w.back()};
    if (integers()) {
      attributes.accumulator = DType::kInt32;
      attributes.epilogue = ParsePointwise(
                                "3:r3=add.i32(r0,r1);r4=cast.f32(r3);r5=mul.f32(r4,r2);"
                                "r6=round.f32(r5);r7=clamp.f32(r6|0,127);r8=cast.i8(r7)")
                                .value();
      operands.push_back(module.AddConstant("bias", RandomTensor(channels, DType::kInt32)));
      operands.push_back(module.AddConstant(
          "scale", Tensor::Of<float>(channels, std::vector<float>(channels[0], 1e-3f))));
    } else if (input == DType::kFloat16) {
      attributes.accumulator = DType::kFloat32;
      attributes.epilogue =
          ParsePointwise(add ? "3:r3=add.f32(r0,r1);r4=cast.f32(r2);r5=add.f32(r3,r4);"
                               "r6=relu.f32(r5);r7=cast.f16(r6)"
                             : "2:r2=add.f32(r0,r1);r3=relu.f32(r2);r4=cast.f16(r3)")
              .value();
      operands.push_back(module.AddConstant("bias", RandomTensor(channels)));
      if (add) operands.push_back(module.AddInput("other", input, ir::MakeShape(y)));
    } else {
      if (weights != input) attributes.accumulator = DType::kFloat32;
      attributes.epilogue =
          ParsePointwise(add ? "3:r3=add.f32(r0,r1);r4=add.f32(r3,r2);r5=relu.f32(r4)"
                             : "2:r2=add.f32(r0,r1);r3=relu.f32(r2)")
              .value();
      operands.push_back(module.AddConstant("bias", RandomTensor(channels)));
      if (add) operands.push_back(module.AddInput("other", input, ir::MakeShape(y)));
    }
    return module.AddNode(std::move(attributes), operands, "layer");
  }
};

Result<Problem> MakeConv(const std::vector<std::string>& parts) {
  const std::vector<int64_t> x = ParseDims(parts[0], 4);
  const std::vector<int64_t> w = parts.size() > 1 ? ParseDims(parts[1], 3) : x;
  if (x.size() != 4 || w.size() != 3) return InvalidArgumentError("not a problem");
  int64_t stride = 1, dilation = 1, groups = 1;
  bool valid = false;
  Layer layer;
  for (size_t i = 2; i < parts.size(); ++i) {
    const std::string& option = parts[i];
    const int64_t number = std::atoll(option.c_str() + 1);
    if (const std::optional<Layer> named = Layer::Of(option)) {
      const bool add = layer.add;
      layer = *named;
      layer.add = add;
    } else if (option == "add") {
      layer.add = true;
    } else if (option == "valid") {
      valid = true;
    } else if (option == "gc") {
      groups = x[3];
    } else if (option[0] == 's' && number > 0) {
      stride = number;
    } else if (option[0] == 'd' && number > 0) {
      dilation = number;
    } else if (option[0] == 'g' && number > 0) {
      groups = number;
    } else {
      return InvalidArgumentError("no option {}", option);
    }
  }
  ir::ConvAttributes conv;
  conv.strides = {stride, stride};
  conv.dilations = {dilation, dilation};
  conv.groups = groups;
  Dims y = {x[0]};
  for (int i = 0; i < 2; ++i) {
    const int64_t extent = (w[i] - 1) * dilation + 1;
    const int64_t out = (x[i + 1] + stride - 1) / stride;
    const int64_t pad = valid ? 0 : std::max<int64_t>(0, (out - 1) * stride + extent - x[i + 1]);
    conv.pads_before.push_back(pad / 2);
    conv.pads_after.push_back(pad - pad / 2);
    y.push_back((x[i + 1] + pad - extent) / stride + 1);
  }
  y.push_back(w[2]);
  Problem problem;
  GRAFT_ASSIGN_OR_RETURN(problem.node,
                         layer.Add(problem.module, conv, x, {w[0], w[1], x[3] / groups, w[2]}, y));
  const int64_t taps = w[0] * w[1] * (x[3] / groups);
  problem.operations = 2.0 * static_cast<double>(CountElements(y) * taps);
  return problem;
}

Result<Problem> MakeMatMul(const std::vector<std::string>& parts) {
  const std::vector<int64_t> d = ParseDims(parts[1], 3);
  const std::optional<Layer> layer = parts.size() == 2 ? Layer() : Layer::Of(parts[2]);
  if (d.size() != 3 || parts.size() > 3 || !layer) return InvalidArgumentError("not a product");
  Problem problem;
  GRAFT_ASSIGN_OR_RETURN(problem.node, layer->Add(problem.module, ir::MatMulAttributes(),
                                                  {d[0], d[1]}, {d[1], d[2]}, {d[0], d[2]}));
  problem.operations = 2.0 * static_cast<double>(d[0] * d[1] * d[2]);
  return problem;
}

Result<Problem> MakeProblem(const std::string& text, int64_t batch) {
  std::vector<std::string> parts = Split(text, '-');
  if (batch > 0 && !parts.empty()) {
    std::string& first = parts[parts.size() > 1 && parts[0] == "matmul" ? 1 : 0];
    first = std::to_string(batch) + first.substr(std::min(first.find('x'), first.size()));
  }
  if (parts.size() >= 2 && parts[0] == "matmul") return MakeMatMul(parts);
  return MakeConv(parts);
}

[[gnu::noinline]] Status CountedRun(const BoundStep& step, const StepPointers& pointers,
                                    Executor& executor) {
  return step.Enqueue(pointers, {.executor = &executor});
}

// The shortest of many runs, in seconds; 0 where runs are counted.
Result<double> Time(const BoundNode& bound, const BoundStep& step, const PackedWeights* packed,
                    const Options& options, Executor& executor) {
  const Tensor x = RandomTensor(bound.inputs[0].dims, bound.inputs[0].dtype);
  Tensor y = RandomTensor(bound.outputs[0].dims, bound.outputs[0].dtype);
  AlignedBuffer workspace(step.workspace_bytes(executor.width()));
  std::vector<const void*> inputs = {x.raw()};
  for (size_t i = 1; i < bound.inputs.size(); ++i)
    inputs.push_back(bound.inputs[i].constant->raw());
  void* outputs[] = {y.mutable_raw()};
  const StepPointers pointers{inputs, outputs, workspace.data()};
  if (options.count) {
    GRAFT_RETURN_IF_ERROR(step.Enqueue(pointers, {.executor = &executor}));
    GRAFT_RETURN_IF_ERROR(CountedRun(step, pointers, executor));
    return 0;
  }
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  double best = 1e30;
  do {
    if (options.cold && packed) {
      for (const auto region : packed->regions()) CpuBackend().device().Evict(region);
    }
    const auto start = Clock::now();
    GRAFT_RETURN_IF_ERROR(step.Enqueue(pointers, {.executor = &executor}));
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  } while (std::chrono::duration<double>(Clock::now() - begin).count() < options.seconds);
  return best;
}

Status RunProblem(const std::string& text, const Options& options, Executor& executor) {
  GRAFT_ASSIGN_OR_RETURN(const Problem problem, MakeProblem(text, options.batch));
  const ir::Node& node = problem.module.node(problem.node);
  GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(problem.module, node, {}));
  std::printf("%-28s", text.c_str());
  for (const Candidate& candidate : CpuBackend().Candidates(problem.module, node)) {
    const std::string name(candidate.tactic->name());
    if (candidate.refusal || name.find(options.filter) == std::string::npos) continue;
    std::unique_ptr<PackedWeights> packed;
    if (!candidate.tactic->packing().empty()) {
      GRAFT_ASSIGN_OR_RETURN(packed, candidate.tactic->Pack(problem.module, node, executor));
    }
    const auto step = candidate.tactic->Bind(bound, packed.get(), "");
    if (!step.ok()) continue;
    GRAFT_ASSIGN_OR_RETURN(const double seconds,
                           Time(bound, **step, packed.get(), options, executor));
    if (options.count) {
      std::printf("  %s", name.c_str());
      continue;
    }
    std::printf("  %s %.1f (%.3f ms)", name.substr(name.find('.') + 1).c_str(),
                problem.operations / seconds * 1e-9, seconds * 1e3);
    std::fflush(stdout);
  }
  std::printf("\n");
  return OkStatus();
}

// ---- Devices

// A problem of the list, how often it counts, and its tactics with what they prepared.
struct Entry {
  std::string text;
  int count = 1;
  Problem problem;
  std::optional<BoundNode> bound;
  struct Way {
    const Tactic* tactic;
    Result<std::string> prepared;
  };
  std::vector<Way> ways;
};

size_t BytesOf(const BoundValue& v) { return CountElements(v.dims) * SizeOf(v.dtype); }

// The first and the last elements of a value on a device.
constexpr size_t kComparedBytes = size_t{4} << 20;
Status CopyEnds(Device& device, void* stream, const BoundValue& value, void* memory, bool to_host,
                std::vector<std::byte>* host) {
  const size_t all = BytesOf(value), bytes = std::min(all, kComparedBytes);
  host->resize(2 * bytes, std::byte{0xff});
  for (int end = 0; end < 2; ++end) {
    std::byte* const at = static_cast<std::byte*>(memory) + (end == 0 ? 0 : all - bytes);
    std::byte* const part = host->data() + end * bytes;
    GRAFT_RETURN_IF_ERROR(
        to_host
            ? CopyBytes(device, part, MemorySpace::kHost, at, MemorySpace::kDevice, bytes, stream)
            : CopyBytes(device, at, MemorySpace::kDevice, part, MemorySpace::kHost, bytes, stream));
  }
  return device.Synchronize(stream);
}

// Random values, as long as it takes. The same bytes again and again.
Status FillRandom(Device& device, void* stream, const BoundValue& value, void* memory) {
  constexpr int64_t kMost = int64_t{1} << 22;
  const int64_t count = CountElements(value.dims);
  const Tensor some = RandomTensor({std::min(count, kMost)}, value.dtype);
  for (int64_t i = 0; i < count; i += kMost) {
    const size_t size = SizeOf(value.dtype);
    GRAFT_RETURN_IF_ERROR(CopyBytes(device, static_cast<std::byte*>(memory) + i * size,
                                    MemorySpace::kDevice, some.raw(), MemorySpace::kHost,
                                    std::min(kMost, count - i) * size, stream));
  }
  return device.Synchronize(stream);
}

// The largest difference as a share of the largest expected value.
double Difference(DType dtype, std::span<const std::byte> expected,
                  std::span<const std::byte> got) {
  double most = 0, largest = 0;
  VisitDType(kEngineTypes, dtype, [&]<class T>(T) {
    for (size_t i = 0; i < expected.size() / sizeof(T); ++i) {
      T a, b;
      std::memcpy(&a, expected.data() + i * sizeof(T), sizeof(T));
      std::memcpy(&b, got.data() + i * sizeof(T), sizeof(T));
      const double x = static_cast<double>(a), y = static_cast<double>(b);
      largest = std::max(largest, std::abs(x));
      if (!(std::abs(x - y) <= most)) most = std::isnan(y) ? 1e30 : std::abs(x - y);
    }
  });
  return most / std::max(largest, 1e-30);
}

Result<double> RunEntry(const Entry& entry, Backend& backend, const Options& options) {
  Device& device = backend.device();
  const BoundNode& bound = *entry.bound;
  GRAFT_ASSIGN_OR_RETURN(void* const stream, device.CreateStream());
  std::vector<void*> owned;
  const auto allocate = [&](size_t bytes) -> Result<void*> {
    GRAFT_ASSIGN_OR_RETURN(void* const memory, device.Allocate(std::max<size_t>(bytes, 64)));
    owned.push_back(memory);
    return memory;
  };
  std::vector<const void*> inputs;
  size_t bytes = BytesOf(bound.outputs[0]);
  for (const BoundValue& v : bound.inputs) {
    GRAFT_ASSIGN_OR_RETURN(void* const memory, allocate(BytesOf(v)));
    inputs.push_back(memory);
    GRAFT_RETURN_IF_ERROR(FillRandom(device, stream, v, memory));
    bytes += BytesOf(v);
  }
  GRAFT_ASSIGN_OR_RETURN(void* const output, allocate(BytesOf(bound.outputs[0])));
  void* outputs[] = {output};
  struct Timed {
    double microseconds;
    std::string text;
  };
  std::vector<Timed> timed;
  std::vector<std::byte> expected, got;
  // The last tactic first: its results are what others are compared with.
  for (size_t w = entry.ways.size(); w-- > 0;) {
    const Entry::Way& way = entry.ways[w];
    const std::string name(way.tactic->name());
    const std::string label = name.substr(name.find('.', name.find('.') + 1) + 1);
    const bool reference = expected.empty();
    if (!reference && name.find(options.filter) == std::string::npos) continue;
    const auto run = [&]() -> Status {
      GRAFT_RETURN_IF_ERROR(way.prepared.status());
      GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<BoundStep> step,
                             way.tactic->Bind(bound, nullptr, *way.prepared));
      GRAFT_ASSIGN_OR_RETURN(void* const workspace, allocate(step->workspace_bytes(1)));
      const StepPointers pointers{inputs, outputs, workspace};
      got.clear();
      GRAFT_RETURN_IF_ERROR(CopyEnds(device, stream, bound.outputs[0], output, false, &got));
      GRAFT_RETURN_IF_ERROR(step->Enqueue(pointers, {.stream = stream}));
      GRAFT_RETURN_IF_ERROR(CopyEnds(device, stream, bound.outputs[0], output, true, &got));
      if (reference) expected = got;
      const double error = Difference(bound.outputs[0].dtype, expected, got);
      const auto enqueue = [&] { return step->Enqueue(pointers, {.stream = stream}); };
      GRAFT_ASSIGN_OR_RETURN(double best, device.Time(stream, enqueue, 2));
      const int repetitions =
          static_cast<int>(std::clamp(options.seconds * 1e6 / 3 / best, 2.0, 200.0));
      for (int i = 0; i < 3; ++i) {
        GRAFT_ASSIGN_OR_RETURN(const double time, device.Time(stream, enqueue, repetitions));
        best = std::min(best, time);
      }
      timed.push_back({best, fmt::format("{} {:.2f}{}", label, best,
                                         error < 4e-3 ? "" : fmt::format(" WRONG {:.2g}", error))});
      return OkStatus();
    };
    if (const Status status = run(); !status.ok())
      timed.push_back({1e30, fmt::format("{}: {}", label, status.ToString())});
  }
  for (void* memory : owned) device.Free(memory);
  device.DestroyStream(stream);
  std::stable_sort(timed.begin(), timed.end(),
                   [](const Timed& a, const Timed& b) { return a.microseconds < b.microseconds; });
  const double best = timed.empty() ? 0 : timed[0].microseconds;
  std::printf("%-34s x%-2d %8.2f us %6.1f TFLOP/s %7.1f GB/s |", entry.text.c_str(), entry.count,
              best, entry.problem.operations / best * 1e-6,
              static_cast<double>(bytes) / best * 1e-3);
  for (const Timed& t : timed) std::printf(" %s;", t.text.c_str());
  std::printf("\n");
  std::fflush(stdout);
  return best * entry.count;
}

Status RunOnDevice(const Options& options, Executor& executor) {
  GRAFT_ASSIGN_OR_RETURN(const DeviceName name, ParseDeviceName(options.device));
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, FindBackend(name.backend, name.device));
  std::vector<Entry> entries(options.problems.size());
  std::vector<Entry::Way*> ways;
  std::vector<const BoundNode*> nodes;
  for (size_t i = 0; i < entries.size(); ++i) {
    Entry& entry = entries[i];
    const std::vector<std::string> parts = Split(options.problems[i], '*');
    entry.text = parts[0];
    if (parts.size() > 1) entry.count = std::atoi(parts[1].c_str());
    GRAFT_ASSIGN_OR_RETURN(entry.problem, MakeProblem(entry.text, options.batch));
    const ir::Node& node = entry.problem.module.node(entry.problem.node);
    GRAFT_ASSIGN_OR_RETURN(entry.bound, BindNode(entry.problem.module, node, {}));
    for (const Candidate& c : backend->Candidates(entry.problem.module, node)) {
      if (!c.refusal) entry.ways.push_back({c.tactic, std::string()});
    }
    for (Entry::Way& way : entry.ways) {
      ways.push_back(&way);
      nodes.push_back(&*entry.bound);
    }
  }
  executor.ParallelFor(static_cast<int64_t>(ways.size()), [&](int64_t i, int) {
    ways[i]->prepared = ways[i]->tactic->Prepare(*nodes[i], nullptr);
  });
  std::printf("%s\n", backend->Fingerprint().c_str());
  double sum = 0;
  for (const Entry& entry : entries) {
    GRAFT_ASSIGN_OR_RETURN(const double time, RunEntry(entry, *backend, options));
    sum += time;
  }
  std::printf("sum of the fastest: %.1f us\n", sum);
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--threads" && has_value) {
      options.threads = std::atoi(argv[++i]);
    } else if (argument == "--seconds" && has_value) {
      options.seconds = std::atof(argv[++i]);
    } else if (argument == "--filter" && has_value) {
      options.filter = argv[++i];
    } else if (argument == "--device" && has_value) {
      options.device = argv[++i];
    } else if (argument == "--batch" && has_value) {
      options.batch = std::atoll(argv[++i]);
    } else if (argument == "--cold") {
      options.cold = true;
    } else if (argument == "--count") {
      options.count = true;
    } else if (argument.starts_with("--")) {
      std::fprintf(stderr, "no option %s\n", argument.c_str());
      return 2;
    } else {
      options.problems.push_back(argument);
    }
  }
  if (options.problems.empty()) options.problems.assign(std::begin(kLayers), std::end(kLayers));
  if (!options.device.empty()) {
    const Status status = RunOnDevice(options, *MakeTbbExecutor(0));
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return status.ok() ? 0 : 2;
  }
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(options.threads);
  if (!options.count) {
    std::printf("%s, %d threads, %.1f GFLOP/s of multiply-adds in registers a core\n",
                cpu::SupportedTargets().front().c_str(), executor->width(), MeasureFmaPeak());
  }
  for (const std::string& problem : options.problems) {
    const Status status = RunProblem(problem, options, *executor);
    if (!status.ok()) {
      std::fprintf(stderr, "%s: %s\n", problem.c_str(), status.ToString().c_str());
      return 2;
    }
  }
  return 0;
}

}  // namespace
}  // namespace graft

int main(int argc, char** argv) { return graft::Main(argc, argv); }
