// Graft's C objects as owned C++ ones, and its status as TensorFlow's.
#pragma once

#include <graft/c_api.h>

#include <memory>

#include "absl/status/status.h"

namespace graft_tf {

struct FreeObject {
  void operator()(graft_status* p) const { graft_status_free(p); }
  void operator()(graft_engine* p) const { graft_engine_free(p); }
  void operator()(graft_context* p) const { graft_context_free(p); }
  void operator()(graft_bytes* p) const { graft_bytes_free(p); }
  void operator()(graft_calibrator* p) const { graft_calibrator_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeObject>;

// Takes the status over.
inline absl::Status ToAbsl(graft_status* raw) {
  if (raw == nullptr) return absl::OkStatus();
  const Owned<graft_status> status(raw);
  const char* message = graft_status_message(status.get());
  switch (graft_status_code(status.get())) {
    case GRAFT_OK:
      return absl::OkStatus();
    case GRAFT_INVALID_ARGUMENT:
      return absl::InvalidArgumentError(message);
    case GRAFT_NOT_FOUND:
      return absl::NotFoundError(message);
    case GRAFT_DATA_LOSS:
      return absl::DataLossError(message);
    case GRAFT_UNSUPPORTED:
      return absl::UnimplementedError(message);
    case GRAFT_FAILED_PRECONDITION:
      return absl::FailedPreconditionError(message);
    case GRAFT_RESOURCE_EXHAUSTED:
      return absl::ResourceExhaustedError(message);
    case GRAFT_IO:
      return absl::UnavailableError(message);
    case GRAFT_INTERNAL:
      break;
  }
  return absl::InternalError(message);
}

}  // namespace graft_tf
