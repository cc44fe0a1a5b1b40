#include "import/import_table.h"

#include <unordered_map>

#include "import/pointwise.h"

namespace graft::importer {

#define GRAFT_IMPORT(op, function) Outcome function(NodeContext&);
#define GRAFT_IMPORT_PRODUCT(op, function) Outcome function(NodeContext&);
#define GRAFT_IMPORT_FREE(op, function) Outcome function(NodeContext&);
#define GRAFT_IMPORT_POINTWISE(op, instruction)
#include "import/import.inc"
#undef GRAFT_IMPORT
#undef GRAFT_IMPORT_PRODUCT
#undef GRAFT_IMPORT_FREE
#undef GRAFT_IMPORT_POINTWISE

namespace {

consteval bool TakesQuantized(std::string_view op) {
  for (std::string_view row : {
#define GRAFT_QUANTIZED(op) op,
#include "import/quantized.inc"
#undef GRAFT_QUANTIZED
       }) {
    if (row == op) return true;
  }
  return false;
}

constexpr ImportRow kRows[] = {
#define GRAFT_IMPORT(op, function) {op, Role::kComputes, function, TakesQuantized(op)},
#define GRAFT_IMPORT_PRODUCT(op, function) \
  {op, Role::kComputes, function, TakesQuantized(op), /*product=*/true},
#define GRAFT_IMPORT_FREE(op, function) {op, Role::kFree, function},
#define GRAFT_IMPORT_POINTWISE(op, instruction) \
  {op, Role::kComputes, ImportInstruction<PointwiseOp::instruction>, TakesQuantized(op)},
#include "import/import.inc"
#undef GRAFT_IMPORT
#undef GRAFT_IMPORT_PRODUCT
#undef GRAFT_IMPORT_FREE
#undef GRAFT_IMPORT_POINTWISE
};

constexpr RefusalRow kRefusals[] = {
#define GRAFT_REFUSES(ops, text, why) {ops, text, why},
#define GRAFT_MALFORMED(text)
#include "import/refusals.inc"
#undef GRAFT_REFUSES
#undef GRAFT_MALFORMED
};

}  // namespace

bool RefusalRow::Concerns(std::string_view op) const {
  if (ops == "*") return true;
  for (size_t at = ops.find(op); at != std::string_view::npos; at = ops.find(op, at + 1)) {
    const size_t end = at + op.size();
    if ((at == 0 || ops[at - 1] == ' ') && (end == ops.size() || ops[end] == ' ')) return true;
  }
  return false;
}

std::span<const ImportRow> ImportRows() { return kRows; }

std::span<const RefusalRow> RefusalRows() { return kRefusals; }

const ImportRow* FindImport(std::string_view op) {
  static const auto* const kIndex = [] {
    auto* index = new std::unordered_map<std::string_view, const ImportRow*>;
    for (const ImportRow& row : kRows) index->emplace(row.op, &row);
    return index;
  }();
  const auto it = kIndex->find(op);
  return it == kIndex->end() ? nullptr : it->second;
}

}  // namespace graft::importer
