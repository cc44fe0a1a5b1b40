// What changed between two measurements of graft bench.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"

namespace graft {

// The figures that `graft bench --json` wrote. Fails for other files, naming what is missing.
Result<nlohmann::ordered_json> ReadBenchFigures(const std::string& path);

// The same of a text; errors begin with `name`.
Result<nlohmann::ordered_json> ParseBenchFigures(std::string_view text, const std::string& name);

// Latencies side by side, and, where both hold layers, those whose time has moved by more than a
// twentieth and a hundredth of the run: the slower ones first. A layer is known by its name.
std::string CompareBenchFigures(const nlohmann::ordered_json& now,
                                const nlohmann::ordered_json& before);

}  // namespace graft
