#include "ir/stages.h"

#include <algorithm>

namespace graft::ir {
namespace {

constexpr int kNotYet = -1;

class StageFinder {
 public:
  explicit StageFinder(const Module& module) : m_(module), own_(module.node_count()) {
    stages_.symbol.assign(m_.symbols.size(), 0);
    stages_.node.assign(m_.node_count(), 0);
    for (SymbolId s = 0; s < static_cast<SymbolId>(m_.symbols.size()); ++s) {
      const Symbol& symbol = m_.symbols[s];
      if (symbol.expression) AddExpression(s);
      if (!symbol.is_result()) continue;
      own_[symbol.node].push_back(s);
      stages_.symbol[s] = kNotYet;
      any_ = true;
    }
  }

  Result<Stages> Run() {
    if (!any_) return std::move(stages_);
    for (NodeId id = 0; id < m_.node_count(); ++id) {
      if (m_.removed(id)) continue;
      if (Status status = Place(id); !status.ok()) return status.WithContext(m_.node(id).name);
    }
    for (ValueId id = 0; id < m_.value_count(); ++id) {
      if (m_.value(id).view) GRAFT_RETURN_IF_ERROR(CheckView(m_.value(id)));
    }
    std::stable_sort(stages_.results.begin(), stages_.results.end(),
                     [&](SymbolId a, SymbolId b) { return stages_.symbol[a] < stages_.symbol[b]; });
    return std::move(stages_);
  }

 private:
  // Known when the last of its symbols is. These have smaller ids: what is known at the beginning
  // is known here.
  void AddExpression(SymbolId s) {
    stages_.expressions.push_back(s);
    waiting_.resize(m_.symbols.size(), 0);
    parts_of_.resize(m_.symbols.size());
    m_.symbols[s].expression->VisitSymbols([&](SymbolId part) {
      if (stages_.symbol[part] != kNotYet) return;
      parts_of_[part].push_back(s);
      ++waiting_[s];
    });
    if (waiting_[s] > 0) stages_.symbol[s] = kNotYet;
  }

  void MakeKnown(SymbolId symbol, int stage) {
    std::vector<SymbolId> known = {symbol};
    stages_.symbol[symbol] = stage;
    while (!known.empty() && !parts_of_.empty()) {
      const SymbolId part = known.back();
      known.pop_back();
      for (const SymbolId s : parts_of_[part]) {
        if (--waiting_[s] > 0) continue;
        // Nodes are placed in their order, not in that of the stages.
        int latest = 0;
        m_.symbols[s].expression->VisitSymbols(
            [&](SymbolId of) { latest = std::max(latest, stages_.symbol[of]); });
        stages_.symbol[s] = latest;
        known.push_back(s);
      }
    }
  }

  // Raises `stage` to where the expression is known; the node's own result dims do not count.
  Status Raise(const Dim& dim, NodeId id, int* stage) const {
    Status status;
    dim.VisitSymbols([&](SymbolId s) {
      if (m_.symbols[s].is_result() && m_.symbols[s].node == id) return;
      if (stages_.symbol[s] == kNotYet)
        status = InvalidArgumentError("s{} is used before it is known", s);
      *stage = std::max(*stage, stages_.symbol[s]);
    });
    return status;
  }

  Status Place(NodeId id) {
    const Node& node = m_.node(id);
    int stage = 0;
    for (const ValueId v : node.inputs) {
      const Value& value = m_.value(v);
      stage = std::max(stage, stages_.Of(value));
      for (const Dim& d : value.shape) GRAFT_RETURN_IF_ERROR(Raise(d, id, &stage));
    }
    for (const ValueId v : node.outputs) {
      const Value& value = m_.value(v);
      for (const Dim& d : value.shape) GRAFT_RETURN_IF_ERROR(Raise(d, id, &stage));
    }
    const auto raise = [&](const Dim& d) -> Result<Dim> {
      GRAFT_RETURN_IF_ERROR(Raise(d, id, &stage));
      return d;
    };
    GRAFT_RETURN_IF_ERROR(SubstituteDims(node.attributes, raise).status());
    for (const SymbolId s : own_[id]) {
      if (!m_.symbols[s].upper_bound) continue;
      bool itself = false;
      m_.symbols[s].upper_bound->VisitSymbols([&](SymbolId b) { itself |= b == s; });
      if (itself) return InvalidArgumentError("s{} is its own bound", s);
      GRAFT_RETURN_IF_ERROR(Raise(*m_.symbols[s].upper_bound, id, &stage));
    }
    stages_.node[id] = stage;
    for (const SymbolId s : own_[id]) {
      MakeKnown(s, stage + 1);
      stages_.results.push_back(s);
      stages_.count = std::max(stages_.count, stage + 2);
    }
    return OkStatus();
  }

  // Where a value lies must be decided when it is written.
  Status CheckView(const Value& value) const {
    const Value& base = m_.value(value.view->base);
    if (std::max(stages_.Of(base), stages_.Of({value.view->offset})) <= stages_.Of(value))
      return OkStatus();
    return InvalidArgumentError("{}: a view of {} that a later stage places", value.name,
                                base.name);
  }

  const Module& m_;
  std::vector<std::vector<SymbolId>> own_;  // result dims by node
  // Of expressions: how many symbols are not known yet, and for these, which expressions wait.
  std::vector<int> waiting_;
  std::vector<std::vector<SymbolId>> parts_of_;
  bool any_ = false;
  Stages stages_;
};

}  // namespace

int Stages::Of(const Shape& shape) const {
  int stage = 0;
  for (const Dim& d : shape) {
    d.VisitSymbols([&](SymbolId s) { stage = std::max(stage, symbol[s]); });
  }
  return stage;
}

Result<Stages> FindStages(const Module& module) { return StageFinder(module).Run(); }

Status BindExpressions(const Module& module, const Stages& stages, int stage,
                       std::vector<int64_t>* symbols) {
  for (const SymbolId s : stages.expressions) {
    if (stages.symbol[s] > stage) continue;
    const Result<int64_t> value = module.symbols[s].expression->Evaluate(*symbols);
    if (!value.ok()) return value.status().WithContext(module.symbols[s].name);
    (*symbols)[s] = *value;
  }
  return OkStatus();
}

Status BindUpperBounds(const Module& module, const Stages& stages, std::vector<int64_t>* symbols) {
  int bound = -1;
  for (const SymbolId s : stages.results) {
    const Symbol& symbol = module.symbols[s];
    // Bounds are made of what is known when the node runs.
    while (bound < stages.symbol[s] - 1)
      GRAFT_RETURN_IF_ERROR(BindExpressions(module, stages, ++bound, symbols));
    if (!symbol.upper_bound) continue;
    GRAFT_ASSIGN_OR_RETURN((*symbols)[s], symbol.upper_bound->Evaluate(*symbols));
    if ((*symbols)[s] < 0) {
      return InvalidArgumentError("{}: at most {} = {} results", symbol.name,
                                  symbol.upper_bound->ToString(), (*symbols)[s]);
    }
  }
  return BindExpressions(module, stages, stages.count - 1, symbols);
}

}  // namespace graft::ir
