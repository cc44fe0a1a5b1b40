#include "json_text.h"

#include <nlohmann/json.hpp>

namespace graft {

std::string ToText(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace graft
