#include "kernels/cpu/matmul/gemm.h"

#include <algorithm>

#include "kernels/cpu/matmul/gemm_tile.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pointwise/instructions.h"

namespace graft::cpu {
namespace {

constexpr int64_t kTileFloats = kMaxTileRows * kRowStride;
// A depth block of B that is used again for every row tile, and the block of C that is written in
// several depth blocks, stay in the second-level cache (of 512 KiB and more) together.
constexpr int64_t kCachedB = 96 * 1024;  // floats
constexpr int64_t kCachedC = 32 * 1024;
// Below this, handing work to another worker costs more than it saves.
constexpr double kTaskMultiplyAdds = 2e5;
constexpr int64_t kTileColumns = 2 * kPanel;
// Of one worker: a tile of A; and, where panels are widened, the most of B that a block has.
constexpr int64_t kWideFloats = kCachedB + 2 * kTileColumns * kDepthBlock;
int64_t WorkerFloats(DType b_type) {
  return kTileFloats + (b_type == DType::kFloat32 ? 0 : kWideFloats);
}

// Tiles of C, cut into blocks.
struct Blocks {
  int64_t row_tiles;
  int64_t column_tiles;
  int64_t row_blocks;
  int64_t column_blocks;
};

Blocks MakeBlocks(const GemmProblem& p, int width) {
  const int64_t tile_rows = TileRows();
  const int64_t row_tiles = CeilDiv(p.rows, tile_rows);
  const int64_t column_tiles = CeilDiv(p.columns, kTileColumns);
  // A single row tile reads B once: then a block is a few panels, read from end to end.
  const int64_t column_limit =
      row_tiles == 1 ? 2 * kTileColumns : kCachedB / std::max<int64_t>(1, DepthBlockSize(p.depth));
  int64_t column_blocks = CeilDiv(p.columns, std::max(column_limit, kTileColumns));
  const int64_t block_columns = CeilDiv(column_tiles, column_blocks) * kTileColumns;
  int64_t row_blocks =
      DepthBlocks(p.depth) > 1 ? CeilDiv(p.rows, std::max(kCachedC / block_columns, tile_rows)) : 1;

  const double multiply_adds =
      static_cast<double>(p.rows) * static_cast<double>(p.columns * p.depth * p.groups);
  const auto wanted = static_cast<int64_t>(
      width == 1 ? 1 : std::min(4.0 * width, multiply_adds / kTaskMultiplyAdds));
  while (p.groups * row_blocks * column_blocks < wanted) {
    const bool rows_split = row_blocks * 2 <= row_tiles;
    const bool columns_split = column_blocks * 2 <= column_tiles;
    if (!rows_split && !columns_split) break;
    // Splitting the longer side reads the least twice.
    if (rows_split && (!columns_split || p.rows / row_blocks >= p.columns / column_blocks)) {
      row_blocks *= 2;
    } else {
      column_blocks *= 2;
    }
  }
  // The same number of blocks for every worker.
  if (row_blocks > 1 && row_blocks < 8 * width) {
    row_blocks = std::min(row_tiles, CeilDiv(row_blocks, width) * width);
  }
  return {row_tiles, column_tiles, row_blocks, column_blocks};
}

}  // namespace

size_t GemmWorkspaceBytes(int width, DType b_type) {
  return width * WorkerFloats(b_type) * sizeof(float);
}

void Gemm(const GemmProblem& p, const GemmArguments& arguments, CopyTileFunction copy_tile,
          Executor& executor) {
  if (p.rows == 0 || p.columns == 0 || p.groups == 0) return;
  const Blocks blocks = MakeBlocks(p, executor.width());
  const int tile_rows = TileRows();
  const int64_t depth_block = DepthBlockSize(p.depth);
  const Epilogue& epilogue = arguments.epilogue;
  const InstructionLoop widen = arguments.b_type == DType::kFloat32
                                    ? nullptr
                                    : VectorCastLoop(arguments.b_type, DType::kFloat32);

  // Rows are the fastest index: a worker goes through the rows with the same block of B.
  const int64_t tasks = p.groups * blocks.column_blocks * blocks.row_blocks;
  executor.ParallelFor(tasks, [&](int64_t task, int worker) {
    const Range row_tiles = Part(blocks.row_tiles, blocks.row_blocks, task % blocks.row_blocks);
    const Range column_tiles = Part(blocks.column_tiles, blocks.column_blocks,
                                    task / blocks.row_blocks % blocks.column_blocks);
    const int64_t group = task / (blocks.row_blocks * blocks.column_blocks);
    const int64_t row_begin = row_tiles.begin * tile_rows;
    const int64_t row_end = std::min(p.rows, row_tiles.end * tile_rows);
    const int64_t column = column_tiles.begin * kTileColumns;
    const int64_t columns = std::min(p.columns, column_tiles.end * kTileColumns) - column;
    const int64_t c_column = group * p.group_column + column;
    const int64_t first_panel = group * p.group_panels + column / kPanel * kPanel * p.depth;
    const float* b = widen ? nullptr : As<float>(arguments.b) + first_panel;

    TileJob job;
    float* tile = As<float>(arguments.workspace) + worker * WorkerFloats(arguments.b_type);
    float* wide = tile + kTileFloats;
    job.a = tile;
    job.panel_stride = kPanel * (widen ? depth_block : p.depth);
    job.c_stride = arguments.c_stride;
    job.columns = columns;
    job.bias = epilogue.bias ? epilogue.bias + c_column : nullptr;
    job.residual_stride = epilogue.residual_stride;
    job.low = epilogue.low;
    job.high = epilogue.high;
    const int64_t panels = CeilDiv(columns, kPanel);
    const int64_t tiles = CeilDiv(row_end - row_begin, tile_rows);
    // The panels that follow those at k: of the next depth, else of the next task, which has the
    // same columns or the next ones. The columns of the last task are followed by nothing near.
    auto next_block = [&](int64_t k, bool last) -> const float* {
      if (widen) return nullptr;
      if (!last) return b + (k + depth_block) * kPanel;
      if (task % blocks.row_blocks + 1 < blocks.row_blocks) return b;
      return column + columns < p.columns ? b + panels * job.panel_stride : nullptr;
    };
    // Once even for an empty product, which is the epilogue of zeros.
    int64_t k = 0;
    do {
      const int64_t k_end = std::min(p.depth, k + depth_block);
      job.depth = k_end - k;
      job.b = widen ? wide : b + k * kPanel;
      if (widen) {
        const auto* halves = As<uint16_t>(arguments.b) + first_panel + k * kPanel;
        for (int64_t panel = 0; panel < panels; ++panel, halves += kPanel * p.depth) {
          widen({{halves},
                 {~size_t{0}},
                 wide + panel * job.panel_stride,
                 static_cast<size_t>(job.depth * kPanel),
                 0,
                 0});
        }
      }
      job.first = k == 0;
      job.last = k_end == p.depth;
      for (int64_t row = row_begin; row < row_end; row += tile_rows) {
        job.rows = static_cast<int>(std::min<int64_t>(tile_rows, row_end - row));
        copy_tile({group, row, job.rows, k, k_end}, tile);
        const int64_t c_row = group * p.group_row + row;
        job.c = arguments.c + c_row * arguments.c_stride + c_column;
        // The first tile of all reads its block while it comes from memory, the panels of the next
        // columns ahead; the later ones have the next block fetched in equal parts.
        const int64_t tile_index = (row - row_begin) / tile_rows;
        Range ahead = {0, 0};
        if (tile_index > 0) {
          job.ahead = next_block(k, job.last);
          if (job.ahead) ahead = Part(panels, tiles - 1, tile_index - 1);
        } else if (job.first && !widen) {
          job.ahead = job.b;
          ahead = {std::min(panels, kTileColumns / kPanel), panels};
        }
        job.ahead += ahead.begin * job.panel_stride;
        job.ahead_panels = ahead.size();
        if (epilogue.residual) {
          job.residual = epilogue.residual + c_row * epilogue.residual_stride + c_column;
        }
        MultiplyTile(job);
        if (job.last && epilogue.finish) {
          (*epilogue.finish)({c_row, job.rows, c_column, columns}, worker);
        }
      }
      k += depth_block;
    } while (k < p.depth);
  });
}

double GemmCost(const GemmProblem& p, DType b_type) {
  // Whole vectors of 16 columns, 16 multiply-adds a cycle; and B comes from memory once. To widen
  // it costs more than half of the bytes save.
  const double b_size =
      static_cast<double>(PanelsSize(p.depth, p.columns)) * static_cast<double>(p.groups);
  const double once = b_type == DType::kFloat32 ? 0.5 : 0.75;
  return b_size * static_cast<double>(p.rows) / 16 / 0.85 + b_size * once;
}

}  // namespace graft::cpu
