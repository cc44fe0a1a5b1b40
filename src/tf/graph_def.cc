#include "tf/graph_def.h"

#include <algorithm>
#include <charconv>

#include "tf/wire.h"

namespace graft::tf {
namespace {

constexpr size_t kMaxMessageBytes = (size_t{1} << 31) - 1;

// Parses a message into a new element of `list`.
template <class T, class F>
auto ParsedInto(std::vector<T>* list, F parse) {
  return [list, parse](std::string_view part) {
    list->emplace_back();
    return parse(part, &list->back());
  };
}

std::string Label(std::string_view kind, std::string_view name, size_t index) {
  return name.empty() ? fmt::format("{} number {}", kind, index)
                      : fmt::format("{} '{}'", kind, name);
}

Status ParseNode(const FileBytes& file, std::string_view wire, NodeDef* node) {
  GRAFT_RETURN_IF_ERROR(ReadFields(
      wire, &node->other, Field(1, &node->name), Field(2, &node->op), Field(3, &node->inputs),
      Field(4, &node->device),
      Field(5, [&](std::string_view part) { return ParseAttrEntry(file, part, &node->attrs); })));
  if (node->name.empty()) return DataLossError("node without a name");
  if (node->op.empty()) return DataLossError("node without an op");
  return OkStatus();
}

// Parses a node of a list.
auto NodesInto(const FileBytes& file, std::vector<NodeDef>* nodes) {
  return [&file, nodes](std::string_view part) {
    const size_t index = nodes->size();
    const Status status = ParseNode(file, part, &nodes->emplace_back());
    return status.ok() ? status : status.WithContext(Label("node", nodes->back().name, index));
  };
}

Status ParseArg(std::string_view wire, ArgDef* arg) {
  int64_t type = 0;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, &arg->other, Field(1, &arg->name), Field(3, &type),
                                   Field(4, &arg->type_attr), Field(5, &arg->number_attr),
                                   Field(6, &arg->type_list_attr), Field(16, &arg->is_ref)));
  return Store(ParseDTypeNumber(type), &arg->type);
}

Status ParseAttrDef(const FileBytes& file, std::string_view wire, AttrDef* attr) {
  return ReadFields(wire, &attr->other, Field(1, &attr->name), Field(2, &attr->type),
                    Field(3, [&](std::string_view part) {
                      attr->has_default = true;
                      return Store(ParseAttrValue(file, part), &attr->default_value);
                    }));
}

Status ParseSignature(const FileBytes& file, std::string_view wire, OpDef* op) {
  const auto parse_attr = [&](std::string_view part, AttrDef* attr) {
    return ParseAttrDef(file, part, attr);
  };
  return ReadFields(
      wire, &op->other, Field(1, &op->name), Field(2, ParsedInto(&op->inputs, ParseArg)),
      Field(3, ParsedInto(&op->outputs, ParseArg)), Field(4, ParsedInto(&op->attrs, parse_attr)),
      Field(17, &op->is_stateful), Field(20, &op->control_outputs));
}

Status ParseStringEntry(std::string_view wire,
                        std::map<std::string, std::string, std::less<>>* map) {
  GRAFT_ASSIGN_OR_RETURN(MapEntry entry, ReadMapEntry(wire));
  map->insert_or_assign(std::move(entry.key), std::string(entry.value));
  return OkStatus();
}

Status ParseArgAttrs(const FileBytes& file, std::string_view wire,
                     std::map<uint32_t, AttrMap>* arg_attrs) {
  uint64_t key = 0;
  AttrMap attrs;
  const auto parse_attr = [&](std::string_view part) { return ParseAttrEntry(file, part, &attrs); };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(1, &key), Field(2, [&](std::string_view part) {
                   return ReadFields(part, nullptr, Field(1, parse_attr));
                 })));
  arg_attrs->insert_or_assign(static_cast<uint32_t>(key), std::move(attrs));
  return OkStatus();
}

Status ParseFunction(const FileBytes& file, std::string_view wire, FunctionDef* function) {
  const auto parse_signature = [&](std::string_view part) {
    return ParseSignature(file, part, &function->signature);
  };
  const auto parse_attr = [&](std::string_view part) {
    return ParseAttrEntry(file, part, &function->attrs);
  };
  const auto parse_arg_attrs = [&](std::string_view part) {
    return ParseArgAttrs(file, part, &function->arg_attrs);
  };
  const auto strings_into = [](std::map<std::string, std::string, std::less<>>* map) {
    return [map](std::string_view part) { return ParseStringEntry(part, map); };
  };
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, &function->other, Field(1, parse_signature),
                                   Field(3, NodesInto(file, &function->nodes)),
                                   Field(4, strings_into(&function->ret)), Field(5, parse_attr),
                                   Field(6, strings_into(&function->control_ret)),
                                   Field(7, parse_arg_attrs)));
  if (function->signature.name.empty()) return DataLossError("function without a name");
  return OkStatus();
}

Status ParseGradient(std::string_view wire, GradientDef* gradient) {
  return ReadFields(wire, nullptr, Field(1, &gradient->function), Field(2, &gradient->gradient));
}

Status ParseLibrary(const FileBytes& file, std::string_view wire, GraphDef* graph) {
  const auto parse_function = [&](std::string_view part) {
    const size_t index = graph->functions.size();
    FunctionDef& function = graph->functions.emplace_back();
    const Status status = ParseFunction(file, part, &function);
    return status.ok() ? status
                       : status.WithContext(Label("function", function.signature.name, index));
  };
  return ReadFields(wire, &graph->other_library, Field(1, parse_function),
                    Field(2, ParsedInto(&graph->gradients, ParseGradient)));
}

Status ParseVersions(std::string_view wire, VersionDef* versions) {
  return ReadFields(wire, nullptr, Field(1, &versions->producer), Field(2, &versions->min_consumer),
                    Field(3, &versions->bad_consumers));
}

Status CheckVersions(const VersionDef& versions) {
  if (versions.min_consumer > kGraphDefVersion) {
    return UnsupportedError(
        "the graph needs a TensorFlow of graph version {} (its min_consumer); this is 2.21's, {}",
        versions.min_consumer, kGraphDefVersion);
  }
  if (std::ranges::find(versions.bad_consumers, kGraphDefVersion) != versions.bad_consumers.end()) {
    return UnsupportedError(
        "the graph excludes TensorFlow 2.21 (graph version {}) by bad_consumers", kGraphDefVersion);
  }
  return OkStatus();
}

// ---- writing

template <class F>
void AddMessage(std::string* out, uint32_t field, F&& append) {
  std::string message;
  append(&message);
  protozero::pbf_writer w(*out);
  WriteMessage(&w, field, message);
}

void AppendNode(const NodeDef& node, std::string* out) {
  protozero::pbf_writer w(*out);
  WriteString(&w, 1, node.name);
  WriteString(&w, 2, node.op);
  for (const std::string& input : node.inputs) w.add_bytes(3, input);
  WriteString(&w, 4, node.device);
  AppendAttrs(node.attrs, 5, out);
  WriteEncoded(out, node.other);
}

void AppendArg(const ArgDef& arg, std::string* out) {
  protozero::pbf_writer w(*out);
  WriteString(&w, 1, arg.name);
  if (arg.type != DType::kInvalid) w.add_enum(3, static_cast<int32_t>(arg.type));
  WriteString(&w, 4, arg.type_attr);
  WriteString(&w, 5, arg.number_attr);
  WriteString(&w, 6, arg.type_list_attr);
  if (arg.is_ref) w.add_bool(16, true);
  WriteEncoded(out, arg.other);
}

void AppendSignature(const OpDef& op, std::string* out) {
  protozero::pbf_writer w(*out);
  WriteString(&w, 1, op.name);
  for (const ArgDef& arg : op.inputs)
    AddMessage(out, 2, [&](std::string* message) { AppendArg(arg, message); });
  for (const ArgDef& arg : op.outputs)
    AddMessage(out, 3, [&](std::string* message) { AppendArg(arg, message); });
  for (const AttrDef& attr : op.attrs) {
    AddMessage(out, 4, [&](std::string* message) {
      protozero::pbf_writer def(*message);
      WriteString(&def, 1, attr.name);
      WriteString(&def, 2, attr.type);
      if (attr.has_default) {
        AddMessage(message, 3,
                   [&](std::string* value) { AppendAttrValue(attr.default_value, value); });
      }
      WriteEncoded(message, attr.other);
    });
  }
  if (op.is_stateful) w.add_bool(17, true);
  for (const std::string& name : op.control_outputs) w.add_bytes(20, name);
  WriteEncoded(out, op.other);
}

void AppendStringMap(const std::map<std::string, std::string, std::less<>>& map, uint32_t field,
                     std::string* out) {
  for (const auto& [key, value] : map) {
    protozero::pbf_writer w(*out);
    protozero::pbf_writer entry(w, field);
    entry.add_bytes(1, key);
    entry.add_bytes(2, value);
  }
}

void AppendFunction(const FunctionDef& function, std::string* out) {
  AddMessage(out, 1, [&](std::string* message) { AppendSignature(function.signature, message); });
  for (const NodeDef& node : function.nodes)
    AddMessage(out, 3, [&](std::string* message) { AppendNode(node, message); });
  AppendStringMap(function.ret, 4, out);
  AppendAttrs(function.attrs, 5, out);
  AppendStringMap(function.control_ret, 6, out);
  for (const auto& argument : function.arg_attrs) {
    AddMessage(out, 7, [&](std::string* entry) {
      protozero::pbf_writer w(*entry);
      w.add_uint32(1, argument.first);
      AddMessage(entry, 2, [&](std::string* message) { AppendAttrs(argument.second, 1, message); });
    });
  }
  WriteEncoded(out, function.other);
}

void AppendLibrary(const GraphDef& graph, std::string* out) {
  for (const FunctionDef& function : graph.functions)
    AddMessage(out, 1, [&](std::string* message) { AppendFunction(function, message); });
  for (const GradientDef& gradient : graph.gradients) {
    AddMessage(out, 2, [&](std::string* message) {
      protozero::pbf_writer w(*message);
      WriteString(&w, 1, gradient.function);
      WriteString(&w, 2, gradient.gradient);
    });
  }
  WriteEncoded(out, graph.other_library);
}

void AppendVersions(const VersionDef& versions, std::string* out) {
  protozero::pbf_writer w(*out);
  if (versions.producer != 0) w.add_int32(1, versions.producer);
  if (versions.min_consumer != 0) w.add_int32(2, versions.min_consumer);
  w.add_packed_int64(3, versions.bad_consumers.begin(), versions.bad_consumers.end());
}

bool ParseIndex(std::string_view digits, int* index) {
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, *index);
  return error == std::errc() && stop == end && *index >= 0;
}

}  // namespace

const AttrValue* NodeDef::FindAttr(std::string_view key) const {
  const auto it = attrs.find(key);
  return it == attrs.end() ? nullptr : &it->second;
}

namespace {

void ForgetEmptyShapes(GraphDef* graph) {
  constexpr int kFirstThatKnowsScalars = 24;
  if (graph->versions.producer >= kFirstThatKnowsScalars) return;
  for (NodeDef& node : graph->nodes) {
    if (node.op != "Placeholder") continue;
    const Result<Shape> shape = node.Attr<Shape>("shape");
    if (shape.ok() && !shape->unknown_rank && shape->dims.empty())
      node.attrs["shape"] = Shape::Unknown();
  }
}

}  // namespace

const AttrDef* OpDef::FindAttr(std::string_view attr) const {
  const auto it = std::ranges::find(attrs, attr, &AttrDef::name);
  return it == attrs.end() ? nullptr : &*it;
}

const FunctionDef* GraphDef::FindFunction(std::string_view name) const {
  const auto it = std::ranges::find_if(
      functions, [&](const FunctionDef& f) { return f.signature.name == name; });
  return it == functions.end() ? nullptr : &*it;
}

Result<FunctionDef> ParseFunctionDef(const FileBytes& bytes) {
  FunctionDef function;
  GRAFT_RETURN_IF_ERROR(ParseFunction(bytes, bytes.view(), &function));
  return function;
}

Result<GraphDef> ParseGraphDef(const FileBytes& bytes) {
  GraphDef graph;
  const auto parse_library = [&](std::string_view part) {
    return ParseLibrary(bytes, part, &graph);
  };
  const auto parse_versions = [&](std::string_view part) {
    return ParseVersions(part, &graph.versions);
  };
  GRAFT_RETURN_IF_ERROR(ReadFields(bytes.view(), &graph.other,
                                   Field(1, NodesInto(bytes, &graph.nodes)),
                                   Field(2, parse_library), Field(4, parse_versions)));
  GRAFT_RETURN_IF_ERROR(CheckVersions(graph.versions));
  GRAFT_RETURN_IF_ERROR(NodeIndex::Of(graph.nodes).status());
  ForgetEmptyShapes(&graph);
  return graph;
}

Result<GraphDef> ReadGraphDef(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(FileBytes bytes, ReadFile(path));
  Result<GraphDef> graph = ParseGraphDef(bytes);
  if (!graph.ok()) return graph.status().WithContext(path);
  return graph;
}

Result<std::string> SerializeGraphDef(const GraphDef& graph) {
  std::string out;
  for (const NodeDef& node : graph.nodes)
    AddMessage(&out, 1, [&](std::string* message) { AppendNode(node, message); });
  if (!graph.functions.empty() || !graph.gradients.empty() || !graph.other_library.empty())
    AddMessage(&out, 2, [&](std::string* message) { AppendLibrary(graph, message); });
  AddMessage(&out, 4, [&](std::string* message) { AppendVersions(graph.versions, message); });
  WriteEncoded(&out, graph.other);
  if (out.size() > kMaxMessageBytes) {
    return UnsupportedError("the graph is {} bytes; TensorFlow reads no GraphDef of 2 GiB or more",
                            out.size());
  }
  return out;
}

Result<NodeDef> ParseNodeDef(std::string bytes) {
  NodeDef node;
  const auto owned = std::make_shared<const std::string>(std::move(bytes));
  const auto* data = reinterpret_cast<const std::byte*>(owned->data());
  const FileBytes file{std::shared_ptr<const std::byte>(owned, data), owned->size()};
  GRAFT_RETURN_IF_ERROR(ParseNode(file, file.view(), &node));
  return node;
}

std::string SerializeNodeDef(const NodeDef& node) {
  std::string out;
  AppendNode(node, &out);
  return out;
}

std::string SerializeFunctionDef(const FunctionDef& function) {
  std::string out;
  AppendFunction(function, &out);
  return out;
}

Result<TensorRef> ParseTensorName(std::string_view text) {
  TensorRef ref;
  if (text.starts_with('^')) {
    ref = {text.substr(1), TensorRef::kControl};
  } else if (const size_t colon = text.rfind(':'); colon == std::string_view::npos) {
    ref = {text, 0};
  } else {
    ref.node = text.substr(0, colon);
    if (!ParseIndex(text.substr(colon + 1), &ref.index))
      return DataLossError("'{}' names no tensor", text);
  }
  if (ref.node.empty() || ref.node.find_first_of(":^") != std::string_view::npos)
    return DataLossError("'{}' names no tensor", text);
  return ref;
}

std::string NodeOf(std::string_view tensor) {
  const Result<TensorRef> ref = ParseTensorName(tensor);
  return ref.ok() ? std::string(ref->node) : std::string();
}

std::string CanonicalTensor(std::string name) {
  if (name.ends_with(":0")) name.resize(name.size() - 2);
  return name;
}

std::string TensorName(std::string_view node, int index) {
  if (index == TensorRef::kControl) return fmt::format("^{}", node);
  return index == 0 ? std::string(node) : fmt::format("{}:{}", node, index);
}

Result<BodyRef> ParseBodyName(std::string_view text) {
  if (text.starts_with('^')) return BodyRef{text.substr(1), "", 0, true};
  const size_t first = text.find(':');
  if (first == std::string_view::npos) return BodyRef{text, "", 0, false};
  const size_t second = text.find(':', first + 1);
  BodyRef ref{text.substr(0, first), text.substr(first + 1, second - first - 1), 0, false};
  if (ref.node.empty() || ref.output.empty() ||
      (second != std::string_view::npos && !ParseIndex(text.substr(second + 1), &ref.index))) {
    return DataLossError("'{}' names no edge of a function body", text);
  }
  return ref;
}

Result<NodeIndex> NodeIndex::Of(const std::vector<NodeDef>& nodes) {
  NodeIndex index;
  index.index_.reserve(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!index.index_.emplace(nodes[i].name, static_cast<int>(i)).second)
      return DataLossError("two nodes are named '{}'", nodes[i].name);
  }
  return index;
}

}  // namespace graft::tf
