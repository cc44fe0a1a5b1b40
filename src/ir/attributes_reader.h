// Reads attributes in the middle of a longer text.
#pragma once

#include "ir/module.h"
#include "ir/scanner.h"

namespace graft::ir {

Result<Attributes> ReadAttributes(Scanner& scanner, int symbol_count);
Result<Dim> ReadDim(Scanner& scanner, int symbol_count);
Result<std::vector<Dim>> ReadDims(Scanner& scanner, int symbol_count);  // "[s0,3]"
Result<DType> ReadDType(Scanner& scanner);

}  // namespace graft::ir
