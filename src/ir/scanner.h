// Reads the text forms of the IR from left to right, and the quoting that they share.
#pragma once

#include <charconv>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace graft::ir {

// A string in double quotes on one line, whatever bytes it holds.
std::string Quote(std::string_view text);

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ == text_.size(); }
  // What is at fault, with the line it stands on.
  Status Bad(std::string_view expected) const;

  bool Peek(std::string_view token) const { return text_.substr(at_).starts_with(token); }
  bool Take(std::string_view token) {
    if (!Peek(token)) return false;
    at_ += token.size();
    return true;
  }
  Status Expect(std::string_view token) { return Take(token) ? OkStatus() : Bad(token); }

  template <class T>
  Status Number(T* value) {
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), *value);
    if (error != std::errc()) return Bad("a number");
    at_ = end - text_.data();
    return OkStatus();
  }
  // Letters, digits and '_'.
  std::string_view Word();
  // Up to the first of `ends` that is not inside parentheses, or the end.
  std::string_view UntilAnyOf(std::string_view ends);
  Result<std::string> Quoted();

 private:
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace graft::ir
