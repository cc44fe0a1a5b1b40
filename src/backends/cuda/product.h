// Convolutions and matrix products as one thing: the product of a matrix, perhaps of an image's
// windows, with another, and what kernels want to know of it (product.cuh).
#pragma once

#include "backends/cuda/tactics.h"

namespace graft::cuda {

// A product of matrices; batch strides in elements.
struct Product {
  int source = 0;  // 0 matmul, 1 convolution, 2 transposed convolution
  int64_t rows = 0, columns = 0, depth = 0;
  int64_t a_row = 0, a_depth = 0;
  int64_t b_tap = 0, b_depth = 0, b_column = 0;
  int64_t y_row = 0;
  std::vector<int64_t> batch_dims, a_batch, b_batch, y_batch;
  int64_t channels = 1;
  std::vector<int64_t> in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1}, stride{1, 1, 1},
      dilation{1, 1, 1}, pad{0, 0, 0};
  int64_t batch_rows = 0, batch_columns = 0;
  bool b_packed = false;  // b is what PackColumns made of it
};

inline constexpr int64_t kMostBatches = 65535;  // of a grid's last axis

Product ProductOfConv(const BoundNode& node);
Product ProductOfConvTranspose(const BoundNode& node);
Product ProductOfMatMul(const BoundNode& node);

// A right factor that is constant, packed: the elements along the depth of each column side by
// side. Kernels for 8-bit integers want them so.
Product WithPackedColumns(Product product);
std::optional<Refusal> RefusePackedColumns(const ir::Module& module, const ir::Node& node);
// `to` has room for the constant's bytes.
void PackColumns(const ir::Node& node, const Tensor& b, std::byte* to);

// The product on the ordinary arithmetic units; with `split`, blocks may share a tile.
StepProgram MultiplySimply(const Product& product, const BoundNode& node, bool split);

// Whether kernels that count in 32 bits, and places in an image in 16, take the problem; others are
// for PlanConv and PlanMatMul, which take any.
bool FitsIn32Bits(const Product& product, const BoundNode& node);

// The dtype of the node's sums.
DType SumsOf(const BoundNode& node);
std::optional<Refusal> RefuseProduct(const ir::Module& module, const ir::Node& node);

// What product.cuh wants of a class.
std::string ProductText(const BoundNode& node);
// Its parameter, for batch elements from `first` on and with the sums in parts: their place in the
// workspace, how many, and the depth of one.
struct Parts {
  int64_t workspace = 0;
  int64_t splits = 1;
  int64_t depth = 0;
};
void AddProduct(const Product& product, const BoundNode& node, int64_t first, const Parts& parts,
                Parameter* parameter);
// In how many parts the depth is summed where `tiles` blocks are too few for a card.
int64_t SplitsFor(int64_t tiles, int64_t depth, int64_t most);
// For a number of parts: how deep each is, a multiple of `step`, and how many that gives.
Parts Split(int64_t depth, int64_t splits, int64_t step);

}  // namespace graft::cuda
