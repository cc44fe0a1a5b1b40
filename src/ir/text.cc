// The text form of a module:
//
//   graft-ir 1
//   symbol s0 input_dim 0 0 "x.0"
//   input "x" %0 f32[s0,4] "x:0"
//   constant %1 f32[4] "bias" = {1,2,3,4}
//   %2 f32[s0,4] "add" = pointwise program={…} (%0,%1) "add" origin=[7]
//   output "y" %2
//
// Whatever differs from a value's or node's defaults follows it as key=value.
#include <algorithm>
#include <limits>

#include "base/dtype_visit.h"
#include "base/hash.h"
#include "ir/attribute_names.h"
#include "ir/attributes_reader.h"
#include "ir/module.h"
#include "ir/scanner.h"

namespace graft::ir {
namespace {

constexpr std::string_view kHeader = "graft-ir 1\n";
constexpr std::string_view kSymbolKinds[] = {"input_dim", "host_value", "result_dim",
                                             "result_value", "expression"};
constexpr int64_t kMaxInline = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// "{1,2}", or nullopt when the constant goes to the side file: large, or of values whose bits text
// does not keep.
std::optional<std::string> InlineText(const Tensor& tensor) {
  if (tensor.elements() > kMaxInline) return std::nullopt;
  std::vector<std::string> items;
  bool exact = true;
  if (tensor.dtype() == DType::kBool) {
    for (bool v : tensor.data<bool>()) items.emplace_back(v ? "1" : "0");
  } else {
    const bool has_text = TryVisitDType(kNumberTypes, tensor.dtype(), [&]<class T>(T) {
      for (T v : tensor.data<T>()) {
        items.push_back(fmt::format("{}", ArithmeticType<T>{v}));
        if (v != v) exact = false;
      }
    });
    exact = exact && has_text;
  }
  if (!exact) return std::nullopt;
  return fmt::format("{{{}}}", fmt::join(items, ","));
}

class Writer {
 public:
  Writer(const Module& module, const TextOptions& options)
      : module_(module), options_(options), number_(module.value_count(), -1) {}

  Result<std::string> Write() {
    Number();
    text_ = kHeader;
    for (SymbolId id = 0; id < static_cast<SymbolId>(module_.symbols.size()); ++id) {
      GRAFT_RETURN_IF_ERROR(WriteSymbol(id));
    }
    for (size_t i = 0; i < module_.inputs.size(); ++i) {
      text_ += fmt::format("input {} ", Quote(module_.input_names[i]));
      GRAFT_RETURN_IF_ERROR(WriteValue(module_.inputs[i], /*with_contents=*/true));
      text_ += "\n";
    }
    for (ValueId id = 0; id < module_.value_count(); ++id) {
      if (module_.value(id).constant) GRAFT_RETURN_IF_ERROR(WriteConstant(id));
    }
    for (NodeId id = 0; id < module_.node_count(); ++id) {
      if (!module_.removed(id)) GRAFT_RETURN_IF_ERROR(WriteNode(module_.node(id)));
    }
    for (size_t i = 0; i < module_.outputs.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const std::string label, Label(module_.outputs[i]));
      text_ += fmt::format("output {} {}\n", Quote(module_.output_names[i]), label);
    }
    return std::move(text_);
  }

 private:
  // Values in the order of the text: inputs, constants, results.
  void Number() {
    int next = 0;
    auto number = [&](ValueId id) { number_[id] = next++; };
    for (ValueId id : module_.inputs) number(id);
    for (ValueId id = 0; id < module_.value_count(); ++id) {
      if (module_.value(id).constant) number(id);
    }
    for (NodeId id = 0, line = 0; id < module_.node_count(); ++id) {
      node_number_.push_back(line);
      if (module_.removed(id)) continue;
      ++line;
      for (ValueId v : module_.node(id).outputs) number(v);
    }
  }

  Result<std::string> Label(ValueId id) const {
    if (id < 0 || id >= module_.value_count() || number_[id] < 0)
      return InvalidArgumentError("value {} is neither an input, a constant nor a result", id);
    return fmt::format("%{}", number_[id]);
  }

  Status WriteSymbol(SymbolId id) {
    const Symbol& s = module_.symbols[id];
    int32_t source = s.input;
    if (s.is_result()) {
      if (s.node < 0 || s.node >= module_.node_count() || module_.removed(s.node))
        return InvalidArgumentError("symbol s{} is a dimension of no node", id);
      source = node_number_[s.node];
    }
    text_ += fmt::format("symbol s{} {} {} {} {}", id, kSymbolKinds[static_cast<int>(s.kind)],
                         source, s.axis, Quote(s.name));
    if (s.result != 0) text_ += fmt::format(" result={}", s.result);
    if (s.upper_bound) text_ += fmt::format(" bound={}", s.upper_bound->ToString());
    if (s.expression) text_ += fmt::format(" value={}", s.expression->ToString());
    text_ += "\n";
    return OkStatus();
  }

  // Contents of results follow from the node; an input's and an opaque node's do not.
  Status WriteValue(ValueId id, bool with_contents) {
    const Value& v = module_.value(id);
    GRAFT_ASSIGN_OR_RETURN(const std::string label, Label(id));
    text_ += fmt::format("{} {}{} {}", label, Name(v.dtype), v.has_shape ? ToString(v.shape) : "?",
                         Quote(v.name));
    if (with_contents && v.contents) text_ += fmt::format(" contents={}", ToString(*v.contents));
    if (v.low != -kInfinity || v.high != kInfinity)
      text_ += fmt::format(" range=[{},{}]", v.low, v.high);
    if (v.quantization) WriteQuantization(*v.quantization);
    if (v.view) {
      GRAFT_ASSIGN_OR_RETURN(const std::string base, Label(v.view->base));
      text_ += fmt::format(" view={} {} {}", base, v.view->axis, v.view->offset.ToString());
    }
    return OkStatus();
  }

  // " amax=node[6]", with an axis " amax=node[6,5.5]@3".
  void WriteQuantization(const QuantizationRange& range) {
    text_ += fmt::format(" amax={}[{}]", EnumName(range.origin), fmt::join(range.amax, ","));
    if (range.axis >= 0) text_ += fmt::format("@{}", range.axis);
  }

  Status WriteConstant(ValueId id) {
    const Tensor& tensor = *module_.value(id).constant;
    text_ += "constant ";
    GRAFT_RETURN_IF_ERROR(WriteValue(id, /*with_contents=*/false));
    if (const std::optional<std::string> elements = InlineText(tensor)) {
      text_ += fmt::format(" = {}\n", *elements);
      return OkStatus();
    }
    const std::string hash = ToHex(HashBytes(tensor.raw(), tensor.bytes()));
    text_ += fmt::format(" = @{}\n", hash);
    return options_.write_constant ? options_.write_constant(hash, tensor) : OkStatus();
  }

  Status WriteNode(const Node& node) {
    const bool opaque = Flags(node.kind()) & kOpaque;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (i > 0) text_ += ", ";
      GRAFT_RETURN_IF_ERROR(WriteValue(node.outputs[i], opaque));
    }
    text_ += fmt::format("{}= {} (", node.outputs.empty() ? "" : " ",
                         AttributesToString(node.attributes));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const std::string label, Label(node.inputs[i]));
      text_ += (i > 0 ? "," : "") + label;
    }
    text_ += ") " + Quote(node.name);
    if (!node.origin.empty()) text_ += fmt::format(" origin=[{}]", fmt::join(node.origin, ","));
    text_ += "\n";
    return OkStatus();
  }

  const Module& module_;
  const TextOptions& options_;
  std::vector<int32_t> number_;       // of values
  std::vector<int32_t> node_number_;  // of nodes, removed ones not counted
  std::string text_;
};

class Parser {
 public:
  Parser(std::string_view text, const ParseOptions& options) : in_(text), options_(options) {}

  Result<Module> Parse() {
    GRAFT_RETURN_IF_ERROR(in_.Expect(kHeader));
    // Symbols may be bounded by later ones, so their count comes first: they are read twice.
    Scanner symbols = in_;
    GRAFT_RETURN_IF_ERROR(CountSymbols());
    in_ = symbols;
    while (in_.Take("symbol ")) GRAFT_RETURN_IF_ERROR(ReadSymbol());
    // A name that runs over a line's end hides a symbol that was counted.
    if (static_cast<int>(module_.symbols.size()) != symbol_count_) return in_.Bad("a symbol");
    while (in_.Take("input ")) GRAFT_RETURN_IF_ERROR(ReadInput());
    while (in_.Take("constant ")) GRAFT_RETURN_IF_ERROR(ReadConstant());
    while (in_.Peek("%") || in_.Peek("= ")) GRAFT_RETURN_IF_ERROR(ReadNode());
    while (in_.Take("output ")) GRAFT_RETURN_IF_ERROR(ReadOutput());
    if (!in_.at_end()) return in_.Bad("an input, constant, node or output, in this order");
    for (const auto& [id, view] : views_) {
      GRAFT_RETURN_IF_ERROR(CheckLabel(view.base));
      module_.value(id).view = view;
    }
    for (size_t id = 0; id < module_.symbols.size(); ++id) {
      const Symbol& s = module_.symbols[id];
      if (s.is_result() && (s.node < 0 || s.node >= module_.node_count()))
        return InvalidArgumentError("symbol s{} is a dimension of no node", id);
    }
    return std::move(module_);
  }

 private:
  Status CountSymbols() {
    while (in_.Take("symbol ")) {
      ++symbol_count_;
      in_.UntilAnyOf("\n");
      GRAFT_RETURN_IF_ERROR(in_.Expect("\n"));
    }
    return OkStatus();
  }

  Status ReadSymbol() {
    Symbol s;
    GRAFT_RETURN_IF_ERROR(in_.Expect(fmt::format("s{} ", module_.symbols.size())));
    const std::string_view kind = in_.Word();
    const auto at = std::find(std::begin(kSymbolKinds), std::end(kSymbolKinds), kind);
    if (at == std::end(kSymbolKinds)) return in_.Bad("a kind of symbol");
    s.kind = static_cast<Symbol::Kind>(at - std::begin(kSymbolKinds));
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_RETURN_IF_ERROR(in_.Number(s.is_result() ? &s.node : &s.input));
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_RETURN_IF_ERROR(in_.Number(&s.axis));
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_ASSIGN_OR_RETURN(s.name, in_.Quoted());
    if (in_.Take(" result=")) GRAFT_RETURN_IF_ERROR(in_.Number(&s.result));
    if (in_.Take(" bound=")) {
      GRAFT_ASSIGN_OR_RETURN(Dim bound, ReadDim(in_, symbol_count_));
      s.upper_bound = std::move(bound);
    }
    if (in_.Take(" value=")) {
      GRAFT_ASSIGN_OR_RETURN(Dim value, ReadDim(in_, symbol_count_));
      s.expression = std::move(value);
    }
    module_.symbols.push_back(std::move(s));
    return in_.Expect("\n");
  }

  // Labels are the values' numbers in order, so a label is the ValueId.
  Status ReadNewLabel(ValueId expected) { return in_.Expect(fmt::format("%{} ", expected)); }
  Result<ValueId> ReadLabel() {
    ValueId id = -1;
    GRAFT_RETURN_IF_ERROR(in_.Expect("%"));
    GRAFT_RETURN_IF_ERROR(in_.Number(&id));
    return id;
  }
  Status CheckLabel(ValueId id) const {
    if (id < 0 || id >= module_.value_count()) return in_.Bad("a value that exists");
    return OkStatus();
  }

  Result<QuantizationRange> ReadQuantization() {
    QuantizationRange range;
    const std::string_view origin = in_.Word();
    const auto& names = EnumNames<RangeOrigin>::kNames;
    const auto at = std::find(std::begin(names), std::end(names), origin);
    if (at == std::end(names)) return in_.Bad("the origin of a range");
    range.origin = static_cast<RangeOrigin>(at - std::begin(names));
    GRAFT_RETURN_IF_ERROR(in_.Expect("["));
    do {
      GRAFT_RETURN_IF_ERROR(in_.Number(&range.amax.emplace_back()));
    } while (in_.Take(","));
    GRAFT_RETURN_IF_ERROR(in_.Expect("]"));
    if (in_.Take("@")) GRAFT_RETURN_IF_ERROR(in_.Number(&range.axis));
    return range;
  }

  Result<Value> ReadValue(ValueId id) {
    Value v;
    GRAFT_RETURN_IF_ERROR(ReadNewLabel(id));
    GRAFT_ASSIGN_OR_RETURN(v.dtype, ReadDType(in_));
    v.has_shape = !in_.Take("?");
    if (v.has_shape) {
      GRAFT_ASSIGN_OR_RETURN(v.shape, ReadDims(in_, symbol_count_));
    }
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_ASSIGN_OR_RETURN(v.name, in_.Quoted());
    if (in_.Take(" contents=")) {
      GRAFT_ASSIGN_OR_RETURN(v.contents, ReadDims(in_, symbol_count_));
    }
    if (in_.Take(" range=[")) {
      GRAFT_RETURN_IF_ERROR(in_.Number(&v.low));
      GRAFT_RETURN_IF_ERROR(in_.Expect(","));
      GRAFT_RETURN_IF_ERROR(in_.Number(&v.high));
      GRAFT_RETURN_IF_ERROR(in_.Expect("]"));
    }
    if (in_.Take(" amax=")) {
      GRAFT_ASSIGN_OR_RETURN(v.quantization, ReadQuantization());
    }
    if (in_.Take(" view=")) {
      View view;
      GRAFT_ASSIGN_OR_RETURN(view.base, ReadLabel());
      GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
      GRAFT_RETURN_IF_ERROR(in_.Number(&view.axis));
      GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
      GRAFT_ASSIGN_OR_RETURN(view.offset, ReadDim(in_, symbol_count_));
      views_.emplace_back(id, std::move(view));
    }
    return v;
  }

  Status ReadInput() {
    GRAFT_ASSIGN_OR_RETURN(std::string name, in_.Quoted());
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_ASSIGN_OR_RETURN(Value value, ReadValue(module_.value_count()));
    module_.inputs.push_back(module_.AddValue(std::move(value)));
    module_.input_names.push_back(std::move(name));
    return in_.Expect("\n");
  }

  Status ReadConstant() {
    GRAFT_ASSIGN_OR_RETURN(Value read, ReadValue(module_.value_count()));
    const std::optional<Dims> dims = ConstantDims(read.shape);
    if (!dims) return in_.Bad("a constant shape");
    GRAFT_RETURN_IF_ERROR(in_.Expect(" = "));
    Tensor tensor;
    if (in_.Take("@")) {
      const std::string hash(in_.Word());
      if (!options_.read_constant)
        return InvalidArgumentError("the bytes of constant {} are not at hand", hash);
      GRAFT_ASSIGN_OR_RETURN(tensor, options_.read_constant(hash, read.dtype, *dims));
      if (tensor.dtype() != read.dtype || tensor.dims() != *dims)
        return DataLossError("constant {} is {}", hash, Describe(tensor.dtype(), tensor.dims()));
    } else {
      GRAFT_ASSIGN_OR_RETURN(tensor, ReadElements(read.dtype, *dims));
    }
    Value& value = module_.value(module_.AddConstant(std::move(read.name), std::move(tensor)));
    value.low = read.low;
    value.high = read.high;
    value.quantization = std::move(read.quantization);
    return in_.Expect("\n");
  }

  Result<Tensor> ReadElements(DType dtype, const Dims& dims) {
    const int64_t count = CountElements(dims);
    if (count < 0 || count > kMaxInline) return in_.Bad("at most 16 elements");
    GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(dtype, dims));
    GRAFT_RETURN_IF_ERROR(in_.Expect("{"));
    Status status;
    auto read_all = [&](auto type, auto* elements) {
      for (int64_t i = 0; i < count && status.ok(); ++i) {
        ArithmeticType<decltype(type)> element{};
        if (i > 0) status = in_.Expect(",");
        if (status.ok()) status = in_.Number(&element);
        elements[i] = static_cast<std::remove_reference_t<decltype(*elements)>>(element);
      }
    };
    if (dtype == DType::kBool) {
      read_all(uint8_t(), tensor.mutable_data<bool>().data());
    } else if (!TryVisitDType(kNumberTypes, dtype, [&](auto type) {
                 read_all(type, tensor.mutable_data<decltype(type)>().data());
               })) {
      return in_.Bad("a constant by its hash");
    }
    GRAFT_RETURN_IF_ERROR(status);
    GRAFT_RETURN_IF_ERROR(in_.Expect("}"));
    return tensor;
  }

  Status ReadNode() {
    std::vector<Value> results;
    while (in_.Peek("%")) {
      const auto id = module_.value_count() + static_cast<ValueId>(results.size());
      GRAFT_ASSIGN_OR_RETURN(Value value, ReadValue(id));
      results.push_back(std::move(value));
      if (!in_.Take(", ")) {
        GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
        break;
      }
    }
    GRAFT_RETURN_IF_ERROR(in_.Expect("= "));
    GRAFT_ASSIGN_OR_RETURN(Attributes attributes, ReadAttributes(in_, symbol_count_));
    GRAFT_RETURN_IF_ERROR(in_.Expect(" ("));
    std::vector<ValueId> operands;
    while (!in_.Take(")")) {
      if (!operands.empty()) GRAFT_RETURN_IF_ERROR(in_.Expect(","));
      GRAFT_ASSIGN_OR_RETURN(const ValueId id, ReadLabel());
      GRAFT_RETURN_IF_ERROR(CheckLabel(id));
      operands.push_back(id);
    }
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_ASSIGN_OR_RETURN(std::string name, in_.Quoted());
    GRAFT_ASSIGN_OR_RETURN(const NodeId id, AddNode(std::move(attributes), std::move(operands),
                                                    std::move(results), std::move(name)));
    if (in_.Take(" origin=[")) {
      std::vector<int32_t> origin;
      do {
        GRAFT_RETURN_IF_ERROR(in_.Number(&origin.emplace_back()));
      } while (in_.Take(","));
      GRAFT_RETURN_IF_ERROR(in_.Expect("]"));
      module_.SetOrigin(id, std::move(origin));
    }
    return in_.Expect("\n");
  }

  // Adds the node with its results as the shape rule says; the text must say the same.
  Result<NodeId> AddNode(Attributes attributes, std::vector<ValueId> operands,
                         std::vector<Value> results, std::string name) {
    if (auto* opaque = std::get_if<OpaqueAttributes>(&attributes)) {
      return module_.AddOpaque(std::move(*opaque), std::move(operands), std::move(results),
                               std::move(name));
    }
    GRAFT_ASSIGN_OR_RETURN(const NodeId id, module_.AddNode(std::move(attributes),
                                                            std::move(operands), std::move(name)));
    const Node& node = module_.node(id);
    if (node.outputs.size() != results.size())
      return DataLossError("{}: {} results, not {}", node.name, node.outputs.size(),
                           results.size());
    for (size_t i = 0; i < results.size(); ++i) {
      Value& inferred = module_.value(node.outputs[i]);
      Value& read = results[i];
      if (read.dtype != inferred.dtype || !read.has_shape || read.shape != inferred.shape) {
        return DataLossError("{}: result {} is {}{}", node.name, i, Name(inferred.dtype),
                             ToString(inferred.shape));
      }
      inferred.name = std::move(read.name);
      inferred.low = read.low;
      inferred.high = read.high;
      inferred.quantization = std::move(read.quantization);
    }
    return id;
  }

  Status ReadOutput() {
    GRAFT_ASSIGN_OR_RETURN(std::string name, in_.Quoted());
    GRAFT_RETURN_IF_ERROR(in_.Expect(" "));
    GRAFT_ASSIGN_OR_RETURN(const ValueId id, ReadLabel());
    GRAFT_RETURN_IF_ERROR(CheckLabel(id));
    module_.outputs.push_back(id);
    module_.output_names.push_back(std::move(name));
    return in_.Expect("\n");
  }

  Scanner in_;
  const ParseOptions& options_;
  int symbol_count_ = 0;
  Module module_;
  std::vector<std::pair<ValueId, View>> views_;  // set at the end: a base may come later
};

}  // namespace

Result<std::string> ToText(const Module& module, const TextOptions& options) {
  return Writer(module, options).Write();
}

Result<Module> ParseText(std::string_view text, const ParseOptions& options) {
  return Parser(text, options).Parse();
}

}  // namespace graft::ir
