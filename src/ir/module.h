// The IR: a module holds nodes that read and write values, in one form from import to the chosen
// tactics.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "ir/attributes.h"
#include "ir/dim.h"

namespace graft::ir {

using ValueId = int32_t;
using NodeId = int32_t;

enum class OpKind : uint8_t {
#define GRAFT_OP(Id, name, flags) k##Id,
#include "ir/ops.inc"
#undef GRAFT_OP
};
enum OpFlags : uint8_t { kNone = 0, kViewOfInput = 1, kEpilogue = 2, kOpaque = 4, kUndecided = 8 };

// The alternatives stand in the order of OpKind, so OpKind is the variant's index.
using Attributes = std::variant<
#define GRAFT_OP(Id, name, flags) Id##Attributes,
#include "ir/ops.inc"
#undef GRAFT_OP
    std::monostate>;

// A body (ChoiceAttributes), and one of its nodes, which has one result.
struct BodyNode;
struct Body {
  std::string name;
  std::vector<BodyNode> nodes;
  std::vector<int64_t> results;
};
struct BodyNode {
  Attributes attributes = std::monostate();
  std::vector<int64_t> operands;
  std::string name;
  std::vector<int32_t> origin;
};

std::string_view Name(OpKind kind);
std::optional<OpKind> ParseOpKind(std::string_view name);
uint8_t Flags(OpKind kind);

// A symbol of the shapes: what binds it.
struct Symbol {
  enum class Kind : uint8_t {
    // Dimension `axis` of engine input `input`.
    kInputDim,
    // Element `axis` of the small integer engine input `input`, read on the host before the engine
    // runs.
    kHostValue,
    // Known when `node` has run: dimension `axis` of its output `result` (0 of 0 but for opaque
    // nodes).
    kResultDim,
    // An integer that `node`, a `read_integer`, has read: any, negative too.
    kResultValue,
    // The value of `expression`, which is too large to be written wherever it occurs.
    kExpression,
  };
  Kind kind = Kind::kInputDim;
  int32_t input = 0;  // index into Module::inputs
  NodeId node = 0;    // of results
  int32_t axis = 0;
  int32_t result = 0;              // kResultDim
  std::string name;                // for people: "input_1.0"
  std::optional<Dim> upper_bound;  // kResultDim: over symbols that are known before; every one
                                   // has it but those of opaque nodes
  std::optional<Dim> expression;   // kExpression: over symbols with smaller ids

  // Known only when a node has run.
  bool is_result() const { return kind == Kind::kResultDim || kind == Kind::kResultValue; }
  // Not negative; a value can be any integer, and so can an expression.
  bool is_size() const { return kind == Kind::kInputDim || kind == Kind::kResultDim; }
};

// Where in memory a value's bytes live when they are part of another value's: the elements
// [offset, offset + size) of `base` along `axis`. Written by passes that avoid copies: a
// concatenation's operand whose base is the concatenation's result is there already, and a slice
// whose result is a view of its operand has nothing to do.
struct View {
  ValueId base = -1;
  int64_t axis = 0;
  Dim offset;
};

// Where a value's quantisation range comes from.
enum class RangeOrigin : uint8_t {
  kOp,           // the op that computes it, or one that hands it on at the same scale
  kNode,         // a quantisation node of the model
  kTable,        // a calibration table
  kCalibration,  // the data of this conversion
};

// What a value's integers stand for when it is quantised: [-amax, amax], symmetric about zero, for
// the whole tensor or for each index along an axis. Unlike low and high it is no bound: elements
// beyond it are clipped.
struct QuantizationRange {
  std::vector<float> amax;  // finite and positive; one, or as many as the axis is long
  int64_t axis = -1;
  RangeOrigin origin = RangeOrigin::kNode;
  bool operator==(const QuantizationRange&) const = default;
};

struct Value {
  std::string name;  // the TensorFlow tensor, "conv1/Relu:0", or made from it
  DType dtype = DType::kInvalid;
  bool has_shape = false;  // false only for results of opaque nodes
  Shape shape;

  std::optional<Tensor> constant;  // the value itself, for constants
  std::optional<std::vector<Dim>>
      contents;  // small integer values known as expressions (row-major)
  float low = -std::numeric_limits<float>::infinity();  // bounds of the elements, where known
  float high = std::numeric_limits<float>::infinity();
  std::optional<QuantizationRange> quantization;  // where it may be quantised
  std::optional<View> view;

  NodeId producer = -1;  // -1: a module input or a constant
  int32_t result = 0;    // which output of the producer
};

struct Node {
  Attributes attributes = std::monostate();
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::string name;  // of the TensorFlow node it came from, or made from it
  std::vector<int32_t>
      origin;  // indices of the TensorFlow nodes that it covers (import), for reports

  OpKind kind() const { return static_cast<OpKind>(attributes.index()); }
  template <class T>
  const T* get() const {
    return std::get_if<T>(&attributes);
  }
  template <class T>
  T* get() {
    return std::get_if<T>(&attributes);
  }
};

// Nodes are kept in topological order: a node's inputs come from earlier nodes. Ids are indices and
// stay valid until Compact. A removed node has no outputs and monostate attributes. Nodes are
// changed by the module's functions alone: they know who reads what.
class Module {
 public:
  std::vector<Symbol> symbols;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::vector<std::string> input_names;  // as the model calls them, one for each input / output
  std::vector<std::string> output_names;

  int value_count() const { return static_cast<int>(values_.size()); }
  int node_count() const { return static_cast<int>(nodes_.size()); }
  Value& value(ValueId id) { return values_[id]; }
  const Value& value(ValueId id) const { return values_[id]; }
  const Node& node(NodeId id) const { return nodes_[id]; }
  bool removed(NodeId id) const {
    return nodes_[id].attributes.index() == std::variant_size_v<Attributes> - 1;
  }

  ValueId AddValue(Value value);
  ValueId AddInput(std::string name, DType dtype, Shape shape);
  ValueId AddConstant(std::string name, Tensor tensor);
  SymbolId AddSymbol(Symbol symbol);
  // The same value as an expression that is small enough to be written: parts of a larger one
  // become symbols (kExpression), equal parts the same ones. `name` is for people.
  Dim Shorten(const Dim& dim, std::string_view name);

  // Appends a node whose operands exist already and infers its results by the op's shape rule;
  // their ids are the node's outputs. Dimensions that grow too large are shortened. A result dim
  // among the attributes becomes the new node's, whose it was is to be removed. InvalidArgument
  // with the node's name when operands do not fit the op.
  Result<NodeId> AddNode(Attributes attributes, std::vector<ValueId> inputs, std::string name);
  // Appends an opaque node with results as given.
  NodeId AddOpaque(OpaqueAttributes attributes, std::vector<ValueId> inputs,
                   std::vector<Value> results, std::string name);

  // Appends a node whose results exist already, with their producer set. For readers of outside
  // bytes: Verify tells whether everything fits.
  NodeId AppendNode(Node node);

  // Inserts nodes anywhere: after rewriting, Compact restores the order.
  void RemoveNode(NodeId id);
  void SetName(NodeId id, std::string name);
  void SetOrigin(NodeId id, std::vector<int32_t> origin);
  // Every reader of `from` (module outputs too) reads `to` instead, in a time that grows with the
  // number of readers. Views of `from` become views of `to`.
  void ReplaceUses(ValueId from, ValueId to);

  // Drops removed nodes, nodes nobody needs, unused values and the result dims that went with their
  // nodes, and sorts the nodes topologically (stable). Ids change. InternalError for a cycle.
  Status Compact();

 private:
  std::vector<std::vector<NodeId>> ResultDimReads() const;
  // Every dimension but the expressions of symbols.
  void VisitDims(const std::function<void(const Dim&)>& visit) const;
  void DropLostSymbols();
  void IndexReaders();
  void KnowReader(NodeId id);

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  // For each value, the nodes that read it, and perhaps some that no longer do: what ReplaceUses
  // goes by. Made by its first call, since most modules are read and built without one.
  std::vector<std::vector<NodeId>> readers_;
  bool readers_known_ = false;
};

// Who reads a value. Built once by a pass and valid until it changes the module.
class Uses {
 public:
  explicit Uses(const Module& module);
  const std::vector<NodeId>& of(ValueId id) const { return readers_[id]; }
  bool is_output(ValueId id) const { return is_output_[id]; }
  // Read once, by one node, and not a module output.
  bool single(ValueId id) const { return readers_[id].size() == 1 && !is_output_[id]; }

 private:
  std::vector<std::vector<NodeId>> readers_;  // a node that reads twice is listed twice
  std::vector<bool> is_output_;
};

// The op's shape rule: dtype, shape, contents and range of the node's results from its operands.
// shape_rules.cc.
Result<std::vector<Value>> InferResults(const Module& module, const Node& node);

// Everything a module must hold: ids in range, order, arity, attribute ranges, results as the shape
// rule says, symbols bound. Safe on modules read from outside bytes: returns DataLoss, never
// checks. verifier.cc.
Status Verify(const Module& module);

// Replaces every Dim in attributes by what `substitute` gives. Used to bind a node to concrete
// shapes.
Result<Attributes> SubstituteDims(const Attributes& attributes,
                                  const std::function<Result<Dim>(const Dim&)>& substitute);

// The element-wise program in an op's attributes, its own or its epilogue; null for ops without
// one.
const PointwiseProgram* ProgramOf(const Attributes& attributes);

// The attribute result_dim of an op whose data decides a dimension of its results; null for others.
const Dim* ResultDimOf(const Attributes& attributes);
// The symbol that it is.
std::optional<SymbolId> ResultSymbolOf(const Node& node);

// One canonical line of op, attributes: "conv strides=[2,2] …". Equal problems give equal strings.
std::string AttributesToString(const Attributes& attributes);
// Reads AttributesToString's form; symbols are below symbol_count. Fields stand in their order.
// attributes_reader.cc.
Result<Attributes> ParseAttributes(std::string_view text, int symbol_count);

// The text form, text.cc. Constants are written as `@hash`; their bytes go through the callbacks (a
// side file). Dense small constants (at most 16 elements) are written out. Values are numbered
// in the order of the text; removed nodes and values that nothing defines are left out.
struct TextOptions {
  std::function<Status(const std::string& hash, const Tensor&)>
      write_constant;  // may be empty: bytes are dropped
};
struct ParseOptions {
  std::function<Result<Tensor>(const std::string& hash, DType, const Dims&)> read_constant;
};
Result<std::string> ToText(const Module& module, const TextOptions& options = {});
Result<Module> ParseText(std::string_view text, const ParseOptions& options = {});

}  // namespace graft::ir
