#include "kernels/cpu/conv/patches.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/matmul/gemm_tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv/patches.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// All of these write whole vectors: up to 15 elements past the end. `limit` is the end of what may
// be read.
HWY_INLINE void Copy(const float* HWY_RESTRICT from, int64_t count, const float* /*limit*/,
                     float* HWY_RESTRICT to) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (i < count) {
    hn::StoreU(hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count - i)), d, from + i), d,
               to + i);
  }
}
// Vectors of bytes have no masks, and runs are short in a first layer: where there is something to
// read behind the run, its rest is one vector too.
template <class From, class To>
HWY_INLINE void Copy(const From* HWY_RESTRICT from, int64_t count, const From* limit,
                     To* HWY_RESTRICT to) {
  const hn::CappedTag<To, 16> d;
  const hn::Rebind<From, decltype(d)> read;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto copy = [&](int64_t i) {
    if constexpr (sizeof(From) == sizeof(To)) {
      hn::StoreU(hn::LoadU(d, from + i), d, to + i);
    } else {
      hn::StoreU(hn::PromoteTo(d, hn::LoadU(read, from + i)), d, to + i);
    }
  };
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) copy(i);
  if (i == count) return;
  if (limit - from >= i + lanes) return copy(i);
  for (; i < count; ++i) to[i] = from[i];
}
template <class To>
HWY_INLINE void Clear(int64_t count, To* to) {
  const hn::CappedTag<To, 16> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < count; i += lanes) hn::StoreU(hn::Zero(d), d, to + i);
}

// The end of the last pixel.
template <class From>
const From* EndOf(const ConvProblem& p, const From* input) {
  return input + (p.batch * p.input_pixels() - 1) * p.input_stride + p.filter.input_channels;
}

// The patches of a filter of one tap: the pixels themselves, one after the other.
template <class From, class To>
void CopyPixels(const ConvProblem& p, const void* input, const TileRange& range, void* to_tile) {
  const From* const limit = EndOf(p, As<From>(input));
  const From* pixel = As<From>(input) + range.group * p.filter.group_inputs() +
                      range.row * p.input_stride + range.k;
  To* tile = As<To>(to_tile);
  for (int r = 0; r < range.rows; ++r, pixel += p.input_stride, tile += kRowStride) {
    Copy(pixel, range.k_end - range.k, limit, tile);
  }
}

// Patches are made of runs: stretches of the image that are contiguous in memory.
template <class From, class To>
void CopyPatches(const ConvProblem& p, const void* from_input, const TileRange& range,
                 void* to_tile) {
  const From* input = As<From>(from_input);
  const From* const limit = EndOf(p, input);
  To* tile = As<To>(to_tile);
  const ConvFilter& f = p.filter;
  const int64_t channels = f.group_inputs();
  // Neighbouring pixels of a filter row touch: the row is one run. Else each pixel is.
  const bool joined = f.dilation[2] == 1 && p.input_stride == channels;
  const int64_t run_pixels = joined ? f.kernel[2] : 1;
  const int64_t row_runs = f.kernel[2] / run_pixels;
  const int64_t run = run_pixels * channels;
  const int64_t first_run = range.k / run;
  const int64_t first_begin = range.k - first_run * run;
  const int64_t first_kx = first_run % row_runs;
  const int64_t first_ky = first_run / row_runs % f.kernel[1];
  const int64_t first_kz = first_run / row_runs / f.kernel[1];

  int64_t position = range.row;
  int64_t x = position % p.output[2];
  position /= p.output[2];
  int64_t y = position % p.output[1];
  position /= p.output[1];
  int64_t z = position % p.output[0];
  const From* image =
      input + range.group * channels + position / p.output[0] * p.input_pixels() * p.input_stride;

  for (int r = 0; r < range.rows; ++r, tile += kRowStride) {
    const int64_t z0 = z * f.stride[0] - p.pad[0];
    const int64_t y0 = y * f.stride[1] - p.pad[1];
    const int64_t x0 = x * f.stride[2] - p.pad[2];
    int64_t kx = first_kx;
    int64_t ky = first_ky;
    int64_t kz = first_kz;
    int64_t begin = first_begin;
    To* to = tile;
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
      if (begin < from) Clear(from - begin, to);
      const From* source =
          image + ((in_z * p.input[1] + in_y) * p.input[2] + in_x) * p.input_stride;
      if (from < until) Copy(source + from, until - from, limit, to + (from - begin));
      if (until < end) Clear(end - until, to + (until - begin));
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

template <class From, class To>
CopyPatchesFunction Function(bool pixels) {
  return pixels ? CopyPixels<From, To> : CopyPatches<From, To>;
}

CopyPatchesFunction Choose(const ElementTypes& types, bool pixels) {
  if (types.seven_bits) return Function<uint8_t, uint8_t>(pixels);
  switch (types.input) {
    case DType::kInt8:
      return Function<int8_t, int16_t>(pixels);
    case DType::kUint8:
      return Function<uint8_t, int16_t>(pixels);
    default:
      return Function<float, float>(pixels);
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Choose);

CopyPatchesFunction ChooseCopyPatches(const ConvProblem& p) {
  constexpr Spatial kOnes = {1, 1, 1};
  const bool pixels = p.filter.kernel == kOnes && p.filter.stride == kOnes && p.pad == Spatial{} &&
                      p.output == p.input;
  return HWY_DYNAMIC_DISPATCH(Choose)(p.filter.types, pixels);
}

GemmProblem PatchesProduct(const ConvProblem& p) {
  GemmProblem gemm;
  gemm.rows = p.rows();
  gemm.columns = p.filter.group_outputs();
  gemm.depth = p.filter.depth();
  gemm.groups = p.filter.groups;
  gemm.group_column = gemm.columns;
  return gemm;
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
