#include "plan_graph.h"

#include <set>

namespace graft {
namespace {

constexpr size_t kLargestConstant = 1024;  // bytes

std::string OpOf(const ir::Module& module, const ir::Node& node) {
  const auto rank = [&](size_t input) { return module.value(node.inputs[input]).shape.size(); };
  if (const auto* conv = node.get<ir::ConvAttributes>()) {
    if (rank(0) == 5) return "Conv3D";
    if (rank(0) != 4) return "Conv1D";
    const ir::Shape& x = module.value(node.inputs[0]).shape;
    return conv->groups == x.back() && !(conv->groups == 1) ? "DepthwiseConv2dNative" : "Conv2D";
  }
  if (node.get<ir::ConvTransposeAttributes>() != nullptr)
    return rank(0) == 5 ? "Conv3DBackpropInputV2" : "Conv2DBackpropInput";
  if (node.get<ir::MatMulAttributes>() != nullptr)
    return rank(0) == 2 && rank(1) == 2 ? "MatMul" : "BatchMatMulV2";
  switch (node.kind()) {
    case ir::OpKind::kSoftmax:
      return "Softmax";
    case ir::OpKind::kReshape:
      return "Reshape";
    case ir::OpKind::kTranspose:
      return "Transpose";
    case ir::OpKind::kConcat:
      return "ConcatV2";
    case ir::OpKind::kSlice:
      return "StridedSlice";
    case ir::OpKind::kPad:
      return "Pad";
    case ir::OpKind::kBroadcast:
      return "BroadcastTo";
    case ir::OpKind::kTile:
      return "Tile";
    case ir::OpKind::kGather:
      return "GatherV2";
    case ir::OpKind::kGatherNd:
      return "GatherNd";
    case ir::OpKind::kTopK:
      return "TopKV2";
    case ir::OpKind::kWhere:
      return "Where";
    case ir::OpKind::kUnique:
      return "Unique";
    case ir::OpKind::kBitcast:
      return "Bitcast";
    case ir::OpKind::kLrn:
      return "LRN";
    case ir::OpKind::kDepthToSpace:
      return "DepthToSpace";
    case ir::OpKind::kCropAndResize:
      return "CropAndResize";
    default:
      return "Graft_" + std::string(ir::Name(node.kind()));
  }
}

// "conv strides=[1,1] epilogue={a b}": what stands between spaces that no bracket or quote holds.
void PutAttributes(std::string_view text, tf::AttrMap* attrs) {
  size_t begin = 0;
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      const char c = text[i];
      if (c == '"' && (i == 0 || text[i - 1] != '\\')) quoted = !quoted;
      if (quoted) continue;
      depth += (c == '{' || c == '[' || c == '(') - (c == '}' || c == ']' || c == ')');
      if (c != ' ' || depth > 0) continue;
    }
    const std::string_view item = text.substr(begin, i - begin);
    begin = i + 1;
    if (const size_t equals = item.find('='); equals != std::string_view::npos && equals > 0)
      (*attrs)[std::string(item.substr(0, equals))] = std::string(item.substr(equals + 1));
  }
}

tf::Shape ShapeOf(const ir::Value& value) {
  if (!value.has_shape) return tf::Shape::Unknown();
  tf::Shape shape;
  for (const ir::Dim& d : value.shape) shape.dims.push_back(d.constant().value_or(-1));
  return shape;
}

class PlanDrawing {
 public:
  explicit PlanDrawing(const Plan& plan) : plan_(plan), module_(plan.module) {}

  tf::GraphDef Draw() {
    graph_.versions.producer = tf::kGraphDefVersion;
    names_.resize(static_cast<size_t>(module_.value_count()));
    for (size_t i = 0; i < module_.inputs.size(); ++i) {
      const ir::ValueId v = module_.inputs[i];
      tf::NodeDef& node = Add(module_.input_names[i], "Placeholder");
      node.attrs["dtype"] = module_.value(v).dtype;
      node.attrs["shape"] = ShapeOf(module_.value(v));
      names_[static_cast<size_t>(v)] = node.name;
    }
    for (ir::NodeId id = 0; id < module_.node_count(); ++id) AddStep(id);
    for (size_t i = 0; i < module_.outputs.size(); ++i) {
      tf::NodeDef& node = Add(module_.output_names[i], "Identity");
      node.attrs["T"] = module_.value(module_.outputs[i]).dtype;
      node.inputs.push_back(NameOf(module_.outputs[i]));
    }
    // Constants are made where they are first read, so the order is put right here.
    std::vector<tf::NodeDef> nodes = std::move(constants_);
    nodes.insert(nodes.end(), std::make_move_iterator(graph_.nodes.begin()),
                 std::make_move_iterator(graph_.nodes.end()));
    graph_.nodes = std::move(nodes);
    return std::move(graph_);
  }

 private:
  // As GraphDef wants names: no output number, each once.
  std::string Unique(std::string name) {
    if (name.ends_with(":0")) name.resize(name.size() - 2);
    for (char& c : name) {
      if (c == ':' || c == '^') c = '_';
    }
    if (name.empty()) name = "unnamed";
    std::string unique = name;
    for (int i = 1; !taken_.insert(unique).second; ++i) unique = fmt::format("{}_{}", name, i);
    return unique;
  }

  tf::NodeDef& Add(const std::string& name, std::string op) {
    tf::NodeDef& node = graph_.nodes.emplace_back();
    node.name = Unique(name);
    node.op = std::move(op);
    return node;
  }

  void AddStep(ir::NodeId id) {
    const ir::Node& step = module_.node(id);
    std::vector<std::string> inputs;
    for (const ir::ValueId v : step.inputs) inputs.push_back(NameOf(v));
    tf::NodeDef& node = Add(step.name, OpOf(module_, step));
    node.inputs = std::move(inputs);
    PutAttributes(ir::AttributesToString(step.attributes), &node.attrs);
    std::vector<tf::Shape> shapes;
    for (size_t i = 0; i < step.outputs.size(); ++i) {
      const ir::Value& result = module_.value(step.outputs[i]);
      shapes.push_back(ShapeOf(result));
      if (i == 0) node.attrs["dtype"] = result.dtype;
      names_[static_cast<size_t>(step.outputs[i])] = tf::TensorName(node.name, static_cast<int>(i));
    }
    node.attrs["_output_shapes"] = std::move(shapes);
    std::vector<std::string> tactics;
    for (const TacticChoice& t : plan_.choices.steps[static_cast<size_t>(id)].tactics)
      tactics.push_back(t.name);
    if (!tactics.empty()) node.attrs["tactics"] = std::move(tactics);
  }

  std::string NameOf(ir::ValueId v) {
    std::string& name = names_[static_cast<size_t>(v)];
    const ir::Value& value = module_.value(v);
    if (!name.empty() || !value.constant) return name;
    name = Unique(value.name);
    tf::NodeDef& node = constants_.emplace_back();
    node.name = name;
    node.op = "Const";
    node.attrs["dtype"] = value.dtype;
    node.attrs["_output_shapes"] = std::vector<tf::Shape>{ShapeOf(value)};
    if (value.constant->bytes() <= kLargestConstant)
      node.attrs["value"] = tf::TensorValue(*value.constant);
    return name;
  }

  const Plan& plan_;
  const ir::Module& module_;
  tf::GraphDef graph_;
  std::vector<tf::NodeDef> constants_;
  std::vector<std::string> names_;  // of values, as inputs name them
  std::set<std::string> taken_;
};

}  // namespace

tf::GraphDef GraphOfPlan(const Plan& plan) { return PlanDrawing(plan).Draw(); }

}  // namespace graft
