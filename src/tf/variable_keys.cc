#include "tf/variable_keys.h"

#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "base/split.h"
#include "tf/prune.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

constexpr char kObjectGraphKey[] = "_CHECKPOINTABLE_OBJECT_GRAPH";
constexpr std::string_view kVariableAttribute = "VARIABLE_VALUE";

const NodeDef* Source(const GraphDef& graph, const NodeIndex& index, std::string_view tensor,
                      int* output) {
  // Identities form no long chains; the limit ends circles.
  for (int hops = 0; hops < 64; ++hops) {
    const Result<TensorRef> ref = ParseTensorName(tensor);
    if (!ref.ok() || ref->is_control()) return nullptr;
    const int i = index.Find(ref->node);
    if (i < 0) return nullptr;
    const NodeDef& node = graph.nodes[static_cast<size_t>(i)];
    *output = ref->index;
    if (node.op != "Identity" || node.inputs.empty()) return &node;
    tensor = node.inputs[0];
  }
  return nullptr;
}

// The strings of the Const behind the node's input.
Result<std::vector<std::string>> ConstStrings(const GraphDef& graph, const NodeIndex& index,
                                              const NodeDef& node, size_t input) {
  int output = 0;
  const NodeDef* source =
      input < node.inputs.size() ? Source(graph, index, node.inputs[input], &output) : nullptr;
  if (source == nullptr || source->op != "Const")
    return DataLossError("{}: input {} is no constant", node.name, input);
  GRAFT_ASSIGN_OR_RETURN(const TensorValue value, source->Attr<TensorValue>("value"));
  Result<std::vector<std::string>> strings = value.DecodeStrings();
  if (!strings.ok()) return strings.status().WithContext(source->name);
  return strings;
}

// Reads RestoreV2's "shape slice" text, such as "20 5 0,10:-": the whole's dimensions, then
// "start,length" or "-" per dimension. Empty text is an empty slice: the whole tensor.
Result<TensorSlice> ParseSliceText(std::string_view text) {
  TensorSlice slice;
  const size_t space = text.rfind(' ');
  if (space == std::string_view::npos) return slice;
  for (const std::string_view part : Split(text.substr(space + 1), ':')) {
    Extent extent;
    if (part != "-") {
      const char* end = part.data() + part.size();
      const auto start = std::from_chars(part.data(), end, extent.start);
      if (start.ec != std::errc() || start.ptr == end || *start.ptr != ',')
        return DataLossError("slice '{}'", text);
      const auto length = std::from_chars(start.ptr + 1, end, extent.length);
      if (length.ec != std::errc() || length.ptr != end) return DataLossError("slice '{}'", text);
    }
    slice.push_back(extent);
  }
  return slice;
}

// What a RestoreV2 reads, by output.
struct Restored {
  std::vector<std::string> keys;
  std::vector<std::string> slices;
};
Result<Restored> ReadRestore(const GraphDef& graph, const NodeIndex& index, const NodeDef& node) {
  Restored restored;
  GRAFT_ASSIGN_OR_RETURN(restored.keys, ConstStrings(graph, index, node, 1));
  GRAFT_ASSIGN_OR_RETURN(restored.slices, ConstStrings(graph, index, node, 2));
  if (restored.slices.size() != restored.keys.size())
    return DataLossError("{}: {} names but {} slices", node.name, restored.keys.size(),
                         restored.slices.size());
  return restored;
}

// ---- the object graph of a checkpoint

struct TrackableObject {
  std::vector<SavedObject::Child> children;
  std::string variable_key;
};

Result<TrackableObject> ParseTrackable(std::string_view wire) {
  TrackableObject object;
  const auto parse_child = [&](std::string_view part) {
    return Store(ParseObjectReference(part), &object.children);
  };
  const auto parse_attribute = [&](std::string_view part) {
    std::string_view name;
    std::string key;
    GRAFT_RETURN_IF_ERROR(ReadFields(part, nullptr, Field(1, &name), Field(3, &key)));
    if (name == kVariableAttribute) object.variable_key = std::move(key);
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(1, parse_child), Field(2, parse_attribute)));
  return object;
}

Result<std::vector<TrackableObject>> ParseTrackableGraph(std::string_view wire) {
  std::vector<TrackableObject> objects;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, nullptr, Field(1, [&](std::string_view part) {
                                     return Store(ParseTrackable(part), &objects);
                                   })));
  return objects;
}

// Checkpoint key of each saved object, by its number; objects without a variable have none.
std::unordered_map<int64_t, std::string> MatchObjects(const std::vector<TrackableObject>& stored,
                                                      const SavedObjectGraph& saved) {
  std::unordered_map<int64_t, std::string> keys;
  std::unordered_set<int64_t> seen = {0};
  std::vector<std::pair<size_t, size_t>> pending = {{0, 0}};  // (stored, saved): the two roots
  if (stored.empty() || saved.nodes.empty()) return keys;
  while (!pending.empty()) {
    const auto [from, beside] = pending.back();
    pending.pop_back();
    if (!stored[from].variable_key.empty()) keys.emplace(beside, stored[from].variable_key);
    std::unordered_map<std::string_view, int32_t> children;
    for (const SavedObject::Child& child : saved.nodes[beside].children)
      children.emplace(child.name, child.node);
    for (const SavedObject::Child& child : stored[from].children) {
      const auto match = children.find(child.name);
      const auto to = static_cast<size_t>(child.node);
      if (match == children.end() || child.node < 0 || to >= stored.size()) continue;
      const auto to_saved = static_cast<size_t>(match->second);
      if (match->second < 0 || to_saved >= saved.nodes.size() || !seen.insert(child.node).second)
        continue;
      pending.emplace_back(to, to_saved);
    }
  }
  return keys;
}

// Whether both keys stand for equal tensors. Their checksums tell.
bool SameTensor(const Checkpoint& checkpoint, const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto first = checkpoint.entries().find(a), second = checkpoint.entries().find(b);
  if (first == checkpoint.entries().end() || second == checkpoint.entries().end()) return false;
  const BundleEntry &x = first->second, &y = second->second;
  return x.dtype == y.dtype && x.dims == y.dims && x.size == y.size && x.crc == y.crc;
}

// The function that a main-graph node calls; empty when it calls none.
std::string_view CalledFunction(const NodeDef& node) {
  const AttrValue* f = node.FindAttr("f");
  const FuncValue* func = f ? f->get<FuncValue>() : nullptr;
  return func ? std::string_view(func->name) : std::string_view(node.op);
}

}  // namespace

bool IsVariable(const NodeDef& node) {
  return node.op == "VarHandleOp" || node.op == "VariableV2" || node.op == "Variable";
}

std::string VariableBehind(const GraphDef& graph, const NodeIndex& index, std::string_view tensor) {
  int output = 0;
  const NodeDef* source = Source(graph, index, tensor, &output);
  return source != nullptr && IsVariable(*source) ? source->name : std::string();
}

Result<VariableKeys> KeysFromRestore(const GraphDef& graph, const SaverDef& saver) {
  VariableKeys keys;
  if (saver.restore_op.empty()) return keys;
  Result<TensorRef> restore_op = ParseTensorName(saver.restore_op);
  if (!restore_op.ok()) return restore_op.status().WithContext("restore operation of the saver");
  GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(graph.nodes));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> needed,
                         Needed(graph, {std::string(restore_op->node)}));
  std::unordered_map<const NodeDef*, Restored> restores;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const NodeDef& node = graph.nodes[i];
    if (!needed[i] || (node.op != "Assign" && node.op != "AssignVariableOp")) continue;
    if (node.inputs.size() < 2) return DataLossError("{}: {} of one input", node.name, node.op);
    const std::string variable = VariableBehind(graph, index, node.inputs[0]);
    int output = 0;
    const NodeDef* source = Source(graph, index, node.inputs[1], &output);
    if (variable.empty() || source == nullptr || source->op != "RestoreV2") continue;
    auto it = restores.find(source);
    if (it == restores.end()) {
      GRAFT_ASSIGN_OR_RETURN(Restored restored, ReadRestore(graph, index, *source));
      it = restores.emplace(source, std::move(restored)).first;
    }
    const auto number = static_cast<size_t>(output);
    if (number >= it->second.keys.size())
      return DataLossError("{}: has no output {}", source->name, output);
    Result<TensorSlice> slice = ParseSliceText(it->second.slices[number]);
    if (!slice.ok()) return slice.status().WithContext(source->name);
    keys.insert_or_assign(variable, VariableKey{it->second.keys[number], std::move(slice).value()});
  }
  return keys;
}

Result<VariableKeys> KeysFromObjects(const MetaGraph& meta, const Checkpoint& checkpoint) {
  VariableKeys keys;
  if (!meta.objects || !checkpoint.Contains(kObjectGraphKey)) return keys;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> encoded,
                         checkpoint.ReadStrings(kObjectGraphKey));
  if (encoded.size() != 1)
    return DataLossError("{}: {} object graphs", checkpoint.prefix(), encoded.size());
  Result<std::vector<TrackableObject>> stored = ParseTrackableGraph(encoded[0]);
  if (!stored.ok()) return stored.status().WithContext(checkpoint.prefix() + ": object graph");
  const std::unordered_map<int64_t, std::string> object_keys = MatchObjects(*stored, *meta.objects);

  GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(meta.graph.nodes));
  for (const NodeDef& node : meta.graph.nodes) {
    const auto bound = meta.objects->bound_inputs.find(CalledFunction(node));
    if (bound == meta.objects->bound_inputs.end()) continue;
    size_t inputs = 0;
    while (inputs < node.inputs.size() && !node.inputs[inputs].starts_with('^')) ++inputs;
    if (bound->second.size() > inputs)
      return DataLossError("{}: fewer inputs than its function captures", node.name);
    const size_t first = inputs - bound->second.size();
    for (size_t i = 0; i < bound->second.size(); ++i) {
      const auto key = object_keys.find(bound->second[i]);
      const std::string variable = VariableBehind(meta.graph, index, node.inputs[first + i]);
      if (key == object_keys.end() || variable.empty()) continue;
      const auto [it, is_new] = keys.emplace(variable, VariableKey{key->second, {}});
      if (!is_new && !SameTensor(checkpoint, it->second.key, key->second)) {
        return DataLossError("variable '{}' is captured as '{}' and as '{}'", variable,
                             it->second.key, key->second);
      }
    }
  }
  return keys;
}

Result<VariableKeys> MergeKeys(VariableKeys restore, const VariableKeys& objects,
                               const Checkpoint& checkpoint) {
  for (const auto& [variable, key] : objects) {
    const auto [it, is_new] = restore.emplace(variable, key);
    if (!is_new && !SameTensor(checkpoint, it->second.key, key.key)) {
      return DataLossError(
          "variable '{}' is restored from '{}' by the restore function, from '{}' by the object "
          "graph",
          variable, it->second.key, key.key);
    }
  }
  return restore;
}

}  // namespace graft::tf
