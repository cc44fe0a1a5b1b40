// Mapped files that are read from one end to the other and not kept in memory.
#pragma once

#include "base/file.h"

namespace graft {

// `mapped` is of ReadFile with map=true. Its pages leave the process; what is read again comes from
// the file again.
void ReleasePages(const FileBytes& mapped);

}  // namespace graft
