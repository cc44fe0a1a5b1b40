#include "runtime/engine.h"

#include <fmt/ranges.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "backend_api/adopts_packed.h"
#include "base/aligned_buffer.h"
#include "base/log.h"
#include "runtime/placement.h"
#include "runtime/plan_tactic.h"

namespace graft {
namespace {

// How far two bindings of some symbols lie apart: ratios count, not differences.
double Distance(std::span<const int64_t> a, std::span<const int64_t> b,
                std::span<const ir::SymbolId> symbols) {
  double sum = 0;
  for (const ir::SymbolId i : symbols) {
    sum += std::abs(std::log2(static_cast<double>(std::max<int64_t>(a[i], 1))) -
                    std::log2(static_cast<double>(std::max<int64_t>(b[i], 1))));
  }
  return sum;
}

void AddOnce(std::vector<std::string>& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

bool Contains(const std::vector<int>& list, int item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::vector<Binding> MakeBindings(const ir::Module& module, const std::vector<ir::ValueId>& values,
                                  const std::vector<std::string>& names,
                                  std::string (*binding_name)(int)) {
  std::vector<Binding> bindings;
  for (size_t i = 0; i < values.size(); ++i) {
    const ir::Value& value = module.value(values[i]);
    bindings.push_back({names[i], binding_name(static_cast<int>(i)), value.dtype, value.shape});
  }
  return bindings;
}

// CheckWeight on all threads: for a large plan it takes as long as packing.
Status CheckWeightsInParallel(const Plan& plan, std::vector<UncheckedWeight> weights,
                              Executor& executor) {
  const auto bytes = [&](const UncheckedWeight& weight) {
    return plan.module.value(weight.value).constant->bytes();
  };
  std::ranges::stable_sort(weights, std::greater(), bytes);  // the last to be taken are short
  std::vector<Status> statuses(weights.size());
  executor.ParallelFor(static_cast<int64_t>(weights.size()),
                       [&](int64_t i, int) { statuses[i] = CheckWeight(plan, weights[i]); });
  for (const Status& status : statuses) GRAFT_RETURN_IF_ERROR(status);
  return OkStatus();
}

// Maps pages of a file at once, instead of by a fault for every few. A kernel that cannot leaves
// that to their first reader.
void MapPages(std::span<const std::byte> bytes) {
#ifdef MADV_POPULATE_READ
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(bytes.data()) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ));
#else
  static_cast<void>(bytes);
#endif
}

}  // namespace

Engine::Engine(Plan plan, Backend& backend, const EngineOptions& options)
    : plan_(std::move(plan)),
      backend_(backend),
      shape_plan_limit_(static_cast<size_t>(std::max(options.shape_plans, 1))) {
  const ir::Module& m = plan_.module;
  inputs_ = MakeBindings(m, m.inputs, m.input_names, InputBindingName);
  outputs_ = MakeBindings(m, m.outputs, m.output_names, OutputBindingName);
}

Engine::~Engine() {
  for (void* memory : device_constants_) backend_.device().Free(memory);
}

Result<std::shared_ptr<const Engine>> Engine::Create(Plan plan, Backend& backend,
                                                     const EngineOptions& options) {
  InlineExecutor inline_executor;
  Executor& executor = options.executor ? *options.executor : inline_executor;
  std::shared_ptr<Engine> engine(new Engine(std::move(plan), backend, options));
  GRAFT_RETURN_IF_ERROR(engine->CheckPlan());
  GRAFT_ASSIGN_OR_RETURN(engine->stages_, ir::FindStages(engine->module()));
  engine->shape_plans_.resize(engine->stages_.count);
  engine->FindInputsRead();
  GRAFT_RETURN_IF_ERROR(engine->ResolveTactics());
  engine->AdoptPacked(executor);
  GRAFT_RETURN_IF_ERROR(engine->CheckConstants(executor));
  GRAFT_RETURN_IF_ERROR(engine->PackFirstPoint(executor));
  engine->DropPackedConstants();
  GRAFT_RETURN_IF_ERROR(engine->PlaceConstants());
  return std::shared_ptr<const Engine>(std::move(engine));
}

Status Engine::CheckPlan() const {
  const ir::Module& module = plan_.module;
  if (plan_.choices.steps.size() != static_cast<size_t>(module.node_count())) {
    return InvalidArgumentError("the plan has {} steps for {} nodes", plan_.choices.steps.size(),
                                module.node_count());
  }
  return OkStatus();
}

void Engine::FindInputsRead() {
  const ir::Module& module = plan_.module;
  std::vector<bool> read(module.value_count(), false);
  for (const ir::ValueId v : module.outputs) read[v] = true;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    for (const ir::ValueId v : module.node(id).inputs) read[v] = true;
  }
  for (const ir::ValueId v : module.inputs) inputs_read_.push_back(read[v]);
}

Status Engine::ResolveTactics() {
  const ir::Module& module = plan_.module;
  steps_.resize(module.node_count());
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    const StepChoice& choice = plan_.choices.steps[id];
    Step& step = steps_[id];
    std::vector<int> index(choice.tactics.size(), -1);  // in step.tactics
    std::vector<std::string> missing;
    bool any_shape = false;
    for (size_t t = 0; t < choice.tactics.size(); ++t) {
      const TacticChoice& wanted = choice.tactics[t];
      const Tactic* const tactic = FindTactic(backend_, module, node, wanted);
      if (tactic == nullptr) {
        missing.push_back(fmt::format("{} version {}", wanted.name, wanted.version));
        continue;
      }
      index[t] = static_cast<int>(step.tactics.size());
      step.tactics.push_back({tactic, tactic->Traits(module, node), &wanted});
      if (!std::ranges::all_of(wanted.prepared, [](const auto& p) { return p.has_value(); }))
        AddOnce(unprepared_tactics_, wanted.name);
      any_shape |= step.tactics.back().traits.any_shape;
    }
    // A node without a step that runs (a reshape of a dense value) needs no tactic.
    if (!any_shape && !(choice.tactics.empty() && (ir::Flags(node.kind()) & ir::kViewOfInput))) {
      return UnsupportedError("{}: this build of backend {} has no tactic of the plan for it: {}",
                              node.name, backend_.name(), fmt::join(missing, ", "));
    }
    for (const int best : choice.best) step.best.push_back(index[best]);
    for (const std::string& name : missing) {
      AddOnce(missing_tactics_, name);
    }
  }
  return OkStatus();
}

void Engine::AdoptPacked(Executor& executor) {
  struct Job {
    const PackedConstants* constants;
    const Tactic* tactic;
    std::string failure;
  };
  std::vector<Job> jobs;
  for (const PackedConstants& constants : plan_.packed) {
    const std::vector<StepTactic>& tactics = steps_[constants.node].tactics;
    const auto found = std::ranges::find_if(tactics, [&](const StepTactic& t) {
      return t.tactic->name() == constants.tactic && t.tactic->version() == constants.version;
    });
    const AdoptsPacked* const adopts =
        found == tactics.end() ? nullptr : AsAdoptsPacked(*found->tactic);
    if (adopts == nullptr) {
      AddOnce(unused_packed_, fmt::format("made for {} version {}, which its step does not have",
                                          constants.tactic, constants.version));
    } else if (adopts->PackedTarget() != constants.target) {
      AddOnce(unused_packed_,
              fmt::format("made for {}, this is {}", constants.target, adopts->PackedTarget()));
    } else if (reinterpret_cast<uintptr_t>(constants.bytes.get()) % kBufferAlignment != 0) {
      AddOnce(unused_packed_, "the plan does not lie at a 64-byte boundary in memory");
    } else {
      jobs.push_back({&constants, found->tactic, ""});
    }
  }
  // The last to be taken are short.
  std::ranges::stable_sort(jobs, std::greater(),
                           [](const Job& job) { return job.constants->size; });
  executor.ParallelFor(static_cast<int64_t>(jobs.size()), [&](int64_t i, int) {
    Job& job = jobs[i];
    const PackedConstants& constants = *job.constants;
    const ir::Node& node = plan_.module.node(constants.node);
    MapPages({constants.bytes.get(), constants.size});
    if (!HasItsHash(constants)) {
      job.failure = fmt::format("{}: its bytes are altered", node.name);
      return;
    }
    Result<std::unique_ptr<PackedWeights>> adopted =
        AsAdoptsPacked(*job.tactic)->Adopt(plan_.module, node, constants.bytes, constants.size);
    if (!adopted.ok()) {
      job.failure = fmt::format("{}: {}", node.name, adopted.status().message());
      return;
    }
    const std::string_view name = job.tactic->packing();
    std::lock_guard lock(mutex_);
    std::vector<Packing>& packings = steps_[constants.node].packings;
    if (std::ranges::find(packings, name, &Packing::name) != packings.end()) return;
    packings.push_back({name, std::move(adopted).value()});
    packed_bytes_of_plan_ += constants.size;
  });
  for (Job& job : jobs) {
    if (!job.failure.empty()) damaged_packed_.push_back(std::move(job.failure));
  }
}

// Compares the constants that are read now with their hashes, and leaves those in
// unchecked_weights that the plan has packed: they are compared when a shape needs another packing.
Status Engine::CheckConstants(Executor& executor) {
  const std::vector<bool> read = ConstantsRead();
  std::vector<UncheckedWeight> now, later;
  for (const UncheckedWeight& weight : plan_.unchecked_weights)
    (read[weight.value] ? now : later).push_back(weight);
  plan_.unchecked_weights = std::move(later);
  return CheckWeightsInParallel(plan_, std::move(now), executor);
}

// By value, whether creating the engine or running a step reads it as it is: everything but what
// the steps' packings stand for.
std::vector<bool> Engine::ConstantsRead() const {
  const ir::Module& module = plan_.module;
  std::vector<bool> read(module.value_count(), false);
  for (const ir::ValueId v : module.outputs) read[v] = true;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const Step& step = steps_[id];
    const std::vector<ir::ValueId>& inputs = module.node(id).inputs;
    const StepTactic* first = FirstTactic(step);
    const bool packed = first && std::ranges::find(step.packings, first->tactic->packing(),
                                                   &Packing::name) != step.packings.end();
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool unread = packed && std::ranges::all_of(step.tactics, [&](const StepTactic& t) {
                            return Contains(t.traits.packed_inputs, static_cast<int>(i));
                          });
      if (!unread) read[inputs[i]] = true;
    }
  }
  return read;
}

const Engine::StepTactic* Engine::FirstTactic(const Step& step) {
  if (step.tactics.empty()) return nullptr;
  return &step.tactics[step.best.empty() || step.best[0] < 0 ? 0 : step.best[0]];
}

Status Engine::PackFirstPoint(Executor& executor) {
  // Big ones share the executor one after the other, the many small ones run side by side.
  constexpr size_t kBigBytes = size_t{16} << 20;
  const ir::Module& module = plan_.module;
  struct Job {
    ir::NodeId node;
    const Tactic* tactic;
  };
  std::vector<Job> big, small;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const StepTactic* const first = FirstTactic(steps_[id]);
    if (first == nullptr || first->tactic->packing().empty()) continue;
    const Tactic* const tactic = first->tactic;
    size_t bytes = 0;
    for (const ir::ValueId v : module.node(id).inputs) {
      if (module.value(v).constant) bytes += module.value(v).constant->bytes();
    }
    (bytes >= kBigBytes ? big : small).push_back({id, tactic});
  }
  for (const Job& job : big)
    GRAFT_RETURN_IF_ERROR(FindPacked(job.node, *job.tactic, executor).status());
  std::vector<Status> statuses(small.size());
  executor.ParallelFor(static_cast<int64_t>(small.size()), [&](int64_t i, int) {
    InlineExecutor inline_executor;
    statuses[i] = FindPacked(small[i].node, *small[i].tactic, inline_executor).status();
  });
  for (const Status& status : statuses) GRAFT_RETURN_IF_ERROR(status);
  return OkStatus();
}

// A constant's own bytes are needed while some step reads them as they are, or may still pack them.
void Engine::DropPackedConstants() {
  ir::Module& module = plan_.module;
  std::vector<bool> needed(module.value_count(), false);
  for (const ir::ValueId v : module.outputs) needed[v] = true;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const Step& step = steps_[id];
    const std::vector<ir::ValueId>& inputs = module.node(id).inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool packed =
          !step.tactics.empty() &&
          std::all_of(step.tactics.begin(), step.tactics.end(), [&](const StepTactic& t) {
            return Contains(t.traits.packed_inputs, static_cast<int>(i)) &&
                   !step.packings.empty() && step.packings[0].name == t.tactic->packing();
          });
      if (!packed) needed[inputs[i]] = true;
    }
  }
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    std::optional<Tensor>& constant = module.value(id).constant;
    if (constant && !needed[id]) constant = Tensor(constant->dtype(), constant->dims(), nullptr);
  }
}

Status Engine::PlaceConstants() {
  const ir::Module& module = plan_.module;
  Device& device = backend_.device();
  constants_.assign(module.value_count(), nullptr);
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    const std::optional<Tensor>& constant = module.value(id).constant;
    if (!constant || constant->raw() == nullptr) continue;
    if (device.host_accessible()) {
      constants_[id] = constant->raw();
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(void* memory, device.Allocate(constant->bytes()));
    device_constants_.push_back(memory);
    GRAFT_RETURN_IF_ERROR(CopyBytes(device, memory, MemorySpace::kDevice, constant->raw(),
                                    MemorySpace::kHost, constant->bytes(), nullptr));
    constants_[id] = memory;
  }
  return OkStatus();
}

size_t Engine::packed_bytes() const {
  std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const Step& step : steps_) {
    for (const Packing& packing : step.packings) bytes += packing.weights->bytes();
  }
  return bytes;
}

Engine::Nearest Engine::NearestPoint(const ShapePlan& plan) const {
  const std::vector<TuningPoint>& points = plan_.choices.points;
  std::vector<ir::SymbolId> known;  // when the stage begins
  for (ir::SymbolId s = 0; s < static_cast<ir::SymbolId>(plan.symbols.size()); ++s) {
    // Expressions follow from the others.
    if (stages_.symbol[s] <= plan.stage && !module().symbols[s].expression) known.push_back(s);
  }
  Nearest nearest;
  double nearest_distance = std::numeric_limits<double>::infinity();
  for (size_t p = 0; p < points.size() && !nearest.exact; ++p) {
    const std::vector<int64_t>& point = points[p].symbols;
    nearest.exact =
        std::ranges::all_of(known, [&](ir::SymbolId s) { return plan.symbols[s] == point[s]; });
    const double distance = nearest.exact ? 0 : Distance(plan.symbols, point, known);
    if (nearest.exact || distance < nearest_distance) {
      nearest.point = static_cast<int>(p);
      nearest_distance = distance;
    }
  }
  return nearest;
}

std::vector<Engine::Attempt> Engine::TacticOrder(const Step& step, const Nearest& nearest) {
  std::vector<int> order;
  if (nearest.point >= 0 && step.best[nearest.point] >= 0)
    order.push_back(step.best[nearest.point]);
  for (int t = 0; t < static_cast<int>(step.tactics.size()); ++t) {
    if (!Contains(order, t)) order.push_back(t);
  }
  std::vector<Attempt> attempts;
  for (const int t : order) {
    const StepTactic& tactic = step.tactics[t];
    // Code is generated for tuning points only: a new shape must cost next to nothing.
    if (!nearest.exact && tactic.traits.prepare_cost_ms > 0) continue;
    const auto& prepared = tactic.choice->prepared;
    if (!nearest.exact || prepared.empty()) {
      attempts.push_back({t, ""});
    } else if (prepared[nearest.point]) {
      attempts.push_back({t, *prepared[nearest.point]});
    }
  }
  return attempts;
}

Result<const PackedWeights*> Engine::FindPacked(ir::NodeId id, const Tactic& tactic,
                                                Executor& executor) const {
  if (tactic.packing().empty()) return nullptr;
  std::vector<Packing>& packings = steps_[id].packings;
  {
    std::lock_guard lock(mutex_);
    for (const Packing& packing : packings) {
      if (packing.name == tactic.packing()) return packing.weights.get();
    }
  }
  const ir::Node& node = plan_.module.node(id);
  for (const UncheckedWeight& weight : plan_.unchecked_weights) {
    if (std::ranges::find(node.inputs, weight.value) != node.inputs.end())
      GRAFT_RETURN_IF_ERROR(CheckWeight(plan_, weight));
  }
  Result<std::unique_ptr<PackedWeights>> packed = tactic.Pack(plan_.module, node, executor);
  if (!packed.ok()) return packed.status().WithContext(node.name);
  std::lock_guard lock(mutex_);
  packings.push_back({tactic.packing(), std::move(packed).value()});
  return packings.back().weights.get();
}

Result<BoundChoice> Engine::BindStep(ir::NodeId id, const BoundNode& bound, const Nearest& nearest,
                                     Executor& executor) const {
  Step& step = steps_[id];
  std::vector<std::string> reasons;
  for (const auto& [t, prepared] : TacticOrder(step, nearest)) {
    const Tactic* const tactic = step.tactics[t].tactic;
    const TacticTraits& traits = step.tactics[t].traits;
    if (!TakesStrides(traits, bound)) {
      reasons.push_back(fmt::format("{}: rows that are not dense", tactic->name()));
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(const PackedWeights* packed, FindPacked(id, *tactic, executor));
    Result<std::unique_ptr<BoundStep>> result = tactic->Bind(bound, packed, prepared);
    if (result.ok()) return BoundChoice{tactic, &traits, std::move(result).value()};
    const StatusCode code = result.status().code();
    // Bytes that a tactic cannot use may come to light in any way but want of memory.
    const bool bytes_refused = !prepared.empty() && code != StatusCode::kResourceExhausted;
    if (code != StatusCode::kUnsupported && !bytes_refused)
      return result.status().WithContext(bound.name);
    if (bytes_refused && !std::exchange(step.tactics[t].refuses_bytes, true)) {
      Log(LogLevel::kWarning, "trt_engine", "{}: {} cannot use what it prepared: {}", bound.name,
          tactic->name(), result.status().message());
    }
    reasons.push_back(fmt::format("{}: {}", tactic->name(), result.status().message()));
  }
  return UnsupportedError("{}: no tactic of the plan takes {} ({})", bound.name,
                          ProblemString(bound), fmt::join(reasons, "; "));
}

Result<std::vector<BoundChoice>> Engine::BindSteps(std::span<const ir::NodeId> ids,
                                                   std::span<const BoundNode> bound,
                                                   const Nearest& nearest,
                                                   Executor& executor) const {
  const bool generates =
      nearest.exact && std::ranges::any_of(ids, [&](ir::NodeId id) {
        return std::ranges::any_of(steps_[id].tactics, [](const StepTactic& tactic) {
          return tactic.traits.prepare_cost_ms > 0;
        });
      });
  std::vector<BoundChoice> choices(ids.size());
  const auto bind = [&](size_t i, Executor& packing) -> Status {
    GRAFT_ASSIGN_OR_RETURN(choices[i], BindStep(ids[i], bound[ids[i]], nearest, packing));
    return OkStatus();
  };
  if (!generates) {
    for (size_t i = 0; i < ids.size(); ++i) GRAFT_RETURN_IF_ERROR(bind(i, executor));
    return choices;
  }
  // Milliseconds for each: side by side.
  std::vector<Status> statuses(ids.size());
  executor.ParallelFor(static_cast<int64_t>(ids.size()), [&](int64_t i, int) {
    InlineExecutor inline_executor;
    statuses[i] = bind(static_cast<size_t>(i), inline_executor);
  });
  for (const Status& status : statuses) GRAFT_RETURN_IF_ERROR(status);
  return choices;
}

// What is known stays, what the stage finds out is at its upper bound.
Status Engine::BindStageSymbols(std::span<const int64_t> symbols, ShapePlan* plan) const {
  plan->symbols.assign(symbols.begin(), symbols.end());
  GRAFT_RETURN_IF_ERROR(ir::BindExpressions(module(), stages_, plan->stage, &plan->symbols));
  for (const ir::SymbolId s : stages_.results) {
    if (stages_.symbol[s] <= plan->stage) continue;
    plan->symbols[s] = -1;
    if (stages_.symbol[s] > plan->stage + 1) continue;
    const ir::Symbol& symbol = module().symbols[s];
    if (!symbol.upper_bound) continue;  // no dimension of this stage
    GRAFT_ASSIGN_OR_RETURN(plan->symbols[s], symbol.upper_bound->Evaluate(plan->symbols));
    if (plan->symbols[s] < 0) {
      return InvalidArgumentError("{}: at most {} results", module().node(symbol.node).name,
                                  plan->symbols[s]);
    }
  }
  return OkStatus();
}

Result<std::shared_ptr<const ShapePlan>> Engine::MakeShapePlan(std::span<const int64_t> symbols,
                                                               Executor& executor,
                                                               int stage) const {
  const ir::Module& module = plan_.module;
  auto plan = std::make_shared<ShapePlan>();
  plan->stage = stage;
  plan->width = executor.width();
  GRAFT_RETURN_IF_ERROR(BindStageSymbols(symbols, plan.get()));

  GRAFT_ASSIGN_OR_RETURN(std::vector<BoundValue> values,
                         BindValues(module, plan->symbols, [&](ir::ValueId id) {
                           return stages_.Of(module.value(id)) <= stage;
                         }));
  for (BoundValue& value : values) ForgetStrideOfSingleRow(&value);
  std::vector<BoundNode> nodes(module.node_count());
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (stages_.node[id] != stage) continue;
    GRAFT_ASSIGN_OR_RETURN(nodes[id], BindNode(module, module.node(id), plan->symbols, values));
    // Sizes that only agree by the caller's word are known now; kernels trust them.
    GRAFT_RETURN_IF_ERROR(VerifyBound(nodes[id]));
  }
  GRAFT_ASSIGN_OR_RETURN(Placement placement,
                         Placement::Create(module, stages_, stage, plan->symbols, values));

  std::vector<ir::NodeId> ids;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    if (stages_.node[id] == stage && !placement.Skips(id)) ids.push_back(id);
  }
  GRAFT_ASSIGN_OR_RETURN(plan->choices, BindSteps(ids, nodes, NearestPoint(*plan), executor));
  for (const BoundChoice& choice : plan->choices) plan->capture_safe &= choice.traits->capture_safe;
  std::vector<Placement::StepMemory> memory(module.node_count());
  for (size_t i = 0; i < ids.size(); ++i) {
    const BoundChoice& choice = plan->choices[i];
    memory[ids[i]] = {choice.traits->in_place, choice.step->workspace_bytes(plan->width)};
    const ir::Node& node = module.node(ids[i]);
    plan->steps.push_back({choice.step.get(), ids[i], static_cast<int32_t>(i), 0,
                           static_cast<int32_t>(node.inputs.size()),
                           static_cast<int32_t>(node.outputs.size())});
  }
  const bool records = backend_.device().records() && plan->capture_safe;
  placement.LayOut(memory, records);
  plan->waits = placement.waits();

  for (ShapePlan::Step& step : plan->steps) {
    const ir::Node& node = module.node(step.node);
    step.first_pointer = static_cast<int32_t>(plan->pointers.size());
    for (const ir::ValueId v : node.inputs) plan->pointers.push_back(placement.value(v));
    for (const ir::ValueId v : node.outputs) plan->pointers.push_back(placement.value(v));
    plan->pointers.push_back(placement.workspace(step.node));
  }
  plan->arena_bytes = placement.arena_bytes();
  plan->kept = placement.kept();
  plan->output_copies = placement.output_copies();
  for (const ir::ValueId v : module.inputs) plan->input_dims.push_back(values[v].dims);
  for (size_t i = 0; i < module.outputs.size(); ++i) {
    if (!placement.Delivers(i)) continue;
    const ir::ValueId v = module.outputs[i];
    const Dims& dims = values[v].dims;
    plan->outputs.push_back(
        {static_cast<int32_t>(i), dims,
         static_cast<size_t>(CountElements(dims)) * SizeOf(module.value(v).dtype),
         placement.value(v) == Location{Location::Base::kOutput, static_cast<int32_t>(i), 0}});
  }
  for (const ir::SymbolId s : stages_.results) {
    if (stages_.symbol[s] != stage + 1) continue;
    const ir::ValueId count = module.node(module.symbols[s].node).outputs.back();
    ShapePlan::Count read = {s, placement.value(count)};
    if (module.symbols[s].upper_bound) read.least = 0, read.most = plan->symbols[s];
    plan->counts.push_back(read);
  }
  return std::shared_ptr<const ShapePlan>(std::move(plan));
}

bool Engine::IsPlanOf(const ShapePlan& plan, std::span<const int64_t> symbols) const {
  for (size_t s = 0; s < symbols.size(); ++s) {
    // Expressions follow from the other symbols, and only shape plans compute them.
    if (stages_.symbol[s] <= plan.stage && plan.symbols[s] != symbols[s] &&
        !module().symbols[s].expression)
      return false;
  }
  return true;
}

std::shared_ptr<const ShapePlan> Engine::KnownShapePlan(std::span<const int64_t> symbols, int width,
                                                        int stage) const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const ShapePlan>>& plans = shape_plans_[stage];
  const auto found = std::find_if(plans.begin(), plans.end(), [&](const auto& plan) {
    return plan->width == width && IsPlanOf(*plan, symbols);
  });
  if (found == plans.end()) return nullptr;
  std::rotate(plans.begin(), found, found + 1);
  return plans.front();
}

Result<std::shared_ptr<const ShapePlan>> Engine::FindShapePlan(std::span<const int64_t> symbols,
                                                               Executor& executor,
                                                               int stage) const {
  const auto known = [&] { return KnownShapePlan(symbols, executor.width(), stage); };
  if (std::shared_ptr<const ShapePlan> plan = known()) return plan;
  std::lock_guard making(making_);
  if (std::shared_ptr<const ShapePlan> plan = known()) return plan;
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const ShapePlan> plan,
                         MakeShapePlan(symbols, executor, stage));
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const ShapePlan>>& plans = shape_plans_[stage];
  if (plans.size() == shape_plan_limit_) plans.pop_back();
  plans.insert(plans.begin(), plan);
  return plan;
}

}  // namespace graft
