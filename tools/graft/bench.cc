// graft bench: how fast a plan is.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "bench_compare.h"
#include "bench_history.h"
#include "bench_streams.h"
#include "command.h"
#include "json_text.h"
#include "layers.h"
#include "runtime/backend_table.h"
#include "timing.h"
#include "trace_file.h"
#include "tune/explain.h"

namespace graft {
namespace {

struct BenchArguments {
  std::string plan;
  std::string shapes;
  int64_t batch = 0;
  int threads = 0;
  int streams = 0;
  std::string device;
  double duration = 3;
  double warm_up = 0.2;
  bool layers = false;
  bool on_device = false;
  std::string json;
  std::string compare;
  std::string history;
  std::string trace;
  std::string why;
};

// How many runs a trace shows.
constexpr int kTracedRuns = 3;

struct Statistics {
  double min, mean, median, p90, p95, p99, max, variation;
};

Statistics Summarise(std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  auto percentile = [&](double p) {
    return ms[std::min(ms.size() - 1, static_cast<size_t>(p * static_cast<double>(ms.size())))];
  };
  Statistics s{};
  s.min = ms.front();
  s.max = ms.back();
  s.mean = std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size());
  s.median = percentile(0.5);
  s.p90 = percentile(0.9);
  s.p95 = percentile(0.95);
  s.p99 = percentile(0.99);
  double square = 0;
  for (double x : ms) square += (x - s.mean) * (x - s.mean);
  s.variation = std::sqrt(square / static_cast<double>(ms.size())) / s.mean;
  return s;
}

// Inputs and outputs where the engine's steps work, or in the host's memory: with them there a run
// has its copies in it.
class Buffers {
 public:
  Buffers(Device& device, bool on_device) : device_(device), on_device_(on_device) {}
  ~Buffers() {
    for (void* memory : allocated_) device_.Free(memory);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  Status Add(const Tensor& input) {
    TensorView view = ViewOf(input);
    if (on_device_) {
      GRAFT_ASSIGN_OR_RETURN(void* const memory, Allocate(input.bytes()));
      GRAFT_RETURN_IF_ERROR(CopyBytes(device_, memory, MemorySpace::kDevice, input.raw(),
                                      MemorySpace::kHost, input.bytes(), nullptr));
      view.data = memory;
      view.space = MemorySpace::kDevice;
    }
    inputs.push_back(view);
    return OkStatus();
  }
  Status AddOutput(const Tensor& output) {
    void* memory = const_cast<Tensor&>(output).mutable_raw();
    if (on_device_) {
      GRAFT_ASSIGN_OR_RETURN(memory, Allocate(output.bytes()));
    }
    outputs_.push_back(memory);
    return OkStatus();
  }
  Result<OutputMemory> Output(const OutputRequest& request) const {
    return OutputMemory{outputs_[request.output],
                        on_device_ ? MemorySpace::kDevice : MemorySpace::kHost};
  }

  std::vector<TensorView> inputs;

 private:
  Result<void*> Allocate(size_t bytes) {
    GRAFT_ASSIGN_OR_RETURN(void* const memory, device_.Allocate(std::max<size_t>(bytes, 64)));
    allocated_.push_back(memory);
    return memory;
  }

  Device& device_;
  const bool on_device_;
  std::vector<void*> outputs_;
  std::vector<void*> allocated_;
};

// Milliseconds of a run where many are queued and the last is waited for: the device's own time, or
// what the host needs to queue one where that is longer.
Result<double> QueuedMilliseconds(Context& context, const Buffers& buffers, Device& device,
                                  double seconds) {
  constexpr int kQueued = 20;
  GRAFT_ASSIGN_OR_RETURN(void* const stream, device.CreateStream());
  std::vector<double> times;
  Status status;
  for (const int64_t start = SteadyNow();
       status.ok() && (times.empty() || MillisecondsSince(start) < seconds * 1000);) {
    const int64_t first = SteadyNow();
    for (int i = 0; i < kQueued && status.ok(); ++i) {
      status = context.Enqueue(
          buffers.inputs, [&](const OutputRequest& r) { return buffers.Output(r); }, stream);
    }
    if (status.ok()) status = device.Synchronize(stream);
    times.push_back(MillisecondsSince(first) / kQueued);
  }
  device.DestroyStream(stream);
  GRAFT_RETURN_IF_ERROR(status);
  return Median(std::move(times));
}

nlohmann::ordered_json ToJson(const Statistics& s) {
  return {{"min", s.min}, {"mean", s.mean}, {"median", s.median}, {"p90", s.p90},
          {"p95", s.p95}, {"p99", s.p99},   {"max", s.max},       {"variation", s.variation}};
}

// What several contexts get through: at the batch that was asked for, else at those of a server
// that collects requests.
Result<nlohmann::ordered_json> BenchStreams(const BenchArguments& o,
                                            const std::shared_ptr<const Engine>& engine,
                                            const std::vector<Dims>& dims) {
  std::vector<std::vector<Dims>> sizes;
  const bool given = o.batch > 0 || !o.shapes.empty();
  for (const int64_t batch : {8, 32}) {
    if (std::optional<std::vector<Dims>> at = AtBatch(*engine, dims, batch); at && !given)
      sizes.push_back(*std::move(at));
  }
  if (sizes.empty()) sizes.push_back(dims);
  const StreamsOptions options = {o.streams, o.threads, o.duration};
  std::vector<StreamsFigures> figures;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const std::vector<Dims>& size : sizes) {
    GRAFT_ASSIGN_OR_RETURN(StreamsFigures measured, MeasureStreams(engine, size, options));
    json.push_back({{"streams", o.streams},
                    {"inputs", nlohmann::ordered_json::object()},
                    {"items_per_second", measured.items_per_second},
                    {"one_context_items_per_second", measured.one_items_per_second},
                    {"median_ms", measured.median_ms}});
    for (size_t i = 0; i < size.size(); ++i) {
      json.back()["inputs"][engine->inputs()[i].name] =
          Describe(engine->inputs()[i].dtype, size[i]);
    }
    figures.push_back(std::move(measured));
  }
  std::printf("\n=== Streams ===\n%s", StreamsText(figures, options).c_str());
  return json;
}

Status Run(const BenchArguments& o) {
  nlohmann::ordered_json before;
  if (!o.compare.empty()) {
    GRAFT_ASSIGN_OR_RETURN(before, ReadBenchFigures(o.compare));
  }
  const int64_t load_start = SteadyNow();
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(o.plan, o.threads, o.device));
  const double load_ms = MillisecondsSince(load_start);
  const Engine& engine = *loaded.engine;
  GRAFT_ASSIGN_OR_RETURN(const auto shapes, ParseShapes(o.shapes));
  GRAFT_ASSIGN_OR_RETURN(std::vector<Dims> dims, InputDims(engine, shapes));
  if (o.batch > 0) {
    for (Dims& d : dims) {
      if (!d.empty()) d[0] = o.batch;
    }
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, RandomInputs(engine, dims, 1));
  Device& device = engine.backend().device();
  Buffers buffers(device, o.on_device && !device.host_accessible());
  for (const Tensor& t : inputs) GRAFT_RETURN_IF_ERROR(buffers.Add(t));
  const int64_t first_start = SteadyNow();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, loaded.context->Run(inputs));
  const double first_ms = MillisecondsSince(first_start);
  for (const Tensor& t : outputs) GRAFT_RETURN_IF_ERROR(buffers.AddOutput(t));
  const auto run = [&] {
    return loaded.context->Run(buffers.inputs,
                               [&](const OutputRequest& r) { return buffers.Output(r); });
  };

  for (const int64_t start = SteadyNow(); MillisecondsSince(start) < o.warm_up * 1000;) {
    GRAFT_RETURN_IF_ERROR(run());
  }
  std::vector<double> times;
  const int64_t start = SteadyNow();
  do {
    const int64_t run_start = SteadyNow();
    GRAFT_RETURN_IF_ERROR(run());
    times.push_back(MillisecondsSince(run_start));
  } while (MillisecondsSince(start) < o.duration * 1000);
  const double wall_s = MillisecondsSince(start) / 1000;
  const Statistics s = Summarise(times);
  const double qps = static_cast<double>(times.size()) / wall_s;
  const double batch = dims.empty() || dims[0].empty() ? 1 : static_cast<double>(dims[0][0]);

  std::printf(
      "=== Plan ===\n%s on %s, %d steps, packed weights %.1f MB (%.1f of them the plan's), arena "
      "%.1f MB\n",
      o.plan.c_str(), std::string(engine.backend().name()).c_str(), loaded.context->steps(),
      static_cast<double>(engine.packed_bytes()) / 1e6,
      static_cast<double>(engine.packed_bytes_of_plan()) / 1e6,
      static_cast<double>(loaded.context->arena_bytes()) / 1e6);
  std::printf("%s\n", engine.backend().Fingerprint().c_str());
  for (size_t i = 0; i < dims.size(); ++i) {
    std::printf("input %s %s\n", engine.inputs()[i].name.c_str(),
                Describe(engine.inputs()[i].dtype, dims[i]).c_str());
  }
  std::printf("load %.2f ms, first inference %.2f ms\n", load_ms, first_ms);
  std::printf("=== Performance summary ===\n");
  std::printf("Throughput: %.2f qps, %.2f items/s\n", qps, qps * batch);
  std::printf(
      "Latency: min = %.4f ms, mean = %.4f ms, median = %.4f ms, p90 = %.4f ms, p95 = %.4f ms, p99 "
      "= %.4f ms, max = "
      "%.4f ms\n",
      s.min, s.mean, s.median, s.p90, s.p95, s.p99, s.max);
  std::optional<double> queued;
  if (o.on_device) {
    GRAFT_ASSIGN_OR_RETURN(
        queued, QueuedMilliseconds(*loaded.context, buffers, device, std::min(o.duration, 1.0)));
    std::printf("Queued one after the other: %.4f ms a run\n", *queued);
  }
  if (s.variation > 0.025) {
    std::printf(
        "Warning: times vary by %.1f %% (standard deviation over mean): the machine is busy or its "
        "clock changes\n",
        100 * s.variation);
  }
  nlohmann::ordered_json json = {{"schema", 1},
                                 {"plan", o.plan},
                                 {"fingerprint", engine.backend().Fingerprint()},
                                 {"threads", o.threads},
                                 {"inputs", nlohmann::ordered_json::object()},
                                 {"runs", times.size()},
                                 {"seconds", wall_s},
                                 {"queries_per_second", qps},
                                 {"items_per_second", qps * batch},
                                 {"load_ms", load_ms},
                                 {"first_inference_ms", first_ms},
                                 {"packed_bytes", engine.packed_bytes()},
                                 {"packed_bytes_of_plan", engine.packed_bytes_of_plan()},
                                 {"latency_ms", ToJson(s)}};
  if (queued) json["queued_ms"] = *queued;
  for (size_t i = 0; i < dims.size(); ++i) {
    json["inputs"][engine.inputs()[i].name] = Describe(engine.inputs()[i].dtype, dims[i]);
  }
  if (o.layers) {
    // A run of its own: timing every step costs time itself.
    loaded.context->StartProfile();
    for (const int64_t begin = SteadyNow();
         MillisecondsSince(begin) < std::min(o.duration, 2.0) * 1000;) {
      GRAFT_RETURN_IF_ERROR(run());
    }
    GRAFT_ASSIGN_OR_RETURN(const Roofline roofline, RooflineOf(engine, o.threads));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Layer> layers, Layers(*loaded.context, roofline));
    std::fputs(DescribeLayers(layers, roofline, s.median).c_str(), stdout);
    json["roofline"] = ToJson(roofline);
    json["layers"] = ToJson(layers);
  }
  if (!o.trace.empty()) {
    TraceRecorder recorder;
    loaded.context->Observe(&recorder);
    for (int i = 0; i < kTracedRuns; ++i) GRAFT_RETURN_IF_ERROR(run());
    loaded.context->Observe(nullptr);
    GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.trace, ToText(recorder.ToJson())));
  }
  if (o.streams > 0) {
    GRAFT_ASSIGN_OR_RETURN(json["streams"], BenchStreams(o, loaded.engine, dims));
  }
  if (!o.compare.empty()) {
    std::printf("\n=== Against %s ===\n%s", o.compare.c_str(),
                CompareBenchFigures(json, before).c_str());
  }
  if (!o.history.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const std::string change, AppendToHistory(o.history, json));
    std::printf("\n=== History ===\n%s", change.c_str());
  }
  if (!o.json.empty()) GRAFT_RETURN_IF_ERROR(WriteFileAtomically(o.json, ToText(json, 2)));
  return OkStatus();
}

// The nodes of that name; else those whose name it is a part of, if they are one.
Result<std::vector<ir::NodeId>> FindLayer(const ir::Module& module, const std::string& name) {
  constexpr size_t kMostNames = 10;
  std::vector<ir::NodeId> exact, partly;
  std::vector<std::string> names;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const std::string& node = module.node(id).name;
    if (node == name) exact.push_back(id);
    if (node.find(name) == std::string::npos) continue;
    partly.push_back(id);
    if (names.size() < kMostNames) names.push_back(node);
  }
  if (!exact.empty()) return exact;
  if (partly.size() == 1) return partly;
  if (partly.empty()) return NotFoundError("there is no layer '{}' (graft inspect PLAN)", name);
  return InvalidArgumentError("{} layers have '{}' in their names: {}{}", partly.size(), name,
                              fmt::join(names, ", "), partly.size() > names.size() ? ", …" : "");
}

Status Why(const BenchArguments& o) {
  GRAFT_ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(o.device));
  GRAFT_ASSIGN_OR_RETURN(Plan plan, LoadPlan(o.plan));
  GRAFT_RETURN_IF_ERROR(CheckWeights(plan));
  GRAFT_ASSIGN_OR_RETURN(Backend* const backend, BackendOf(plan, device.backend, device.device));
  const ir::Module& module = plan.module;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::NodeId> nodes, FindLayer(module, o.why));
  TuneOptions tune;
  tune.threads = MakeTbbExecutor(o.threads)->width();
  for (const ir::NodeId id : nodes) {
    const ir::Node& node = module.node(id);
    const std::vector<TuningPoint>& points = plan.choices.points;
    GRAFT_ASSIGN_OR_RETURN(const std::vector<CandidateReport> candidates,
                           ExplainNode(module, id, *backend, points, tune));
    std::printf("%s (%s)\n", node.name.c_str(), std::string(ir::Name(node.kind())).c_str());
    for (size_t p = 0; p < points.size(); ++p) {
      GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(module, node, points[p].symbols));
      std::printf("tuning point %zu: %s\n", p, ProblemString(bound).c_str());
      const StepChoice& choice = plan.choices.steps[id];
      const std::string chosen =
          p < choice.best.size() && choice.best[p] >= 0 ? choice.tactics[choice.best[p]].name : "";
      for (const CandidateReport& c : candidates) {
        const char* const mark = c.tactic == chosen ? "  the plan's" : "";
        if (!c.refusal.empty()) {
          std::printf("  %-32s refused: %s%s\n", c.tactic.c_str(), c.refusal.c_str(), mark);
        } else if (!c.times[p].rejected.empty()) {
          std::printf("  %-32s rejected: %s%s\n", c.tactic.c_str(), c.times[p].rejected.c_str(),
                      mark);
        } else {
          std::printf("  %-32s %10.2f us%s\n", c.tactic.c_str(), c.times[p].microseconds, mark);
        }
      }
      if (candidates.empty()) std::printf("  it needs no tactic\n");
    }
  }
  return OkStatus();
}

}  // namespace

Command AddBench(CLI::App& program) {
  auto o = std::make_shared<BenchArguments>();
  CLI::App* app = program.add_subcommand("bench", "Measure a plan");
  app->add_option("PLAN", o->plan, "The plan")->required();
  app->add_option("--batch", o->batch, "Outermost dimension of every input");
  app->add_option("--shapes", o->shapes, "Input shapes: name:8x224x224x3,…");
  app->add_option("--threads", o->threads, "Threads; 0: all processors");
  app->add_option("--streams", o->streams, "Contexts to run side by side, the threads split")
      ->check(CLI::PositiveNumber);
  AddDeviceOfPlan(app, &o->device);
  app->add_option("--duration", o->duration, "Seconds to measure")
      ->check(CLI::PositiveNumber)
      ->check(Finite());
  app->add_option("--warmUp,--warm-up", o->warm_up, "Seconds to run before")
      ->check(CLI::NonNegativeNumber)
      ->check(Finite());
  app->add_flag("--layers", o->layers, "Time every step too");
  app->add_flag("--on-device", o->on_device,
                "Inputs and outputs in the device's memory; times queued runs too");
  app->add_option("--json", o->json, "Write the figures to this file");
  app->add_option("--compare", o->compare, "Figures of an earlier run: what got slower");
  app->add_option("--history", o->history,
                  "Append the figures to this file, and compare them with the last ones there");
  app->add_option("--trace", o->trace,
                  "Write some runs as a trace for chrome://tracing or Perfetto");
  app->add_option("--why", o->why,
                  "Only measure every tactic that there is for this layer, at each tuning point");
  app->footer("Example:\n  graft bench model.plan --batch 8 --threads 2 --layers");
  return {app, [o] { return Report(o->why.empty() ? Run(*o) : Why(*o)); }};
}

}  // namespace graft
