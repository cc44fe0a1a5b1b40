#include "base/release_pages.h"

#include <sys/mman.h>

namespace graft {

void ReleasePages(const FileBytes& mapped) {
  if (mapped.size == 0) return;
  // Where it fails, the pages stay, which changes no result.
  ::madvise(const_cast<std::byte*>(mapped.data.get()), mapped.size, MADV_DONTNEED);
}

}  // namespace graft
