// Figures of graft bench over time.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"

namespace graft {

// Appends the figures to a file of JSON lines, which is made, with `time`, seconds since 1970; its
// layers' problems are left out. Gives text about how they compare with the last line of the same
// plan, inputs, threads and machine. A line that is no figures of graft bench is an error: nothing
// is appended to a file of another kind.
Result<std::string> AppendToHistory(const std::string& path, nlohmann::ordered_json figures);

}  // namespace graft
