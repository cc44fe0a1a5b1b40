#include "kernels/cpu/matmul/gemm_tile.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/gemm_tile.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = hn::MaxLanes(D());
constexpr int kTileVectors = 2;
constexpr int64_t kTilePanels = std::max<int64_t>(1, kTileVectors* kLanes / kPanel);
// As many accumulators as the registers hold beside two vectors of B and one of A.
constexpr int kTileRows = kLanes >= 16 ? 14 : 6;

// kMasked: the last vector of a row is partial.
template <int kRows, int kVectors, bool kMasked>
void Tile(const TileJob& job, const float* HWY_RESTRICT b, int64_t column) {
  const D d;
  const auto mask = hn::FirstN(
      d, static_cast<size_t>(job.columns - column) - static_cast<size_t>((kVectors - 1) * kLanes));
  auto partial = [](int j) { return kMasked && j == kVectors - 1; };
  auto load = [&](const float* from, int j) HWY_ATTR {
    return partial(j) ? hn::MaskedLoad(mask, d, from + j * kLanes)
                      : hn::LoadU(d, from + j * kLanes);
  };
  float* c = job.c + column;

  V acc[kRows][kVectors];
  if (job.first) {
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      const V start = job.bias ? load(job.bias + column, j) : hn::Zero(d);
      _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) acc[r][j] = start;
    }
  } else {
    _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
      _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
        acc[r][j] = load(c + r * job.c_stride, j);
      }
    }
  }

  const float* HWY_RESTRICT a = job.a;
  const float* HWY_RESTRICT vectors[kVectors];
  for (int j = 0; j < kVectors; ++j) {
    vectors[j] = b + j * kLanes / kPanel * job.panel_stride + j * kLanes % kPanel;
  }
  // Where nothing is to be fetched, the line that is read anyway.
  const float* ahead[kTilePanels];
  for (int64_t j = 0; j < kTilePanels; ++j) {
    const int64_t panel = column / kPanel + j;
    ahead[j] = panel < job.ahead_panels ? job.ahead + panel * job.panel_stride : vectors[0];
  }
  for (int64_t k = 0; k < job.depth; ++k) {
    for (int64_t j = 0; j < kTilePanels; ++j) __builtin_prefetch(ahead[j] + k * kPanel, 0, 2);
    V bv[kVectors];
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      bv[j] = hn::LoadU(d, vectors[j] + k * kPanel);
    }
    _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
      const V av = hn::Set(d, a[r * kRowStride + k]);
      _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
        acc[r][j] = hn::MulAdd(av, bv[j], acc[r][j]);
      }
    }
  }

  auto store = [&](auto&& finish) HWY_ATTR {
    _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
      _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
        const V v = finish(acc[r][j], r, j);
        float* to = c + r * job.c_stride + j * kLanes;
        if (partial(j)) {
          hn::BlendedStore(v, mask, d, to);
        } else {
          hn::StoreU(v, d, to);
        }
      }
    }
  };
  if (!job.last) {
    store([](V v, int, int) HWY_ATTR { return v; });
    return;
  }
  const V low = hn::Set(d, job.low);
  const V high = hn::Set(d, job.high);
  // Max and Min give their second operand when either is NaN: NaN stays.
  if (job.residual) {
    const float* residual = job.residual + column;
    store([&](V v, int r, int j) HWY_ATTR {
      v = hn::Add(v, load(residual + r * job.residual_stride, j));
      return hn::Min(high, hn::Max(low, v));
    });
  } else {
    store([&](V v, int, int) HWY_ATTR { return hn::Min(high, hn::Max(low, v)); });
  }
}

using TileFunction = void (*)(const TileJob&, const float*, int64_t);
struct TileFunctions {
  TileFunction full[kTileVectors];
  TileFunction masked[kTileVectors];
};
template <int kRows>
constexpr TileFunctions FunctionsOf() {
  return {{Tile<kRows, 1, false>, Tile<kRows, 2, false>},
          {Tile<kRows, 1, true>, Tile<kRows, 2, true>}};
}
template <int... kRows>
const TileFunctions& FunctionsFor(int rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFunctions kTable[] = {FunctionsOf<kRows + 1>()...};
  return kTable[rows - 1];
}

int Rows() { return kTileRows; }

void Multiply(const TileJob& job) {
  const TileFunctions& functions =
      FunctionsFor(job.rows, std::make_integer_sequence<int, kTileRows>());
  constexpr int64_t kColumns = kTileVectors * kLanes;
  const float* b = job.b;
  for (int64_t column = 0; column < job.columns; column += kColumns) {
    const int64_t left = std::min(job.columns - column, kColumns);
    const int64_t vectors = (left + kLanes - 1) / kLanes;
    const bool whole = left == vectors * kLanes;
    (whole ? functions.full : functions.masked)[vectors - 1](job, b, column);
    b += kColumns / kPanel * job.panel_stride;
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(Rows);
HWY_EXPORT(Multiply);

int TileRows() { return HWY_DYNAMIC_DISPATCH(Rows)(); }
void MultiplyTile(const TileJob& job) { HWY_DYNAMIC_DISPATCH(Multiply)(job); }

namespace {

template <class T>
void Pack(const T* b, int64_t k, int64_t columns, int64_t row_stride, int64_t column_stride,
          T* panels, Executor& executor) {
  executor.ParallelFor(PanelCount(columns), [&](int64_t panel, int) {
    T* out = panels + panel * k * kPanel;
    const T* in = b + panel * kPanel * column_stride;
    const int64_t width = std::min(kPanel, columns - panel * kPanel);
    if (column_stride == 1 && width == kPanel) {
      for (int64_t i = 0; i < k; ++i) std::copy_n(in + i * row_stride, kPanel, out + i * kPanel);
      return;
    }
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < kPanel; ++j) {
        out[i * kPanel + j] = j < width ? in[i * row_stride + j * column_stride] : T(0);
      }
    }
  });
}

}  // namespace

void PackPanels(const float* b, int64_t k, int64_t columns, int64_t row_stride,
                int64_t column_stride, float* panels, Executor& executor) {
  Pack(b, k, columns, row_stride, column_stride, panels, executor);
}
void PackPanels(const uint16_t* b, int64_t k, int64_t columns, int64_t row_stride,
                int64_t column_stride, uint16_t* panels, Executor& executor) {
  Pack(b, k, columns, row_stride, column_stride, panels, executor);
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
