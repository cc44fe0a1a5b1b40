// Transposes move down, through nodes that can work on the untransposed values, until they meet
// their inverses: a channels-first graph, whose convolutions stand between two transposes each,
// loses all but those at its border.
#include <algorithm>
#include <numeric>

#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

using Permutation = std::vector<int64_t>;

const ir::Node* TransposeBehind(const ir::Module& module, ir::ValueId v) {
  const ir::NodeId producer = module.value(v).producer;
  if (producer < 0 || !module.node(producer).get<ir::TransposeAttributes>()) return nullptr;
  return &module.node(producer);
}

const Permutation& PermutationOf(const ir::Node& transpose) {
  return transpose.get<ir::TransposeAttributes>()->permutation;
}

// Element i of `transposed` belongs to axis permutation[i] of the value before.
template <class T>
std::vector<T> Untransposed(const std::vector<T>& transposed, const Permutation& permutation) {
  std::vector<T> before(transposed.size());
  for (size_t i = 0; i < transposed.size(); ++i) before[permutation[i]] = transposed[i];
  return before;
}

// A node that does the same before a transpose: its attributes and operands, and the transpose that
// follows it (the identity for none).
struct Moved {
  ir::Attributes attributes;
  std::vector<ir::ValueId> inputs;
  Permutation permutation;
};

bool CanSinkThrough(const ir::Node& node) {
  switch (node.kind()) {
    case ir::OpKind::kPointwise:
    case ir::OpKind::kConcat:
    case ir::OpKind::kReduce:
    case ir::OpKind::kPad:
    case ir::OpKind::kSlice:
    case ir::OpKind::kTranspose:
      return true;
    default:
      return false;
  }
}

class Sinker {
 public:
  explicit Sinker(ir::Module& module) : module_(module), uses_(module) {}

  Result<bool> Run() {
    const ir::NodeId nodes = module_.node_count();
    known_values_ = module_.value_count();
    bool changed = false;
    for (ir::NodeId id = 0; id < nodes; ++id) {
      if (module_.removed(id) || module_.node(id).inputs.empty()) continue;
      GRAFT_ASSIGN_OR_RETURN(const bool sunk, Sink(id));
      changed |= sunk;
    }
    return changed;
  }

 private:
  // A transpose that somebody else needs where it is would only be doubled.
  const ir::Node* Sinkable(ir::ValueId v) const {
    const ir::Node* transpose = TransposeBehind(module_, v);
    if (transpose == nullptr || v >= known_values_ || uses_.is_output(v)) return nullptr;
    const bool all = std::ranges::all_of(uses_.of(v), [&](ir::NodeId reader) {
      return module_.removed(reader) || CanSinkThrough(module_.node(reader));
    });
    return all ? transpose : nullptr;
  }

  Result<bool> Sink(ir::NodeId id) {
    const ir::Node node = module_.node(id);
    std::optional<Moved> moved;
    switch (node.kind()) {
      case ir::OpKind::kTranspose:
        return Merge(id);
      case ir::OpKind::kPointwise: {
        GRAFT_ASSIGN_OR_RETURN(moved, OverPointwise(node));
        break;
      }
      case ir::OpKind::kConcat:
        moved = OverConcat(node);
        break;
      case ir::OpKind::kReduce:
      case ir::OpKind::kPad:
      case ir::OpKind::kSlice:
        moved = OverUnary(node);
        break;
      default:
        break;
    }
    if (!moved) return false;
    return Replace(id, *moved);
  }

  // The new node, then the transpose, in place of node `id`.
  Result<bool> Replace(ir::NodeId id, const Moved& moved) {
    const ir::Node node = module_.node(id);
    const ir::Value result = module_.value(node.outputs[0]);
    if (std::ranges::is_sorted(moved.permutation)) {
      if (!Gives(module_, moved.attributes, moved.inputs, result)) return false;
      GRAFT_RETURN_IF_ERROR(ReplaceNode(module_, id, moved.attributes, moved.inputs).status());
      return true;
    }
    ir::Value before = result;
    before.shape = Untransposed(result.shape, moved.permutation);
    if (!Gives(module_, moved.attributes, moved.inputs, before)) return false;
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId inner,
                           module_.AddNode(moved.attributes, moved.inputs, node.name));
    module_.SetOrigin(inner, node.origin);
    const ir::ValueId v = module_.node(inner).outputs[0];
    module_.value(v).name = result.name + "/before_transpose";
    GRAFT_RETURN_IF_ERROR(ReplaceNode(module_, id, ir::TransposeAttributes{moved.permutation}, {v},
                                      node.name + "/transpose")
                              .status());
    return true;
  }

  // Two transposes in a row.
  Result<bool> Merge(ir::NodeId id) {
    const ir::Node* first = TransposeBehind(module_, module_.node(id).inputs[0]);
    if (first == nullptr) return false;
    Permutation both;
    for (int64_t axis : PermutationOf(module_.node(id))) {
      both.push_back(PermutationOf(*first)[axis]);
    }
    const ir::ValueId source = first->inputs[0];
    GRAFT_RETURN_IF_ERROR(
        ReplaceNode(module_, id, ir::TransposeAttributes{std::move(both)}, {source}).status());
    return true;
  }

  Result<std::optional<Moved>> OverPointwise(const ir::Node& node) {
    std::optional<Permutation> permutation;
    for (ir::ValueId v : node.inputs) {
      const ir::Node* transpose = Sinkable(v);
      if (transpose == nullptr) continue;
      if (permutation && *permutation != PermutationOf(*transpose)) return std::optional<Moved>();
      permutation = PermutationOf(*transpose);
    }
    if (!permutation || module_.value(node.outputs[0]).shape.size() != permutation->size()) {
      return std::optional<Moved>();
    }
    for (ir::ValueId v : node.inputs) {
      if (!Sinkable(v) && !CheapToTranspose(v)) return std::optional<Moved>();
    }
    Moved moved = {node.attributes, {}, *permutation};
    for (ir::ValueId v : node.inputs) {
      if (const ir::Node* transpose = Sinkable(v)) {
        moved.inputs.push_back(transpose->inputs[0]);
      } else {
        GRAFT_ASSIGN_OR_RETURN(const ir::ValueId before, Untranspose(v, *permutation));
        moved.inputs.push_back(before);
      }
    }
    return std::optional(std::move(moved));
  }

  static int WideAxes(const ir::Value& value) {
    return static_cast<int>(
        std::ranges::count_if(value.shape, [](const ir::Dim& d) { return !(d == 1); }));
  }

  // Constants are transposed at build time; vectors are only reshaped.
  bool CheapToTranspose(ir::ValueId v) const {
    return module_.value(v).constant || WideAxes(module_.value(v)) <= 1;
  }

  // The operand as it broadcasts against values before the permutation.
  Result<ir::ValueId> Untranspose(ir::ValueId v, const Permutation& permutation) {
    const ir::Value value = module_.value(v);
    const int wide = WideAxes(value);
    if (wide == 0) return v;
    ir::Shape full(permutation.size() - value.shape.size(), 1);
    full.insert(full.end(), value.shape.begin(), value.shape.end());
    auto add = [&](ir::Attributes attributes) -> Status {
      GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id, module_.AddNode(std::move(attributes), {v},
                                                                  value.name + "/channels_last"));
      v = module_.node(id).outputs[0];
      return OkStatus();
    };
    if (wide == 1) {
      GRAFT_RETURN_IF_ERROR(add(ir::ReshapeAttributes{Untransposed(full, permutation)}));
      return v;
    }
    if (full != value.shape) GRAFT_RETURN_IF_ERROR(add(ir::ReshapeAttributes{full}));
    Permutation identity(permutation.size());
    std::iota(identity.begin(), identity.end(), 0);
    GRAFT_RETURN_IF_ERROR(add(ir::TransposeAttributes{Untransposed(identity, permutation)}));
    return v;
  }

  std::optional<Moved> OverConcat(const ir::Node& node) const {
    Moved moved;
    for (ir::ValueId v : node.inputs) {
      const ir::Node* transpose = Sinkable(v);
      if (transpose == nullptr) return std::nullopt;
      if (!moved.inputs.empty() && moved.permutation != PermutationOf(*transpose)) {
        return std::nullopt;
      }
      moved.permutation = PermutationOf(*transpose);
      moved.inputs.push_back(transpose->inputs[0]);
    }
    const int64_t axis = node.get<ir::ConcatAttributes>()->axis;
    moved.attributes = ir::ConcatAttributes{moved.permutation[axis]};
    return moved;
  }

  std::optional<Moved> OverUnary(const ir::Node& node) const {
    const ir::Node* transpose = Sinkable(node.inputs[0]);
    if (transpose == nullptr) return std::nullopt;
    const Permutation& permutation = PermutationOf(*transpose);
    Moved moved = {node.attributes, {transpose->inputs[0]}, permutation};
    if (auto* pad = std::get_if<ir::PadAttributes>(&moved.attributes)) {
      pad->before = Untransposed(pad->before, permutation);
      pad->after = Untransposed(pad->after, permutation);
    } else if (auto* slice = std::get_if<ir::SliceAttributes>(&moved.attributes)) {
      slice->begin = Untransposed(slice->begin, permutation);
      slice->size = Untransposed(slice->size, permutation);
      slice->strides = Untransposed(slice->strides, permutation);
    } else if (auto* reduce = std::get_if<ir::ReduceAttributes>(&moved.attributes)) {
      std::vector<bool> reduced(permutation.size(), false);
      for (int64_t& axis : reduce->axes) {
        axis = permutation[axis];
        reduced[axis] = true;
      }
      std::ranges::sort(reduce->axes);
      if (!reduce->keep_dims) moved.permutation = Remaining(permutation, reduced);
    }
    return moved;
  }

  // The permutation of the axes that are left without the reduced ones.
  static Permutation Remaining(const Permutation& permutation, const std::vector<bool>& reduced) {
    std::vector<int64_t> position(permutation.size());
    int64_t next = 0;
    for (size_t axis = 0; axis < permutation.size(); ++axis) {
      position[axis] = reduced[axis] ? -1 : next++;
    }
    Permutation remaining;
    for (int64_t axis : permutation) {
      if (!reduced[axis]) remaining.push_back(position[axis]);
    }
    return remaining;
  }

  ir::Module& module_;
  ir::Uses uses_;
  ir::ValueId known_values_ = 0;
};

}  // namespace

Result<bool> MoveTransposes(ir::Module& module, PassContext&) { return Sinker(module).Run(); }

}  // namespace graft::passes
