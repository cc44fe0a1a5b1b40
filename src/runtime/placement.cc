#include "runtime/placement.h"

#include <algorithm>

namespace graft {

Result<Placement> Placement::Create(const ir::Module& module, const ir::Stages& stages, int stage,
                                    std::span<const int64_t> symbols,
                                    std::span<const BoundValue> values) {
  Placement placement(module, stages, stage, values);
  GRAFT_RETURN_IF_ERROR(placement.Measure());
  for (ir::ValueId id = 0; id < module.value_count(); ++id) {
    if (!placement.IsKnown(id)) continue;
    // Bases of bases first; the verifier has excluded cycles.
    std::vector<ir::ValueId> chain;
    for (ir::ValueId at = id; module.value(at).view && placement.storage_[at].parent < 0;
         at = module.value(at).view->base)
      chain.push_back(at);
    for (size_t i = chain.size(); i-- > 0;)
      GRAFT_RETURN_IF_ERROR(placement.PlaceView(chain[i], symbols));
  }
  placement.FindSkips();
  for (ir::ValueId id = 0; id < module.value_count(); ++id) placement.ShortenPath(id);
  return placement;
}

// The one that makes it, or a later one where only that makes its dimensions known.
int Placement::DeliveryStage(size_t output) const {
  const ir::Value& value = module_->value(module_->outputs[output]);
  return std::max(stages_->Of(value), stages_->Of(value.shape));
}

Status Placement::Measure() {
  storage_.resize(module_->value_count());
  for (ir::ValueId id = 0; id < module_->value_count(); ++id) {
    if (!IsKnown(id)) continue;
    const ir::Value& value = module_->value(id);
    if (SizeOf(value.dtype) == 0)
      return InvalidArgumentError("{}: an engine holds no {} values", value.name,
                                  Name(value.dtype));
    constexpr int64_t kMaxBytes = int64_t{1} << 46;
    const Dims& dims = values_[id].dims;
    const int64_t elements = CountElements(dims);
    if (elements < 0 || elements > kMaxBytes / static_cast<int64_t>(SizeOf(value.dtype)))
      return InvalidArgumentError("{}: it would be {}", value.name, Describe(value.dtype, dims));
    storage_[id].bytes = static_cast<size_t>(elements) * SizeOf(value.dtype);
  }
  return OkStatus();
}

// A view's rows are its base's rows, so a window along an axis that is not the last one must be one
// block: nothing outside of the axis.
Status Placement::PlaceView(ir::ValueId id, std::span<const int64_t> symbols) {
  const ir::Value& value = module_->value(id);
  if (value.producer < 0)
    return InvalidArgumentError("{}: only results of nodes can be views", value.name);
  const BoundValue& base = values_[value.view->base];
  const Dims& dims = values_[id].dims;
  Storage& storage = storage_[id];
  const auto axis = static_cast<size_t>(value.view->axis);
  GRAFT_ASSIGN_OR_RETURN(const int64_t begin, value.view->offset.Evaluate(symbols));
  if (axis >= base.dims.size() || dims.size() != base.dims.size() || begin < 0 ||
      begin + dims[axis] > base.dims[axis]) {
    return InvalidArgumentError("{}: no window of {} at {} along axis {}", value.name,
                                Describe(value.dtype, base.dims), begin, axis);
  }
  storage.parent = value.view->base;
  const size_t size = SizeOf(value.dtype);
  if (axis + 1 == base.dims.size()) {
    storage.offset = static_cast<size_t>(begin) * size;
    return OkStatus();
  }
  int64_t outer = 1;
  for (size_t i = 0; i < axis; ++i) outer *= base.dims[i];
  if (outer > 1) {
    return InternalError("{}: a view along axis {} of {} is not one block", value.name, axis,
                         Describe(value.dtype, base.dims));
  }
  int64_t rows = begin;
  for (size_t i = axis + 1; i + 1 < base.dims.size(); ++i) rows *= base.dims[i];
  storage.offset = static_cast<size_t>(rows * base.row_stride) * size;
  return OkStatus();
}

void Placement::FindSkips() {
  skips_.assign(module_->node_count(), false);
  for (ir::NodeId id = 0; id < module_->node_count(); ++id) {
    if (stages_->node[id] > stage_) continue;
    const ir::Node& node = module_->node(id);
    if (node.outputs.size() != 1 || node.inputs.empty()) continue;
    const ir::ValueId output = node.outputs[0];
    const ir::ValueId input = node.inputs[0];
    const std::optional<ir::View>& output_view = module_->value(output).view;
    if (ir::Flags(node.kind()) & ir::kViewOfInput) {
      if (output_view || !Dense(input)) continue;
      // A view of what it is reshaped to, which no pass makes, stays where it is.
      ShortenPath(input);
      if (Find(input).root == output) continue;
      storage_[output].parent = input;
      skips_[id] = true;
    } else if (node.kind() == ir::OpKind::kSlice) {
      skips_[id] = output_view && output_view->base == input;
    } else if (node.kind() == ir::OpKind::kConcat) {
      skips_[id] = std::all_of(node.inputs.begin(), node.inputs.end(), [&](ir::ValueId v) {
        const std::optional<ir::View>& view = module_->value(v).view;
        return view && view->base == output;
      });
    }
  }
}

// Chains of views can be as long as the module; walked over twice, they would cost its square.
void Placement::ShortenPath(ir::ValueId id) {
  std::vector<ir::ValueId> path;
  for (ir::ValueId at = id; storage_[at].parent >= 0; at = storage_[at].parent) path.push_back(at);
  if (path.size() < 2) return;
  path.pop_back();  // lies right below the root
  for (size_t i = path.size(); i-- > 0;) {
    Storage& s = storage_[path[i]];
    const Storage& parent = storage_[s.parent];
    s.offset += parent.offset;
    s.parent = parent.parent;
  }
}

Placement::Place Placement::Find(ir::ValueId id) const {
  Place place = {id, 0};
  for (; storage_[place.root].parent >= 0; place.root = storage_[place.root].parent)
    place.offset += storage_[place.root].offset;
  return place;
}

bool Placement::Dense(ir::ValueId id) const {
  const BoundValue& v = values_[id];
  return v.dense() || CountElements(v.dims) == v.dims.back();
}

// The value is all that its root holds.
bool Placement::WholeRoot(ir::ValueId id) const {
  const Place place = Find(id);
  return place.offset == 0 && Dense(id) && storage_[id].bytes == storage_[place.root].bytes;
}

void Placement::FindLifetimes() {
  const int steps = module_->node_count();
  for (Storage& s : storage_) s.first = steps, s.last = -1;
  for (ir::NodeId id = 0; id < steps; ++id) {
    if (stages_->node[id] != stage_ || skips_[id]) continue;
    for (const std::vector<ir::ValueId>* operands :
         {&module_->node(id).inputs, &module_->node(id).outputs}) {
      for (const ir::ValueId v : *operands) {
        Storage& root = storage_[Find(v).root];
        root.first = std::min(root.first, id);
        root.last = std::max(root.last, id);
      }
    }
  }
  // Outputs are read after the last step, and so are the numbers of results.
  for (size_t i = 0; i < module_->outputs.size(); ++i) {
    if (Delivers(i)) storage_[Find(module_->outputs[i]).root].last = steps;
  }
  for (const ir::SymbolId s : stages_->results) {
    const ir::NodeId id = module_->symbols[s].node;
    if (stages_->node[id] == stage_) storage_[module_->node(id).outputs.back()].last = steps;
  }
}

// A root that nodes of later stages read, by whatever name, or that is part of a later output.
void Placement::FindKept() {
  const auto keep = [&](ir::ValueId v, int until) {
    if (!IsKnown(v) || module_->value(v).constant) return;
    const ir::ValueId root = Find(v).root;
    if (until > stages_->Of(module_->value(root))) storage_[root].kept = true;
  };
  for (ir::NodeId id = 0; id < module_->node_count(); ++id) {
    for (const ir::ValueId v : module_->node(id).inputs) keep(v, stages_->node[id]);
  }
  for (size_t i = 0; i < module_->outputs.size(); ++i) keep(module_->outputs[i], DeliveryStage(i));
}

ShapePlan::OutputCopy Placement::MakeOutputCopy(int32_t index, ir::ValueId id) const {
  const size_t bytes = storage_[id].bytes;
  if (Dense(id)) return {index, value(id), 1, bytes, bytes};
  const BoundValue& v = values_[id];
  const size_t row_bytes = static_cast<size_t>(v.dims.back()) * SizeOf(v.dtype);
  return {index, value(id), static_cast<int64_t>(bytes / row_bytes), row_bytes,
          static_cast<size_t>(v.row_stride) * SizeOf(v.dtype)};
}

// Decides the roots that are not in the arena, or are there for the border's sake.
void Placement::PlaceBorder() {
  using Base = Location::Base;
  for (ir::ValueId id = 0; id < module_->value_count(); ++id) {
    Storage& s = storage_[id];
    const bool constant = module_->value(id).constant.has_value();
    s.location = {constant ? Base::kConstant : s.kept ? Base::kKept : Base::kArena, id, 0};
  }
  for (size_t i = 0; i < module_->inputs.size(); ++i) {
    Storage& s = storage_[module_->inputs[i]];
    s.location = {Base::kInput, static_cast<int32_t>(i), 0};
    s.first = 0;
  }
  for (size_t i = 0; i < module_->outputs.size(); ++i) {
    const ir::ValueId output = module_->outputs[i];
    if (!IsKnown(output)) continue;
    const ir::ValueId root = Find(output).root;
    Location& location = storage_[root].location;
    // The caller's memory must be there when the root is written.
    if (WholeRoot(output) && DeliveryStage(i) <= stages_->Of(module_->value(root)) &&
        (location.base == Base::kArena || location.base == Base::kKept))
      location = {Base::kOutput, static_cast<int32_t>(i), 0};
  }
}

// Gives output 0 the buffer of input 0 when nobody needs that any more.
void Placement::ShareInPlace(ir::NodeId id) {
  const ir::Node& node = module_->node(id);
  const ir::ValueId from = Find(node.inputs[0]).root;
  const ir::ValueId to = Find(node.outputs[0]).root;
  Storage& a = storage_[from];
  Storage& b = storage_[to];
  const bool fits =
      from != to && a.bytes == b.bytes && WholeRoot(node.inputs[0]) && WholeRoot(node.outputs[0]) &&
      a.last == id && b.first == id && a.location.base == Location::Base::kArena &&
      (b.location.base == Location::Base::kArena || b.location.base == Location::Base::kOutput);
  if (!fits) return;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (Find(node.inputs[i]).root == from) return;
  }
  a.last = b.last;
  if (b.location.base == Location::Base::kOutput) a.location = b.location;
  b.parent = from;
}

// The bytes of the value in its root.
MemoryUse Placement::UseOf(ir::ValueId id, bool writes) const {
  const Place place = Find(id);
  MemoryUse use = {place.root, place.offset, place.offset + storage_[id].bytes, 0, 0, writes};
  if (Dense(id) || storage_[id].bytes == 0) return use;
  const BoundValue& v = values_[id];
  const size_t size = SizeOf(v.dtype);
  use.width = static_cast<size_t>(v.dims.back()) * size;
  use.stride = static_cast<size_t>(v.row_stride) * size;
  use.end = use.begin + (storage_[id].bytes / use.width - 1) * use.stride + use.width;
  return use;
}

void Placement::PlaceInOrder(std::span<const Buffer> buffers) {
  std::vector<BufferRequest> requests;
  for (const Buffer& buffer : buffers) requests.push_back(buffer.request);
  SetPlaces(buffers, PlanMemory(requests));
}

void Placement::SetPlaces(std::span<const Buffer> buffers, const MemoryPlan& plan) {
  arena_bytes_ = plan.bytes;
  for (size_t i = 0; i < buffers.size(); ++i)
    *buffers[i].location = {Location::Base::kArena, 0, plan.offsets[i]};
}

// Where that takes much memory, steps fill a device one by one, and it stays as it was.
void Placement::PlaceSideBySide(std::span<const Buffer> buffers) {
  constexpr size_t kMostBytes = size_t{32} << 20;
  constexpr ir::NodeId kMostNodes = 4096;  // what is done here takes their number's square
  if (arena_bytes_ > kMostBytes || module_->node_count() > kMostNodes) return;
  std::vector<std::vector<MemoryUse>> uses;              // by step
  std::vector<std::vector<int>> users(storage_.size());  // by root: steps
  std::vector<int> step_of(module_->node_count(), -1);
  for (ir::NodeId id = 0; id < module_->node_count(); ++id) {
    if (!Runs(id)) continue;
    const int step = step_of[id] = static_cast<int>(uses.size());
    std::vector<MemoryUse>& own = uses.emplace_back();
    const auto add = [&](ir::ValueId v, bool writes) {
      const MemoryUse use = UseOf(v, writes);
      if (storage_[use.memory].location.base == Location::Base::kConstant) return;
      own.push_back(use);
      std::vector<int>& of_root = users[use.memory];
      if (of_root.empty() || of_root.back() != step) of_root.push_back(step);
    };
    for (const ir::ValueId v : module_->node(id).inputs) add(v, false);
    for (const ir::ValueId v : module_->node(id).outputs) add(v, true);
  }
  const StepOrder order(uses);
  if (order.IsChain()) return;

  // By buffer, of the steps that use it those for which none of them waits, and as bits the steps
  // for which all wait that wait for no other of them.
  std::vector<std::vector<int>> ends;
  std::vector<std::vector<uint64_t>> before;
  std::vector<size_t> bytes;
  for (const Buffer& buffer : buffers) {
    bytes.push_back(buffer.request.bytes);
    const std::vector<int> used =
        buffer.root < 0 ? std::vector<int>{step_of[buffer.request.first]} : users[buffer.root];
    const auto without = [&](auto covers) {
      std::vector<int> left;
      std::ranges::copy_if(used, std::back_inserter(left), [&](int step) {
        return std::ranges::none_of(used, [&](int other) { return covers(step, other); });
      });
      return left;
    };
    const std::vector<int> begins =
        without([&](int step, int other) { return order.Waits(step, other); });
    std::vector<uint64_t>& all = before.emplace_back(order.WaitsOf(0).size(), ~uint64_t{0});
    for (const int step : begins) {
      for (size_t w = 0; w < all.size(); ++w) all[w] &= order.WaitsOf(step)[w];
    }
    ends.push_back(without([&](int step, int other) { return order.Waits(other, step); }));
  }
  const MemoryPlan plan = PlanMemory(bytes, [&](int a, int b) {
    if (buffers[a].request.first > buffers[b].request.first) std::swap(a, b);
    if (buffers[a].request.last >= buffers[b].request.first) return true;
    return std::ranges::any_of(ends[a],
                               [&](int end) { return (before[b][end / 64] >> end % 64 & 1) == 0; });
  });
  if (plan.bytes > kMostBytes) return;
  SetPlaces(buffers, plan);
  for (int step = 0; step < static_cast<int>(uses.size()); ++step)
    waits_.push_back(order.after(step));
}

void Placement::LayOut(std::span<const StepMemory> steps, bool side_by_side) {
  FindLifetimes();
  FindKept();
  PlaceBorder();
  for (ir::NodeId id = 0; id < module_->node_count(); ++id) {
    if (Runs(id) && steps[id].in_place) ShareInPlace(id);
  }
  for (ir::ValueId id = 0; id < module_->value_count(); ++id) {
    const Storage& s = storage_[id];
    if (s.parent < 0 && s.location.base == Location::Base::kKept && s.bytes > 0 &&
        stages_->Of(module_->value(id)) == stage_)
      kept_.push_back({id, s.bytes});
  }

  std::vector<Buffer> buffers;
  for (ir::ValueId id = 0; id < module_->value_count(); ++id) {
    Storage& s = storage_[id];
    if (s.parent >= 0 || s.location.base != Location::Base::kArena || s.last < 0) continue;
    buffers.push_back({{s.bytes, s.first, s.last}, id, &s.location});
  }
  workspaces_.assign(module_->node_count(), Location());
  for (ir::NodeId id = 0; id < module_->node_count(); ++id) {
    if (!Runs(id) || steps[id].workspace_bytes == 0) continue;
    workspaces_[id].base = Location::Base::kArena;
    buffers.push_back({{steps[id].workspace_bytes, id, id}, -1, &workspaces_[id]});
  }
  PlaceInOrder(buffers);
  if (side_by_side) PlaceSideBySide(buffers);

  for (size_t i = 0; i < module_->outputs.size(); ++i) {
    if (!Delivers(i)) continue;
    const Location location = value(module_->outputs[i]);
    const bool there = location == Location{Location::Base::kOutput, static_cast<int32_t>(i), 0};
    if (!there && storage_[module_->outputs[i]].bytes > 0)
      output_copies_.push_back(MakeOutputCopy(static_cast<int32_t>(i), module_->outputs[i]));
  }
}

Location Placement::value(ir::ValueId id) const {
  const Place place = Find(id);
  Location location = storage_[place.root].location;
  location.offset += place.offset;
  return location;
}

}  // namespace graft
