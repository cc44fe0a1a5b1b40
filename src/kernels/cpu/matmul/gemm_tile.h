// The one inner product of all dense kernels: a few rows of A times panels of B, kept in registers.
//
// B is packed in panels of kPanel columns: panel p holds, for each k, columns [16p, 16p + 16), zero
// beyond the matrix. A is a scratch block whose rows lie a constant distance apart, so that one
// register addresses all rows; callers copy (or transform) into it, which also keeps rows that are
// a power of two apart in memory from falling into the same cache sets.
#pragma once

#include <cstdint>

#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

inline constexpr int64_t kPanel = 16;
// Depth of a block of A. Rows are 16 more apart: an odd number of cache lines, and room for copies
// that write whole vectors.
inline constexpr int64_t kDepthBlock = 256;
inline constexpr int64_t kRowStride = kDepthBlock + 16;
// Rows of the largest tile of any instruction set.
inline constexpr int kMaxTileRows = 14;

// Rows of a full tile on this processor.
int TileRows();

struct TileJob {
  const float* a;        // row r at a + r * kRowStride
  int rows;              // at most TileRows()
  int64_t depth;         // at most kDepthBlock
  const float* b;        // first panel, at the depth block
  int64_t panel_stride;  // elements between panels
  float* c;
  int64_t c_stride;
  int64_t columns;
  bool first = true;                // false: adds to what c holds
  bool last = true;                 // false: the epilogue comes with a later depth block
  const float* bias = nullptr;      // at c's column
  const float* residual = nullptr;  // at c's row and column
  int64_t residual_stride = 0;
  float low = 0;  // with `last`
  float high = 0;
  // Panels that a later job needs, as deep and as far apart as b's: fetched into the second-level
  // cache meanwhile, as far as there are columns. Weights come from memory at every run of a large
  // model, and the processor's own prefetchers stop at each page.
  const float* ahead = nullptr;
  int64_t ahead_panels = 0;
};
void MultiplyTile(const TileJob& job);

// The blocks of a depth of k: as equal as can be, none over kDepthBlock.
inline int64_t DepthBlocks(int64_t k) { return (k + kDepthBlock - 1) / kDepthBlock; }
inline int64_t DepthBlockSize(int64_t k) {
  const int64_t blocks = DepthBlocks(k);
  return blocks == 0 ? 0 : (k + blocks - 1) / blocks;
}

inline int64_t PanelCount(int64_t columns) { return (columns + kPanel - 1) / kPanel; }
inline int64_t PanelsSize(int64_t k, int64_t columns) { return PanelCount(columns) * kPanel * k; }
// B[k, columns], element (i, j) at b[i * row_stride + j * column_stride], into panels.
void PackPanels(const float* b, int64_t k, int64_t columns, int64_t row_stride,
                int64_t column_stride, float* panels, Executor& executor);
// The same of 16-bit floats, as the bits they are.
void PackPanels(const uint16_t* b, int64_t k, int64_t columns, int64_t row_stride,
                int64_t column_stride, uint16_t* panels, Executor& executor);

}  // namespace graft::cpu
