// The tactics that come from the kernels' tables of GRAFT_CPU_KERNEL rows.
#pragma once

#include <memory>
#include <string_view>

#include "backends/cpu/tactics.h"

namespace graft::cpu {

// One maker for each row, given the row's name and version.
#define GRAFT_CPU_KERNEL(Op, Id, name, version) \
  std::unique_ptr<Tactic> Make##Id(std::string_view tactic_name, int tactic_version);
#include "backends/cpu/kernel_tables.inc"
#undef GRAFT_CPU_KERNEL

}  // namespace graft::cpu
