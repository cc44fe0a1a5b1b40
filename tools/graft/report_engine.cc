#include "report_engine.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "backends/reference/evaluator.h"
#include "base/dtype_visit.h"
#include "convert/build_engine.h"
#include "convert/segment_graph.h"
#include "reference_cases.h"
#include "runtime/backend_table.h"
#include "timing.h"
#include "trace_file.h"

namespace graft {
namespace {

constexpr uint64_t kSeed = 1;

// The median of runs for so long.
Result<double> MedianMilliseconds(Context& context, std::span<const Tensor> inputs,
                                  double seconds) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> outputs, context.Run(inputs));  // the shape is new
  std::vector<TensorView> views;
  for (const Tensor& t : inputs) views.push_back(ViewOf(t));
  std::vector<void*> memory;
  for (Tensor& t : outputs) memory.push_back(t.mutable_raw());
  std::vector<double> times;
  for (const int64_t start = SteadyNow(); MillisecondsSince(start) < seconds * 1000;) {
    const int64_t begin = SteadyNow();
    GRAFT_RETURN_IF_ERROR(context.Run(views, std::span<void* const>(memory)));
    times.push_back(MillisecondsSince(begin));
  }
  return Median(std::move(times));
}

// A part of the arena while a value lies there.
struct Block {
  size_t begin, end;  // bytes
  int first, last;    // steps
  std::string name;
};

size_t BytesOf(const BoundValue& value) {
  const size_t elements = static_cast<size_t>(CountElements(value.dims));
  if (value.dims.empty() || elements == 0) return elements * SizeOf(value.dtype);
  const auto row = static_cast<size_t>(value.dims.back());
  return ((elements / row - 1) * static_cast<size_t>(value.row_stride) + row) * SizeOf(value.dtype);
}

// Bytes that these parts cover, those of several counted once.
size_t Covered(std::vector<std::pair<size_t, size_t>> parts) {
  std::ranges::sort(parts);
  size_t bytes = 0, end = 0;
  for (const auto& [from, to] : parts) {
    if (to <= end) continue;
    bytes += to - std::max(from, end);
    end = to;
  }
  return bytes;
}

// Bytes of the arena that hold something during the step; views share theirs.
size_t LiveBytes(const std::vector<Block>& blocks, int step) {
  std::vector<std::pair<size_t, size_t>> parts;
  for (const Block& b : blocks) {
    if (b.first <= step && step <= b.last) parts.emplace_back(b.begin, b.end);
  }
  return Covered(std::move(parts));
}

// Notes that a step reads these bytes: of what was written there last, in this stage.
void Read(size_t begin, size_t end, int step, int first_step, std::vector<Block>* blocks) {
  std::vector<std::pair<size_t, size_t>> found;
  for (auto b = blocks->rbegin(); b != blocks->rend() && b->first >= first_step; ++b) {
    const size_t from = std::max(begin, b->begin), to = std::min(end, b->end);
    if (from >= to) continue;
    const size_t before = Covered(found);
    found.emplace_back(from, to);
    if (Covered(found) > before) b->last = step;
    if (Covered(found) == end - begin) return;
  }
}

// Steps of one stage, numbered from `first_step`; appends to `blocks`.
Status FindBlocks(const ir::Module& module, const ShapePlan& plan, int first_step,
                  std::vector<Block>* blocks) {
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const ShapePlan::Step& step = plan.steps[s];
    const int now = first_step + static_cast<int>(s);
    const ir::Node& node = module.node(step.node);
    GRAFT_ASSIGN_OR_RETURN(const BoundNode bound, BindNode(module, node, plan.symbols));
    const auto location = [&](int32_t i) -> const Location& {
      return plan.pointers[static_cast<size_t>(step.first_pointer) + static_cast<size_t>(i)];
    };
    for (int32_t i = 0; i < step.inputs; ++i) {
      const Location& at = location(i);
      if (at.base != Location::Base::kArena) continue;
      Read(at.offset, at.offset + BytesOf(bound.inputs[static_cast<size_t>(i)]), now, first_step,
           blocks);
    }
    for (int32_t i = 0; i < step.outputs; ++i) {
      const Location& at = location(step.inputs + i);
      if (at.base != Location::Base::kArena) continue;
      blocks->push_back({at.offset, at.offset + BytesOf(bound.outputs[static_cast<size_t>(i)]), now,
                         now, node.name});
    }
    const Location& workspace = location(step.inputs + step.outputs);
    const size_t bytes = step.step->workspace_bytes(plan.width);
    if (workspace.base == Location::Base::kArena && bytes > 0)
      blocks->push_back(
          {workspace.offset, workspace.offset + bytes, now, now, node.name + " (workspace)"});
  }
  return OkStatus();
}

// The tensor's numbers as those of another dtype.
Result<Tensor> As(DType dtype, const Tensor& tensor) {
  GRAFT_ASSIGN_OR_RETURN(Tensor made, Tensor::Allocate(dtype, tensor.dims()));
  TryVisitDType(kNumberTypes, tensor.dtype(), [&]<class From>(From) {
    TryVisitDType(kNumberTypes, dtype, [&]<class To>(To) {
      std::ranges::transform(tensor.data<From>(), made.mutable_data<To>().begin(),
                             [](From x) { return static_cast<To>(static_cast<double>(x)); });
    });
  });
  return made;
}

// The largest error as a share of the largest value; nullopt for what is not alike, and for no
// numbers. An engine may hold in halves what the graph says is f32.
Result<std::optional<double>> RelativeError(const Tensor& value, const Tensor& reference) {
  if (value.dims() != reference.dims() || !IsFloating(value.dtype()) ||
      !IsFloating(reference.dtype()))
    return std::optional<double>();
  GRAFT_ASSIGN_OR_RETURN(const Tensor alike, As(reference.dtype(), value));
  const Difference difference = Compare(alike, reference);
  return std::optional(difference.comparable ? difference.relative()
                                             : std::numeric_limits<double>::infinity());
}

}  // namespace

Result<NativeGraph> NativeGraphOf(const tf::FunctionDef& segment,
                                  const std::vector<Binding>& inputs) {
  std::vector<importer::GraphInput> arguments;
  for (const Binding& input : inputs) {
    importer::GraphInput& argument = arguments.emplace_back("", input.dtype);
    for (const ir::Dim& d : input.shape) argument.shape.dims.push_back(d.constant().value_or(-1));
  }
  GRAFT_ASSIGN_OR_RETURN(convert::SegmentGraph made,
                         convert::SegmentGraphOf(segment, std::move(arguments)));
  return NativeGraph{std::move(made.graph), std::move(made.inputs), std::move(made.outputs),
                     fmt::format("{}/", convert::kSegmentCall)};
}

Result<EngineReport> EngineReport::Make(std::string name, Plan plan,
                                        const EngineReportOptions& options) {
  EngineReport report;
  report.name_ = std::move(name);
  report.options_ = options;
  GRAFT_ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(options.device));
  const Result<Backend*> backend = BackendOf(plan, device.backend, device.device);
  if (!backend.ok()) return backend.status().WithContext(report.name_);
  GRAFT_RETURN_IF_ERROR(CheckWeights(plan));
  report.plan_ = std::move(plan);
  ContextOptions context;
  context.executor = MakeTbbExecutor(options.threads);
  const int64_t start = SteadyNow();
  GRAFT_ASSIGN_OR_RETURN(report.engine_, Engine::Create(report.plan_, **backend,
                                                        {.executor = context.executor.get()}));
  report.load_ms_ = MillisecondsSince(start);
  GRAFT_ASSIGN_OR_RETURN(report.context_, Context::Create(report.engine_, std::move(context)));
  GRAFT_ASSIGN_OR_RETURN(report.dims_, InputDims(*report.engine_, options.shapes));
  GRAFT_ASSIGN_OR_RETURN(report.inputs_, RandomInputs(*report.engine_, report.dims_, kSeed));
  GRAFT_RETURN_IF_ERROR(report.Measure());
  GRAFT_RETURN_IF_ERROR(report.FindMemory());
  return report;
}

Status EngineReport::Measure() {
  GRAFT_ASSIGN_OR_RETURN(median_ms_, MedianMilliseconds(*context_, inputs_, options_.seconds));
  // Timing every step costs time itself; so does telling of it.
  TraceRecorder recorder;
  context_->Observe(&recorder);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> outputs, context_->Run(inputs_));
  context_->Observe(nullptr);
  timeline_ = {{"parts", nlohmann::ordered_json::array()},
               {"work", nlohmann::ordered_json::array()}};
  for (const TraceRecorder::Event& e : recorder.events()) {
    timeline_["parts"].push_back({static_cast<int>(e.part), e.name, e.detail,
                                  static_cast<double>(e.begin_ns) / 1000,
                                  static_cast<double>(e.end_ns - e.begin_ns) / 1000});
  }
  for (const TraceRecorder::Work& w : recorder.work()) {
    timeline_["work"].push_back({w.worker, w.event, static_cast<double>(w.begin_ns) / 1000,
                                 static_cast<double>(w.end_ns - w.begin_ns) / 1000});
  }
  GRAFT_ASSIGN_OR_RETURN(roofline_, RooflineOf(*engine_, options_.threads));
  context_->StartProfile();
  GRAFT_RETURN_IF_ERROR(MedianMilliseconds(*context_, inputs_, options_.seconds).status());
  GRAFT_ASSIGN_OR_RETURN(layers_, Layers(*context_, roofline_));
  return OkStatus();
}

Status EngineReport::FindMemory() {
  std::vector<Block> blocks;
  int steps = 0;
  size_t arena = 0;
  for (const auto& plan : context_->shape_plans()) {
    GRAFT_RETURN_IF_ERROR(FindBlocks(plan_.module, *plan, steps, &blocks));
    const int last = steps + static_cast<int>(plan->steps.size()) - 1;
    // What is copied to the caller at the end of the stage stays until then.
    for (const ShapePlan::OutputCopy& copy : plan->output_copies) {
      if (copy.source.base != Location::Base::kArena || copy.rows == 0) continue;
      const size_t bytes = static_cast<size_t>(copy.rows - 1) * copy.row_stride + copy.row_bytes;
      Read(copy.source.offset, copy.source.offset + bytes, last, steps, &blocks);
    }
    steps += static_cast<int>(plan->steps.size());
    arena = std::max(arena, plan->arena_bytes);
  }
  memory_ = {{"arena", arena},
             {"packed", engine_->packed_bytes()},
             {"live", nlohmann::ordered_json::array()},
             {"blocks", nlohmann::ordered_json::array()}};
  for (int s = 0; s < steps; ++s) memory_["live"].push_back(LiveBytes(blocks, s));
  for (const Block& b : blocks)
    memory_["blocks"].push_back({b.begin, b.end - b.begin, b.first, b.last, b.name});
  return OkStatus();
}

double EngineReport::relative_error() const {
  double largest = 0;
  for (const OutputAccuracy& o : outputs_) {
    largest = std::max(largest, o.difference.comparable ? o.difference.relative()
                                                        : std::numeric_limits<double>::infinity());
  }
  return largest;
}

Result<std::optional<double>> EngineReport::MillisecondsAt(int64_t batch) const {
  const std::optional<std::vector<Dims>> dims = AtBatch(*engine_, dims_, batch);
  if (!dims) return std::optional<double>();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, RandomInputs(*engine_, *dims, kSeed));
  ContextOptions options;
  options.executor = MakeTbbExecutor(options_.threads);
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> context,
                         Context::Create(engine_, std::move(options)));
  GRAFT_ASSIGN_OR_RETURN(const double ms, MedianMilliseconds(*context, inputs, options_.seconds));
  return std::optional(ms);
}

// What the steps compute, by the names of TensorFlow's tensors: the engine once more, with all of
// it as outputs.
Result<std::vector<std::pair<std::string, Tensor>>> EngineReport::Intermediates() const {
  Plan plan = plan_;
  ir::Module& module = plan.module;
  const size_t first = module.outputs.size();
  std::vector<std::pair<std::string, Tensor>> results;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    for (const ir::ValueId v : module.node(id).outputs) {
      const ir::Value& value = module.value(v);
      if (!IsFloating(value.dtype) || value.constant) continue;
      module.outputs.push_back(v);
      module.output_names.push_back(value.name);
      results.emplace_back(value.name, Tensor());
    }
  }
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Engine> engine,
                         Engine::Create(std::move(plan), engine_->backend()));
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<Context> context,
                         Context::Create(std::move(engine)));
  GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> outputs, context->Run(inputs_));
  for (size_t i = 0; i < results.size(); ++i) results[i].second = std::move(outputs[first + i]);
  return results;
}

Status EngineReport::CompareWith(const NativeGraph& native, bool layers) {
  GRAFT_ASSIGN_OR_RETURN(
      const importer::ImportedGraph imported,
      importer::ImportGraph(native.graph, native.inputs, native.outputs,
                            {.take_defaults = true, .evaluate = convert::ReferenceEvaluator()}));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> values,
                         reference::RunModuleKeepingAll(imported.module, inputs_));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> results, context_->Run(inputs_));
  reference_ = "the same inputs, random numbers, on the reference kernels";
  const std::vector<ir::ValueId>& outputs = imported.module.outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    outputs_.push_back(
        {engine_->outputs()[i].name, Compare(results[i], values[static_cast<size_t>(outputs[i])])});
  }
  if (!layers) return OkStatus();
  std::unordered_map<std::string_view, const Tensor*> by_name;
  for (ir::ValueId v = 0; v < imported.module.value_count(); ++v) {
    std::string_view name = imported.module.value(v).name;
    if (name.starts_with(native.prefix)) name.remove_prefix(native.prefix.size());
    if (values[static_cast<size_t>(v)].valid()) by_name[name] = &values[static_cast<size_t>(v)];
  }
  GRAFT_ASSIGN_OR_RETURN(const auto intermediates, Intermediates());
  for (const auto& [full_name, tensor] : intermediates) {
    std::string_view name = full_name;
    if (name.starts_with(native.prefix)) name.remove_prefix(native.prefix.size());
    const auto found = by_name.find(name);
    if (found == by_name.end()) continue;
    GRAFT_ASSIGN_OR_RETURN(const std::optional<double> error,
                           RelativeError(tensor, *found->second));
    if (error) compared_layers_.push_back({std::string(name), *error});
  }
  return OkStatus();
}

Status EngineReport::CompareWithFolder(const std::string& folder) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> cases, FindReferenceCases(folder));
  reference_ = "stored results";
  for (const std::string& name : cases) {
    GRAFT_ASSIGN_OR_RETURN(const ReferenceCase c, ReadReferenceCase(folder, name, *engine_));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> results, context_->Run(c.inputs));
    for (size_t i = 0; i < results.size(); ++i) {
      outputs_.push_back({fmt::format("{}: {}", name, engine_->outputs()[i].name),
                          Compare(results[i], c.outputs[i])});
    }
  }
  return OkStatus();
}

nlohmann::ordered_json EngineReport::ToJson() const {
  nlohmann::ordered_json json = {{"name", name_},
                                 {"backend", plan_.backend},
                                 {"fingerprint", engine_->backend().Fingerprint()},
                                 {"tuned_on", plan_.provenance.fingerprint},
                                 {"versions", plan_.provenance.versions},
                                 {"options", plan_.provenance.options},
                                 {"inputs", nlohmann::ordered_json::object()},
                                 {"outputs", nlohmann::ordered_json::object()},
                                 {"load_ms", load_ms_},
                                 {"median_ms", median_ms_},
                                 {"roofline", graft::ToJson(roofline_)},
                                 {"layers", graft::ToJson(layers_)},
                                 {"timeline", timeline_},
                                 {"memory", memory_}};
  for (size_t i = 0; i < dims_.size(); ++i) {
    const Binding& input = engine_->inputs()[i];
    json["inputs"][input.name] = Describe(input.dtype, dims_[i]);
  }
  for (const Binding& output : engine_->outputs())
    json["outputs"][output.name] =
        fmt::format("{}{}", Name(output.dtype), ir::ToString(output.shape));
  if (reference_.empty()) return json;
  nlohmann::ordered_json& accuracy = json["accuracy"];
  accuracy = {{"against", reference_}, {"outputs", nlohmann::ordered_json::array()}};
  for (const OutputAccuracy& o : outputs_) {
    accuracy["outputs"].push_back({{"name", o.name}, {"comparable", o.difference.comparable}});
    if (!o.difference.comparable) continue;
    accuracy["outputs"].back().update({{"max", o.difference.max_abs},
                                       {"mean", o.difference.mean_abs},
                                       {"relative", o.difference.relative()},
                                       {"cosine", o.difference.cosine}});
  }
  if (!compared_layers_.empty()) accuracy["layers"] = nlohmann::ordered_json::array();
  for (const LayerAccuracy& l : compared_layers_)
    accuracy["layers"].push_back({l.name, std::isfinite(l.relative) ? l.relative : 1e308});
  return json;
}

}  // namespace graft
