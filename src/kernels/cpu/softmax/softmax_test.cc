#include "kernels/cpu/softmax/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

TEST(Softmax, MatchesItsDefinition) {
  ForEachTarget([](const std::string& target) {
    for (int64_t columns : {1, 2, 7, 8, 16, 33, 1000}) {
      for (bool log : {false, true}) {
        const int64_t rows = 37;
        const std::vector<float> x = RandomFloats(rows * columns, 1, 5);
        const auto operation =
            SoftmaxOperation::Make({log, DType::kFloat32, rows, columns, columns, columns});
        const std::vector<float> y = RunOperation<float>(*operation, {x.data()}, rows * columns);
        for (int64_t r = 0; r < rows; ++r) {
          double sum = 0;
          for (int64_t c = 0; c < columns; ++c) sum += std::exp(double{x[r * columns + c]});
          for (int64_t c = 0; c < columns; ++c) {
            const double v = x[r * columns + c];
            const double expected = log ? v - std::log(sum) : std::exp(v) / sum;
            EXPECT_NEAR(y[r * columns + c], expected, 2e-6 * std::max(1.0, std::abs(expected)))
                << target << " " << columns;
          }
        }
      }
    }
  });
}

TEST(Softmax, LargeAndMissingNumbers) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  ForEachTarget([](const std::string&) {
    const std::vector<float> x = {1000, 999, -kInf, 1, 2, NAN, -kInf, -kInf, -kInf};
    const auto operation = SoftmaxOperation::Make({false, DType::kFloat32, 3, 3, 3, 3});
    const std::vector<float> y = RunOperation<float>(*operation, {x.data()}, 9);
    EXPECT_NEAR(y[0], 0.7310586f, 1e-6);
    EXPECT_EQ(y[2], 0.f);
    for (int i = 3; i < 9; ++i) EXPECT_TRUE(std::isnan(y[i])) << i;
  });
}

}  // namespace
}  // namespace graft::cpu
