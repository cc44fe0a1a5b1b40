// What a tactic has beside its own interface when plans may keep what it packs.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "backend_api/backend.h"

namespace graft {

class AdoptsPacked {
 public:
  virtual ~AdoptsPacked() = default;
  // What the form of the packed constants depends on beside the tactic's name and version: the
  // instruction set.
  virtual std::string PackedTarget() const = 0;
  // Packed constants over `bytes`, in place: what Pack gave, in one region, where PackedTarget()
  // was the same. They begin at a 64-byte boundary; how many they are and their values are a
  // file's, so no kernel may take an address or a length from them. kDataLoss where they are not as
  // many as Pack gives.
  virtual Result<std::unique_ptr<PackedWeights>> Adopt(const ir::Module& module,
                                                       const ir::Node& node,
                                                       std::shared_ptr<const std::byte> bytes,
                                                       size_t size) const = 0;
};

// Null: plans keep nothing of this tactic.
inline const AdoptsPacked* AsAdoptsPacked(const Tactic& tactic) {
  return tactic.packing().empty() ? nullptr : dynamic_cast<const AdoptsPacked*>(&tactic);
}

}  // namespace graft
