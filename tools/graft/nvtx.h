// Ranges for NVIDIA's profilers (Nsight Systems): they lie over the kernels that were queued
// within. Without such a tool attached to the process, or built without NVTX's headers, they are
// nothing.
#pragma once

#include <string>

namespace graft {

// Of this thread; ranges lie within one another.
void PushNvtxRange(const std::string& name);
void PopNvtxRange();

}  // namespace graft
