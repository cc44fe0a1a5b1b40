// What a file that is written takes the place of.
#pragma once

#include <string>

namespace graft {

// The file that a symbolic link at `path` names, at the end of all links; else `path` itself. So
// what is written beside it and renamed leaves the link in place.
std::string FileBehind(const std::string& path);
// Whether there is something at `path` that no file can take the place of: a device, a pipe, a
// folder.
bool IsNoFile(const std::string& path);

}  // namespace graft
