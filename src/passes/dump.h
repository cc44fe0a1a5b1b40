// Modules as files, for people and for bisecting.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "ir/module.h"

namespace graft::passes {

// Writes `directory`/`name`.ir, and the bytes of each large constant to `directory`/<hash>.bin
// unless that file is there already: the dumps of one run share them.
Status DumpModule(const ir::Module& module, const std::string& directory, std::string_view name);

}  // namespace graft::passes
