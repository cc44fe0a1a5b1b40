#include "base/aligned_buffer.h"

#include <sys/mman.h>

namespace graft {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

void* AllocateAligned(size_t bytes, Pages pages) {
  if (pages == Pages::kSmall || bytes < kHugePage) {
    return std::aligned_alloc(kBufferAlignment, AlignUp(bytes ? bytes : 1));
  }
  void* memory = nullptr;
  if (posix_memalign(&memory, kHugePage, bytes) != 0) return nullptr;
  // A kernel without huge pages keeps small ones: slower, not wrong.
  static_cast<void>(madvise(memory, bytes, MADV_HUGEPAGE));
  return memory;
}

}  // namespace graft
