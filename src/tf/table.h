// Reads a whole LevelDB table (SSTable), the form of a checkpoint's index. Blocks are plain or
// compressed with Snappy; every block's checksum and every length is verified.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace graft::tf {

using TableEntries = std::vector<std::pair<std::string, std::string>>;

// Keys and values in key order, bytewise. kDataLoss for bytes that are no sound table.
Result<TableEntries> ReadTable(std::string_view file);

}  // namespace graft::tf
