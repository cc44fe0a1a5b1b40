// Transposed convolution as products with the filter's taps. Outputs of a row that lie a stride
// apart take the same taps from neighbouring inputs: they are the rows of one product.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {
namespace {

constexpr int64_t kTileFloats = kMaxTileRows * kRowStride;

// The input that tap k takes to output `at` along an axis; nullopt when there is none.
std::optional<int64_t> Source(const ConvProblem& p, int axis, int64_t at, int64_t k) {
  const int64_t position = at + p.pad[axis] - k * p.filter.dilation[axis];
  if (position < 0 || position % p.filter.stride[axis] != 0) return std::nullopt;
  const int64_t source = position / p.filter.stride[axis];
  if (source >= p.input[axis]) return std::nullopt;
  return source;
}

// A row of outputs being computed: which image, where, on which worker's tile.
struct OutputRow {
  int64_t image;
  int64_t z;
  int64_t y;
  float* tile;
};

// Outputs x, x + stride, … (`rows` of them) of a row.
void RunTile(const ConvProblem& p, const ConvArguments& arguments, const OutputRow& row, int64_t x,
             int rows) {
  const ConvFilter& f = p.filter;
  const Epilogue& epilogue = arguments.epilogue;
  const int64_t stride = f.stride[2];
  const int64_t pixel = ((row.image * p.output[0] + row.z) * p.output[1] + row.y) * p.output[2] + x;
  const int64_t tap_size = PanelsSize(f.input_channels, f.output_channels);
  TileJob job;
  job.a = row.tile;
  job.rows = rows;
  job.panel_stride = f.input_channels * kPanel;
  job.c = As<float>(arguments.output) + pixel * p.output_stride;
  job.c_stride = stride * p.output_stride;
  job.columns = f.output_channels;
  job.bias = epilogue.bias;
  job.last = false;
  const int64_t depth_block = DepthBlockSize(f.input_channels);
  for (int64_t kz = 0; kz < f.kernel[0]; ++kz) {
    const auto in_z = Source(p, 0, row.z, kz);
    if (!in_z) continue;
    for (int64_t ky = 0; ky < f.kernel[1]; ++ky) {
      const auto in_y = Source(p, 1, row.y, ky);
      if (!in_y) continue;
      const float* input_row =
          As<float>(arguments.input) +
          ((row.image * p.input[0] + *in_z) * p.input[1] + *in_y) * p.input[2] * p.input_stride;
      for (int64_t kx = 0; kx < f.kernel[2]; ++kx) {
        const int64_t position = x + p.pad[2] - kx * f.dilation[2];
        if (position % stride != 0) continue;
        const int64_t in_x = position / stride;  // exact, so negative ones are right too
        if (in_x + rows <= 0 || in_x >= p.input[2]) continue;
        const int64_t tap = (kz * f.kernel[1] + ky) * f.kernel[2] + kx;
        for (int64_t k = 0; k < f.input_channels; k += depth_block) {
          job.depth = std::min(depth_block, f.input_channels - k);
          for (int r = 0; r < rows; ++r) {
            float* to = row.tile + r * kRowStride;
            if (in_x + r >= 0 && in_x + r < p.input[2]) {
              std::memcpy(to, input_row + (in_x + r) * p.input_stride + k,
                          job.depth * sizeof(float));
            } else {
              std::fill_n(to, job.depth, 0.0f);
            }
          }
          job.b = As<float>(arguments.weights) + tap * tap_size + k * kPanel;
          MultiplyTile(job);
          job.first = false;
        }
      }
    }
  }
  // The epilogue, on zeros where no tap reaches.
  job.depth = 0;
  job.b = As<float>(arguments.weights);
  job.last = true;
  job.low = epilogue.low;
  job.high = epilogue.high;
  if (epilogue.residual) {
    job.residual = epilogue.residual + pixel * epilogue.residual_stride;
    job.residual_stride = stride * epilogue.residual_stride;
  }
  MultiplyTile(job);
}

}  // namespace

std::optional<Refusal> TransposedGemmRefuses(const ConvFilter& f) {
  if (f.groups != 1) return Refuse("{} groups", f.groups);
  return std::nullopt;
}

size_t TransposedGemmPackedBytes(const ConvFilter& f) {
  return f.taps() * PanelsSize(f.input_channels, f.output_channels) * sizeof(float);
}

void TransposedGemmPack(const ConvFilter& f, const void* filter, void* packed, Executor& executor) {
  const float* weights = As<float>(filter);
  const int64_t tap_size = PanelsSize(f.input_channels, f.output_channels);
  for (int64_t tap = 0; tap < f.taps(); ++tap) {
    PackPanels(weights + tap * f.input_channels * f.output_channels, f.input_channels,
               f.output_channels, 1, f.input_channels, As<float>(packed) + tap * tap_size,
               executor);
  }
}

size_t TransposedGemmWorkspaceBytes(const ConvProblem&, int width) {
  return width * kTileFloats * sizeof(float);
}

void TransposedGemmRun(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {
  const int64_t rows = p.batch * p.output[0] * p.output[1];
  if (rows == 0 || p.output[2] == 0) return;
  const int64_t stride = p.filter.stride[2];
  const int64_t tasks =
      std::min(rows, TaskCount(static_cast<int64_t>(p.multiply_adds() / 16), executor));
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    const Range range = Part(rows, tasks, task);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const OutputRow row = {i / p.output[1] / p.output[0], i / p.output[1] % p.output[0],
                             i % p.output[1],
                             static_cast<float*>(arguments.workspace) + worker * kTileFloats};
      for (int64_t phase = 0; phase < std::min(stride, p.output[2]); ++phase) {
        const int64_t outputs = CeilDiv(p.output[2] - phase, stride);
        for (int64_t first = 0; first < outputs; first += TileRows()) {
          RunTile(p, arguments, row, phase + first * stride,
                  static_cast<int>(std::min<int64_t>(TileRows(), outputs - first)));
        }
      }
      if (arguments.epilogue.finish) {
        (*arguments.epilogue.finish)({i * p.output[2], p.output[2], 0, p.filter.output_channels},
                                     worker);
      }
    }
  });
}

double TransposedGemmCost(const ConvProblem& p) {
  // Each input meets each tap once.
  return static_cast<double>(p.batch * p.input_pixels()) *
         static_cast<double>(p.filter.taps() *
                             PanelsSize(p.filter.input_channels, p.filter.output_channels)) /
         16 / 0.7;
}

}  // namespace graft::cpu
