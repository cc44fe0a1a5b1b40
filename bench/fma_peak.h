// What one core can do at most.
#pragma once

namespace graft {

// GFLOP/s of independent fused multiply-adds in registers.
double MeasureFmaPeak();

}  // namespace graft
