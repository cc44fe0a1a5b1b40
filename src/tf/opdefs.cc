#include "tf/opdefs.h"

#include <charconv>

#include "base/split.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

constexpr std::string_view kTable =
#include "tf/opdefs.inc"
    ;

// What the engines of graphs that were converted before look like.
constexpr std::string_view kEngineOp =
    "TRTEngineOp|in_tensor=@InT|out_tensor=@OutT|InT:list(type);OutT:list(type)|";

// Far above any real graph; keeps a hostile count from allocating.
constexpr int64_t kMaxArgs = 1 << 16;

template <class T>
T Number(std::string_view text) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  GRAFT_CHECK(error == std::errc() && stop == text.data() + text.size(), "opdefs.inc: '{}'", text);
  return value;
}

int HexDigit(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

std::string PercentDecoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
    i += 2;
  }
  return out;
}

DType TypeOf(std::string_view text) {
  if (text.starts_with('#')) return static_cast<DType>(Number<int>(text.substr(1)));
  const std::optional<DType> dtype = ParseDType(text);
  GRAFT_CHECK(dtype.has_value(), "opdefs.inc: type '{}'", text);
  return *dtype;
}

Shape ShapeOfText(std::string_view text) {
  if (text == "?") return Shape::Unknown();
  Shape shape;
  for (std::string_view dim : Split(text, 'x')) shape.dims.push_back(Number<int64_t>(dim));
  return shape;
}

template <class F>
AttrValue ListOf(std::string_view text, F element) {
  std::vector<decltype(element(text))> values;
  for (std::string_view item : Split(text, ',')) values.push_back(element(item));
  return values;
}

bool BoolOf(std::string_view text) { return text == "true"; }

AttrValue EncodedValue(std::string_view hex) {
  std::string wire;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    wire.push_back(static_cast<char>(HexDigit(hex[i]) * 16 + HexDigit(hex[i + 1])));
  const FileBytes bytes = CopyBytes(wire);
  Result<AttrValue> value = ParseAttrValue(bytes, bytes.view());
  GRAFT_CHECK(value.ok(), "opdefs.inc: {}", value.status().message());
  return std::move(value).value();
}

AttrValue DefaultOf(std::string_view type, std::string_view text) {
  if (type == "string") return PercentDecoded(text);
  if (type == "int") return Number<int64_t>(text);
  if (type == "float") return Number<float>(text);
  if (type == "bool") return BoolOf(text);
  if (type == "type") return TypeOf(text);
  if (type == "shape") return ShapeOfText(text);
  if (type == "list(string)") return ListOf(text, PercentDecoded);
  if (type == "list(int)") return ListOf(text, Number<int64_t>);
  if (type == "list(float)") return ListOf(text, Number<float>);
  if (type == "list(bool)") return ListOf(text, BoolOf);
  if (type == "list(type)") return ListOf(text, TypeOf);
  if (type == "list(shape)") return ListOf(text, ShapeOfText);
  return EncodedValue(text);
}

ArgDef ArgOf(std::string_view text) {
  ArgDef arg;
  arg.name = CutFront(&text, '=');
  if (text.starts_with('@')) {
    arg.type_list_attr = text.substr(1);
    return arg;
  }
  if (text.starts_with('&')) {
    arg.is_ref = true;
    text.remove_prefix(1);
  }
  const std::string_view kind = CutFront(&text, '*');
  arg.number_attr = text;
  if (kind.starts_with('$')) {
    arg.type_attr = kind.substr(1);
  } else {
    arg.type = TypeOf(kind);
  }
  return arg;
}

AttrDef AttrOf(std::string_view text) {
  AttrDef attr;
  attr.name = CutFront(&text, ':');
  attr.has_default = text.find('=') != std::string_view::npos;
  attr.type = CutFront(&text, '=');
  if (attr.has_default) attr.default_value = DefaultOf(attr.type, text);
  return attr;
}

OpDef OpOf(std::string_view line) {
  OpDef op;
  op.name = CutFront(&line, '|');
  for (std::string_view arg : Split(CutFront(&line, '|'), ';')) op.inputs.push_back(ArgOf(arg));
  for (std::string_view arg : Split(CutFront(&line, '|'), ';')) op.outputs.push_back(ArgOf(arg));
  for (std::string_view attr : Split(CutFront(&line, '|'), ';')) op.attrs.push_back(AttrOf(attr));
  op.is_stateful = line == "stateful";
  return op;
}

using Table = std::unordered_map<std::string_view, OpDef>;

Table ReadTable() {
  Table table;
  for (const std::string_view line : Split(kTable, '\n')) {
    if (line.empty()) continue;
    table.emplace(line.substr(0, line.find('|')), OpOf(line));
  }
  table.emplace(kEngineOp.substr(0, kEngineOp.find('|')), OpOf(kEngineOp));
  return table;
}

// Appends the dtypes of one argument of the node.
Status AppendTypes(const NodeDef& node, const ArgDef& arg, std::vector<DType>* types) {
  auto bad = [&](std::string_view attr) {
    return DataLossError("{}: attribute '{}', which argument '{}' of {} needs, is missing or wrong",
                         node.name, attr, arg.name, node.op);
  };
  if (!arg.type_list_attr.empty()) {
    const AttrValue* value = node.FindAttr(arg.type_list_attr);
    const std::vector<DType>* list = value ? value->list<DType>() : nullptr;
    if (list == nullptr) return bad(arg.type_list_attr);
    types->insert(types->end(), list->begin(), list->end());
    return OkStatus();
  }
  DType type = arg.type;
  if (!arg.type_attr.empty()) {
    const AttrValue* value = node.FindAttr(arg.type_attr);
    const DType* given = value ? value->get<DType>() : nullptr;
    if (given == nullptr) return bad(arg.type_attr);
    type = *given;
  }
  int64_t count = 1;
  if (!arg.number_attr.empty()) {
    const AttrValue* value = node.FindAttr(arg.number_attr);
    const int64_t* given = value ? value->get<int64_t>() : nullptr;
    if (given == nullptr || *given < 0 || *given > kMaxArgs) return bad(arg.number_attr);
    count = *given;
  }
  types->insert(types->end(), static_cast<size_t>(count), type);
  return OkStatus();
}

Result<std::vector<DType>> Types(const NodeDef& node, const std::vector<ArgDef>& args) {
  std::vector<DType> types;
  for (const ArgDef& arg : args) GRAFT_RETURN_IF_ERROR(AppendTypes(node, arg, &types));
  return types;
}

Result<const OpDef*> OpOfNode(const NodeDef& node) {
  const OpDef* op = FindOp(node.op);
  if (op == nullptr) return UnsupportedError("{}: {} is no op of TensorFlow", node.name, node.op);
  return op;
}

}  // namespace

const OpDef* FindOp(std::string_view op) {
  static const Table table = ReadTable();
  const auto it = table.find(op);
  return it == table.end() ? nullptr : &it->second;
}

void AddDefaultAttrs(const OpDef& op, NodeDef* node) {
  for (const AttrDef& attr : op.attrs) {
    if (attr.has_default) node->attrs.try_emplace(attr.name, attr.default_value);
  }
}

void AddDefaultAttrs(GraphDef* graph) {
  auto add = [](std::vector<NodeDef>* nodes) {
    for (NodeDef& node : *nodes) {
      if (const OpDef* op = FindOp(node.op)) AddDefaultAttrs(*op, &node);
    }
  };
  add(&graph->nodes);
  for (FunctionDef& function : graph->functions) add(&function.nodes);
}

Result<std::vector<DType>> InputTypes(const NodeDef& node, const OpDef& op) {
  return Types(node, op.inputs);
}
Result<std::vector<DType>> OutputTypes(const NodeDef& node, const OpDef& op) {
  return Types(node, op.outputs);
}
Result<std::vector<DType>> InputTypes(const NodeDef& node) {
  GRAFT_ASSIGN_OR_RETURN(const OpDef* op, OpOfNode(node));
  return InputTypes(node, *op);
}
Result<std::vector<DType>> OutputTypes(const NodeDef& node) {
  GRAFT_ASSIGN_OR_RETURN(const OpDef* op, OpOfNode(node));
  return OutputTypes(node, *op);
}

Result<int> OutputIndex(const NodeDef& node, const OpDef& op, std::string_view argument,
                        int index) {
  std::vector<DType> types;
  for (const ArgDef& arg : op.outputs) {
    const size_t first = types.size();
    GRAFT_RETURN_IF_ERROR(AppendTypes(node, arg, &types));
    if (arg.name != argument) continue;
    if (index < 0 || static_cast<size_t>(index) >= types.size() - first) {
      return DataLossError("{}: output '{}' of {} has no number {}", node.name, argument, node.op,
                           index);
    }
    return static_cast<int>(first) + index;
  }
  return DataLossError("{}: {} has no output '{}'", node.name, node.op, argument);
}

Result<std::string> OutputName(const NodeDef& node, const OpDef& op, int output) {
  std::vector<DType> types;
  for (const ArgDef& arg : op.outputs) {
    const auto first = static_cast<int>(types.size());
    GRAFT_RETURN_IF_ERROR(AppendTypes(node, arg, &types));
    if (output >= first && output < static_cast<int>(types.size()))
      return fmt::format("{}:{}", arg.name, output - first);
  }
  return DataLossError("{}: {} has no output {}", node.name, node.op, output);
}

}  // namespace graft::tf
