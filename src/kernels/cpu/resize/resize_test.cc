#include "kernels/cpu/resize/resize.h"

#include <gtest/gtest.h>

#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

std::vector<float> Resize(ResizeProblem p, const std::vector<float>& x) {
  if (p.x_row_stride == 1) p.x_row_stride = p.x[3];
  if (p.y_row_stride == 1) p.y_row_stride = p.y[3];
  return RunOperation<float>(ResizeOperation::Make(p).value(), {x.data()}, CountElements(p.y));
}

// What tf.raw_ops.ResizeBilinear and ResizeNearestNeighbor give for [0, 10, 20, 30] in a row.
TEST(Resize, PositionsAreTensorFlows) {
  const std::vector<float> x = {0, 10, 20, 30};
  using Row = std::vector<float>;
  const auto run = [&](bool bilinear, bool align, bool half, int64_t width) {
    return Resize({bilinear, DType::kFloat32, {1, 1, 4, 1}, 1, {1, 1, width, 1}, 1, align, half},
                  x);
  };
  EXPECT_EQ(run(true, false, false, 8), (Row{0, 5, 10, 15, 20, 25, 30, 30}));
  EXPECT_EQ(run(true, false, true, 8), (Row{0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30}));
  EXPECT_EQ(run(true, true, false, 7), (Row{0, 5, 10, 15, 20, 25, 30}));
  EXPECT_EQ(run(true, false, true, 2), (Row{5, 25}));
  EXPECT_EQ(run(false, false, false, 8), (Row{0, 0, 10, 10, 20, 20, 30, 30}));
  EXPECT_EQ(run(false, false, true, 3), (Row{0, 20, 30}));
  EXPECT_EQ(run(false, true, false, 3), (Row{0, 20, 30}));
  EXPECT_EQ(run(false, false, false, 1), (Row{0}));
}

TEST(Resize, ChannelsImagesAndTypes) {
  ForEachTarget([](const std::string& target) {
    for (int64_t channels : {1, 3, 8, 21, 64}) {
      // Doubling without alignment: even pixels are the input's, odd ones lie between two.
      const Dims x_dims = {2, 3, 5, channels}, y_dims = {2, 6, 10, channels};
      const std::vector<float> x = RandomFloats(CountElements(x_dims));
      const std::vector<float> y = Resize({true, DType::kFloat32, x_dims, 1, y_dims}, x);
      const auto at = [&](int64_t n, int64_t h, int64_t w, int64_t c) {
        return x[((n * 3 + std::min<int64_t>(h, 2)) * 5 + std::min<int64_t>(w, 4)) * channels + c];
      };
      for (int64_t i = 0; i < CountElements(y_dims); ++i) {
        const int64_t c = i % channels, w = i / channels % 10, h = i / channels / 10 % 6;
        const int64_t n = i / channels / 60;
        const float expected = (at(n, h / 2, w / 2, c) + at(n, (h + 1) / 2, w / 2, c) +
                                at(n, h / 2, (w + 1) / 2, c) + at(n, (h + 1) / 2, (w + 1) / 2, c)) /
                               4;
        EXPECT_NEAR(y[i], expected, 1e-6) << target;
      }
    }
  });
  const std::vector<uint8_t> bytes = {0, 100, 200, 50};
  const ResizeOperation operation =
      ResizeOperation::Make({true, DType::kUint8, {1, 2, 2, 1}, 1, {1, 4, 2, 1}, 1}).value();
  EXPECT_EQ(RunOperation<float>(operation, {bytes.data()}, 8),
            (std::vector<float>{0, 100, 100, 75, 200, 50, 200, 50}));
}

}  // namespace
}  // namespace graft::cpu
