// A product over so large a constant that timing all of it would take seconds and its packings
// gigabytes is timed on an excerpt of its depth: every row of the constant costs the same.
#pragma once

#include <optional>

#include "backend_api/backend.h"

namespace graft {

struct Excerpt {
  ir::Module module;  // of one node, the product of the first rows
  BoundNode node;
  double factor = 1;  // times the excerpt's time is the whole product's

  const ir::Node& source() const { return module.node(0); }
};

// Weights of this size and more are excerpted. What is left of them is more than a core's caches
// hold, and long enough to time.
inline constexpr size_t kExcerptedBytes = size_t{64} << 20;
inline constexpr size_t kExcerptBytes = size_t{16} << 20;

// None for any other node, and for constants that lie the other way round (transpose_b): an
// excerpt's bytes are the whole's first. `bound` is the node at a tuning point.
std::optional<Excerpt> ExcerptOf(const ir::Module& module, const ir::Node& node,
                                 const BoundNode& bound);

}  // namespace graft
