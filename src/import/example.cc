#include "import/example.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/dtype_visit.h"
#include "base/split.h"
#include "tf/opdefs.h"

namespace graft::importer {
namespace {

constexpr std::pair<std::string_view, std::string_view> kExamples[] = {
#define GRAFT_EXAMPLE(op, text) {op, text},
#include "import/examples.inc"
#undef GRAFT_EXAMPLE
};

// "[2,3]" without its brackets, or "{2,3}" without its braces.
std::string_view Inside(std::string_view text) { return text.substr(1, text.size() - 2); }

int64_t Integer(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<int64_t> Integers(std::string_view list) {
  std::vector<int64_t> values;
  for (std::string_view item : Split(list, ',')) values.push_back(Integer(item));
  return values;
}

DType TypeOf(std::string_view text, DType tried) {
  return text == "$" ? tried : ParseDType(text).value_or(DType::kInvalid);
}

Result<tf::AttrValue> ParseValue(std::string_view type, std::string_view text, DType tried) {
  if (type == "type") return tf::AttrValue(TypeOf(text, tried));
  if (type == "int") return tf::AttrValue(Integer(text));
  if (type == "float") return tf::AttrValue(static_cast<float>(Integer(text)));
  if (type == "bool") return tf::AttrValue(text == "true");
  if (type == "string") return tf::AttrValue(std::string(text));
  if (type == "list(int)") return tf::AttrValue(Integers(Inside(text)));
  if (type == "list(float)") {
    const std::vector<int64_t> values = Integers(Inside(text));
    return tf::AttrValue(std::vector<float>(values.begin(), values.end()));
  }
  if (type == "shape") return tf::AttrValue(tf::Shape{.dims = Integers(Inside(text))});
  const std::vector<std::string_view> items = Split(Inside(text), ',');
  if (type == "list(string)")
    return tf::AttrValue(std::vector<std::string>(items.begin(), items.end()));
  if (type == "list(type)") {
    std::vector<DType> types;
    for (std::string_view item : items) types.push_back(TypeOf(item, tried));
    return tf::AttrValue(std::move(types));
  }
  return InvalidArgumentError("attributes of type {} have no text form", type);
}

Status Fill(Tensor& tensor, const std::vector<int64_t>& values) {
  const bool filled =
      TryVisitDType(kFloatTypes + TypeSet<int32_t, int64_t>{}, tensor.dtype(), [&]<class T>(T) {
        std::transform(values.begin(), values.end(), tensor.mutable_data<T>().begin(),
                       [](int64_t v) { return static_cast<T>(v); });
      });
  if (!filled)
    return UnsupportedError("numbers of dtype {} have no text form", Name(tensor.dtype()));
  return OkStatus();
}

// "=[2,3]", "=2" or "={2,3}", without the sign.
Result<Tensor> ParseConstant(std::string_view text, DType dtype) {
  const bool zeros = text.starts_with('[');
  const std::vector<int64_t> numbers =
      zeros || text.starts_with('{') ? Integers(Inside(text)) : std::vector{Integer(text)};
  Dims dims;
  if (zeros) {
    dims = numbers;
  } else if (text.starts_with('{')) {
    dims = {static_cast<int64_t>(numbers.size())};
  }
  GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(dtype, std::move(dims)));
  std::memset(tensor.mutable_raw(), 0, tensor.bytes());
  if (!zeros) GRAFT_RETURN_IF_ERROR(Fill(tensor, numbers));
  return tensor;
}

// The type attribute that the text leaves open.
const tf::AttrDef* TriedAttr(const tf::OpDef& op, const tf::NodeDef& node) {
  for (const bool has_default : {false, true}) {
    for (const tf::AttrDef& attr : op.attrs) {
      if (attr.type == "type" && attr.has_default == has_default && !node.FindAttr(attr.name))
        return &attr;
    }
  }
  return nullptr;
}

void AddTypesAndNumbers(const tf::OpDef& op, int operands, tf::NodeDef* node) {
  for (const tf::AttrDef& attr : op.attrs) {
    if (attr.type == "type" && !attr.has_default && !node->FindAttr(attr.name))
      node->attrs[attr.name] = DType::kInt32;
  }
  for (const tf::ArgDef& arg : op.inputs) {
    const int others = static_cast<int>(op.inputs.size()) - 1;
    if (!arg.number_attr.empty() && !node->FindAttr(arg.number_attr))
      node->attrs[arg.number_attr] = int64_t{operands - others};
  }
}

std::string_view TextOf(std::string_view op) {
  for (const auto& [name, text] : kExamples) {
    if (name == op) return text;
  }
  return {};
}

}  // namespace

Result<ExampleGraph> MakeExample(std::string_view name, DType dtype) {
  const tf::OpDef* op = tf::FindOp(name);
  if (op == nullptr) return UnsupportedError("TensorFlow has no op {}", name);
  tf::NodeDef node{.name = "example", .op = std::string(name)};
  std::vector<std::string_view> operands;
  for (std::string_view token : Split(TextOf(name), ' ')) {
    if (token.starts_with('[') || token.starts_with('=')) {
      operands.push_back(token);
      continue;
    }
    const std::string_view key = token.substr(0, token.find('='));
    const tf::AttrDef* attr = op->FindAttr(key);
    if (attr == nullptr) return InvalidArgumentError("{} has no attribute {}", name, key);
    GRAFT_ASSIGN_OR_RETURN(node.attrs[std::string(key)],
                           ParseValue(attr->type, token.substr(key.size() + 1), dtype));
  }
  if (operands.empty()) operands.assign(op->inputs.size(), "[2,3]");
  const tf::AttrDef* tried = TriedAttr(*op, node);
  if (tried != nullptr) node.attrs[tried->name] = dtype;
  AddTypesAndNumbers(*op, static_cast<int>(operands.size()), &node);
  tf::AddDefaultAttrs(*op, &node);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<DType> types, tf::InputTypes(node, *op));
  if (types.size() != operands.size())
    return InvalidArgumentError("{} has {} operands, its example {}", name, types.size(),
                                operands.size());
  if (tried == nullptr && types[0] != dtype)
    return UnsupportedError("{} takes {} alone", name, Name(types[0]));
  ExampleGraph example;
  example.graph.versions.producer = tf::kGraphDefVersion;
  for (size_t i = 0; i < operands.size(); ++i) {
    node.inputs.push_back(fmt::format("operand_{}", i));
    tf::NodeDef operand{.name = node.inputs.back()};
    if (operands[i].starts_with('=')) {
      GRAFT_ASSIGN_OR_RETURN(Tensor value, ParseConstant(operands[i].substr(1), types[i]));
      operand.op = "Const";
      operand.attrs = {{"dtype", types[i]}, {"value", tf::TensorValue(std::move(value))}};
    } else {
      const tf::Shape shape{.dims = Integers(Inside(operands[i]))};
      operand.op = "Placeholder";
      operand.attrs = {{"dtype", types[i]}, {"shape", shape}};
      example.inputs.push_back({operand.name, types[i], shape});
    }
    example.graph.nodes.push_back(std::move(operand));
  }
  example.node = static_cast<int>(example.graph.nodes.size());
  example.graph.nodes.push_back(std::move(node));
  return example;
}

}  // namespace graft::importer
