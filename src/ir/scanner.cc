#include "ir/scanner.h"

#include <algorithm>
#include <cctype>

namespace graft::ir {

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

Status Scanner::Bad(std::string_view expected) const {
  const auto line = 1 + std::count(text_.begin(), text_.begin() + at_, '\n');
  const std::string_view rest = text_.substr(at_, 24);
  return DataLossError("line {}: expected {} at {}", line, expected, Quote(rest));
}

std::string_view Scanner::Word() {
  const size_t start = at_;
  while (at_ < text_.size() &&
         (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_'))
    ++at_;
  return text_.substr(start, at_ - start);
}

std::string_view Scanner::UntilAnyOf(std::string_view ends) {
  const size_t start = at_;
  int depth = 0;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (depth == 0 && ends.find(c) != std::string_view::npos) break;
    depth += (c == '(') - (c == ')');
    if (depth < 0) break;
  }
  return text_.substr(start, at_ - start);
}

Result<std::string> Scanner::Quoted() {
  GRAFT_RETURN_IF_ERROR(Expect("\""));
  std::string text;
  while (!Take("\"")) {
    if (at_end()) return Bad("a closing quote");
    if (!Take("\\")) {
      text += text_[at_++];
    } else if (Take("x")) {
      const char* first = text_.data() + at_;
      unsigned byte = 0;
      if (text_.size() - at_ < 2 || std::from_chars(first, first + 2, byte, 16).ptr != first + 2)
        return Bad("two hexadecimal digits");
      text += static_cast<char>(byte);
      at_ += 2;
    } else if (Peek("\"") || Peek("\\")) {
      text += text_[at_++];
    } else {
      return Bad("an escape");
    }
  }
  return text;
}

}  // namespace graft::ir
