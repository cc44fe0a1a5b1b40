// Errors as values. Status and Result<T> carry what went wrong; nothing throws through Graft's API.
//
// Three kinds of failure are kept apart:
//   Refusal      a normal answer, "this cannot be converted, because …": reported, never an error.
//   Status       something outside is wrong: bad bytes, a missing file, no memory, wrong usage.
//   GRAFT_CHECK  a bug of ours. Never reachable from outside bytes.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace graft {

enum class StatusCode : int {
  kOk = 0,
  kInvalidArgument,     // wrong usage: an option, a shape, a name that does not exist
  kNotFound,            // a file or entry is missing
  kDataLoss,            // outside bytes are truncated, corrupt or not what they claim to be
  kUnsupported,         // well formed, but this version of Graft does not do it
  kFailedPrecondition,  // called in the wrong order or state
  kResourceExhausted,   // memory, disk
  kIo,                  // the operating system refused
  kInternal,            // a caught exception of a library, a failed verification of our own
};

std::string_view StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(StatusCode code, std::string message)
      : rep_(code == StatusCode::kOk ? nullptr
                                     : std::make_shared<Rep>(Rep{code, std::move(message)})) {}

  bool ok() const { return rep_ == nullptr; }
  StatusCode code() const { return rep_ ? rep_->code : StatusCode::kOk; }
  const std::string& message() const;
  std::string ToString() const;
  // The same error with "context: " before its message; ok stays ok.
  Status WithContext(std::string_view context) const;

 private:
  struct Rep {
    StatusCode code;
    std::string message;
  };
  std::shared_ptr<const Rep> rep_;
};

inline Status OkStatus() { return Status(); }

template <class... Args>
Status MakeStatus(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}
#define GRAFT_DEFINE_ERROR(name)                                                 \
  template <class... Args>                                                       \
  Status name##Error(fmt::format_string<Args...> format, Args&&... args) {       \
    return MakeStatus(StatusCode::k##name, format, std::forward<Args>(args)...); \
  }
GRAFT_DEFINE_ERROR(InvalidArgument)
GRAFT_DEFINE_ERROR(NotFound)
GRAFT_DEFINE_ERROR(DataLoss)
GRAFT_DEFINE_ERROR(Unsupported)
GRAFT_DEFINE_ERROR(FailedPrecondition)
GRAFT_DEFINE_ERROR(ResourceExhausted)
GRAFT_DEFINE_ERROR(Io)
GRAFT_DEFINE_ERROR(Internal)
#undef GRAFT_DEFINE_ERROR

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view message);

// A T or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)  // NOLINT(google-explicit-constructor): implicit by design
      : data_(std::in_place_index<1>, std::move(value)) {}
  Result(Status status) : data_(std::in_place_index<0>, std::move(status)) {  // NOLINT
    if (std::get<0>(data_).ok())
      CheckFailed(__FILE__, __LINE__, "!status.ok()", "Result made from ok");
  }

  bool ok() const { return data_.index() == 1; }
  Status status() const { return ok() ? OkStatus() : std::get<0>(data_); }
  T& value() & { return Checked(), std::get<1>(data_); }
  const T& value() const& { return Checked(), std::get<1>(data_); }
  T&& value() && { return Checked(), std::get<1>(std::move(data_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  void Checked() const {
    if (!ok()) CheckFailed(__FILE__, __LINE__, "result.ok()", std::get<0>(data_).message());
  }
  std::variant<Status, T> data_;
};

// "This cannot be done, because …": a normal answer, shown to the user with the node's name.
struct Refusal {
  std::string reason;
};
template <class... Args>
Refusal Refuse(fmt::format_string<Args...> format, Args&&... args) {
  return Refusal{fmt::format(format, std::forward<Args>(args)...)};
}

}  // namespace graft

#define GRAFT_CONCAT_(a, b) a##b
#define GRAFT_CONCAT(a, b) GRAFT_CONCAT_(a, b)

#define GRAFT_RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                           \
    if (::graft::Status graft_status_ = (expression); !graft_status_.ok()) return graft_status_; \
  } while (0)

#define GRAFT_ASSIGN_OR_RETURN(target, expression) \
  GRAFT_ASSIGN_OR_RETURN_(GRAFT_CONCAT(graft_result_, __LINE__), target, expression)
#define GRAFT_ASSIGN_OR_RETURN_(result, target, expression) \
  auto result = (expression);                               \
  if (!result.ok()) return result.status();                 \
  target = std::move(result).value()

#define GRAFT_CHECK(condition, ...)                                                      \
  do {                                                                                   \
    if (!(condition))                                                                    \
      ::graft::CheckFailed(__FILE__, __LINE__, #condition, fmt::format("" __VA_ARGS__)); \
  } while (0)
