// What one core can do at most.
#pragma once

namespace graft {

// Floating-point operations of so many rounds of independent fused multiply-adds in registers,
// which are done before it returns.
double RunMultiplyAdds(int rounds);

// GFLOP/s of independent fused multiply-adds in registers.
double MeasureFmaPeak();

}  // namespace graft
