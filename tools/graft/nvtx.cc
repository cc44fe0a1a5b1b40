#include "nvtx.h"

#ifdef GRAFT_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace graft {

#ifdef GRAFT_NVTX
void PushNvtxRange(const std::string& name) { nvtxRangePushA(name.c_str()); }
void PopNvtxRange() { nvtxRangePop(); }
#else
void PushNvtxRange(const std::string&) {}
void PopNvtxRange() {}
#endif

}  // namespace graft
