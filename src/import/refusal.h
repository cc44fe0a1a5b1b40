// How import functions say no. Whatever keeps a node from being converted, an unsupported attribute
// as well as a malformed one, is a Refusal: the node stays as it is and TensorFlow judges it.
#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "base/status.h"

namespace graft::importer {

// Nothing when the node was converted.
using Outcome = std::optional<Refusal>;
inline constexpr std::nullopt_t kAccepted = std::nullopt;

// A T, or why there is none. Has Result's members, so GRAFT_ASSIGN_OR_RETURN takes it.
template <class T>
class [[nodiscard]] Accepted {
 public:
  // NOLINTBEGIN(google-explicit-constructor): values, refusals and errors convert by design.
  Accepted(T value) : data_(std::in_place_index<1>, std::move(value)) {}
  Accepted(Refusal refusal) : data_(std::in_place_index<0>, std::move(refusal)) {}
  Accepted(Result<T> result) : data_(std::in_place_index<0>, Refusal{}) {
    if (result.ok()) {
      data_.template emplace<1>(std::move(result).value());
    } else {
      data_.template emplace<0>(Refusal{result.status().message()});
    }
  }
  // NOLINTEND(google-explicit-constructor)

  bool ok() const { return data_.index() == 1; }
  Refusal status() const { return std::get<0>(data_); }
  T& value() & { return std::get<1>(data_); }
  const T& value() const& { return std::get<1>(data_); }
  T&& value() && { return std::get<1>(std::move(data_)); }

 private:
  std::variant<Refusal, T> data_;
};

}  // namespace graft::importer

#define GRAFT_RETURN_IF_REFUSED(expression) \
  do {                                      \
    if (auto refusal_ = (expression)) {     \
      return *std::move(refusal_);          \
    }                                       \
  } while (0)
