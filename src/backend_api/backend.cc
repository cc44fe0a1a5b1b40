#include "backend_api/backend.h"

#include <algorithm>
#include <chrono>

namespace graft {

size_t PackedWeights::bytes() const {
  size_t sum = 0;
  for (const auto region : regions()) sum += region.size();
  return sum;
}

Result<std::unique_ptr<PackedWeights>> Tactic::Pack(const ir::Module&, const ir::Node& node,
                                                    Executor&) const {
  return InternalError("{}: tactic {} has nothing to pack", node.name, name());
}

Result<std::string> Tactic::Prepare(const BoundNode&, const PackedWeights*) const {
  return std::string();
}

Result<double> Device::Time(void* stream, FunctionRef<Status()> enqueue, int repetitions) {
  using Clock = std::chrono::steady_clock;
  GRAFT_RETURN_IF_ERROR(Synchronize(stream));
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < repetitions; ++i) GRAFT_RETURN_IF_ERROR(enqueue());
  GRAFT_RETURN_IF_ERROR(Synchronize(stream));
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count() / repetitions;
}

Status Device::BeginRecording(void*) { return UnsupportedError("this device records nothing"); }
Status Device::MarkPart(void*, std::span<const int>) {
  return UnsupportedError("this device records nothing");
}
Result<std::unique_ptr<Recording>> Device::EndRecording(void*) {
  return UnsupportedError("this device records nothing");
}

Status CopyBytes(Device& device, void* target, MemorySpace target_space, const void* source,
                 MemorySpace source_space, size_t bytes, void* stream) {
  return device.Copy({.target = target,
                      .target_space = target_space,
                      .source = source,
                      .source_space = source_space,
                      .row_bytes = bytes},
                     stream);
}

std::vector<Candidate> Backend::Candidates(const ir::Module& module, const ir::Node& node) const {
  std::vector<Candidate> candidates;
  for (const Tactic* tactic : Tactics(module, node))
    candidates.push_back({tactic, tactic->Accepts(module, node)});
  return candidates;
}

std::optional<Refusal> Backend::SupportsAsIs(const ir::Module& module, const ir::Node& node) const {
  std::optional<Refusal> refusal =
      Refuse("backend {} has no tactic for {}", name(), ir::Name(node.kind()));
  // The last tactic is the most general one: its reason is the one that a user can act on.
  for (const Tactic* tactic : Tactics(module, node)) {
    refusal = tactic->Accepts(module, node);
    if (!refusal) break;
  }
  return refusal;
}

std::string ProblemString(const BoundNode& node) {
  std::string text = ir::AttributesToString(node.attributes);
  auto append = [&](const BoundValue& v) {
    text += fmt::format(" {}", Describe(v.dtype, v.dims));
    if (v.in_result)
      text += ":in_result";
    else if (!v.dense())
      text += fmt::format(":ld{}", v.row_stride);
    if (v.constant) text += ":const";
  };
  for (const BoundValue& v : node.inputs) append(v);
  text += " ->";
  for (const BoundValue& v : node.outputs) append(v);
  return text;
}

void ForgetStrideOfSingleRow(BoundValue* value) {
  if (!value->dims.empty() && CountElements(value->dims) == value->dims.back())
    value->row_stride = value->dims.back();
}

void ForgetStrideOfSingleRow(BoundNode* node) {
  for (BoundValue& v : node->inputs) ForgetStrideOfSingleRow(&v);
  for (BoundValue& v : node->outputs) ForgetStrideOfSingleRow(&v);
}

bool TakesStrides(const TacticTraits& traits, const BoundNode& node) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const BoundValue& v = node.inputs[i];
    if (!v.dense() && !v.in_result && (i > 0 || !traits.strided_inputs)) return false;
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!node.outputs[i].dense() && (i > 0 || !traits.strided_output)) return false;
  }
  return true;
}

namespace {

Result<int64_t> BindDim(const ir::Value& value, const ir::Dim& d,
                        std::span<const int64_t> symbols) {
  const Result<int64_t> n = d.Evaluate(symbols);
  if (!n.ok()) return n.status().WithContext(value.name);
  if (*n < 0) return InvalidArgumentError("{}: dimension {} is {}", value.name, d.ToString(), *n);
  return *n;
}

// `owner`: where the value's views end, whose bytes it has; itself where it is no view.
Result<BoundValue> BindValue(const ir::Value& value, const ir::Value& owner,
                             std::span<const int64_t> symbols) {
  BoundValue bound;
  bound.dtype = value.dtype;
  bound.dims.reserve(value.shape.size());
  for (const ir::Dim& d : value.shape) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t n, BindDim(value, d, symbols));
    bound.dims.push_back(n);
  }
  bound.row_stride = bound.dims.empty() ? 1 : bound.dims.back();
  // Rows are the owner's: a window along the last axis keeps their length, one along another axis
  // is dense. So is what has a single row whatever the symbols are: with an unknown batch, a tactic
  // chosen at batch 1 has to serve batch 2 as well.
  const bool single_row =
      value.shape.empty() || std::all_of(value.shape.begin(), value.shape.end() - 1,
                                         [](const ir::Dim& d) { return d == 1; });
  if (!single_row && &owner != &value) {
    GRAFT_ASSIGN_OR_RETURN(bound.row_stride, BindDim(owner, owner.shape.back(), symbols));
  }
  if (value.constant) bound.constant = &*value.constant;
  return bound;
}

template <class ValueOf>
Result<BoundNode> BindNodeTo(const ir::Module& module, const ir::Node& node,
                             std::span<const int64_t> symbols, ValueOf&& value_of) {
  BoundNode bound;
  bound.name = node.name;
  auto evaluate = [&](const ir::Dim& d) -> Result<ir::Dim> {
    GRAFT_ASSIGN_OR_RETURN(const int64_t n, d.Evaluate(symbols));
    return ir::Dim(n);
  };
  Result<ir::Attributes> attributes = ir::SubstituteDims(node.attributes, evaluate);
  if (!attributes.ok()) return attributes.status().WithContext(node.name);
  bound.attributes = std::move(attributes).value();
  for (ir::ValueId id : node.inputs) {
    GRAFT_ASSIGN_OR_RETURN(BoundValue v, value_of(id));
    bound.inputs.push_back(std::move(v));
  }
  for (ir::ValueId id : node.outputs) {
    GRAFT_ASSIGN_OR_RETURN(BoundValue v, value_of(id));
    bound.outputs.push_back(std::move(v));
  }
  if (node.kind() == ir::OpKind::kConcat) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const std::optional<ir::View>& view = module.value(node.inputs[i]).view;
      bound.inputs[i].in_result = view && view->base == node.outputs[0];
    }
  }
  return bound;
}

}  // namespace

Result<std::vector<BoundValue>> BindValues(const ir::Module& module,
                                           std::span<const int64_t> symbols,
                                           FunctionRef<bool(ir::ValueId)> wanted) {
  std::vector<BoundValue> values(module.value_count());
  // Chains of views can be as long as the module: each value is walked over once.
  std::vector<ir::ValueId> owner(module.value_count(), -1);
  std::vector<ir::ValueId> walked;
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    if (!wanted(id)) continue;
    ir::ValueId at = id;
    for (; owner[at] < 0 && module.value(at).view; at = module.value(at).view->base)
      walked.push_back(at);
    if (owner[at] < 0) owner[at] = at;
    for (; !walked.empty(); walked.pop_back()) owner[walked.back()] = owner[at];
    GRAFT_ASSIGN_OR_RETURN(values[id],
                           BindValue(module.value(id), module.value(owner[id]), symbols));
  }
  return values;
}

Result<BoundNode> BindNode(const ir::Module& module, const ir::Node& node,
                           std::span<const int64_t> symbols, std::span<const BoundValue> values) {
  return BindNodeTo(module, node, symbols,
                    [&](ir::ValueId id) -> Result<BoundValue> { return values[id]; });
}

Result<BoundNode> BindNode(const ir::Module& module, const ir::Node& node,
                           std::span<const int64_t> symbols) {
  return BindNodeTo(module, node, symbols, [&](ir::ValueId id) {
    const ir::Value* owner = &module.value(id);
    while (owner->view) owner = &module.value(owner->view->base);
    return BindValue(module.value(id), *owner, symbols);
  });
}

Status VerifyBound(const BoundNode& node) {
  ir::Module module;
  ir::Node symbolic;
  symbolic.attributes = node.attributes;
  for (const BoundValue& v : node.inputs)
    symbolic.inputs.push_back(module.AddInput("", v.dtype, ir::MakeShape(v.dims)));
  Result<std::vector<ir::Value>> results = ir::InferResults(module, symbolic);
  if (!results.ok()) return results.status().WithContext(node.name);
  if (results->size() != node.outputs.size())
    return InvalidArgumentError("{}: {} results", node.name, node.outputs.size());
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ir::Value& inferred = (*results)[i];
    if (inferred.dtype != node.outputs[i].dtype ||
        inferred.shape != ir::MakeShape(node.outputs[i].dims)) {
      return InvalidArgumentError("{}: result {} is {}{}, not {}", node.name, i,
                                  Name(inferred.dtype), ir::ToString(inferred.shape),
                                  Describe(node.outputs[i].dtype, node.outputs[i].dims));
    }
  }
  return OkStatus();
}

}  // namespace graft
