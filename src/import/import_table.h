#pragma once

#include <string_view>

#include "import/node_context.h"

namespace graft::importer {

enum class Role : uint8_t {
  kComputes,  // reads numbers of known rank, gives numbers
  kFree,      // computes nothing: constants, identities; takes anything, anywhere
};

struct ImportRow {
  std::string_view op;
  Role role;
  ImportFn function;
};

// Null for an op that is never converted. The rows are import.inc's.
const ImportRow* FindImport(std::string_view op);

}  // namespace graft::importer
