// Which TensorFlow ops are converted: what users read in docs/ops.md and what `graft ops` prints.
#pragma once

#include <string_view>
#include <vector>

#include "backend_api/backend.h"
#include "import/import_table.h"

namespace graft::partition {

struct OpSupport {
  std::string_view op;
  bool any_dtype = false;     // it computes nothing: identities and the like
  std::vector<DType> dtypes;  // those in which its example is converted
  std::vector<const importer::RefusalRow*> refusals;  // but those that concern all ops
};

// All ops of import.inc, by name. Found by trying: each op's example is imported in each dtype, and
// the backend asked for what came out.
Result<std::vector<OpSupport>> SupportTable(const Backend& backend);

}  // namespace graft::partition
