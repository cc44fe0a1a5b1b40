#include "report_graph.h"

#include <algorithm>
#include <set>
#include <unordered_map>

namespace graft {
namespace {

// What a name within a graph or a body stands for: nodes by output, or one for all outputs.
struct Producer {
  int all = -1;
  std::vector<int> by_output;
  int At(int output) const {  // a control edge has none
    return output >= 0 && static_cast<size_t>(output) < by_output.size()
               ? by_output[static_cast<size_t>(output)]
               : all;
  }
};
using Names = std::unordered_map<std::string, Producer>;

class GraphDrawing {
 public:
  explicit GraphDrawing(const tf::GraphDef& graph) : graph_(graph) {}

  GraphPicture Draw() {
    FindNativeSegments(graph_.nodes);
    for (const tf::FunctionDef& function : graph_.functions) FindNativeSegments(function.nodes);
    DrawScope(graph_.nodes, "", nullptr);
    for (const tf::FunctionDef& function : graph_.functions) {
      if (!native_segments_.contains(function.signature.name))
        DrawScope(function.nodes, function.signature.name + "/", &function);
    }
    return std::move(picture_);
  }

 private:
  struct Drawn {
    const tf::NodeDef* def;
    int node;  // in the picture
  };
  // An engine node, with what is drawn in its place.
  struct Engine {
    const tf::NodeDef* def;
    const tf::FunctionDef* segment;
    std::vector<Drawn> nodes;
    Names names;
  };

  const tf::FunctionDef* SegmentOf(const tf::NodeDef& node) const {
    if (node.op != "TRTEngineOp") return nullptr;
    const Result<tf::FuncValue> native = node.Attr<tf::FuncValue>("segment_func");
    return native.ok() ? graph_.FindFunction(native->name) : nullptr;
  }

  void FindNativeSegments(const std::vector<tf::NodeDef>& nodes) {
    for (const tf::NodeDef& node : nodes) {
      if (const tf::FunctionDef* segment = SegmentOf(node))
        native_segments_.insert(segment->signature.name);
    }
  }

  Drawn Add(const tf::NodeDef& def, const std::string& prefix, int engine, Names* names) {
    const int node = static_cast<int>(picture_.nodes.size());
    picture_.nodes.push_back({prefix + def.name, def.op, engine, {}, {}});
    (*names)[def.name].all = node;
    return {&def, node};
  }

  // All nodes come before the first edge: engines may read one another.
  void DrawScope(const std::vector<tf::NodeDef>& nodes, const std::string& prefix,
                 const tf::FunctionDef* body) {
    Names names;
    std::vector<Drawn> natives;
    std::vector<Engine> engines;
    // A fetched member has a stand-in of its name outside: one node, which is inside.
    std::set<std::string> members;
    for (const tf::NodeDef& def : nodes) {
      if (const tf::FunctionDef* segment = SegmentOf(def)) {
        for (const tf::NodeDef& inner : segment->nodes) members.insert(inner.name);
      }
    }
    for (const tf::NodeDef& def : nodes) {
      const tf::FunctionDef* segment = SegmentOf(def);
      if (segment == nullptr && members.contains(def.name)) continue;
      if (segment == nullptr) {
        natives.push_back(Add(def, prefix, GraphPicture::kNative, &names));
        continue;
      }
      Engine& engine = engines.emplace_back(Engine{&def, segment, {}, {}});
      const int number = static_cast<int>(picture_.engines.size());
      picture_.engines.push_back(def.name);
      for (const tf::NodeDef& inner : segment->nodes)
        engine.nodes.push_back(Add(inner, prefix, number, &engine.names));
      Producer& results = names[def.name];
      if (!engine.nodes.empty()) results.all = engine.nodes.back().node;
      for (const tf::ArgDef& output : segment->signature.outputs) {
        const auto edge = segment->ret.find(output.name);
        results.by_output.push_back(
            edge == segment->ret.end() ? -1 : Find(engine.names, edge->second, segment));
      }
    }
    for (Engine& engine : engines) {
      const std::vector<tf::ArgDef>& arguments = engine.segment->signature.inputs;
      for (size_t i = 0; i < arguments.size() && i < engine.def->inputs.size(); ++i)
        engine.names[arguments[i].name].all = Find(names, engine.def->inputs[i], body);
      for (const Drawn& node : engine.nodes) Connect(node, engine.names, engine.segment);
    }
    for (const Drawn& node : natives) Connect(node, names, body);
  }

  void Connect(const Drawn& drawn, const Names& names, const tf::FunctionDef* body) {
    std::vector<int>& inputs = picture_.nodes[static_cast<size_t>(drawn.node)].inputs;
    for (const std::string& edge : drawn.def->inputs) {
      const int from = Find(names, edge, body);
      if (from >= 0 && std::ranges::find(inputs, from) == inputs.end()) inputs.push_back(from);
    }
  }

  // -1: there is no such node.
  static int Find(const Names& names, const std::string& edge, const tf::FunctionDef* body) {
    std::string name;
    int output = 0;
    if (body != nullptr) {
      const Result<tf::BodyRef> ref = tf::ParseBodyName(edge);
      if (!ref.ok()) return -1;
      name = ref->node;
      output = ref->index;
    } else {
      const Result<tf::TensorRef> ref = tf::ParseTensorName(edge);
      if (!ref.ok()) return -1;
      name = ref->node;
      output = ref->index;
    }
    const auto found = names.find(name);
    return found == names.end() ? -1 : found->second.At(output);
  }

  const tf::GraphDef& graph_;
  GraphPicture picture_;
  std::set<std::string> native_segments_;  // drawn in their engine's place
};

}  // namespace

GraphPicture PictureOf(const tf::GraphDef& graph) { return GraphDrawing(graph).Draw(); }

GraphPicture PictureOfWhole(const tf::GraphDef& graph, const std::string& engine) {
  GraphPicture picture = PictureOf(graph);
  if (!picture.engines.empty()) return picture;
  picture.engines.push_back(engine);
  for (GraphPicture::Node& node : picture.nodes) {
    if (!node.op.starts_with("Placeholder")) node.engine = 0;
  }
  return picture;
}

GraphPicture PictureOf(const ir::Module& module, const std::string& engine) {
  GraphPicture picture;
  picture.engines.push_back(engine);
  std::vector<int> producers(static_cast<size_t>(module.value_count()), -1);
  for (size_t i = 0; i < module.inputs.size(); ++i) {
    producers[static_cast<size_t>(module.inputs[i])] = static_cast<int>(picture.nodes.size());
    picture.nodes.push_back({module.input_names[i], "input", GraphPicture::kNative, {}, {}});
  }
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    const ir::Node& node = module.node(id);
    const int number = static_cast<int>(picture.nodes.size());
    GraphPicture::Node& drawn = picture.nodes.emplace_back();
    drawn.name = node.name;
    drawn.op = ir::Name(node.kind());
    drawn.engine = 0;
    for (const ir::ValueId v : node.inputs) {
      const int from = producers[static_cast<size_t>(v)];
      if (from >= 0 && std::ranges::find(drawn.inputs, from) == drawn.inputs.end())
        drawn.inputs.push_back(from);
    }
    for (const ir::ValueId v : node.outputs) producers[static_cast<size_t>(v)] = number;
  }
  return picture;
}

}  // namespace graft
