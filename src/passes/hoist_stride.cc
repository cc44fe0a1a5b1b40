// A value of which 1×1 convolutions with a stride read every s-th row and column is computed there
// only: the stride moves up into the node that makes it, and on to what that reads.
#include <algorithm>

#include "passes/expression.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

bool IsOne(int64_t v) { return v == 1; }

// The spatial strides with which the node reads nothing but every s-th element of its first
// operand, from the first on.
std::optional<std::vector<int64_t>> Subsampling(const ir::Module& module, const ir::Node& node) {
  const ir::Shape& shape = module.value(node.inputs[0]).shape;
  if (const auto* conv = node.get<ir::ConvAttributes>()) {
    const ir::Shape& filter = module.value(node.inputs[1]).shape;
    const bool pointwise =
        std::all_of(filter.begin(), filter.end() - 2, [](const ir::Dim& d) { return d == 1; });
    if (!pointwise || std::ranges::all_of(conv->strides, IsOne) || !AllZero(conv->pads_before) ||
        !AllZero(conv->pads_after)) {
      return std::nullopt;
    }
    return conv->strides;
  }
  if (const auto* slice = node.get<ir::SliceAttributes>(); slice && shape.size() >= 3) {
    if (!AllZero(slice->begin) || slice->strides.front() != 1 || slice->strides.back() != 1 ||
        slice->size.front() != shape.front() || slice->size.back() != shape.back()) {
      return std::nullopt;
    }
    std::vector<int64_t> strides(slice->strides.begin() + 1, slice->strides.end() - 1);
    for (size_t i = 0; i < strides.size(); ++i) {
      if (strides[i] < 1 || slice->size[i + 1] != ir::CeilDiv(shape[i + 1], strides[i])) {
        return std::nullopt;
      }
    }
    if (std::ranges::all_of(strides, IsOne)) return std::nullopt;
    return strides;
  }
  return std::nullopt;
}

// The strides that all readers of v share.
std::optional<std::vector<int64_t>> CommonSubsampling(const ir::Module& module,
                                                      const ir::Uses& uses, ir::ValueId v) {
  if (uses.is_output(v) || uses.of(v).empty()) return std::nullopt;
  std::optional<std::vector<int64_t>> common;
  for (ir::NodeId id : uses.of(v)) {
    const ir::Node& reader = module.node(id);
    // Also as an epilogue operand: there all of v is read.
    if (std::ranges::count(reader.inputs, v) != 1 || reader.inputs[0] != v) return std::nullopt;
    const auto strides = Subsampling(module, reader);
    if (!strides || (common && *common != *strides)) return std::nullopt;
    common = strides;
  }
  return common;
}

class Hoister {
 public:
  explicit Hoister(ir::Module& module) : module_(module) {}

  // One value for each call: the next has other readers then.
  Result<bool> Run() {
    const ir::Uses uses(module_);
    for (ir::NodeId id = module_.node_count() - 1; id >= 0; --id) {
      if (module_.removed(id) || module_.node(id).outputs.empty()) continue;
      const ir::ValueId v = module_.node(id).outputs[0];
      const auto strides = CommonSubsampling(module_, uses, v);
      if (!strides) continue;
      GRAFT_ASSIGN_OR_RETURN(const ir::ValueId sampled, Subsampled(id, *strides));
      if (sampled < 0) continue;
      const std::vector<ir::NodeId>& readers = uses.of(v);
      for (ir::NodeId reader : readers) GRAFT_RETURN_IF_ERROR(ReadSampled(reader, sampled));
      return true;
    }
    return false;
  }

 private:
  // Only where the sizes are known: a symbolic size has many spellings of its half.
  static std::optional<ir::Shape> SampledShape(const ir::Shape& shape,
                                               const std::vector<int64_t>& strides) {
    ir::Shape sampled = shape;
    for (size_t i = 0; i < strides.size(); ++i) {
      if (!shape[i + 1].is_constant()) return std::nullopt;
      sampled[i + 1] = ir::CeilDiv(shape[i + 1], strides[i]);
    }
    return sampled;
  }

  // The value of node `id` at every s-th position, computed by a node like it; -1 if there is none.
  Result<ir::ValueId> Subsampled(ir::NodeId id, const std::vector<int64_t>& strides) {
    const ir::Node node = module_.node(id);
    const ir::Value result = module_.value(node.outputs[0]);
    if (result.shape.size() != strides.size() + 2) return -1;
    const std::optional<ir::Shape> shape = SampledShape(result.shape, strides);
    if (!shape) return -1;
    ir::Attributes attributes = node.attributes;
    std::vector<ir::ValueId> inputs = node.inputs;
    size_t first_sampled = 0;  // operands from here on have the result's shape, or broadcast to it
    auto widen = [&](std::vector<int64_t>& own) {
      for (size_t i = 0; i < own.size(); ++i) own[i] *= strides[i];
    };
    if (auto* conv = std::get_if<ir::ConvAttributes>(&attributes)) {
      widen(conv->strides);
      first_sampled = 2;
    } else if (auto* pool = std::get_if<ir::PoolAttributes>(&attributes)) {
      widen(pool->strides);
      first_sampled = 1;
    } else if (!node.get<ir::PointwiseAttributes>()) {
      return -1;
    }
    for (size_t i = first_sampled; i < inputs.size(); ++i) {
      if (!CanSample(inputs[i], result.shape)) return -1;
    }
    for (size_t i = first_sampled; i < inputs.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(inputs[i], Sample(inputs[i], strides));
    }
    ir::Value wanted = result;
    wanted.shape = *shape;
    if (!Gives(module_, attributes, inputs, wanted)) return -1;
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId sampled,
                           module_.AddNode(std::move(attributes), std::move(inputs), node.name));
    module_.SetOrigin(sampled, node.origin);
    ir::Value& value = module_.value(module_.node(sampled).outputs[0]);
    value.name = result.name + "/subsampled";
    value.low = result.low;
    value.high = result.high;
    return module_.node(sampled).outputs[0];
  }

  // Whether an operand broadcasts over all spatial dimensions, or over none.
  bool CanSample(ir::ValueId v, const ir::Shape& shape) const {
    const ir::Shape& own = module_.value(v).shape;
    if (Spread(v, shape.size())) return true;
    return own.size() == shape.size() &&
           std::equal(own.begin() + 1, own.end() - 1, shape.begin() + 1);
  }
  bool Spread(ir::ValueId v, size_t rank) const {
    const ir::Shape& own = module_.value(v).shape;
    return own.empty() || std::all_of(own.begin() + (own.size() == rank ? 1 : 0), own.end() - 1,
                                      [](const ir::Dim& d) { return d == 1; });
  }

  Result<ir::ValueId> Sample(ir::ValueId v, const std::vector<int64_t>& strides) {
    if (Spread(v, strides.size() + 2)) return v;
    const ir::Value value = module_.value(v);
    ir::SliceAttributes slice;
    slice.begin.assign(value.shape.size(), 0);
    slice.size = *SampledShape(value.shape, strides);
    slice.strides.assign(value.shape.size(), 1);
    std::ranges::copy(strides, slice.strides.begin() + 1);
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id,
                           module_.AddNode(std::move(slice), {v}, value.name + "/every"));
    return module_.node(id).outputs[0];
  }

  // The reader takes all of what has been subsampled for it.
  Status ReadSampled(ir::NodeId reader, ir::ValueId sampled) {
    ir::Node node = module_.node(reader);
    if (node.get<ir::SliceAttributes>()) {
      ReplaceNodeByValue(module_, reader, sampled);
      return OkStatus();
    }
    std::vector<int64_t>& strides = std::get<ir::ConvAttributes>(node.attributes).strides;
    std::ranges::fill(strides, 1);
    node.inputs[0] = sampled;
    return ReplaceNode(module_, reader, std::move(node.attributes), std::move(node.inputs))
        .status();
  }

  ir::Module& module_;
};

}  // namespace

Result<bool> HoistStride(ir::Module& module, PassContext&) { return Hoister(module).Run(); }

}  // namespace graft::passes
