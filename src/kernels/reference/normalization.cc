#include <algorithm>
#include <cmath>

#include "kernels/reference/kernels.h"

namespace graft::reference {

void Run(const LrnProblem& problem, Inputs in, Outputs out) {
  const int64_t channels = in[0].row_length();
  VisitDType(kFloatTypes, in[0].dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t row = 0; row < in[0].rows(); ++row) {
      const T* x = in[0].Row<T>(row);
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int64_t k = 0; k < channels; ++k) {
          if (std::abs(k - c) <= problem.radius) sum += static_cast<double>(x[k]) * x[k];
        }
        const double base = problem.bias + problem.alpha * sum;
        out[0].Row<T>(row)[c] = static_cast<T>(x[c] * std::pow(base, -problem.beta));
      }
    }
  });
}

}  // namespace graft::reference
