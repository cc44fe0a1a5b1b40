// Lists in text.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace graft {

// Cuts the text up to the next `separator`, or all of it, off its front; the separator goes too.
inline std::string_view CutFront(std::string_view* text, char separator) {
  const size_t end = std::min(text->find(separator), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return part;
}

// Everything that CutFront gives: an empty text has no parts, and none follows a separator that
// ends it.
inline std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) parts.push_back(CutFront(&text, separator));
  return parts;
}

}  // namespace graft
