// Winograd's convolution F(m×m, 3×3) for m = 2 and 4: a tile of (m + 2)² inputs becomes as many
// independent products over the channels, whose results become m² outputs.
//
// The points are 0, ±1, ∞ for m = 2 and 0, ±√½, ±√2, ∞ for m = 4, which lose the least precision.
// A block of tiles is taken through all three phases while its transformed data stay in the cache.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/conv/winograd.cc"
#include <hwy/foreach_target.h>
// Highway's own order: foreach_target.h first.
#include <hwy/highway.h>

#ifndef GRAFT_KERNELS_CPU_CONV_WINOGRAD_ONCE
#define GRAFT_KERNELS_CPU_CONV_WINOGRAD_ONCE
namespace graft::cpu {

inline constexpr float kSqrtHalf = 0.70710678118654752f;
inline constexpr float kSqrtTwo = 1.41421356237309505f;
inline constexpr int kMaxPoints = 6;

// Where one tile of inputs comes from: each input's first channel, or zeros outside of the image.
struct InputTile {
  const float* pixels[kMaxPoints * kMaxPoints];
};

// One input channel's 3x3 filters of a panel of output channels, in the order of ky, kx.
struct FilterPanel {
  float taps[9][kPanel];
};

// Transformed data: the element of product i at i * product_step.
struct OutputTile {
  const float* products;
  int64_t product_step;
  int64_t columns;
  float* output;  // of the tile's first output, at the first column
  int64_t x_step;
  int64_t y_step;
  int64_t height;  // outputs inside the image
  int64_t width;
  const float* bias;      // at the first column
  const float* residual;  // at the first output and column
  int64_t residual_x_step;
  int64_t residual_y_step;
  float low;
  float high;
};

}  // namespace graft::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace graft::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr int64_t kLanes = hn::MaxLanes(D());

// One dimension of the transforms: `in` and `out` are arrays of vectors.
template <int m>
struct Transform;

template <>
struct Transform<2> {
  static HWY_INLINE void Input(const V* in, V* out) {
    out[0] = hn::Sub(in[0], in[2]);
    out[1] = hn::Add(in[2], in[1]);
    out[2] = hn::Sub(in[2], in[1]);
    out[3] = hn::Sub(in[3], in[1]);
  }
  static HWY_INLINE void Output(const V* in, V* out) {
    out[0] = hn::Add(in[0], hn::Add(in[1], in[2]));
    out[1] = hn::Add(hn::Sub(in[1], in[2]), in[3]);
  }
};

template <>
struct Transform<4> {
  static HWY_INLINE void Input(const V* in, V* out) {
    const D d;
    const V minus_two_and_half = hn::Set(d, -2.5f);
    const V even_a = hn::MulAdd(hn::Set(d, -2.0f), in[2], in[4]);
    const V odd_a = hn::Mul(hn::Set(d, kSqrtHalf), hn::MulAdd(hn::Set(d, -2.0f), in[1], in[3]));
    const V even_b = hn::MulAdd(hn::Set(d, -0.5f), in[2], in[4]);
    const V odd_b = hn::Mul(hn::Set(d, kSqrtTwo), hn::MulAdd(hn::Set(d, -0.5f), in[1], in[3]));
    out[0] = hn::MulAdd(minus_two_and_half, in[2], hn::Add(in[0], in[4]));
    out[1] = hn::Add(even_a, odd_a);
    out[2] = hn::Sub(even_a, odd_a);
    out[3] = hn::Add(even_b, odd_b);
    out[4] = hn::Sub(even_b, odd_b);
    out[5] = hn::MulAdd(minus_two_and_half, in[3], hn::Add(in[1], in[5]));
  }
  static HWY_INLINE void Output(const V* in, V* out) {
    const D d;
    const V sum_a = hn::Add(in[1], in[2]);
    const V difference_a = hn::Mul(hn::Set(d, kSqrtHalf), hn::Sub(in[1], in[2]));
    const V sum_b = hn::Add(in[3], in[4]);
    const V difference_b = hn::Mul(hn::Set(d, kSqrtTwo), hn::Sub(in[3], in[4]));
    out[0] = hn::Add(in[0], hn::Add(sum_a, sum_b));
    out[1] = hn::Add(difference_a, difference_b);
    out[2] = hn::MulAdd(hn::Set(d, 2.0f), sum_b, hn::Mul(hn::Set(d, 0.5f), sum_a));
    out[3] = hn::MulAdd(hn::Set(d, 2.0f), difference_b,
                        hn::MulAdd(hn::Set(d, 0.5f), difference_a, in[5]));
  }
};

// Channels [begin, end) of a tile; product i's go to to + i * product_step.
template <int m>
void TransformInput(const InputTile& tile, int64_t begin, int64_t end, float* to,
                    int64_t product_step) {
  constexpr int kPoints = m + 2;
  const D d;
  for (int64_t c = begin; c < end; c += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(end - c));
    const bool whole = c + kLanes <= end;
    V half[kPoints][kPoints];  // transformed down the columns
    for (int x = 0; x < kPoints; ++x) {
      V in[kPoints], out[kPoints];
      for (int y = 0; y < kPoints; ++y) {
        const float* from = tile.pixels[y * kPoints + x] + c;
        in[y] = whole ? hn::LoadU(d, from) : hn::MaskedLoad(mask, d, from);
      }
      Transform<m>::Input(in, out);
      for (int y = 0; y < kPoints; ++y) half[y][x] = out[y];
    }
    for (int y = 0; y < kPoints; ++y) {
      V out[kPoints];
      Transform<m>::Input(half[y], out);
      for (int x = 0; x < kPoints; ++x) {
        hn::StoreU(out[x], d, to + (c - begin) + (y * kPoints + x) * product_step);
      }
    }
  }
}

template <int m>
void TransformOutput(const OutputTile& t) {
  constexpr int kPoints = m + 2;
  const D d;
  const V low = hn::Set(d, t.low);
  const V high = hn::Set(d, t.high);
  for (int64_t c = 0; c < t.columns; c += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<size_t>(t.columns - c));
    const bool whole = c + kLanes <= t.columns;
    auto load = [&](const float* from)
                    HWY_ATTR { return whole ? hn::LoadU(d, from) : hn::MaskedLoad(mask, d, from); };
    V half[m][kPoints];
    for (int x = 0; x < kPoints; ++x) {
      V in[kPoints], out[m];
      for (int y = 0; y < kPoints; ++y) {
        in[y] = hn::LoadU(d, t.products + (y * kPoints + x) * t.product_step + c);
      }
      Transform<m>::Output(in, out);
      for (int y = 0; y < m; ++y) half[y][x] = out[y];
    }
    const V bias = t.bias ? load(t.bias + c) : hn::Zero(d);
    for (int y = 0; y < t.height; ++y) {
      V out[m];
      Transform<m>::Output(half[y], out);
      for (int x = 0; x < m; ++x) {
        if (x >= t.width) break;
        V v = hn::Add(out[x], bias);
        if (t.residual) {
          v = hn::Add(v, load(t.residual + y * t.residual_y_step + x * t.residual_x_step + c));
        }
        // Max and Min give their second operand when either is NaN: NaN stays.
        v = hn::Min(high, hn::Max(low, v));
        float* to = t.output + y * t.y_step + x * t.x_step + c;
        if (whole) {
          hn::StoreU(v, d, to);
        } else {
          hn::BlendedStore(v, mask, d, to);
        }
      }
    }
  }
}

// Transforms the filters in double; `matrix` has a row for each point. Product i's panel goes to
// to + i * product_step.
void TransformFilter(int points, const double (*matrix)[3], const FilterPanel& filters, float* to,
                     int64_t product_step) {
  const hn::CappedTag<double, kPanel> d;
  const hn::Rebind<float, decltype(d)> df;
  using Doubles = hn::Vec<decltype(d)>;
  // What one row of the matrix makes of three.
  auto combine = [&](const double* row, Doubles a, Doubles b, Doubles c) HWY_ATTR {
    return hn::MulAdd(hn::Set(d, row[2]), c,
                      hn::MulAdd(hn::Set(d, row[1]), b, hn::Mul(hn::Set(d, row[0]), a)));
  };
  for (size_t j = 0; j < kPanel; j += hn::Lanes(d)) {
    Doubles taps[9];
    for (int i = 0; i < 9; ++i) taps[i] = hn::PromoteTo(d, hn::LoadU(df, filters.taps[i] + j));
    float* out = to + j;
    for (int p = 0; p < points; ++p) {
      Doubles half[3];
      for (int x = 0; x < 3; ++x) half[x] = combine(matrix[p], taps[x], taps[3 + x], taps[6 + x]);
      for (int q = 0; q < points; ++q, out += product_step) {
        hn::StoreU(hn::DemoteTo(df, combine(matrix[q], half[0], half[1], half[2])), df, out);
      }
    }
  }
}

void TransformInput2(const InputTile& tile, int64_t begin, int64_t end, float* to, int64_t step) {
  TransformInput<2>(tile, begin, end, to, step);
}
void TransformInput4(const InputTile& tile, int64_t begin, int64_t end, float* to, int64_t step) {
  TransformInput<4>(tile, begin, end, to, step);
}
void TransformOutput2(const OutputTile& tile) { TransformOutput<2>(tile); }
void TransformOutput4(const OutputTile& tile) { TransformOutput<4>(tile); }

}  // namespace graft::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::cpu {

HWY_EXPORT(TransformInput2);
HWY_EXPORT(TransformInput4);
HWY_EXPORT(TransformOutput2);
HWY_EXPORT(TransformOutput4);
HWY_EXPORT(TransformFilter);

namespace {

// Output channels whose products are in flight at once, and the floats that a block of tiles may
// take in transformed form: together within a second-level cache of 1 MiB.
constexpr int64_t kBlockColumns = 64;
constexpr int64_t kBlockFloats = 200 * 1024;

// One size of tile.
struct Variant {
  int m;
  const double (*filter)[3];  // one row a point
  void (*transform_input)(const InputTile&, int64_t, int64_t, float*, int64_t);
  void (*transform_output)(const OutputTile&);

  int points() const { return m + 2; }
  int64_t products() const { return int64_t{m + 2} * (m + 2); }
};

constexpr double kFilter2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
// (1, p, p²) / Π (p - q) over the other finite points q.
constexpr double kHalf = 0.70710678118654752440;
constexpr double kTwo = 1.41421356237309504880;
constexpr double kFilter4[6][3] = {{1, 0, 0},
                                   {-2.0 / 3, -2.0 / 3 * kHalf, -1.0 / 3},
                                   {-2.0 / 3, 2.0 / 3 * kHalf, -1.0 / 3},
                                   {1.0 / 6, kTwo / 6, 1.0 / 3},
                                   {1.0 / 6, -kTwo / 6, 1.0 / 3},
                                   {0, 0, 1}};

Variant Winograd2() {
  return {2, kFilter2, HWY_DYNAMIC_DISPATCH(TransformInput2),
          HWY_DYNAMIC_DISPATCH(TransformOutput2)};
}
Variant Winograd4() {
  return {4, kFilter4, HWY_DYNAMIC_DISPATCH(TransformInput4),
          HWY_DYNAMIC_DISPATCH(TransformOutput4)};
}

std::optional<Refusal> Refuses(const ConvFilter& f) {
  if (f.kernel != Spatial{1, 3, 3}) {
    return Refuse("a filter of {}x{}x{}, not 3x3", f.kernel[0], f.kernel[1], f.kernel[2]);
  }
  if (f.stride != Spatial{1, 1, 1}) return Refuse("stride {}x{}", f.stride[1], f.stride[2]);
  if (f.dilation[1] != 1 || f.dilation[2] != 1) {
    return Refuse("dilation {}x{}", f.dilation[1], f.dilation[2]);
  }
  if (f.groups != 1) return Refuse("{} groups", f.groups);
  return std::nullopt;
}

int64_t PackedSize(const Variant& v, const ConvFilter& f) {
  return v.products() * PanelsSize(f.input_channels, f.output_channels);
}

// Panels of product 0, then of product 1, …
void Pack(const Variant& v, const ConvFilter& f, const float* weights, float* packed,
          Executor& executor) {
  const auto transform = HWY_DYNAMIC_DISPATCH(TransformFilter);
  const int64_t product_step = PanelsSize(f.input_channels, f.output_channels);
  const int64_t tap_step = f.input_channels * f.output_channels;
  executor.ParallelFor(PanelCount(f.output_channels), [&](int64_t panel, int) {
    const int64_t first = panel * kPanel;
    const int64_t width = std::min(kPanel, f.output_channels - first);
    FilterPanel filters = {};
    for (int64_t c = 0; c < f.input_channels; ++c) {
      const float* from = weights + c * f.output_channels + first;
      for (int i = 0; i < 9; ++i) std::copy_n(from + i * tap_step, width, filters.taps[i]);
      transform(v.points(), v.filter, filters, packed + (panel * f.input_channels + c) * kPanel,
                product_step);
    }
  });
}

// How the problem is cut.
struct Plan {
  int64_t tiles_x;
  int64_t tiles_y;
  int64_t tiles;        // of all images
  int64_t block_tiles;  // of the largest block
  int64_t blocks;
  int64_t depth_blocks;
  int64_t depth_block;
  int64_t columns;  // output channels of a task
  int64_t column_tasks;

  // Floats in the workspace of one worker.
  int64_t input_product;  // of one product's transformed inputs
  int64_t inputs;
  int64_t output_product;
  int64_t outputs;
  int64_t zeros;
  int64_t size() const { return inputs + outputs + zeros; }
};

Plan MakePlan(const Variant& v, const ConvProblem& p, int width) {
  const ConvFilter& f = p.filter;
  Plan plan;
  plan.tiles_y = CeilDiv(p.output[1], v.m);
  plan.tiles_x = CeilDiv(p.output[2], v.m);
  plan.tiles = p.batch * plan.tiles_y * plan.tiles_x;
  const int64_t tile_rows = TileRows();
  const int64_t fitting = kBlockFloats / (v.products() * (f.input_channels + kBlockColumns));
  const int64_t most = std::max(tile_rows, fitting / tile_rows * tile_rows);
  plan.blocks = CeilDiv(plan.tiles, most);
  // Few blocks are cut so that every worker has as many.
  if (plan.blocks > 1 && plan.blocks < 8 * width) plan.blocks = CeilDiv(plan.blocks, width) * width;
  plan.block_tiles = plan.blocks == 0 ? 0 : CeilDiv(plan.tiles, plan.blocks);
  plan.depth_blocks = DepthBlocks(f.input_channels);
  plan.depth_block = DepthBlockSize(f.input_channels);

  // Tasks of the same tiles transform the same inputs, which costs little beside their products.
  const int64_t column_blocks = CeilDiv(f.output_channels, kBlockColumns);
  const int64_t wanted =
      width == 1 ? 1 : CeilDiv(int64_t{2} * width, std::max<int64_t>(1, plan.blocks));
  plan.columns = CeilDiv(column_blocks, std::min(wanted, column_blocks)) * kBlockColumns;
  plan.column_tasks = CeilDiv(f.output_channels, plan.columns);

  plan.input_product = plan.depth_blocks * plan.block_tiles * kRowStride;
  plan.inputs = v.products() * plan.input_product;
  plan.output_product = plan.block_tiles * kBlockColumns;
  plan.outputs = v.products() * plan.output_product;
  // Read in whole vectors.
  plan.zeros = CeilDiv(f.input_channels, 16) * 16;
  return plan;
}

struct TilePosition {
  int64_t image;
  int64_t y;  // of the first output
  int64_t x;
};
TilePosition Position(const Variant& v, const Plan& plan, int64_t tile) {
  return {tile / (plan.tiles_y * plan.tiles_x), tile / plan.tiles_x % plan.tiles_y * v.m,
          tile % plan.tiles_x * v.m};
}

void TransformInputs(const Variant& v, const Plan& plan, const ConvProblem& p, const float* input,
                     Range tiles, const float* zeros, float* inputs) {
  const int points = v.points();
  for (int64_t i = 0; i < tiles.size(); ++i) {
    const TilePosition at = Position(v, plan, tiles.begin + i);
    InputTile tile;
    for (int y = 0; y < points; ++y) {
      for (int x = 0; x < points; ++x) {
        const int64_t in_y = at.y + y - p.pad[1];
        const int64_t in_x = at.x + x - p.pad[2];
        const bool inside = in_y >= 0 && in_y < p.input[1] && in_x >= 0 && in_x < p.input[2];
        const int64_t pixel = (at.image * p.input[1] + in_y) * p.input[2] + in_x;
        tile.pixels[y * points + x] = inside ? input + pixel * p.input_stride : zeros;
      }
    }
    for (int64_t block = 0; block < plan.depth_blocks; ++block) {
      const int64_t begin = block * plan.depth_block;
      const int64_t end = std::min(p.filter.input_channels, begin + plan.depth_block);
      v.transform_input(tile, begin, end, inputs + (block * plan.block_tiles + i) * kRowStride,
                        plan.input_product);
    }
  }
}

// Columns [column, column + columns) of all products of a block of tiles.
void Multiply(const Variant& v, const Plan& plan, const ConvProblem& p, const float* weights,
              int64_t tiles, int64_t column, int64_t columns, const float* inputs, float* outputs) {
  const int64_t channels = p.filter.input_channels;
  const int64_t weight_product = PanelsSize(channels, p.filter.output_channels);
  const int64_t row_blocks = CeilDiv(tiles, TileRows());
  TileJob job;
  job.panel_stride = channels * kPanel;
  job.c_stride = kBlockColumns;
  // Whole vectors are written and read, the padding of the panels with them.
  job.columns = CeilDiv(columns, kPanel) * kPanel;
  job.last = false;
  // Blocks of weights in the order of their use: the depths of one product after the other. The
  // last is followed by the first of the next columns.
  const int64_t blocks = v.products() * plan.depth_blocks;
  auto weights_of = [&](int64_t i) -> const float* {
    const int64_t at = column + i / blocks * kBlockColumns;
    if (at >= p.filter.output_channels) return nullptr;
    const int64_t product = i % blocks / plan.depth_blocks;
    const int64_t k = i % plan.depth_blocks * plan.depth_block;
    return weights + product * weight_product + (at / kPanel * channels + k) * kPanel;
  };
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t product = i / plan.depth_blocks;
    const int64_t block = i % plan.depth_blocks;
    const float* next = weights_of(i + 1);
    job.depth = std::min(channels - block * plan.depth_block, plan.depth_block);
    job.b = weights_of(i);
    job.first = block == 0;
    for (int64_t r = 0; r < row_blocks; ++r) {
      const Range rows = Part(tiles, row_blocks, r);
      const Range ahead = Part(next ? job.columns / kPanel : 0, row_blocks, r);
      job.rows = static_cast<int>(rows.size());
      job.a = inputs + product * plan.input_product +
              (block * plan.block_tiles + rows.begin) * kRowStride;
      job.c = outputs + product * plan.output_product + rows.begin * kBlockColumns;
      job.ahead = next + ahead.begin * job.panel_stride;
      job.ahead_panels = ahead.size();
      MultiplyTile(job);
    }
  }
}

void TransformOutputs(const Variant& v, const Plan& plan, const ConvProblem& p,
                      const ConvArguments& arguments, Range tiles, int64_t column, int64_t columns,
                      const float* outputs, int worker) {
  const Epilogue& epilogue = arguments.epilogue;
  OutputTile tile;
  tile.product_step = plan.output_product;
  tile.columns = columns;
  tile.x_step = p.output_stride;
  tile.y_step = p.output[2] * p.output_stride;
  tile.bias = epilogue.bias ? epilogue.bias + column : nullptr;
  tile.residual_x_step = epilogue.residual_stride;
  tile.residual_y_step = p.output[2] * epilogue.residual_stride;
  tile.low = epilogue.low;
  tile.high = epilogue.high;
  for (int64_t i = 0; i < tiles.size(); ++i) {
    const TilePosition at = Position(v, plan, tiles.begin + i);
    const int64_t row = (at.image * p.output[1] + at.y) * p.output[2] + at.x;
    tile.products = outputs + i * kBlockColumns;
    tile.output = As<float>(arguments.output) + row * p.output_stride + column;
    tile.residual =
        epilogue.residual ? epilogue.residual + row * epilogue.residual_stride + column : nullptr;
    tile.height = std::min<int64_t>(v.m, p.output[1] - at.y);
    tile.width = std::min<int64_t>(v.m, p.output[2] - at.x);
    v.transform_output(tile);
    if (!epilogue.finish) continue;
    for (int64_t y = 0; y < tile.height; ++y) {
      (*epilogue.finish)({row + y * p.output[2], tile.width, column, columns}, worker);
    }
  }
}

void Run(const Variant& v, const ConvProblem& p, const ConvArguments& arguments,
         Executor& executor) {
  const Plan plan = MakePlan(v, p, executor.width());
  executor.ParallelFor(plan.blocks * plan.column_tasks, [&](int64_t task, int worker) {
    float* inputs = static_cast<float*>(arguments.workspace) + worker * plan.size();
    float* outputs = inputs + plan.inputs;
    float* zeros = outputs + plan.outputs;
    const Range tiles = Part(plan.tiles, plan.blocks, task % plan.blocks);
    const int64_t first = task / plan.blocks * plan.columns;
    const int64_t last = std::min(p.filter.output_channels, first + plan.columns);
    std::fill_n(zeros, plan.zeros, 0.0f);
    TransformInputs(v, plan, p, As<float>(arguments.input), tiles, zeros, inputs);
    for (int64_t column = first; column < last; column += kBlockColumns) {
      const int64_t columns = std::min(last - column, kBlockColumns);
      Multiply(v, plan, p, As<float>(arguments.weights), tiles.size(), column, columns, inputs,
               outputs);
      TransformOutputs(v, plan, p, arguments, tiles, column, columns, outputs, worker);
    }
  });
}

double Cost(const Variant& v, const ConvProblem& p) {
  const Plan plan = MakePlan(v, p, 1);
  const auto tiles = static_cast<double>(plan.tiles * v.products());
  const auto panels =
      static_cast<double>(PanelsSize(p.filter.input_channels, p.filter.output_channels));
  const auto channels = static_cast<double>(p.filter.input_channels + p.filter.output_channels);
  // The products, as GemmCost; the transforms; and the weights, which come from memory.
  return tiles * panels / 16 / 0.8 + tiles * channels * 0.5 +
         static_cast<double>(v.products()) * panels / 2;
}

}  // namespace

#define GRAFT_WINOGRAD(Id)                                                                    \
  std::optional<Refusal> Id##Refuses(const ConvFilter& f) { return Refuses(f); }              \
  size_t Id##PackedBytes(const ConvFilter& f) { return PackedSize(Id(), f) * sizeof(float); } \
  void Id##Pack(const ConvFilter& f, const void* weights, void* packed, Executor& executor) { \
    Pack(Id(), f, As<float>(weights), As<float>(packed), executor);                           \
  }                                                                                           \
  size_t Id##WorkspaceBytes(const ConvProblem& p, int width) {                                \
    return MakePlan(Id(), p, width).size() * width * sizeof(float);                           \
  }                                                                                           \
  void Id##Run(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {    \
    Run(Id(), p, arguments, executor);                                                        \
  }                                                                                           \
  double Id##Cost(const ConvProblem& p) { return Cost(Id(), p); }
GRAFT_WINOGRAD(Winograd2)
GRAFT_WINOGRAD(Winograd4)
#undef GRAFT_WINOGRAD

}  // namespace graft::cpu
#endif  // HWY_ONCE
