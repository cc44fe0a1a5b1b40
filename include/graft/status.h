// Errors of the C++ API, as values: no exception leaves it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "graft/c_api.h"

namespace graft::api {

class [[nodiscard]] Status {
 public:
  Status() = default;  // success
  // Takes what a function of the C API returned.
  explicit Status(graft_status* status) : status_(status, graft_status_free) {}

  bool ok() const { return status_ == nullptr; }
  graft_code code() const { return graft_status_code(status_.get()); }
  std::string message() const { return graft_status_message(status_.get()); }

 private:
  std::shared_ptr<graft_status> status_;
};

// A T, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : data_(std::in_place_index<1>, std::move(value)) {}         // NOLINT
  Result(Status status) : data_(std::in_place_index<0>, std::move(status)) {}  // NOLINT

  bool ok() const { return data_.index() == 1; }
  Status status() const { return ok() ? Status() : std::get<0>(data_); }
  // Only when ok().
  T& operator*() & { return std::get<1>(data_); }
  const T& operator*() const& { return std::get<1>(data_); }
  T&& operator*() && { return std::get<1>(std::move(data_)); }
  T* operator->() { return &std::get<1>(data_); }
  const T* operator->() const { return &std::get<1>(data_); }

 private:
  std::variant<Status, T> data_;
};

}  // namespace graft::api
