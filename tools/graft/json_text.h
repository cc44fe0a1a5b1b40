// JSON as the text of a file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace graft {

// Names that are no UTF-8, which is what JSON is written in, are made so. indent -1: one line.
std::string ToText(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace graft
