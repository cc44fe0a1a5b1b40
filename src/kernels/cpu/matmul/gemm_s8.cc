#include "kernels/cpu/matmul/gemm_s8.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/gemm_s8.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

#ifndef GRAFT_KERNELS_CPU_MATMUL_GEMM_S8_ONCE
#define GRAFT_KERNELS_CPU_MATMUL_GEMM_S8_ONCE
namespace graft::cpu {

// Some rows of A times panels of B.
struct IntegersJob {
  const void* a;  // row r is r * kRowStride elements on: whole steps of 16 or, of quads, 8 bits
  int rows;
  int64_t steps;         // of k: pairs or quads
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
using D8 = hn::Repartition<int8_t, D32>;
constexpr int64_t kLanes = hn::MaxLanes(D32());
constexpr int kTileVectors = 2;

// The sums of four products of unsigned by signed bytes, and of two of 16 bits, in one instruction.
// In assembler, since the target of Highway in Debian 12 that has it names another extension to the
// compiler.
HWY_INLINE hn::Vec<D32> AddFour(hn::Vec<D32> sum, hn::Vec<D8> a, hn::Vec<D8> b) {
#if HWY_TARGET == HWY_AVX2
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
#else
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
#endif
  return sum;
}
HWY_INLINE hn::Vec<D32> AddTwo(hn::Vec<D32> sum, hn::Vec<D16> a, hn::Vec<D16> b) {
#if HWY_TARGET == HWY_AVX2
  __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
#else
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
#endif
  return sum;
}

// Lane i of the result is sum's plus the sum of two products of 16 bits, exact.
template <bool kVnni>
struct Pairs {
  using A = int16_t;
  using V = hn::Vec<D16>;
  static constexpr int kStep = 2;
  static constexpr int kRows = kLanes >= 16 ? 14 : 6;
  static HWY_INLINE V LoadB(const int8_t* b) {
    return hn::PromoteTo(D16(), hn::LoadU(hn::Rebind<int8_t, D16>(), b));
  }
  static HWY_INLINE V Spread(int32_t bits) { return hn::BitCast(D16(), hn::Set(D32(), bits)); }
  static HWY_INLINE hn::Vec<D32> Add(V a, V b, hn::Vec<D32> sum) {
    if constexpr (kVnni) return AddTwo(sum, a, b);
    hn::Vec<D32> unused = hn::Zero(D32());
    return hn::ReorderWidenMulAccumulate(D32(), a, b, sum, unused);
  }
};

// Lane i of the result is sum's plus the sum of four products: of a in [0, 127], so that two of
// them fit 16 bits.
template <bool kVnni>
struct Quads {
  using A = uint8_t;
  using V = hn::Vec<D8>;
  static constexpr int kStep = 4;
  static constexpr int kRows = kLanes >= 16 ? 12 : 5;
  static HWY_INLINE V LoadB(const int8_t* b) { return hn::LoadU(D8(), b); }
  static HWY_INLINE V Spread(int32_t bits) { return hn::BitCast(D8(), hn::Set(D32(), bits)); }
  static HWY_INLINE hn::Vec<D32> Add(V a, V b, hn::Vec<D32> sum) {
    if constexpr (kVnni) return AddFour(sum, a, b);
#if HWY_TARGET == HWY_AVX2
    const __m256i two = _mm256_maddubs_epi16(a.raw, b.raw);
    return hn::Add(sum, hn::Vec<D32>{_mm256_madd_epi16(two, _mm256_set1_epi16(1))});
#else
    const __m512i two = _mm512_maddubs_epi16(a.raw, b.raw);
    return hn::Add(sum, hn::Vec<D32>{_mm512_madd_epi16(two, _mm512_set1_epi16(1))});
#endif
  }
};

// kVectors vectors of columns from `column` on.
template <class Form, int kRows, int kVectors>
void Tile(const IntegersJob& job, int64_t column) {
  const D32 d;
  const int8_t* HWY_RESTRICT b[kVectors];
  for (int j = 0; j < kVectors; ++j) {
    const int64_t at = column + j * kLanes;
    b[j] = job.b + at / kPanel * job.panel_stride + at % kPanel * Form::kStep;
  }
  int32_t* c = job.c + column;
  hn::Vec<D32> acc[kRows][kVectors];
  _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      acc[r][j] = job.first ? hn::Zero(d) : hn::LoadU(d, c + r * job.c_stride + j * kLanes);
    }
  }
  const auto* HWY_RESTRICT a = static_cast<const typename Form::A*>(job.a);
  for (int64_t step = 0; step < job.steps; ++step) {
    typename Form::V bv[kVectors];
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      bv[j] = Form::LoadB(b[j] + step * Form::kStep * kPanel);
    }
    _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
      int32_t bits;
      std::memcpy(&bits, a + r * kRowStride + step * Form::kStep, sizeof(bits));
      const typename Form::V av = Form::Spread(bits);
      _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
        acc[r][j] = Form::Add(av, bv[j], acc[r][j]);
      }
    }
  }
  _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r) {
    _Pragma("GCC unroll 2") for (int j = 0; j < kVectors; ++j) {
      hn::StoreU(acc[r][j], d, c + r * job.c_stride + j * kLanes);
    }
  }
}

using TileFunction = void (*)(const IntegersJob&, int64_t);
struct TileFunctions {
  TileFunction of[kTileVectors];
};
template <class Form, int... kRows>
const TileFunctions& FunctionsFor(int rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFunctions kTable[] = {
      {{Tile<Form, kRows + 1, 1>, Tile<Form, kRows + 1, 2>}}...};
  return kTable[rows - 1];
}

template <class Form>
void Multiply(const IntegersJob& job) {
  const TileFunctions& functions =
      FunctionsFor<Form>(job.rows, std::make_integer_sequence<int, Form::kRows>());
  const int64_t columns = job.panels * kPanel;
  for (int64_t column = 0; column < columns; column += kTileVectors * kLanes) {
    const int64_t vectors = std::min<int64_t>(kTileVectors, (columns - column) / kLanes);
    functions.of[vectors - 1](job, column);
  }
}

}  // namespace

int TileRowsOf(IntegersForm form) {
  return form == IntegersForm::kPairs ? Pairs<false>::kRows : Quads<false>::kRows;
}

void MultiplyIntegers(IntegersForm form, bool vnni, const IntegersJob& job) {
  if (form == IntegersForm::kPairs) {
    vnni ? Multiply<Pairs<true>>(job) : Multiply<Pairs<false>>(job);
  } else {
    vnni ? Multiply<Quads<true>>(job) : Multiply<Quads<false>>(job);
  }
}

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(TileRowsOf);
HWY_EXPORT(MultiplyIntegers);

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

int64_t StepOf(IntegersForm form) { return form == IntegersForm::kPairs ? 2 : 4; }
size_t ElementSizeOf(IntegersForm form) { return form == IntegersForm::kPairs ? 2 : 1; }
// Whole steps.
int64_t RoundUp(int64_t k, IntegersForm form) {
  return (k + StepOf(form) - 1) / StepOf(form) * StepOf(form);
}

}  // namespace

size_t GemmS8WorkspaceBytes(int width) { return kWorkerBytes * width; }

void GemmS8(const GemmProblem& p, const GemmS8Arguments& arguments, CopyWideTileFunction copy_tile,
            Executor& executor) {
  if (p.rows == 0 || p.columns == 0 || p.groups == 0) return;
  const IntegersForm form = arguments.form;
  const int tile_rows = HWY_DYNAMIC_DISPATCH(TileRowsOf)(form);
  const auto multiply = HWY_DYNAMIC_DISPATCH(MultiplyIntegers);
  const bool vnni = UsesVnni();
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
  const int64_t depth_block = RoundUp(DepthBlockSize(p.depth), form);
  const int64_t panel_stride = RoundUp(p.depth, form) * kPanel;
  const size_t element_size = ElementSizeOf(form);

  // Rows are the fastest index: a worker goes through the rows with the same block of B.
  executor.ParallelFor(p.groups * column_blocks * row_blocks, [&](int64_t task, int worker) {
    const Range rows = Part(row_tiles, row_blocks, task % row_blocks);
    const Range part = Part(column_tiles, column_blocks, task / row_blocks % column_blocks);
    const int64_t group = task / (row_blocks * column_blocks);
    const int64_t column = part.begin * kTileColumns;
    const int64_t columns = std::min(p.columns, part.end * kTileColumns) - column;
    auto* own = static_cast<std::byte*>(arguments.workspace) + kWorkerBytes * worker;
    IntegersJob job;
    job.a = own;
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
        copy_tile({group, row, job.rows, k, k_end}, own);
        const int64_t whole = RoundUp(k_end - k, form);
        if (whole != k_end - k) {
          for (int r = 0; r < job.rows; ++r) {
            std::memset(own + (r * kRowStride + k_end - k) * element_size, 0,
                        (whole - (k_end - k)) * element_size);
          }
        }
        job.steps = whole / StepOf(form);
        job.b = b + k * kPanel;
        job.first = k == 0;
        multiply(form, vnni, job);
        k += depth_block;
      } while (k < p.depth);
      (*arguments.epilogue.finish)({group * p.group_row + row, job.rows,
                                    group * p.group_column + column, columns, job.c, job.c_stride},
                                   worker);
    }
  });
}

double GemmS8Cost(const GemmProblem& p, IntegersForm form) {
  // Whole vectors of 16 columns, multiply-adds in a cycle, and the epilogue.
  const double panels =
      static_cast<double>(IntegersSize(p.depth, p.columns, form)) * static_cast<double>(p.groups);
  const double results = static_cast<double>(p.rows) * static_cast<double>(p.columns * p.groups);
  const double rate = form == IntegersForm::kPairs ? 20 : 30;
  return panels * static_cast<double>(p.rows) / rate + panels / 8 + results;
}

int64_t IntegersSize(int64_t k, int64_t columns, IntegersForm form) {
  return PanelCount(columns) * kPanel * RoundUp(k, form);
}

void PackIntegers(const int8_t* b, int64_t k, int64_t columns, int64_t row_stride,
                  int64_t column_stride, IntegersForm form, int8_t* panels, Executor& executor) {
  const int64_t step = StepOf(form);
  executor.ParallelFor(PanelCount(columns), [&](int64_t panel, int) {
    int8_t* out = panels + panel * RoundUp(k, form) * kPanel;
    const int8_t* in = b + panel * kPanel * column_stride;
    const int64_t width = std::min(kPanel, columns - panel * kPanel);
    for (int64_t i = 0; i < RoundUp(k, form); ++i) {
      for (int64_t j = 0; j < kPanel; ++j) {
        const bool inside = i < k && j < width;
        out[i / step * step * kPanel + j * step + i % step] =
            inside ? in[i * row_stride + j * column_stride] : int8_t{0};
      }
    }
  });
}

}  // namespace graft::cpu
#endif  // HWY_ONCE
