#include "backends/cpu/packed_bytes.h"

#include <algorithm>

#include "base/dtype_visit.h"

namespace graft::cpu {

Result<Tensor> WeightsAs(DType wanted, const Tensor& weights) {
  if (weights.dtype() == wanted) return weights;
  GRAFT_CHECK(wanted == DType::kFloat32, "weights of {}", Name(wanted));
  GRAFT_ASSIGN_OR_RETURN(Tensor wide, Tensor::Allocate(wanted, weights.dims()));
  VisitDType(kHalfTypes, weights.dtype(), [&]<class T>(T) {
    std::ranges::copy(weights.data<T>(), wide.mutable_data<float>().begin());
  });
  return wide;
}

}  // namespace graft::cpu
