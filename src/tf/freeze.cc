#include "tf/freeze.h"

#include <algorithm>
#include <map>

#include "tf/opdefs.h"

namespace graft::tf {
namespace {

NodeDef Const(std::string name, std::string device, Tensor value) {
  NodeDef node{.name = std::move(name), .op = "Const", .device = std::move(device)};
  node.attrs = {{"dtype", value.dtype()}, {"value", TensorValue(std::move(value))}};
  return node;
}

// What a live node does with a variable, by its op and the input number.
enum class Use { kRead, kRefuse };

// Ops that read a resource variable through input 0 and have a stateless counterpart.
constexpr std::string_view kResourceReaders[] = {
    "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp"};

Use UseOf(const NodeDef& variable, const NodeDef& reader, size_t input) {
  if (variable.op == "VarHandleOp") {
    return input == 0 &&
                   std::ranges::find(kResourceReaders, reader.op) != std::end(kResourceReaders)
               ? Use::kRead
               : Use::kRefuse;
  }
  // A reference variable: whoever takes the value, not the reference, reads.
  const OpDef* op = FindOp(reader.op);
  if (op == nullptr) return Use::kRefuse;
  const bool takes_reference =
      std::ranges::any_of(op->inputs, [](const ArgDef& arg) { return arg.is_ref; });
  return takes_reference || reader.op == "Switch" || reader.op == "RefSwitch" ? Use::kRefuse
                                                                              : Use::kRead;
}

class Freezer {
 public:
  Freezer(const VariableKeys& keys, const Checkpoint& checkpoint, const std::vector<bool>& live,
          GraphDef* graph)
      : keys_(keys), checkpoint_(checkpoint), live_(live), graph_(graph) {}

  Result<FreezeReport> Run() {
    GRAFT_RETURN_IF_ERROR(FindVariables());
    FreezeReport report;
    for (auto& [name, variable] : variables_) {
      if (variable.reason.empty()) GRAFT_RETURN_IF_ERROR(ReadValue(name, &variable));
      if (variable.reason.empty()) {
        ++report.frozen;
      } else {
        report.kept.push_back({name, variable.reason});
      }
    }
    keep_restore_ = !report.kept.empty();
    for (auto& [name, variable] : variables_) {
      if (variable.reason.empty()) GRAFT_RETURN_IF_ERROR(Replace(&variable));
    }
    for (NodeDef& node : added_) graph_->nodes.push_back(std::move(node));
    return report;
  }

 private:
  struct Reader {
    size_t node;
    size_t input;
  };
  struct Variable {
    size_t node = 0;
    std::vector<Reader> readers;
    std::string reason;  // why it stays; empty when it is frozen
    Tensor value;
  };

  // Finds the live variables, who reads each, and which of them must stay.
  Status FindVariables() {
    GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(graph_->nodes));
    for (size_t i = 0; i < graph_->nodes.size(); ++i) {
      if (live_[i] && IsVariable(graph_->nodes[i])) variables_[graph_->nodes[i].name].node = i;
    }
    for (size_t i = 0; i < graph_->nodes.size(); ++i) {
      const NodeDef& node = graph_->nodes[i];
      if (!live_[i]) continue;
      for (size_t input = 0; input < node.inputs.size(); ++input) {
        GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(node.inputs[input]));
        const int source_index = index.Find(ref.node);
        if (ref.is_control() || source_index < 0) continue;
        const NodeDef& source = graph_->nodes[static_cast<size_t>(source_index)];
        // An Identity of a handle is looked through; one of a value is a reader like any other.
        const AttrValue* type = source.FindAttr("T");
        const bool passes_handle =
            source.op == "Identity" && type != nullptr && *type == AttrValue(DType::kResource);
        if (!IsVariable(source) && !passes_handle) continue;
        const auto it = variables_.find(VariableBehind(*graph_, index, node.inputs[input]));
        if (it == variables_.end()) continue;
        Variable& variable = it->second;
        const NodeDef& variable_node = graph_->nodes[variable.node];
        const AttrValue* own_type = node.FindAttr("T");
        if (variable_node.op == "VarHandleOp" && node.op == "Identity" && own_type != nullptr &&
            *own_type == AttrValue(DType::kResource)) {
          continue;
        }
        if (UseOf(variable_node, node, input) == Use::kRefuse && variable.reason.empty())
          variable.reason = fmt::format("used by {} ({})", node.name, node.op);
        variable.readers.push_back({i, input});
      }
    }
    return OkStatus();
  }

  // The variable's value from the checkpoint, or the reason why there is none.
  Status ReadValue(const std::string& name, Variable* variable) {
    const NodeDef& node = graph_->nodes[variable->node];
    VariableKey key;
    if (const auto it = keys_.find(name); it != keys_.end()) {
      key = it->second;
    } else {
      const AttrValue* shared = node.FindAttr("shared_name");
      const std::string* text = shared ? shared->get<std::string>() : nullptr;
      key.key = text != nullptr && !text->empty() ? *text : name;
      if (!checkpoint_.Contains(key.key)) {
        variable->reason =
            "nothing tells its checkpoint key, and the checkpoint has none of its name";
        return OkStatus();
      }
    }
    if (!checkpoint_.Contains(key.key)) {
      return NotFoundError("variable '{}': {} has no tensor '{}'", name, checkpoint_.prefix(),
                           key.key);
    }
    Result<Tensor> value =
        key.slice.empty() ? checkpoint_.Read(key.key) : checkpoint_.ReadSlice(key.key, key.slice);
    if (value.status().code() == StatusCode::kUnsupported) {
      variable->reason = value.status().message();
      return OkStatus();
    }
    GRAFT_RETURN_IF_ERROR(value.status().WithContext(fmt::format("variable '{}'", name)));
    GRAFT_ASSIGN_OR_RETURN(const DType dtype, node.Attr<DType>("dtype"));
    const AttrValue* shape_attr = node.FindAttr("shape");
    const Shape* shape = shape_attr ? shape_attr->get<Shape>() : nullptr;
    if (value->dtype() != dtype ||
        (shape != nullptr && shape->fully_known() && shape->dims != value->dims() &&
         !(node.op != "VarHandleOp" && shape->dims.empty()))) {
      return DataLossError("variable '{}' is {}{}; the checkpoint has {}", name, Name(dtype),
                           shape ? ToString(*shape) : "", Describe(value->dtype(), value->dims()));
    }
    variable->value = std::move(value).value();
    return OkStatus();
  }

  Status Replace(Variable* variable) {
    return graph_->nodes[variable->node].op == "VarHandleOp" ? ReplaceResource(variable)
                                                             : ReplaceReference(variable);
  }

  // A reference variable is its value: the constant takes its name, or, when the variable's own
  // node is still needed to restore others, a name beside it.
  Status ReplaceReference(Variable* variable) {
    NodeDef& node = graph_->nodes[variable->node];
    if (!keep_restore_) {
      node = Const(node.name, node.device, variable->value);
      return OkStatus();
    }
    added_.push_back(Const(node.name + "/frozen", node.device, variable->value));
    for (const Reader& reader : variable->readers)
      graph_->nodes[reader.node].inputs[reader.input] = added_.back().name;
    return OkStatus();
  }

  // The first ReadVariableOp becomes the constant, under its own name; other reads refer to it.
  Status ReplaceResource(Variable* variable) {
    std::string value_name;
    auto value = [&](const NodeDef& reader) -> const std::string& {
      if (value_name.empty()) {
        value_name = reader.name + "/frozen";
        added_.push_back(Const(value_name, reader.device, variable->value));
      }
      return value_name;
    };
    std::ranges::stable_partition(variable->readers, [&](const Reader& reader) {
      return graph_->nodes[reader.node].op == "ReadVariableOp";
    });
    for (const Reader& reader : variable->readers) {
      NodeDef& node = graph_->nodes[reader.node];
      if (node.op == "ReadVariableOp") {
        if (value_name.empty()) {
          value_name = node.name;
          node = Const(node.name, node.device, variable->value);
        } else {
          node.op = "Identity";
          node.inputs = {value_name};
          node.attrs = {{"T", variable->value.dtype()}};
        }
      } else if (node.op == "ResourceGather") {
        GRAFT_RETURN_IF_ERROR(ReplaceGather(value(node), &node));
      } else if (node.op == "ResourceGatherNd") {
        GRAFT_ASSIGN_OR_RETURN(const DType indices, node.Attr<DType>("Tindices"));
        node.op = "GatherNd";
        node.inputs[0] = value(node);
        node.attrs = {{"Tparams", variable->value.dtype()}, {"Tindices", indices}};
        AddDefaultAttrs(*FindOp(node.op), &node);
      } else if (node.op == "VariableShape") {
        GRAFT_ASSIGN_OR_RETURN(const DType type, node.Attr<DType>("out_type"));
        const Dims& dims = variable->value.dims();
        const Dims count = {static_cast<int64_t>(dims.size())};
        const std::vector<int32_t> narrow(dims.begin(), dims.end());
        node = Const(node.name, node.device,
                     type == DType::kInt64 ? Tensor::Of<int64_t>(count, dims)
                                           : Tensor::Of<int32_t>(count, narrow));
      } else {
        node = Const(node.name, node.device, Tensor::Scalar(true));  // VarIsInitializedOp
      }
    }
    return OkStatus();
  }

  Status ReplaceGather(const std::string& params, NodeDef* node) {
    GRAFT_ASSIGN_OR_RETURN(const DType dtype, node->Attr<DType>("dtype"));
    GRAFT_ASSIGN_OR_RETURN(const DType indices, node->Attr<DType>("Tindices"));
    GRAFT_ASSIGN_OR_RETURN(const int64_t batch_dims, node->Attr<int64_t>("batch_dims"));
    if (node->inputs.size() < 2)
      return DataLossError("{}: ResourceGather of one input", node->name);
    // ResourceGather gathers along the dimension after the batch ones.
    added_.push_back(Const(node->name + "/axis", node->device,
                           Tensor::Scalar(static_cast<int32_t>(batch_dims))));
    node->op = "GatherV2";
    node->inputs[0] = params;
    node->inputs.insert(node->inputs.begin() + 2, added_.back().name);
    node->attrs = {{"Tparams", dtype},
                   {"Tindices", indices},
                   {"Taxis", DType::kInt32},
                   {"batch_dims", batch_dims}};
    return OkStatus();
  }

  const VariableKeys& keys_;
  const Checkpoint& checkpoint_;
  const std::vector<bool>& live_;
  GraphDef* graph_;
  std::map<std::string, Variable, std::less<>> variables_;
  std::vector<NodeDef> added_;
  bool keep_restore_ = false;
};

}  // namespace

Result<FreezeReport> FreezeVariables(const VariableKeys& keys, const Checkpoint& checkpoint,
                                     const std::vector<bool>& live, GraphDef* graph) {
  return Freezer(keys, checkpoint, live, graph).Run();
}

}  // namespace graft::tf
