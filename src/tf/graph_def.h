// TensorFlow's GraphDef in memory: nodes, attributes, function library; its reader and writer.
//
// The reader takes hostile bytes; what is wrong comes back as a Status that names node and
// attribute. The writer is deterministic: equal graphs give equal bytes. Fields that Graft has no
// use for are kept as they were, so reading and writing loses nothing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "tf/attr_value.h"

namespace graft::tf {

// TensorFlow 2.21's graph version: what Graft reads as, and writes.
inline constexpr int kGraphDefVersion = 2474;

struct NodeDef {
  std::string name;
  std::string op;
  std::vector<std::string> inputs;  // data inputs first, then "^control" ones
  std::string device;
  AttrMap attrs;
  std::string other;  // encoded fields that are not read: debug info, full type

  const AttrValue* FindAttr(std::string_view key) const;
  // The attribute as a T; kInvalidArgument naming node and attribute when it is absent or of
  // another type. T: std::string, int64_t, float, bool, DType, Shape, TensorValue, FuncValue.
  template <class T>
  Result<T> Attr(std::string_view key) const;
  template <class T>
  Result<std::vector<T>> AttrList(std::string_view key) const;
};

// An input or output of an op: one tensor of `type` or of the dtype in `type_attr`, `number_attr`
// times that, or a list of the dtypes in `type_list_attr`.
struct ArgDef {
  std::string name;
  DType type = DType::kInvalid;
  std::string type_attr;
  std::string number_attr;
  std::string type_list_attr;
  bool is_ref = false;
  std::string other;
};

struct AttrDef {
  std::string name;
  std::string type;  // "int", "list(shape)", "func", …
  bool has_default = false;
  AttrValue default_value;
  std::string other;
};

// The signature of an op or a function.
struct OpDef {
  std::string name;
  std::vector<ArgDef> inputs;
  std::vector<ArgDef> outputs;
  std::vector<std::string> control_outputs;
  std::vector<AttrDef> attrs;
  bool is_stateful = false;
  std::string other;

  const AttrDef* FindAttr(std::string_view name) const;
};

struct FunctionDef {
  OpDef signature;
  // In bodies an input is "arg", "node:output_arg:index" or "^node".
  std::vector<NodeDef> nodes;
  std::map<std::string, std::string, std::less<>> ret;          // output arg → body edge
  std::map<std::string, std::string, std::less<>> control_ret;  // control output → body node
  AttrMap attrs;
  std::map<uint32_t, AttrMap> arg_attrs;
  std::string other;
};

struct GradientDef {
  std::string function;
  std::string gradient;
};

struct VersionDef {
  int32_t producer = 0;
  int32_t min_consumer = 0;
  std::vector<int64_t> bad_consumers;
};

struct GraphDef {
  std::vector<NodeDef> nodes;
  std::vector<FunctionDef> functions;
  std::vector<GradientDef> gradients;
  VersionDef versions;
  std::string other;          // of GraphDef itself
  std::string other_library;  // of FunctionDefLibrary

  const FunctionDef* FindFunction(std::string_view name) const;
};

// Reads a GraphDef. Constants refer to `bytes`, which they keep alive. kUnsupported for a graph
// that needs a newer TensorFlow than 2.21. Producers before version 24 wrote the empty shape for a
// placeholder of any shape: it is read as unknown, as TensorFlow reads it.
Result<GraphDef> ParseGraphDef(const FileBytes& bytes);
Result<GraphDef> ReadGraphDef(const std::string& path);
// kUnsupported above 2 GiB, which TensorFlow cannot read.
Result<std::string> SerializeGraphDef(const GraphDef& graph);
// One function by itself.
Result<FunctionDef> ParseFunctionDef(const FileBytes& bytes);
Result<NodeDef> ParseNodeDef(std::string bytes);
std::string SerializeNodeDef(const NodeDef& node);
std::string SerializeFunctionDef(const FunctionDef& function);

// An edge of the main graph: output `index` of `node`; index kControl for a control edge.
struct TensorRef {
  static constexpr int kControl = -1;
  std::string_view node;  // points into the parsed text
  int index = 0;
  bool is_control() const { return index == kControl; }
  bool operator==(const TensorRef&) const = default;
};
// "a" and "a:0" are output 0, "a:2" output 2, "^a" control. kDataLoss for anything else.
Result<TensorRef> ParseTensorName(std::string_view text);
std::string TensorName(std::string_view node, int index);  // "a", "a:2", "^a"
// The node that the tensor belongs to; empty where the text names no tensor.
std::string NodeOf(std::string_view tensor);
// "a:0" and "a" are one tensor; this is its shorter name.
std::string CanonicalTensor(std::string name);

// An edge of a function body: a function argument ("x", output empty), "node:output:index", or a
// control edge.
struct BodyRef {
  std::string_view node;
  std::string_view output;
  int index = 0;
  bool control = false;
};
Result<BodyRef> ParseBodyName(std::string_view text);

// Nodes by name. Refers to the vector given, which must not change meanwhile.
class NodeIndex {
 public:
  // kDataLoss when two nodes share a name.
  static Result<NodeIndex> Of(const std::vector<NodeDef>& nodes);
  int Find(std::string_view name) const {  // -1 when there is none
    const auto it = index_.find(name);
    return it == index_.end() ? -1 : it->second;
  }

 private:
  std::unordered_map<std::string_view, int> index_;
};

// ---- template members

template <class T>
Result<T> NodeDef::Attr(std::string_view key) const {
  const AttrValue* value = FindAttr(key);
  if (value == nullptr) return InvalidArgumentError("{}: no attribute '{}'", name, key);
  const T* typed = value->get<T>();
  if (typed == nullptr)
    return InvalidArgumentError("{}: attribute '{}' of another type", name, key);
  return *typed;
}

template <class T>
Result<std::vector<T>> NodeDef::AttrList(std::string_view key) const {
  const AttrValue* value = FindAttr(key);
  if (value == nullptr) return InvalidArgumentError("{}: no attribute '{}'", name, key);
  const std::vector<T>* typed = value->list<T>();
  if (typed == nullptr)
    return InvalidArgumentError("{}: attribute '{}' of another type", name, key);
  return *typed;
}

}  // namespace graft::tf
