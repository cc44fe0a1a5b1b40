#include "segment.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tensorflow/core/framework/node_def_util.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/lib/strings/proto_serialization.h"
#include "tensorflow/core/platform/hash.h"
#include "weights_file.h"

namespace graft_tf {

using tensorflow::Tensor;

namespace {

// Strings and what does not decode have no bytes that a plan could refer to: an empty tensor stands
// for them.
Tensor ValueOf(const tensorflow::NodeDef& node) {
  if (node.op() == kWeightOp) return WeightOf(tensorflow::AttrSlice(node)).value_or(Tensor());
  const auto value = node.attr().find("value");
  Tensor tensor;
  if (value == node.attr().end() || !tensor.FromProto(value->second.tensor()) ||
      !tensorflow::DataTypeCanUseMemcpy(tensor.dtype())) {
    return Tensor();
  }
  return tensor;
}

}  // namespace

SegmentConstants::SegmentConstants(const tensorflow::FunctionDef* function) {
  if (function == nullptr) return;
  for (const tensorflow::NodeDef& node : function->node_def()) {
    if (node.op() != "Const" && node.op() != kWeightOp) continue;
    by_name_[node.name()] = static_cast<int32_t>(constants_.size());
    constants_.push_back({&node});
  }
}

int32_t SegmentConstants::Find(void* self, const char* name, graft_weight* weight) {
  auto* constants = static_cast<SegmentConstants*>(self);
  const auto index = constants->by_name_.find(name);
  return index == constants->by_name_.end() ? 1 : At(self, index->second, weight);
}

int32_t SegmentConstants::At(void* self, int32_t index, graft_weight* weight) {
  auto* constants = static_cast<SegmentConstants*>(self);
  if (index < 0 || static_cast<size_t>(index) >= constants->constants_.size()) return 1;
  Constant& constant = constants->constants_[index];
  if (!constant.decoded) {
    constant.decoded = true;
    constant.tensor = ValueOf(*constant.node);
    for (const auto& d : constant.tensor.shape()) constant.dims.push_back(d.size);
  }
  // The engine holds a reference of its own; what it does not take goes with this object.
  auto* reference = new Tensor(constant.tensor);
  weight->dtype = constant.tensor.dtype();
  weight->rank = static_cast<int32_t>(constant.dims.size());
  weight->dims = constant.dims.data();
  weight->data = reference->tensor_data().data();
  weight->release = [](void* state) { delete static_cast<Tensor*>(state); };
  weight->release_state = reference;
  return 0;
}

std::string SegmentKey(const tensorflow::FunctionDef& function,
                       const std::vector<tensorflow::PartialTensorShape>& input_shapes) {
  std::vector<std::string> nodes;
  for (const tensorflow::NodeDef& original : function.node_def()) {
    tensorflow::NodeDef node = original;
    const tensorflow::OpDef* op = nullptr;
    if (tensorflow::OpRegistry::Global()->LookUpOpDef(node.op(), &op).ok())
      tensorflow::AddDefaultsToNodeDef(*op, &node);
    node.clear_device();
    node.clear_experimental_debug_info();
    for (const auto& [name, value] : original.attr()) {
      if (absl::StartsWith(name, "_")) node.mutable_attr()->erase(name);
    }
    nodes.push_back(absl::StrCat(tensorflow::DeterministicProtoHash64(node)));
  }
  for (const auto& [name, edge] : function.ret()) nodes.push_back(absl::StrCat(name, "=", edge));
  std::sort(nodes.begin(), nodes.end());
  for (const tensorflow::PartialTensorShape& shape : input_shapes)
    nodes.push_back(shape.DebugString());
  return absl::StrCat(absl::Hex(tensorflow::Hash64(absl::StrJoin(nodes, ";")), absl::kZeroPad16));
}

nlohmann::json InputShapesOption(const std::vector<tensorflow::PartialTensorShape>& input_shapes) {
  nlohmann::json shapes = nlohmann::json::array();
  for (const tensorflow::PartialTensorShape& known : input_shapes) {
    nlohmann::json& dims = shapes.emplace_back(nullptr);
    if (known.unknown_rank()) continue;
    dims = nlohmann::json::array();
    for (const int64_t d : known.dim_sizes()) dims.push_back(d);
  }
  return shapes;
}

}  // namespace graft_tf
