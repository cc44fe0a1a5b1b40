// Convolution as a product of the image's patches with the filter: a tile of patches is copied
// together in the cache (never the whole matrix), the filter lies in panels.
#include <algorithm>

#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/matmul/gemm.h"
#include "kernels/cpu/matmul/gemm_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv/igemm.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Both write whole vectors: up to a vector less one element past the end.
HWY_INLINE void Copy(const float* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (i < count) {
    hn::StoreU(hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count - i)), d, from + i), d,
               to + i);
  }
}
HWY_INLINE void Clear(int64_t count, float* to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < count; i += lanes) hn::StoreU(hn::Zero(d), d, to + i);
}

// Patches are made of runs: stretches of the image that are contiguous in memory.
void CopyPatches(const ConvProblem& p, const float* input, const TileRange& range, float* tile) {
  const ConvFilter& f = p.filter;
  const int64_t channels = f.group_inputs();
  // Neighbouring pixels of a filter row touch: the row is one run. Else each pixel is.
  const bool joined = f.dilation[2] == 1 && p.input_stride == channels;
  const int64_t run_pixels = joined ? f.kernel[2] : 1;
  const int64_t row_runs = f.kernel[2] / run_pixels;
  const int64_t run = run_pixels * channels;
  const int64_t first_run = range.k / run;

  int64_t position = range.row;
  int64_t x = position % p.output[2];
  position /= p.output[2];
  int64_t y = position % p.output[1];
  position /= p.output[1];
  int64_t z = position % p.output[0];
  const float* image =
      input + range.group * channels + position / p.output[0] * p.input_pixels() * p.input_stride;

  for (int r = 0; r < range.rows; ++r, tile += kRowStride) {
    const int64_t z0 = z * f.stride[0] - p.pad[0];
    const int64_t y0 = y * f.stride[1] - p.pad[1];
    const int64_t x0 = x * f.stride[2] - p.pad[2];
    int64_t kx = first_run % row_runs;
    int64_t ky = first_run / row_runs % f.kernel[1];
    int64_t kz = first_run / row_runs / f.kernel[1];
    int64_t begin = range.k - first_run * run;
    float* to = tile;
    for (int64_t left = range.k_end - range.k; left > 0;) {
      const int64_t end = std::min(run, begin + left);
      const int64_t in_z = z0 + kz * f.dilation[0];
      const int64_t in_y = y0 + ky * f.dilation[1];
      const int64_t in_x = x0 + kx * f.dilation[2];
      int64_t from = end;  // the part of the run inside the image
      int64_t until = end;
      if (in_z >= 0 && in_z < p.input[0] && in_y >= 0 && in_y < p.input[1]) {
        from = std::clamp(-in_x * channels, begin, end);
        until = std::clamp((p.input[2] - in_x) * channels, from, end);
      }
      Clear(from - begin, to);
      const float* source =
          image + ((in_z * p.input[1] + in_y) * p.input[2] + in_x) * p.input_stride;
      if (from < until) Copy(source + from, until - from, to + (from - begin));
      Clear(end - until, to + (until - begin));
      to += end - begin;
      left -= end - begin;
      begin = 0;
      if (++kx == row_runs) {
        kx = 0;
        if (++ky == f.kernel[1]) ky = 0, ++kz;
      }
    }
    if (++x == p.output[2]) {
      x = 0;
      if (++y == p.output[1]) {
        y = 0;
        if (++z == p.output[0]) z = 0, image += p.input_pixels() * p.input_stride;
      }
    }
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(CopyPatches);

namespace {

GemmProblem ToGemm(const ConvProblem& p) {
  GemmProblem gemm;
  gemm.rows = p.rows();
  gemm.columns = p.filter.group_outputs();
  gemm.depth = p.filter.depth();
  gemm.groups = p.filter.groups;
  gemm.group_column = gemm.columns;
  gemm.group_panels = PanelsSize(gemm.depth, gemm.columns);
  return gemm;
}

int64_t GroupSize(const ConvFilter& f) { return PanelsSize(f.depth(), f.group_outputs()); }

}  // namespace

// A product of one column for each channel fills one lane in sixteen: depthwise.cc takes these.
std::optional<Refusal> IgemmRefuses(const ConvFilter& f) {
  if (f.groups == 1 || DepthwiseRefuses(f)) return std::nullopt;
  return Refuse("{} groups of one channel", f.groups);
}

int64_t IgemmPackedSize(const ConvFilter& f) { return f.groups * GroupSize(f); }

void IgemmPack(const ConvFilter& f, const float* weights, float* packed, Executor& executor) {
  for (int64_t g = 0; g < f.groups; ++g) {
    PackPanels(weights + g * f.group_outputs(), f.depth(), f.group_outputs(), f.output_channels, 1,
               packed + g * GroupSize(f), executor);
  }
}

int64_t IgemmWorkspaceSize(const ConvProblem&, int width) { return GemmWorkspaceSize(width); }

void IgemmRun(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {
  GemmArguments gemm;
  gemm.b = arguments.weights;
  gemm.c = arguments.output;
  gemm.c_stride = p.output_stride;
  gemm.epilogue = arguments.epilogue;
  gemm.workspace = static_cast<float*>(arguments.workspace);
  const auto copy_patches = HWY_DYNAMIC_DISPATCH(CopyPatches);
  Gemm(
      ToGemm(p), gemm,
      [&](const TileRange& range, float* tile) { copy_patches(p, arguments.input, range, tile); },
      executor);
}

double IgemmCost(const ConvProblem& p) { return GemmCost(ToGemm(p)); }

}  // namespace graft::cpu
#endif  // HWY_ONCE
