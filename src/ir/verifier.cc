#include <algorithm>
#include <cmath>
#include <map>

#include "ir/attribute_names.h"
#include "ir/dim_size.h"
#include "ir/module.h"
#include "ir/stages.h"

namespace graft::ir {
namespace {

constexpr size_t kMaxRank = 254;  // TensorFlow's

// Positions in the module are checked before they are followed: the module may come from a file.
class Verifier {
 public:
  explicit Verifier(const Module& module)
      : m_(module), defined_(module.value_count(), Definition::kNone) {}

  Status Run() {
    GRAFT_RETURN_IF_ERROR(Borders());
    for (size_t i = 0; i < m_.symbols.size(); ++i) {
      GRAFT_RETURN_IF_ERROR(
          Named(CheckExpression(static_cast<SymbolId>(i)), fmt::format("symbol s{}", i)));
    }
    for (ValueId id = 0; id < m_.value_count(); ++id) {
      GRAFT_RETURN_IF_ERROR(Named(CheckValue(id), m_.value(id).name));
    }
    for (NodeId id = 0; id < m_.node_count(); ++id) {
      GRAFT_RETURN_IF_ERROR(Named(CheckNode(id), m_.node(id).name));
    }
    for (ValueId id : m_.outputs) {
      if (defined_[id] == Definition::kNone)
        return DataLossError("output {} is never computed", m_.value(id).name);
    }
    // Bases may be defined after the views into them.
    for (ValueId id = 0; id < m_.value_count(); ++id) {
      if (m_.value(id).view) GRAFT_RETURN_IF_ERROR(Named(CheckView(id), m_.value(id).name));
    }
    GRAFT_RETURN_IF_ERROR(CheckViewsEnd());
    for (size_t i = 0; i < m_.symbols.size(); ++i) {
      GRAFT_RETURN_IF_ERROR(
          Named(CheckSymbol(static_cast<SymbolId>(i)), fmt::format("symbol s{}", i)));
    }
    if (const Result<Stages> stages = FindStages(m_); !stages.ok())
      return DataLossError("{}", stages.status().message());
    return OkStatus();
  }

 private:
  enum class Definition : uint8_t { kNone, kInput, kConstant, kResult };

  static Status Named(Status status, std::string_view name) {
    if (status.ok()) return status;
    return DataLossError("{}: {}", name, status.message());
  }

  Status InRange(ValueId id) const {
    if (id < 0 || id >= m_.value_count()) return DataLossError("value {} does not exist", id);
    return OkStatus();
  }

  Status Borders() {
    if (m_.inputs.size() != m_.input_names.size() || m_.outputs.size() != m_.output_names.size())
      return DataLossError("names for {} inputs and {} outputs", m_.input_names.size(),
                           m_.output_names.size());
    for (ValueId id : m_.inputs) {
      GRAFT_RETURN_IF_ERROR(InRange(id));
      if (defined_[id] != Definition::kNone)
        return DataLossError("{} is an input twice", m_.value(id).name);
      if (m_.value(id).producer >= 0 || m_.value(id).constant)
        return DataLossError("input {} has a producer or is a constant", m_.value(id).name);
      defined_[id] = Definition::kInput;
    }
    for (ValueId id : m_.outputs) GRAFT_RETURN_IF_ERROR(InRange(id));
    return OkStatus();
  }

  Status CheckDim(const Dim& d) const {
    bool known = true;
    d.VisitSymbols(
        [&](SymbolId s) { known &= s >= 0 && s < static_cast<SymbolId>(m_.symbols.size()); });
    if (!known) return DataLossError("{} has a symbol that does not exist", d.ToString());
    if (IsOversized(d)) return DataLossError("an expression of {} symbols", ExpressionSize(d));
    return OkStatus();
  }

  Status CheckValue(ValueId id) {
    const Value& v = m_.value(id);
    if (!v.has_shape && !v.shape.empty()) return DataLossError("a shape that is not known");
    if (v.shape.size() > kMaxRank) return DataLossError("rank {}", v.shape.size());
    for (const Dim& d : v.shape) {
      GRAFT_RETURN_IF_ERROR(CheckDim(d));
      if (d.is_constant() && *d.constant() < 0) return DataLossError("shape {}", ToString(v.shape));
    }
    if (v.contents) GRAFT_RETURN_IF_ERROR(CheckContents(v));
    if (!(v.low <= v.high)) return DataLossError("range [{},{}]", v.low, v.high);
    if (v.quantization) GRAFT_RETURN_IF_ERROR(CheckQuantization(v));
    if (v.constant) {
      if (v.producer >= 0) return DataLossError("a constant with a producer");
      if (!v.has_shape || v.constant->dtype() != v.dtype ||
          MakeShape(v.constant->dims()) != v.shape) {
        return DataLossError("a constant {} with the type {}{}",
                             Describe(v.constant->dtype(), v.constant->dims()), Name(v.dtype),
                             ToString(v.shape));
      }
      defined_[id] = Definition::kConstant;
    }
    return OkStatus();
  }

  static Status CheckQuantization(const Value& v) {
    const QuantizationRange& range = *v.quantization;
    for (float amax : range.amax) {
      if (!(amax > 0) || !std::isfinite(amax)) return DataLossError("quantised up to {}", amax);
    }
    if (static_cast<size_t>(range.origin) >= std::size(EnumNames<RangeOrigin>::kNames))
      return DataLossError("a range of no origin");
    const size_t n = range.amax.size();
    if (range.axis == -1 && n == 1) return OkStatus();
    // How long the axis is may be known only at run time; that of a constant is not.
    const bool fits = v.has_shape && range.axis >= 0 &&
                      range.axis < static_cast<int64_t>(v.shape.size()) &&
                      v.shape[range.axis] == static_cast<int64_t>(n);
    if (!fits) return DataLossError("{} ranges along axis {}", n, range.axis);
    return OkStatus();
  }

  Status CheckContents(const Value& v) const {
    const std::optional<Dims> dims = ConstantDims(v.shape);
    if (!v.has_shape || !dims || CountElements(*dims) != static_cast<int64_t>(v.contents->size())) {
      return DataLossError("{} known elements with the shape {}", v.contents->size(),
                           ToString(v.shape));
    }
    for (const Dim& d : *v.contents) GRAFT_RETURN_IF_ERROR(CheckDim(d));
    return OkStatus();
  }

  // Elements that a run reads are symbols of their own, whatever else is known of them.
  bool IsRead(const Value& v) const {
    return std::ranges::all_of(*v.contents, [&](const Dim& d) {
      bool read = false;
      d.VisitSymbols([&](SymbolId s) { read |= m_.symbols[s].kind == Symbol::Kind::kResultValue; });
      return read || d.is_constant();
    });
  }

  // Bytes of a file can hold any enumerator and symbols that do not exist.
  struct FieldChecker {
    const Verifier& verifier;
    Status status = OkStatus();

    template <class T>
    void operator()(std::string_view name, const T& field) {
      if (status.ok()) status = Check(field).WithContext(name);
    }
    Status Check(const Dim& d) const { return verifier.CheckDim(d); }
    Status Check(const std::vector<Dim>& dims) const {
      for (const Dim& d : dims) GRAFT_RETURN_IF_ERROR(verifier.CheckDim(d));
      return OkStatus();
    }
    Status Check(const PointwiseProgram& program) const { return graft::Verify(program); }
    Status Check(const std::vector<Body>& bodies) const {
      for (const Body& body : bodies) {
        for (const BodyNode& node : body.nodes)
          GRAFT_RETURN_IF_ERROR(verifier.CheckAttributes(node.attributes));
      }
      return OkStatus();
    }
    template <class T>
    Status Check(const T& v) const {
      if constexpr (std::is_enum_v<T> && !std::is_same_v<T, DType>) {
        if (static_cast<size_t>(v) >= std::size(EnumNames<T>::kNames))
          return DataLossError("no value {}", static_cast<int>(v));
      }
      return OkStatus();
    }
  };

  Status CheckAttributes(Attributes attributes) const {
    FieldChecker checker{*this};
    std::visit(
        [&](auto& a) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(a)>, std::monostate>)
            a.Visit(checker);
        },
        attributes);
    return checker.status;
  }

  Status CheckNode(NodeId id) {
    const Node& node = m_.node(id);
    if (m_.removed(id)) {
      if (!node.inputs.empty() || !node.outputs.empty())
        return DataLossError("a removed node with operands or results");
      return OkStatus();
    }
    for (ValueId v : node.inputs) {
      GRAFT_RETURN_IF_ERROR(InRange(v));
      if (defined_[v] == Definition::kNone)
        return DataLossError("operand {} is not computed before", m_.value(v).name);
    }
    GRAFT_RETURN_IF_ERROR(CheckAttributes(node.attributes));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId v = node.outputs[i];
      GRAFT_RETURN_IF_ERROR(InRange(v));
      if (defined_[v] != Definition::kNone)
        return DataLossError("{} is defined twice", m_.value(v).name);
      if (m_.value(v).producer != id || m_.value(v).result != static_cast<int32_t>(i))
        return DataLossError("result {} belongs to another node", m_.value(v).name);
      defined_[v] = Definition::kResult;
    }
    if (Flags(node.kind()) & kOpaque) return OkStatus();
    if (ResultDimOf(node.attributes)) {
      const std::optional<SymbolId> symbol = ResultSymbolOf(node);
      const auto kind = node.kind() == OpKind::kReadInteger ? Symbol::Kind::kResultValue
                                                            : Symbol::Kind::kResultDim;
      if (!symbol || m_.symbols[*symbol].kind != kind || m_.symbols[*symbol].node != id)
        return DataLossError("its result dim is no symbol of its own");
    }
    return CheckResults(node);
  }

  // As AddNode shortened what the rule gave: parts of it are symbols, if any has this expression.
  Dim Shortened(const Dim& dim) const {
    return dim.Shorten([&](const Dim& part) {
      const auto symbol = expressions_.find(part);
      return symbol == expressions_.end() ? part : Dim::Symbol(symbol->second);
    });
  }

  Status CheckResults(const Node& node) const {
    GRAFT_ASSIGN_OR_RETURN(std::vector<Value> results, InferResults(m_, node));
    for (Value& result : results) {
      for (Dim& d : result.shape) d = Shortened(d);
      if (!result.contents) continue;
      for (Dim& d : *result.contents) d = Shortened(d);
    }
    if (results.size() != node.outputs.size())
      return DataLossError("{} results, not {}", results.size(), node.outputs.size());
    for (size_t i = 0; i < results.size(); ++i) {
      const Value& own = m_.value(node.outputs[i]);
      const Value& inferred = results[i];
      if (!own.has_shape || own.dtype != inferred.dtype || own.shape != inferred.shape) {
        return DataLossError("result {} is {}{}, not {}{}", i, Name(inferred.dtype),
                             ToString(inferred.shape), Name(own.dtype), ToString(own.shape));
      }
      if (own.contents && inferred.contents && own.contents != inferred.contents && !IsRead(own))
        return DataLossError("result {} has other elements than its operands give", i);
    }
    return OkStatus();
  }

  Status CheckView(ValueId id) const {
    const Value& v = m_.value(id);
    const View& view = *v.view;
    GRAFT_RETURN_IF_ERROR(InRange(view.base));
    GRAFT_RETURN_IF_ERROR(CheckDim(view.offset));
    const Value& base = m_.value(view.base);
    const auto rank = static_cast<int64_t>(base.shape.size());
    if (!v.has_shape || !base.has_shape || base.dtype != v.dtype ||
        static_cast<int64_t>(v.shape.size()) != rank || view.axis < 0 || view.axis >= rank)
      return DataLossError("a view of {} that does not fit", base.name);
    for (int64_t i = 0; i < rank; ++i) {
      if (i != view.axis && v.shape[i] != base.shape[i])
        return DataLossError("a view of {} with the shape {}", base.name, ToString(v.shape));
    }
    const Dim room = base.shape[view.axis] - view.offset - v.shape[view.axis];
    if ((view.offset.is_constant() && *view.offset.constant() < 0) ||
        (room.is_constant() && *room.constant() < 0))
      return DataLossError("a view past the end of {}", base.name);
    if (defined_[view.base] == Definition::kNone)
      return DataLossError("a view of {}, which nothing computes", base.name);
    return OkStatus();
  }

  // Each value is walked over once: chains of views can be as long as a file.
  Status CheckViewsEnd() const {
    enum : uint8_t { kUnseen, kOpen, kDone };
    std::vector<uint8_t> state(m_.value_count(), kUnseen);
    for (ValueId id = 0; id < m_.value_count(); ++id) {
      std::vector<ValueId> walked;
      ValueId at = id;
      for (; state[at] == kUnseen && m_.value(at).view; at = m_.value(at).view->base) {
        state[at] = kOpen;
        walked.push_back(at);
      }
      if (state[at] == kOpen) return DataLossError("{}: a view of itself", m_.value(at).name);
      for (const ValueId v : walked) state[v] = kDone;
    }
    return OkStatus();
  }

  // What the engine relies on when it reads the symbol after the node has run.
  Status CheckResult(SymbolId id) const {
    const Symbol& s = m_.symbols[id];
    if (s.kind == Symbol::Kind::kResultDim && !s.upper_bound)
      return DataLossError("a result dim without an upper bound");
    if (s.kind == Symbol::Kind::kResultValue && s.upper_bound)
      return DataLossError("a result value with an upper bound");
    if (s.result != 0 || s.axis != 0 || ResultSymbolOf(m_.node(s.node)) != id)
      return DataLossError("it is not the result dim of {}", m_.node(s.node).name);
    return OkStatus();
  }

  // Before anything is computed with it.
  Status CheckExpression(SymbolId id) {
    const Symbol& s = m_.symbols[id];
    if ((s.kind == Symbol::Kind::kExpression) != s.expression.has_value())
      return DataLossError("an expression is what a symbol of its kind has");
    if (!s.expression) return OkStatus();
    GRAFT_RETURN_IF_ERROR(CheckDim(*s.expression));
    bool earlier = true;
    s.expression->VisitSymbols([&](SymbolId of) { earlier &= of < id; });
    if (!earlier) return DataLossError("{} has a later symbol", s.expression->ToString());
    expressions_.emplace(*s.expression, id);
    return OkStatus();
  }

  Status CheckSymbol(SymbolId id) const {
    const Symbol& s = m_.symbols[id];
    if (s.expression) return OkStatus();
    if (s.upper_bound) GRAFT_RETURN_IF_ERROR(CheckDim(*s.upper_bound));
    const Value* source = nullptr;
    if (s.is_result()) {
      if (s.node < 0 || s.node >= m_.node_count() || m_.removed(s.node) || s.result < 0 ||
          s.result >= static_cast<int32_t>(m_.node(s.node).outputs.size()))
        return DataLossError("node {} has no result {}", s.node, s.result);
      if (!(Flags(m_.node(s.node).kind()) & kOpaque)) GRAFT_RETURN_IF_ERROR(CheckResult(id));
      source = &m_.value(m_.node(s.node).outputs[s.result]);
    } else {
      if (s.input < 0 || s.input >= static_cast<int32_t>(m_.inputs.size()))
        return DataLossError("input {} does not exist", s.input);
      source = &m_.value(m_.inputs[s.input]);
    }
    if (!source->has_shape) return DataLossError("{} has no known shape", source->name);
    if (s.kind == Symbol::Kind::kResultValue) return OkStatus();
    int64_t limit = static_cast<int64_t>(source->shape.size());
    if (s.kind == Symbol::Kind::kHostValue) {
      const std::optional<Dims> dims = ConstantDims(source->shape);
      if ((source->dtype != DType::kInt32 && source->dtype != DType::kInt64) || !dims)
        return DataLossError("{} is no small integer input", source->name);
      limit = CountElements(*dims);
    }
    if (s.axis < 0 || s.axis >= limit)
      return DataLossError("{} has no position {}", source->name, s.axis);
    return OkStatus();
  }

  struct Less {
    bool operator()(const Dim& a, const Dim& b) const { return a.Compare(b) < 0; }
  };

  const Module& m_;
  std::vector<Definition> defined_;
  std::map<Dim, SymbolId, Less> expressions_;
};

}  // namespace

Status Verify(const Module& module) { return Verifier(module).Run(); }

}  // namespace graft::ir
