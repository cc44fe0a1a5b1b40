#pragma once

#include <span>
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
  // Whether the op's operands and results may be of quantized dtypes.
  bool quantized = false;
  bool product = false;  // a convolution or product of matrices
};

// Why a node of an op that has a row may stay in TensorFlow all the same.
struct RefusalRow {
  std::string_view ops;   // parted by blanks; "*": all
  std::string_view text;  // the format of the reason
  std::string_view why;
  bool Concerns(std::string_view op) const;
};

// The rows of import.inc, and null for an op that has none: it is never converted.
std::span<const ImportRow> ImportRows();
const ImportRow* FindImport(std::string_view op);

// The rows of refusals.inc for nodes that TensorFlow runs.
std::span<const RefusalRow> RefusalRows();

}  // namespace graft::importer
