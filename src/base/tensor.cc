#include "base/tensor.h"

#include <cstring>

#include "base/aligned_buffer.h"
#include "base/dtype_visit.h"

namespace graft {

int64_t CountElements(std::span<const int64_t> dims) {
  constexpr int64_t kLimit = int64_t{1} << 62;
  int64_t count = 1;
  bool empty = false;
  for (int64_t d : dims) {
    if (d < 0) return -1;
    if (d == 0) {
      empty = true;
      continue;
    }
    if (count > kLimit / d) return -1;
    count *= d;
  }
  return empty ? 0 : count;
}

Tensor::Tensor(DType dtype, Dims dims, std::shared_ptr<const std::byte> data)
    : dtype_(dtype),
      dims_(std::move(dims)),
      elements_(CountElements(dims_)),
      data_(std::move(data)) {
  GRAFT_CHECK(elements_ >= 0, "dimensions out of range");
}

Result<Tensor> Tensor::Allocate(DType dtype, Dims dims) {
  const int64_t count = CountElements(dims);
  const size_t size = SizeOf(dtype);
  if (count < 0 || size == 0 || count > (int64_t{1} << 62) / static_cast<int64_t>(size)) {
    return InvalidArgumentError("no tensor can be {}", Describe(dtype, dims));
  }
  auto buffer = std::make_shared<AlignedBuffer>(static_cast<size_t>(count) * size);
  if (!*buffer) return ResourceExhaustedError("no memory for {}", Describe(dtype, dims));
  std::byte* data = buffer->data();
  return Tensor(dtype, std::move(dims), std::shared_ptr<const std::byte>(std::move(buffer), data));
}

Tensor Tensor::Reshaped(Dims dims) const {
  GRAFT_CHECK(CountElements(dims) == elements_, "{} to {}", Describe(dtype_, dims_),
              Describe(dtype_, dims));
  return Tensor(dtype_, std::move(dims), data_);
}

Tensor Tensor::Retyped(DType dtype) const {
  GRAFT_CHECK(SizeOf(dtype) == SizeOf(dtype_), "{} to {}", Name(dtype_), Name(dtype));
  return Tensor(dtype, dims_, data_);
}

Result<std::vector<int64_t>> Tensor::ToInt64() const {
  constexpr auto kHeld = kIntegerTypes + TypeSet<bool>{} - TypeSet<uint64_t>{};
  std::vector<int64_t> values;
  const bool are_integers = TryVisitDType(
      kHeld, dtype_, [&]<class T>(T) { values.assign(data<T>().begin(), data<T>().end()); });
  if (!are_integers)
    return InvalidArgumentError("{} where integers are needed", Describe(dtype_, dims_));
  return values;
}

std::string Describe(DType dtype, std::span<const int64_t> dims) {
  return fmt::format("{}[{}]", Name(dtype), fmt::join(dims, ","));
}

bool BitwiseEqual(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() &&
         (a.bytes() == 0 || std::memcmp(a.raw(), b.raw(), a.bytes()) == 0);
}

}  // namespace graft
