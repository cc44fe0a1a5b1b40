#include "kernels/cpu/matmul/gemm_s8.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/gemm_s8.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

#ifndef GRAFT_KERNELS_CPU_MATMUL_GEMM_S8_ONCE
#define GRAFT_KERNELS_CPU_MATMUL_GEMM_S8_ONCE
namespace graft::cpu {

// Some rows of A times panels of B.
struct PairsJob {
  const int16_t* a;  // row r at a + r * kRowStride, an even number of elements
  int rows;
  int64_t pairs;         // of k
  const int8_t* b;       // first panel, at the depth block
  int64_t panel_stride;  // bytes between panels
  int32_t* c;            // whole panels are written
  int64_t c_stride;
  int64_t panels;
  bool first;  // false: adds to what c holds
};

}  // namespace graft::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {  // gemm_tile.cc has functions of these names, too

using D32 = hn::ScalableTag<int32_t>;
using D16 = hn::Repartition<int16_t, D32>;
using D8 = hn::Rebind<int8_t, D16>;
using V = hn::Vec<D32>;
constexpr int64_t kLanes = hn::MaxLanes(D32());
constexpr int kTileVectors = 2;
constexpr int kTileRows = kLanes >= 16 ? 14 : 6;

// Lane i of the result is sum's plus the sum of two products of 16 bits, exact.
HWY_INLINE V AddPairs(hn::Vec<D16> a, hn::Vec<D16> b, V sum) {
  V unused = hn::Zero(D32());
  return hn::ReorderWidenMulAccumulate(D32(), a, b, sum, unused);
}

// kVectors vectors of columns from `column` on.
template <int kRows, int kVectors>
void Tile(const PairsJob& job, int64_t column) {
  const D32 d;
  const int8_t* HWY_RESTRICT b[kVectors];
  for (int j = 0; j < kVectors; ++j) {
    const int64_t at = column + j * kLanes;
    b[j] = job.b + at / kPanel * job.panel_stride + at % kPanel * 2;
  }
  int32_t* c = job.c + column;
  V acc[kRows][kVectors];
  _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      acc[r][j] = job.first ? hn::Zero(d) : hn::LoadU(d, c + r * job.c_stride + j * kLanes);
    }
  }
  const int16_t* HWY_RESTRICT a = job.a;
  for (int64_t pair = 0; pair < job.pairs; ++pair) {
    hn::Vec<D16> bv[kVectors];
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      bv[j] = hn::PromoteTo(D16(), hn::LoadU(D8(), b[j] + pair * 2 * kPanel));
    }
    _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
      int32_t two;
      std::memcpy(&two, a + r * kRowStride + pair * 2, sizeof(two));
      const auto av = hn::BitCast(D16(), hn::Set(d, two));
      _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
        acc[r][j] = AddPairs(av, bv[j], acc[r][j]);
      }
    }
  }
  _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      hn::StoreU(acc[r][j], d, c + r * job.c_stride + j * kLanes);
    }
  }
}

using TileFunction = void (*)(const PairsJob&, int64_t);
struct TileFunctions {
  TileFunction of[kTileVectors];
};
template <int... kRows>
const TileFunctions& FunctionsFor(int rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFunctions kTable[] = {{{Tile<kRows + 1, 1>, Tile<kRows + 1, 2>}}...};
  return kTable[rows - 1];
}

}  // namespace

int PairsTileRows() { return kTileRows; }

void MultiplyPairs(const PairsJob& job) {
  const TileFunctions& functions =
      FunctionsFor(job.rows, std::make_integer_sequence<int, kTileRows>());
  const int64_t columns = job.panels * kPanel;
  for (int64_t column = 0; column < columns; column += kTileVectors * kLanes) {
    const int64_t vectors = std::min<int64_t>(kTileVectors, (columns - column) / kLanes);
    functions.of[vectors - 1](job, column);
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(PairsTileRows);
HWY_EXPORT(MultiplyPairs);

namespace {

// A block of B, of its whole depth, that stays in the second-level cache for all rows; and no more
// columns than that a tile's sums stay in the first-level one with what the epilogue reads.
constexpr int64_t kCachedBytes = 256 * 1024;
constexpr int64_t kMostColumns = 512;
constexpr int64_t kTileColumns = 2 * kPanel;
// Below this, handing work to another worker costs more than it saves.
constexpr double kTaskMultiplyAdds = 4e5;

// Of one worker: a tile of A, and the sums of a tile.
constexpr size_t kTileBytes = kMaxTileRows * kRowStride * sizeof(int16_t);
constexpr size_t kWorkerBytes = kTileBytes + kMaxTileRows * kMostColumns * sizeof(int32_t);
static_assert(kTileBytes % 64 == 0);

int64_t Even(int64_t k) { return (k + 1) / 2 * 2; }

}  // namespace

size_t GemmS8WorkspaceBytes(int width) { return kWorkerBytes * width; }

void GemmS8(const GemmProblem& p, const GemmS8Arguments& arguments, CopyWideTileFunction copy_tile,
            Executor& executor) {
  if (p.rows == 0 || p.columns == 0 || p.groups == 0) return;
  const int tile_rows = HWY_DYNAMIC_DISPATCH(PairsTileRows)();
  const auto multiply = HWY_DYNAMIC_DISPATCH(MultiplyPairs);
  const int64_t row_tiles = CeilDiv(p.rows, tile_rows);
  const int64_t column_tiles = CeilDiv(p.columns, kTileColumns);
  const int64_t fitting =
      std::min(kMostColumns, kCachedBytes / std::max<int64_t>(1, p.depth)) / kTileColumns;
  int64_t column_blocks = CeilDiv(column_tiles, std::max<int64_t>(1, fitting));
  int64_t row_blocks = 1;
  const double multiply_adds =
      static_cast<double>(p.rows) * static_cast<double>(p.columns * p.depth * p.groups);
  const auto wanted = static_cast<int64_t>(
      executor.width() == 1 ? 1
                            : std::min(4.0 * executor.width(), multiply_adds / kTaskMultiplyAdds));
  while (p.groups * row_blocks * column_blocks < wanted) {
    if (row_blocks * 2 <= row_tiles) {
      row_blocks *= 2;
    } else if (column_blocks * 2 <= column_tiles) {
      column_blocks *= 2;
    } else {
      break;
    }
  }
  const int64_t depth_block = Even(DepthBlockSize(p.depth));
  const int64_t panel_stride = Even(p.depth) * kPanel;

  // Rows are the fastest index: a worker goes through the rows with the same block of B.
  executor.ParallelFor(p.groups * column_blocks * row_blocks, [&](int64_t task, int worker) {
    const Range rows = Part(row_tiles, row_blocks, task % row_blocks);
    const Range part = Part(column_tiles, column_blocks, task / row_blocks % column_blocks);
    const int64_t group = task / (row_blocks * column_blocks);
    const int64_t column = part.begin * kTileColumns;
    const int64_t columns = std::min(p.columns, part.end * kTileColumns) - column;
    auto* own = static_cast<std::byte*>(arguments.workspace) + kWorkerBytes * worker;
    auto* tile = reinterpret_cast<int16_t*>(own);
    PairsJob job;
    job.a = tile;
    job.panel_stride = panel_stride;
    job.c = reinterpret_cast<int32_t*>(own + kTileBytes);
    job.panels = CeilDiv(columns, kPanel);
    job.c_stride = job.panels * kPanel;
    const int8_t* b = arguments.b + group * p.group_panels + column / kPanel * panel_stride;
    for (int64_t row_tile = rows.begin; row_tile < rows.end; ++row_tile) {
      const int64_t row = row_tile * tile_rows;
      job.rows = static_cast<int>(std::min<int64_t>(tile_rows, p.rows - row));
      // Once even for an empty product, which is the epilogue of zeros.
      int64_t k = 0;
      do {
        const int64_t k_end = std::min(p.depth, k + depth_block);
        copy_tile({group, row, job.rows, k, k_end}, tile);
        if ((k_end - k) % 2 != 0) {
          for (int r = 0; r < job.rows; ++r) tile[r * kRowStride + (k_end - k)] = 0;
        }
        job.pairs = Even(k_end - k) / 2;
        job.b = b + k * kPanel;
        job.first = k == 0;
        multiply(job);
        k += depth_block;
      } while (k < p.depth);
      (*arguments.epilogue.finish)({group * p.group_row + row, job.rows,
                                    group * p.group_column + column, columns, job.c, job.c_stride},
                                   worker);
    }
  });
}

double GemmS8Cost(const GemmProblem& p) {
  // Whole vectors of 16 columns, 16 pairs of multiply-adds in a cycle and a half, and the epilogue.
  const double panels =
      static_cast<double>(PairsSize(p.depth, p.columns)) * static_cast<double>(p.groups);
  const double results = static_cast<double>(p.rows) * static_cast<double>(p.columns * p.groups);
  return panels * static_cast<double>(p.rows) / 24 / 0.85 + panels / 8 + 2 * results;
}

int64_t PairsSize(int64_t k, int64_t columns) { return PanelCount(columns) * kPanel * Even(k); }

void PackPairs(const int8_t* b, int64_t k, int64_t columns, int64_t row_stride,
               int64_t column_stride, int8_t* panels, Executor& executor) {
  executor.ParallelFor(PanelCount(columns), [&](int64_t panel, int) {
    int8_t* out = panels + panel * Even(k) * kPanel;
    const int8_t* in = b + panel * kPanel * column_stride;
    const int64_t width = std::min(kPanel, columns - panel * kPanel);
    for (int64_t i = 0; i < Even(k); ++i) {
      for (int64_t j = 0; j < kPanel; ++j) {
        const bool inside = i < k && j < width;
        out[i / 2 * 2 * kPanel + j * 2 + i % 2] =
            inside ? in[i * row_stride + j * column_stride] : int8_t{0};
      }
    }
  });
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
