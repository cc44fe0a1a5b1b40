#include "kernels/reference/array.h"

namespace graft::reference {

ConstArray AsInput(const Array& array) {
  return {array.dtype, array.dims, array.row_stride, array.data};
}

}  // namespace graft::reference
