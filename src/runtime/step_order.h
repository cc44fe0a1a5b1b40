// Which steps of a stage wait for which: each for the earlier ones that write what it reads or
// writes, or read what it writes. Steps that do not wait for one another may run side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft {

// Bytes [begin, end) of a piece of memory that a step reads or writes; of a window of rows only
// `width` bytes every `stride`.
struct MemoryUse {
  int memory = 0;
  size_t begin = 0, end = 0;
  size_t stride = 0, width = 0;  // 0: all bytes
  bool writes = false;
};

class StepOrder {
 public:
  // By step, in an order in which they may run.
  explicit StepOrder(std::span<const std::vector<MemoryUse>> uses);

  // The steps that the step waits for, without those that these wait for.
  const std::vector<int>& after(int step) const { return after_[step]; }
  // Whether `later` waits for `earlier`.
  bool Waits(int later, int earlier) const {
    return waits_[later * words_ + earlier / 64] >> earlier % 64 & 1;
  }
  // All steps that the step waits for, as bits: step i is bit i % 64 of word i / 64.
  std::span<const uint64_t> WaitsOf(int step) const {
    return std::span(waits_).subspan(step * words_, words_);
  }
  // Whether each step waits for the one before it.
  bool IsChain() const;

 private:
  size_t words_;
  std::vector<std::vector<int>> after_;
  std::vector<uint64_t> waits_;  // [step, earlier step / 64]
};

}  // namespace graft
