// What the C API's opaque types are, and how a failure leaves it.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "graft/c_api.h"
#include "runtime/context.h"

struct graft_status {
  graft::Status status;
};

struct graft_bytes {
  std::string bytes;
};

struct graft_engine {
  std::shared_ptr<const graft::Engine> engine;
  std::vector<std::vector<int64_t>> dims;  // that inputs and outputs point to
  std::vector<graft_binding> inputs;
  std::vector<graft_binding> outputs;
};

struct graft_context {
  std::unique_ptr<graft::Context> context;
  std::vector<graft::TensorView> inputs;  // kept, so that a call allocates nothing
};

namespace graft {

inline graft_status* ToC(Status status) {
  return status.ok() ? nullptr : new graft_status{std::move(status)};
}

// Runs `body`, which returns a Status: nothing is thrown through the border.
template <class F>
graft_status* Guarded(F&& body) {
  try {
    return ToC(body());
  } catch (const std::bad_alloc&) {
    return ToC(ResourceExhaustedError("out of memory"));
  } catch (const std::exception& e) {
    return ToC(InternalError("{}", e.what()));
  }
}

}  // namespace graft
