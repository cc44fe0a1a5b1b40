// Every kernel of kernels.inc, on every instruction set of this processor, against simple loops.
#include "kernels/cpu/conv/conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/half.h"
#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

struct Case {
  int64_t batch;
  Spatial input;
  Spatial kernel;
  Spatial stride;
  Spatial dilation;
  Spatial pad_before;
  Spatial pad_after;
  int64_t groups;
  int64_t input_channels;
  int64_t output_channels;
  int64_t input_gap = 0;  // elements between pixels that belong to others
  int64_t output_gap = 0;
};

const Case kCases[] = {
    // 1×1, plain and strided, channels around the panel and depth block sizes
    {1, {1, 5, 7}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1, 3, 1},
    {2, {1, 9, 9}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1, 600, 72},
    {1, {1, 8, 6}, {1, 1, 1}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1, 40, 33, 5, 3},
    // 3×3 with everything
    {1, {1, 14, 14}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 1, 64, 48},
    {3, {1, 7, 5}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 1, 19, 21},
    {1, {1, 13, 11}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1, 33, 17, 7, 11},
    {1, {1, 4, 4}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 2, 0}, {0, 0, 2}, 1, 300, 40},
    {2, {1, 12, 9}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 1}, {0, 1, 0}, 1, 24, 16},
    {1, {1, 11, 12}, {1, 3, 3}, {1, 1, 1}, {1, 2, 3}, {0, 2, 3}, {0, 2, 3}, 1, 8, 20},
    {1, {1, 23, 23}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 2, 3}, 1, 3, 64},
    {1, {1, 9, 9}, {1, 1, 7}, {1, 1, 1}, {1, 1, 1}, {0, 0, 3}, {0, 0, 3}, 1, 16, 24},
    // Groups, depthwise, multipliers
    {1, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 4, 32, 24},
    {2, {1, 10, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 35, 35, 35},
    {1, {1, 15, 14}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 1, 1}, 64, 64, 64, 3, 2},
    {1, {1, 9, 12}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}, 20, 20, 20},
    {1, {1, 15, 15}, {1, 7, 7}, {1, 2, 2}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}, 17, 17, 17},
    {1, {1, 3, 2}, {1, 7, 5}, {1, 1, 1}, {1, 1, 1}, {0, 3, 2}, {0, 3, 2}, 16, 16, 16},
    {1, {1, 12, 12}, {1, 3, 3}, {1, 1, 1}, {1, 2, 2}, {0, 2, 2}, {0, 2, 2}, 48, 48, 48},
    {1, {1, 7, 7}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 6, 6, 18},
    // Depthwise with columns a multiple of 1 KiB apart, last vectors that overlap, wide borders
    {1, {1, 6, 9}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 256, 256, 256},
    {1, {1, 9, 11}, {1, 5, 5}, {1, 2, 2}, {1, 1, 1}, {0, 1, 2}, {0, 2, 1}, 250, 250, 250, 6, 3},
    {1, {1, 7, 8}, {1, 7, 7}, {1, 1, 1}, {1, 1, 1}, {0, 3, 3}, {0, 3, 3}, 9, 9, 9, 247},
    {2, {1, 3, 2}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 2, 5}, {0, 2, 4}, 22, 22, 22},
    // One to four channels: borders wider than the image, strides, gaps, dilation, long rows
    {2, {1, 9, 21}, {1, 5, 5}, {1, 1, 1}, {1, 1, 1}, {0, 2, 2}, {0, 2, 2}, 1, 8, 1},
    {2, {1, 1, 1100}, {1, 1, 256}, {1, 1, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 9}, 1, 1, 1},
    {1, {1, 6, 30}, {1, 7, 3}, {1, 1, 3}, {1, 1, 1}, {0, 3, 4}, {0, 3, 5}, 1, 37, 2, 3, 1},
    {1, {1, 5, 40}, {1, 2, 3}, {1, 2, 1}, {1, 3, 2}, {0, 4, 2}, {0, 1, 2}, 1, 19, 3, 0, 2},
    {1, {1, 3, 2}, {1, 7, 5}, {1, 1, 1}, {1, 1, 1}, {0, 3, 2}, {0, 3, 2}, 1, 16, 4},
    {1, {4, 5, 19}, {2, 3, 3}, {1, 2, 1}, {2, 1, 1}, {1, 1, 1}, {2, 1, 0}, 1, 50, 4},
    // One and three dimensions, nothing at all
    {1, {1, 1, 30}, {1, 1, 5}, {1, 1, 2}, {1, 1, 1}, {0, 0, 2}, {0, 0, 2}, 1, 12, 10},
    {1, {5, 6, 7}, {3, 3, 3}, {2, 1, 1}, {1, 1, 2}, {1, 1, 1}, {1, 1, 1}, 1, 5, 18},
    {0, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 1, 16, 16},
    {0, {1, 8, 8}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 16, 16, 16},
};

enum class Finish { kNone, kBias, kResidual, kCallback };

ConvProblem MakeProblem(const Case& c) {
  ConvProblem p;
  p.filter = {c.kernel, c.stride, c.dilation, c.groups, c.input_channels, c.output_channels};
  p.batch = c.batch;
  p.input = c.input;
  p.pad = c.pad_before;
  for (int i = 0; i < 3; ++i) {
    const int64_t extent = (c.kernel[i] - 1) * c.dilation[i] + 1;
    p.output[i] = (c.input[i] + c.pad_before[i] + c.pad_after[i] - extent) / c.stride[i] + 1;
  }
  p.input_stride = c.input_channels + c.input_gap;
  p.output_stride = c.output_channels + c.output_gap;
  return p;
}

// The definition, in double.
double Direct(const ConvProblem& p, const float* input, const float* weights, int64_t n, Spatial at,
              int64_t m) {
  const ConvFilter& f = p.filter;
  const int64_t channels = f.group_inputs();
  const int64_t first = m / f.group_outputs() * channels;
  double sum = 0;
  int64_t tap = 0;
  for (int64_t kz = 0; kz < f.kernel[0]; ++kz) {
    for (int64_t ky = 0; ky < f.kernel[1]; ++ky) {
      for (int64_t kx = 0; kx < f.kernel[2]; ++kx, ++tap) {
        const int64_t z = at[0] * f.stride[0] - p.pad[0] + kz * f.dilation[0];
        const int64_t y = at[1] * f.stride[1] - p.pad[1] + ky * f.dilation[1];
        const int64_t x = at[2] * f.stride[2] - p.pad[2] + kx * f.dilation[2];
        if (z < 0 || z >= p.input[0] || y < 0 || y >= p.input[1] || x < 0 || x >= p.input[2]) {
          continue;
        }
        const int64_t pixel = ((n * p.input[0] + z) * p.input[1] + y) * p.input[2] + x;
        for (int64_t c = 0; c < channels; ++c) {
          sum += static_cast<double>(input[pixel * p.input_stride + first + c]) *
                 weights[(tap * channels + c) * f.output_channels + m];
        }
      }
    }
  }
  return sum;
}

void Check(const ConvKernel& kernel, const Case& c, Finish finish, int threads) {
  const ConvProblem p = MakeProblem(c);
  const ConvFilter& f = p.filter;
  const std::vector<float> input = RandomFloats(p.batch * p.input_pixels() * p.input_stride, 1);
  const std::vector<float> weights = RandomFloats(f.depth() * f.output_channels, 2);
  const std::vector<float> bias = RandomFloats(f.output_channels, 3);
  const std::vector<float> residual = RandomFloats(p.rows() * f.output_channels, 4);
  constexpr float kUntouched = 12345;
  std::vector<float> output(p.rows() * p.output_stride, kUntouched);

  const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
  AlignedBuffer packed(kernel.packed_bytes(f)), again(kernel.packed_bytes(f));
  // Every byte is written: plans keep them.
  std::fill_n(packed.data(), packed.size(), std::byte{0x55});
  std::fill_n(again.data(), again.size(), std::byte{0xaa});
  kernel.pack(f, weights.data(), packed.data(), *executor);
  kernel.pack(f, weights.data(), again.data(), *executor);
  ASSERT_TRUE(std::equal(packed.data(), packed.data() + packed.size(), again.data()));
  AlignedBuffer workspace(kernel.workspace_bytes(p, executor->width()));

  ConvArguments a;
  a.input = input.data();
  a.weights = packed.data();
  a.output = output.data();
  a.workspace = workspace.data();
  auto double_block = [&](const SumsBlock& b, int) {
    for (int64_t r = b.row; r < b.row + b.rows; ++r) {
      for (int64_t k = b.column; k < b.column + b.columns; ++k)
        output[r * p.output_stride + k] *= 2;
    }
  };
  const BlockFunction callback = double_block;
  if (finish == Finish::kBias || finish == Finish::kResidual) a.epilogue.bias = bias.data();
  if (finish == Finish::kResidual) {
    a.epilogue.residual = residual.data();
    a.epilogue.residual_stride = f.output_channels;
    a.epilogue.low = 0;
    a.epilogue.high = 6;
  }
  if (finish == Finish::kCallback) a.epilogue.finish = &callback;
  kernel.run(p, a, *executor);

  // 4 sqrt(K) eps times the largest result: the bound of every convolution, Winograd's included.
  const double depth = static_cast<double>(f.depth());
  const double tolerance = 4 * std::sqrt(depth) * 1.2e-7 * 5 * std::sqrt(depth) + 1e-5;
  for (int64_t row = 0; row < p.rows(); ++row) {
    const int64_t x = row % p.output[2];
    const int64_t y = row / p.output[2] % p.output[1];
    const int64_t z = row / p.output[2] / p.output[1] % p.output[0];
    const int64_t n = row / p.output_pixels();
    for (int64_t m = 0; m < f.output_channels; ++m) {
      double expected = Direct(p, input.data(), weights.data(), n, {z, y, x}, m);
      if (a.epilogue.bias) expected += bias[m];
      if (a.epilogue.residual) {
        expected = std::clamp(expected + residual[row * f.output_channels + m], 0.0, 6.0);
      }
      if (finish == Finish::kCallback) expected *= 2;
      ASSERT_NEAR(output[row * p.output_stride + m], expected, tolerance)
          << "image " << n << ", " << z << "," << y << "," << x << " channel " << m;
    }
    for (int64_t m = f.output_channels; m < p.output_stride; ++m) {
      ASSERT_EQ(output[row * p.output_stride + m], kUntouched) << "written beyond the row";
    }
  }
}

TEST(ConvKernels, AgreeWithTheDefinition) {
  for (const std::string& target : SupportedTargets()) {
    const ScopedTarget scoped(target);
    for (const ConvKernel& kernel : ConvKernels()) {
      if (kernel.types != ElementTypes()) continue;  // conformance has those of other types
      int taken = 0;
      for (size_t i = 0; i < std::size(kCases); ++i) {
        if (kernel.refuses(MakeProblem(kCases[i]).filter)) continue;
        ++taken;
        for (Finish finish : {Finish::kNone, Finish::kBias, Finish::kResidual, Finish::kCallback}) {
          const int threads = finish == Finish::kBias ? 3 : 1;
          SCOPED_TRACE(testing::Message() << kernel.name << " on " << target << ", case " << i
                                          << ", finish " << static_cast<int>(finish));
          Check(kernel, kCases[i], finish, threads);
          if (HasFatalFailure()) return;
        }
      }
      EXPECT_GT(taken, 0) << kernel.name;
    }
  }
}

struct TransposedCase {
  Case conv;         // whose gradient it is: its output is our input
  int64_t extra[3];  // outputs that no window of the convolution reaches
};

const TransposedCase kTransposedCases[] = {
    {{1, {1, 8, 8}, {1, 2, 2}, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1, 24, 40}, {0, 0, 0}},
    {{2, {1, 9, 7}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 0}, {0, 1, 1}, 1, 7, 300, 2, 3},
     {0, 0, 0}},
    {{1, {1, 6, 33}, {1, 4, 4}, {1, 1, 1}, {1, 1, 1}, {0, 2, 1}, {0, 1, 2}, 1, 16, 5}, {0, 0, 0}},
    {{1, {1, 10, 11}, {1, 2, 2}, {1, 3, 3}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, 1, 3, 4}, {0, 1, 2}},
    {{1, {1, 12, 12}, {1, 3, 2}, {1, 1, 2}, {1, 2, 3}, {0, 1, 1}, {0, 2, 0}, 1, 5, 6}, {0, 0, 0}},
    {{1, {5, 6, 7}, {3, 3, 3}, {2, 2, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, 1, 4, 18}, {0, 0, 0}},
    {{0, {1, 8, 8}, {1, 3, 3}, {1, 2, 2}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 1, 4, 4}, {0, 0, 0}},
};

void CheckTransposed(const ConvKernel& kernel, const TransposedCase& c, Finish finish,
                     int threads) {
  const ConvProblem conv = MakeProblem(c.conv);
  ConvProblem p = conv;
  std::swap(p.input, p.output);
  for (int i = 0; i < 3; ++i) p.output[i] += c.extra[i];
  std::swap(p.filter.input_channels, p.filter.output_channels);
  std::swap(p.input_stride, p.output_stride);
  const ConvFilter& f = p.filter;
  const std::vector<float> input = RandomFloats(p.batch * p.input_pixels() * p.input_stride, 1);
  const std::vector<float> weights = RandomFloats(f.depth() * f.output_channels, 2);
  const std::vector<float> bias = RandomFloats(f.output_channels, 3);
  const std::vector<float> residual = RandomFloats(p.rows() * f.output_channels, 4);
  std::vector<float> output(p.rows() * p.output_stride);

  std::vector<double> expected(p.rows() * f.output_channels);
  for (int64_t row = 0; row < conv.rows(); ++row) {
    const int64_t n = row / conv.output_pixels();
    const Spatial at = {row / conv.output[2] / conv.output[1] % conv.output[0],
                        row / conv.output[2] % conv.output[1], row % conv.output[2]};
    for (int64_t tap = 0; tap < f.taps(); ++tap) {
      const Spatial k = {tap / f.kernel[2] / f.kernel[1], tap / f.kernel[2] % f.kernel[1],
                         tap % f.kernel[2]};
      Spatial to;
      bool inside = true;
      for (int i = 0; i < 3; ++i) {
        to[i] = at[i] * f.stride[i] - p.pad[i] + k[i] * f.dilation[i];
        inside &= to[i] >= 0 && to[i] < p.output[i];
      }
      if (!inside) continue;
      const int64_t pixel = ((n * p.output[0] + to[0]) * p.output[1] + to[1]) * p.output[2] + to[2];
      for (int64_t m = 0; m < f.output_channels; ++m) {
        for (int64_t k_in = 0; k_in < f.input_channels; ++k_in) {
          expected[pixel * f.output_channels + m] +=
              static_cast<double>(input[row * p.input_stride + k_in]) *
              weights[(tap * f.output_channels + m) * f.input_channels + k_in];
        }
      }
    }
  }

  const std::unique_ptr<Executor> executor = MakeTbbExecutor(threads);
  AlignedBuffer packed(kernel.packed_bytes(f));
  kernel.pack(f, weights.data(), packed.data(), *executor);
  AlignedBuffer workspace(kernel.workspace_bytes(p, executor->width()));
  ConvArguments a{input.data(), packed.data(), output.data()};
  a.workspace = workspace.data();
  auto double_block = [&](const SumsBlock& b, int) {
    for (int64_t r = b.row; r < b.row + b.rows; ++r) {
      for (int64_t k = b.column; k < b.column + b.columns; ++k)
        output[r * p.output_stride + k] *= 2;
    }
  };
  const BlockFunction callback = double_block;
  if (finish == Finish::kResidual) {
    a.epilogue.bias = bias.data();
    a.epilogue.residual = residual.data();
    a.epilogue.residual_stride = f.output_channels;
    a.epilogue.low = 0;
  }
  if (finish == Finish::kCallback) a.epilogue.finish = &callback;
  kernel.run(p, a, *executor);
  for (int64_t i = 0; i < p.rows() * f.output_channels; ++i) {
    const int64_t m = i % f.output_channels;
    double value = expected[i];
    if (finish == Finish::kResidual) value = std::max(0.0, value + bias[m] + residual[i]);
    if (finish == Finish::kCallback) value *= 2;
    ASSERT_NEAR(output[i / f.output_channels * p.output_stride + m], value, 5e-4) << i;
  }
}

TEST(TransposedConvKernels, AgreeWithTheDefinition) {
  for (const std::string& target : SupportedTargets()) {
    const ScopedTarget scoped(target);
    for (const ConvKernel& kernel : TransposedConvKernels()) {
      for (size_t i = 0; i < std::size(kTransposedCases); ++i) {
        for (Finish finish : {Finish::kNone, Finish::kResidual, Finish::kCallback}) {
          SCOPED_TRACE(testing::Message() << kernel.name << " on " << target << ", case " << i
                                          << ", finish " << static_cast<int>(finish));
          CheckTransposed(kernel, kTransposedCases[i], finish, finish == Finish::kNone ? 1 : 3);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(ConvKernels, TakeEveryFilter) {
  for (const Case& c : kCases) {
    const std::span<const ConvKernel> kernels = ConvKernels();
    for (const ConvKernel& row : kernels) {
      EXPECT_TRUE(std::any_of(kernels.begin(), kernels.end(), [&](const ConvKernel& kernel) {
        // Filters of 16-bit floats can be packed in f32.
        const bool fits = kernel.types == row.types ||
                          (IsHalf(row.types.filter) && kernel.types == ElementTypes());
        return fits && !kernel.refuses(MakeProblem(c).filter);
      })) << row.name;
    }
  }
}

TEST(ConvKernels, KeepNaN) {
  for (const std::string& target : SupportedTargets()) {
    const ScopedTarget scoped(target);
    const Case c = {1, {1, 6, 6}, {1, 3, 3}, {1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 1, 1}, 1, 16, 16};
    const ConvProblem p = MakeProblem(c);
    std::vector<float> input(36 * 16, 1.0f);
    input[21 * 16] = NAN;
    const std::vector<float> weights(9 * 16 * 16, 1.0f);
    for (const ConvKernel& kernel : ConvKernels()) {
      if (kernel.types != ElementTypes() || kernel.refuses(p.filter)) continue;
      InlineExecutor executor;
      AlignedBuffer packed(kernel.packed_bytes(p.filter));
      kernel.pack(p.filter, weights.data(), packed.data(), executor);
      AlignedBuffer workspace(kernel.workspace_bytes(p, 1));
      std::vector<float> output(36 * 16);
      ConvArguments a{input.data(), packed.data(), output.data()};
      a.workspace = workspace.data();
      a.epilogue.low = 0;
      kernel.run(p, a, executor);
      EXPECT_TRUE(std::isnan(output[21 * 16 + 3])) << kernel.name;
    }
  }
}

}  // namespace
}  // namespace graft::cpu
