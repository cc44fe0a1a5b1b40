#include "ir/module.h"

#include <algorithm>
#include <utility>

#include "ir/contents.h"
#include "ir/dim_size.h"

namespace graft::ir {

ValueId Module::AddValue(Value value) {
  values_.push_back(std::move(value));
  return value_count() - 1;
}

ValueId Module::AddInput(std::string name, DType dtype, Shape shape) {
  Value value;
  value.name = name;
  value.dtype = dtype;
  value.has_shape = true;
  value.shape = std::move(shape);
  inputs.push_back(AddValue(std::move(value)));
  input_names.push_back(std::move(name));
  return inputs.back();
}

ValueId Module::AddConstant(std::string name, Tensor tensor) {
  // Larger integer constants are data (lookup tables), not shapes.
  constexpr int64_t kMaxContents = 64;
  Value value;
  value.name = std::move(name);
  value.dtype = tensor.dtype();
  value.has_shape = true;
  value.shape = MakeShape(tensor.dims());
  if ((value.dtype == DType::kInt32 || value.dtype == DType::kInt64) &&
      tensor.elements() <= kMaxContents) {
    const std::vector<int64_t> integers = tensor.ToInt64().value();
    value.contents.emplace(integers.begin(), integers.end());
    if (!std::ranges::all_of(*value.contents, IsHeld)) value.contents.reset();
  }
  value.constant = std::move(tensor);
  return AddValue(std::move(value));
}

SymbolId Module::AddSymbol(Symbol symbol) {
  symbols.push_back(std::move(symbol));
  return static_cast<SymbolId>(symbols.size()) - 1;
}

Dim Module::Shorten(const Dim& dim, std::string_view name) {
  return dim.Shorten([&](const Dim& part) {
    for (SymbolId s = 0; s < static_cast<SymbolId>(symbols.size()); ++s) {
      if (symbols[s].kind == Symbol::Kind::kExpression && *symbols[s].expression == part)
        return Dim::Symbol(s);
    }
    Symbol symbol;
    symbol.kind = Symbol::Kind::kExpression;
    symbol.name = name;
    symbol.expression = part;
    return Dim::Symbol(AddSymbol(std::move(symbol)));
  });
}

Result<NodeId> Module::AddNode(Attributes attributes, std::vector<ValueId> operands,
                               std::string name) {
  const auto shorten = [&](const Dim& d) -> Result<Dim> { return Shorten(d, name); };
  Node node;
  node.attributes = std::move(attributes);
  GRAFT_ASSIGN_OR_RETURN(node.attributes, SubstituteDims(node.attributes, shorten));
  node.inputs = std::move(operands);
  node.name = name;
  Result<std::vector<Value>> results = InferResults(*this, node);
  if (!results.ok()) return results.status().WithContext(node.name);
  for (Value& value : *results) {
    for (Dim& d : value.shape) d = Shorten(d, name);
    if (!value.contents) continue;
    for (Dim& d : *value.contents) d = Shorten(d, name);
  }
  const NodeId id = node_count();
  if (const std::optional<SymbolId> symbol = ResultSymbolOf(node)) symbols[*symbol].node = id;
  for (size_t i = 0; i < results->size(); ++i) {
    Value& value = (*results)[i];
    value.name = i == 0 ? node.name : fmt::format("{}:{}", node.name, i);
    value.producer = id;
    value.result = static_cast<int32_t>(i);
    node.outputs.push_back(AddValue(std::move(value)));
  }
  return AppendNode(std::move(node));
}

NodeId Module::AddOpaque(OpaqueAttributes attributes, std::vector<ValueId> operands,
                         std::vector<Value> results, std::string name) {
  Node node;
  node.attributes = std::move(attributes);
  node.inputs = std::move(operands);
  node.name = std::move(name);
  const NodeId id = node_count();
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].producer = id;
    results[i].result = static_cast<int32_t>(i);
    node.outputs.push_back(AddValue(std::move(results[i])));
  }
  return AppendNode(std::move(node));
}

NodeId Module::AppendNode(Node node) {
  nodes_.push_back(std::move(node));
  if (readers_known_) KnowReader(node_count() - 1);
  return node_count() - 1;
}

void Module::RemoveNode(NodeId id) {
  nodes_[id].attributes = std::monostate();
  nodes_[id].inputs.clear();
  nodes_[id].outputs.clear();
}

void Module::SetName(NodeId id, std::string name) { nodes_[id].name = std::move(name); }
void Module::SetOrigin(NodeId id, std::vector<int32_t> origin) {
  nodes_[id].origin = std::move(origin);
}

void Module::KnowReader(NodeId id) {
  readers_.resize(values_.size());
  for (const ValueId v : nodes_[id].inputs) readers_[v].push_back(id);
}

void Module::IndexReaders() {
  readers_.assign(values_.size(), {});
  readers_known_ = true;
  for (NodeId id = 0; id < node_count(); ++id) KnowReader(id);
}

void Module::ReplaceUses(ValueId from, ValueId to) {
  if (from == to) return;
  if (!readers_known_) IndexReaders();
  readers_.resize(values_.size());
  // A view's base is what a concatenation makes of it, or what a slice takes it from.
  const auto rebase = [&](const std::vector<ValueId>& ids) {
    for (const ValueId v : ids) {
      if (values_[v].view && values_[v].view->base == from) values_[v].view->base = to;
    }
  };
  if (const NodeId producer = values_[from].producer; producer >= 0)
    rebase(nodes_[producer].inputs);
  const std::vector<NodeId> readers = std::exchange(readers_[from], {});
  for (const NodeId id : readers) {
    rebase(nodes_[id].outputs);
    std::ranges::replace(nodes_[id].inputs, from, to);
  }
  readers_[to].insert(readers_[to].end(), readers.begin(), readers.end());
  std::ranges::replace(outputs, from, to);
}

// For each node, those that must run before it for its dimensions, beyond its operands.
std::vector<std::vector<NodeId>> Module::ResultDimReads() const {
  std::vector<std::vector<NodeId>> reads(nodes_.size());
  const bool any =
      std::any_of(symbols.begin(), symbols.end(), [](const Symbol& s) { return s.is_result(); });
  if (!any) return reads;
  // An expression needs what its symbols need.
  std::vector<std::vector<NodeId>> makers(symbols.size());
  for (size_t s = 0; s < symbols.size(); ++s) {
    if (!symbols[s].expression) continue;
    symbols[s].expression->VisitSymbols([&](SymbolId of) {
      if (symbols[of].is_result()) makers[s].push_back(symbols[of].node);
      makers[s].insert(makers[s].end(), makers[of].begin(), makers[of].end());
    });
    std::ranges::sort(makers[s]);
    makers[s].erase(std::ranges::unique(makers[s]).begin(), makers[s].end());
  }
  for (NodeId id = 0; id < node_count(); ++id) {
    const auto read = [&](SymbolId s) {
      const Symbol& symbol = symbols[s];
      for (const NodeId maker : makers[s]) {
        if (maker != id && !removed(maker)) reads[id].push_back(maker);
      }
      if (symbol.is_result() && symbol.node != id && !removed(symbol.node))
        reads[id].push_back(symbol.node);
    };
    const auto read_dim = [&](const Dim& d) -> Result<Dim> {
      d.VisitSymbols(read);
      return d;
    };
    static_cast<void>(SubstituteDims(nodes_[id].attributes, read_dim));
    if (const std::optional<SymbolId> own = ResultSymbolOf(nodes_[id])) {
      if (symbols[*own].upper_bound) symbols[*own].upper_bound->VisitSymbols(read);
    }
    for (const ValueId v : nodes_[id].outputs) {
      for (const Dim& d : values_[v].shape) d.VisitSymbols(read);
    }
  }
  return reads;
}

void Module::VisitDims(const std::function<void(const Dim&)>& visit) const {
  for (const Value& value : values_) {
    for (const Dim& d : value.shape) visit(d);
    if (value.contents) {
      for (const Dim& d : *value.contents) visit(d);
    }
    if (value.view) visit(value.view->offset);
  }
  for (const Node& node : nodes_) {
    static_cast<void>(SubstituteDims(node.attributes, [&](const Dim& d) -> Result<Dim> {
      visit(d);
      return d;
    }));
  }
  for (const Symbol& symbol : symbols) {
    if (symbol.upper_bound) visit(*symbol.upper_bound);
  }
}

void Module::DropLostSymbols() {
  std::vector<bool> lost(symbols.size());
  bool expressions = false;
  for (size_t s = 0; s < symbols.size(); ++s) {
    expressions |= symbols[s].expression.has_value();
    lost[s] = symbols[s].is_result() && symbols[s].node < 0;
    if (symbols[s].expression)
      symbols[s].expression->VisitSymbols([&](SymbolId of) { lost[s] = lost[s] || lost[of]; });
  }
  // So are expressions that occur nowhere any more.
  if (expressions) {
    std::vector<bool> occurs(symbols.size());
    const auto visit = [&](const Dim& d) {
      d.VisitSymbols([&](SymbolId of) { occurs[of] = true; });
    };
    VisitDims(visit);
    for (size_t s = symbols.size(); s-- > 0;) {
      if (!symbols[s].expression) continue;
      if (occurs[s]) visit(*symbols[s].expression);
      lost[s] = lost[s] || !occurs[s];
    }
  }
  std::vector<SymbolId> renamed(symbols.size());
  std::vector<Symbol> kept;
  for (size_t s = 0; s < symbols.size(); ++s) {
    renamed[s] = static_cast<SymbolId>(kept.size());
    if (!lost[s]) kept.push_back(std::move(symbols[s]));
  }
  const bool all = kept.size() == symbols.size();
  symbols = std::move(kept);
  if (all) return;
  const auto rename = [&](Dim& d) {
    if (!d.is_constant()) d = d.Substitute([&](SymbolId s) { return Dim::Symbol(renamed[s]); });
  };
  for (Symbol& symbol : symbols) {
    if (symbol.upper_bound) rename(*symbol.upper_bound);
    if (symbol.expression) rename(*symbol.expression);
  }
  for (Value& value : values_) {
    for (Dim& d : value.shape) rename(d);
    if (value.contents) {
      bool known = true;  // elements that were read, and that nobody asks for any more, are not
      for (const Dim& d : *value.contents) d.VisitSymbols([&](SymbolId s) { known &= !lost[s]; });
      if (!known) value.contents.reset();
    }
    if (value.contents) {
      for (Dim& d : *value.contents) rename(d);
    }
    if (value.view) rename(value.view->offset);
  }
  for (Node& node : nodes_) {
    node.attributes = SubstituteDims(node.attributes, [&](const Dim& d) -> Result<Dim> {
                        Dim renamed_dim = d;
                        rename(renamed_dim);
                        return renamed_dim;
                      }).value();
  }
}

Status Module::Compact() {
  // Needed: what the outputs reach, through operands and through the bases of views.
  enum : uint8_t { kUnseen, kOpen, kDone };
  const std::vector<std::vector<NodeId>> reads = ResultDimReads();
  std::vector<uint8_t> state(nodes_.size(), kUnseen);
  std::vector<NodeId> order;
  std::vector<bool> value_used(values_.size(), false);
  // Depth-first with an explicit stack; visiting roots and operands in order of id keeps the sort
  // stable.
  struct Frame {
    NodeId node;
    size_t next = 0;
  };
  std::vector<Frame> stack;
  auto visit = [&](NodeId root) -> Status {
    if (root < 0 || state[root] == kDone) return OkStatus();
    stack.push_back({root});
    state[root] = kOpen;
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const Node& node = nodes_[frame.node];
      const std::vector<NodeId>& read = reads[frame.node];
      if (frame.next < node.inputs.size() + read.size()) {
        const size_t next = frame.next++;
        const NodeId producer = next < node.inputs.size() ? values_[node.inputs[next]].producer
                                                          : read[next - node.inputs.size()];
        if (producer < 0 || state[producer] == kDone) continue;
        if (state[producer] == kOpen) return InternalError("{}: the module has a cycle", node.name);
        state[producer] = kOpen;
        stack.push_back({producer});
      } else {
        state[frame.node] = kDone;
        order.push_back(frame.node);
        stack.pop_back();
      }
    }
    return OkStatus();
  };
  // Mark what is needed first, then visit needed nodes in the old order.
  std::vector<bool> needed(nodes_.size(), false);
  std::vector<NodeId> work;
  auto need_node = [&](NodeId id) {
    if (id >= 0 && !needed[id]) needed[id] = true, work.push_back(id);
  };
  auto need = [&](ValueId id) {
    value_used[id] = true;
    need_node(values_[id].producer);
  };
  for (ValueId id : outputs) need(id);
  for (ValueId id : inputs) value_used[id] = true;
  for (NodeId id = 0; id < node_count(); ++id) {
    // Opaque nodes may have effects that the graph needs.
    if (!removed(id) && (Flags(nodes_[id].kind()) & kOpaque) && !needed[id])
      needed[id] = true, work.push_back(id);
  }
  while (!work.empty()) {
    const NodeId at = work.back();
    const Node& node = nodes_[at];
    work.pop_back();
    for (const NodeId id : reads[at]) need_node(id);
    for (ValueId id : node.inputs) need(id);
    for (ValueId id : node.outputs) {
      value_used[id] = true;
      if (values_[id].view && !value_used[values_[id].view->base]) need(values_[id].view->base);
    }
  }
  for (NodeId id = 0; id < node_count(); ++id) {
    if (needed[id]) GRAFT_RETURN_IF_ERROR(visit(id));
  }

  std::vector<ValueId> new_value(values_.size(), -1);
  std::vector<NodeId> new_node(nodes_.size(), -1);
  std::vector<Value> values;
  std::vector<Node> nodes;
  for (size_t i = 0; i < order.size(); ++i) new_node[order[i]] = static_cast<NodeId>(i);
  for (size_t i = 0; i < values_.size(); ++i) {
    if (!value_used[i]) continue;
    new_value[i] = static_cast<ValueId>(values.size());
    values.push_back(std::move(values_[i]));
    if (values.back().producer >= 0) values.back().producer = new_node[values.back().producer];
  }
  for (Value& value : values) {
    if (value.view) value.view->base = new_value[value.view->base];
  }
  for (NodeId id : order) {
    Node node = std::move(nodes_[id]);
    for (ValueId& v : node.inputs) v = new_value[v];
    for (ValueId& v : node.outputs) v = new_value[v];
    nodes.push_back(std::move(node));
  }
  for (ValueId& v : inputs) v = new_value[v];
  for (ValueId& v : outputs) v = new_value[v];
  for (Symbol& symbol : symbols) {
    if (symbol.is_result()) symbol.node = new_node[symbol.node];
  }
  values_ = std::move(values);
  nodes_ = std::move(nodes);
  readers_known_ = false;
  DropLostSymbols();
  return OkStatus();
}

Uses::Uses(const Module& module)
    : readers_(module.value_count()), is_output_(module.value_count(), false) {
  for (NodeId id = 0; id < module.node_count(); ++id) {
    for (ValueId v : module.node(id).inputs) readers_[v].push_back(id);
  }
  for (ValueId v : module.outputs) is_output_[v] = true;
}

}  // namespace graft::ir
