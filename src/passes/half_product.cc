#include "passes/half_product.h"

#include <cstring>

namespace graft::passes {

Result<HalfProduct> MakeHalfProduct(DType dtype) {
  const Dims square = {64, 64};
  HalfProduct product;
  const ir::ValueId x = product.module.AddInput("x", dtype, ir::MakeShape(square));
  GRAFT_ASSIGN_OR_RETURN(Tensor weights, Tensor::Allocate(DType::kFloat16, square));
  std::memset(weights.mutable_raw(), 0, weights.bytes());
  const ir::ValueId w = product.module.AddConstant("w", std::move(weights));
  ir::MatMulAttributes attributes;
  attributes.accumulator = DType::kFloat32;
  GRAFT_ASSIGN_OR_RETURN(product.id, product.module.AddNode(attributes, {x, w}, "product"));
  return product;
}

}  // namespace graft::passes
