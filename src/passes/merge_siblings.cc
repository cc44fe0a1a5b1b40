// Convolutions of one value by filters of one size, as the branches of Inception and NASNet begin
// with, can be computed as one of as many output channels as they have together: it reads the value
// once and fills vectors and threads better, but a result that a concatenation takes in place has
// to be copied there then. So the pass offers them as a choice: apart, merged, or merged but for
// those that a concatenation reads.
#include <algorithm>
#include <map>

#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

// The operands of a convolution that stand before those of its epilogue.
constexpr size_t kConvOperands = 2;

bool IsConstant(const ir::Module& module, ir::ValueId v) {
  return module.value(v).constant.has_value();
}

// Every operand but the image is a constant, so no sibling can wait for another. A depthwise
// convolution does not read all of its value for a result.
bool CanMerge(const ir::Module& module, const ir::Node& node) {
  const auto* conv = node.get<ir::ConvAttributes>();
  return conv && conv->groups == 1 && !IsConstant(module, node.inputs[0]) &&
         module.value(node.outputs[0]).dtype == module.value(node.inputs[0]).dtype &&
         std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                     [&](ir::ValueId v) { return IsConstant(module, v); });
}

// What siblings must have in common: all but the epilogue and the number of output channels.
std::string Geometry(const ir::Module& module, const ir::Node& node) {
  ir::ConvAttributes plain = *node.get<ir::ConvAttributes>();
  plain.epilogue = {};
  const ir::Value& filter = module.value(node.inputs[1]);
  return fmt::format("{} {}{}", ir::AttributesToString(plain), Name(filter.dtype),
                     ir::ToString({filter.shape.begin(), filter.shape.end() - 1}));
}

// How an epilogue's operand is joined with its counterparts.
enum class Join : uint8_t { kNone, kEqual, kConcat };
Join HowToJoin(const ir::Module& module, std::span<const ir::Node* const> convs, size_t operand) {
  const Tensor& first = *module.value(convs[0]->inputs[operand]).constant;
  bool equal = first.elements() == 1;
  bool per_channel = true;
  for (const ir::Node* conv : convs) {
    const Tensor& tensor = *module.value(conv->inputs[operand]).constant;
    const Dims& dims = tensor.dims();
    const int64_t channels = *module.value(conv->outputs[0]).shape.back().constant();
    if (tensor.dtype() != first.dtype() || dims.size() != first.dims().size()) return Join::kNone;
    per_channel =
        per_channel && !dims.empty() && dims.back() == channels && tensor.elements() == channels;
    equal = equal && tensor.elements() == 1 &&
            std::equal(tensor.raw(), tensor.raw() + tensor.bytes(), first.raw());
  }
  return equal ? Join::kEqual : per_channel ? Join::kConcat : Join::kNone;
}

// Writes bodies of a choice over the siblings' operands: the image, then those of one convolution
// after the other.
class BodyWriter {
 public:
  BodyWriter(const ir::Module& module, std::vector<const ir::Node*> convs)
      : module_(module), convs_(std::move(convs)) {
    operands_ = {convs_[0]->inputs[0]};
    for (const ir::Node* conv : convs_) {
      first_operand_.push_back(static_cast<int64_t>(operands_.size()));
      operands_.insert(operands_.end(), conv->inputs.begin() + 1, conv->inputs.end());
    }
  }
  const std::vector<ir::ValueId>& operands() const { return operands_; }

  // With the convolutions of `merged` computed as one, the others as they are.
  ir::Body Write(std::string name, const std::vector<size_t>& merged) {
    body_ = {std::move(name), {}, std::vector<int64_t>(convs_.size(), -1)};
    for (size_t i = 0; i < convs_.size(); ++i) {
      if (std::ranges::find(merged, i) != merged.end()) continue;
      std::vector<int64_t> operands = {0};
      for (size_t k = 1; k < convs_[i]->inputs.size(); ++k) operands.push_back(OperandOf(i, k));
      body_.results[i] =
          Add(convs_[i]->attributes, std::move(operands), convs_[i]->name, convs_[i]->origin);
    }
    if (!merged.empty()) Merge(merged);
    return std::move(body_);
  }

 private:
  // Of convolution `conv` the operand k, which is not 0.
  int64_t OperandOf(size_t conv, size_t k) const {
    return first_operand_[conv] + static_cast<int64_t>(k) - 1;
  }
  int64_t Add(ir::Attributes attributes, std::vector<int64_t> operands, std::string name,
              std::vector<int32_t> origin = {}) {
    body_.nodes.push_back(
        {std::move(attributes), std::move(operands), std::move(name), std::move(origin)});
    return static_cast<int64_t>(operands_.size() + body_.nodes.size()) - 1;
  }
  // The operand k of all, side by side along the last axis.
  int64_t AddConcat(const std::vector<size_t>& merged, size_t k) {
    std::vector<int64_t> parts;
    for (const size_t i : merged) parts.push_back(OperandOf(i, k));
    const ir::Value& first = module_.value(convs_[merged[0]]->inputs[k]);
    return Add(ir::ConcatAttributes{static_cast<int64_t>(first.shape.size()) - 1}, std::move(parts),
               first.name);
  }

  void Merge(const std::vector<size_t>& merged) {
    std::vector<const ir::Node*> convs;
    for (const size_t i : merged) convs.push_back(convs_[i]);
    const ir::Node& first = *convs[0];
    auto attributes = *first.get<ir::ConvAttributes>();
    // Epilogues of one form are one epilogue; others are applied to the slices.
    std::vector<Join> joins;
    bool joined = std::ranges::all_of(convs, [&](const ir::Node* conv) {
      return conv->get<ir::ConvAttributes>()->epilogue == attributes.epilogue;
    });
    for (size_t k = kConvOperands; joined && k < first.inputs.size(); ++k) {
      joins.push_back(HowToJoin(module_, convs, k));
      joined = joins.back() != Join::kNone;
    }
    std::vector<int64_t> operands = {0, AddConcat(merged, 1)};
    for (size_t k = kConvOperands; joined && k < first.inputs.size(); ++k) {
      operands.push_back(joins[k - kConvOperands] == Join::kEqual ? OperandOf(merged[0], k)
                                                                  : AddConcat(merged, k));
    }
    if (!joined) attributes.epilogue = {};
    ir::Node covered;
    for (const ir::Node* conv : convs) Cover(covered, *conv);
    const int64_t wide = Add(attributes, std::move(operands),
                             fmt::format("{}+{}", first.name, merged.size() - 1), covered.origin);
    ir::Dim at = 0;
    for (const size_t i : merged) {
      const ir::Node& conv = *convs_[i];
      const ir::Shape& shape = module_.value(conv.outputs[0]).shape;
      ir::SliceAttributes slice;
      slice.begin.assign(shape.size(), 0);
      slice.begin.back() = at;
      slice.size = shape;
      slice.strides.assign(shape.size(), 1);
      at += shape.back();
      int64_t result = Add(std::move(slice), {wide}, conv.name, conv.origin);
      const PointwiseProgram& epilogue = conv.get<ir::ConvAttributes>()->epilogue;
      if (!joined && !epilogue.empty()) {
        std::vector<int64_t> inputs = {result};
        for (size_t k = kConvOperands; k < conv.inputs.size(); ++k)
          inputs.push_back(OperandOf(i, k));
        result = Add(ir::PointwiseAttributes{epilogue}, std::move(inputs), conv.name, conv.origin);
      }
      body_.results[i] = result;
    }
  }

  const ir::Module& module_;
  const std::vector<const ir::Node*> convs_;
  std::vector<ir::ValueId> operands_;
  std::vector<int64_t> first_operand_;  // by convolution, in operands_
  ir::Body body_;
};

Status Offer(ir::Module& module, const ir::Uses& uses, const std::vector<ir::NodeId>& siblings) {
  std::vector<const ir::Node*> convs;
  std::vector<size_t> all, apart_from_concat;
  for (size_t i = 0; i < siblings.size(); ++i) {
    convs.push_back(&module.node(siblings[i]));
    all.push_back(i);
    const bool concat = std::ranges::any_of(uses.of(convs[i]->outputs[0]), [&](ir::NodeId reader) {
      return module.node(reader).get<ir::ConcatAttributes>() != nullptr;
    });
    if (!concat) apart_from_concat.push_back(i);
  }
  BodyWriter writer(module, convs);
  ir::ChoiceAttributes choice;
  choice.region = "merge-siblings";
  choice.bodies.push_back(writer.Write("apart", {}));
  choice.bodies.push_back(writer.Write("merged", all));
  if (apart_from_concat.size() > 1 && apart_from_concat.size() < all.size())
    choice.bodies.push_back(writer.Write("merged but for concat", apart_from_concat));
  const std::string name = fmt::format("{}+{}", convs[0]->name, convs.size() - 1);
  ir::Node covered;
  for (const ir::Node* conv : convs) Cover(covered, *conv);
  GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id,
                         module.AddNode(std::move(choice), writer.operands(), name));
  module.SetOrigin(id, std::move(covered.origin));
  const std::vector<ir::ValueId> results = module.node(id).outputs;
  for (size_t i = 0; i < siblings.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(ReplaceValue(module, module.node(siblings[i]).outputs[0], results[i]));
    module.RemoveNode(siblings[i]);
  }
  return OkStatus();
}

}  // namespace

Result<bool> MergeSiblings(ir::Module& module, PassContext&) {
  const ir::Uses uses(module);
  std::map<std::pair<ir::ValueId, std::string>, std::vector<ir::NodeId>> groups;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    if (!module.removed(id) && CanMerge(module, node))
      groups[{node.inputs[0], Geometry(module, node)}].push_back(id);
  }
  bool changed = false;
  for (const auto& [key, siblings] : groups) {
    if (siblings.size() < 2) continue;
    GRAFT_RETURN_IF_ERROR(Offer(module, uses, siblings));
    changed = true;
  }
  return changed;
}

}  // namespace graft::passes
