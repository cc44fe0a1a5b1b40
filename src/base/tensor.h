// A dense tensor: dtype, dimensions, and row-major bytes that may be shared (with a mapped file,
// another tensor, a string). Published tensors are immutable; only their maker writes to them,
// before sharing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace graft {

using Dims = std::vector<int64_t>;

// Product of dims; -1 if negative or over 2^62: outside bytes can claim anything.
int64_t CountElements(std::span<const int64_t> dims);

class Tensor {
 public:
  Tensor() = default;
  // Takes bytes as they are: `data` holds at least CountElements(dims)·SizeOf(dtype) bytes and
  // lives as long as the pointer.
  Tensor(DType dtype, Dims dims, std::shared_ptr<const std::byte> data);

  // Uninitialised memory at a 64-byte boundary. kResourceExhausted if it is not to be had;
  // kInvalidArgument for sizes below zero, over 2^62 or a dtype without a size.
  static Result<Tensor> Allocate(DType dtype, Dims dims);

  // For tests and small constants.
  template <class T>
  static Tensor Of(Dims dims, std::span<const T> values);
  template <class T>
  static Tensor Of(Dims dims, std::initializer_list<T> values) {
    return Of<T>(std::move(dims), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor Scalar(T value) {
    return Of<T>({}, {value});
  }

  bool valid() const { return dtype_ != DType::kInvalid; }
  DType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t elements() const { return elements_; }
  size_t bytes() const { return static_cast<size_t>(elements_) * SizeOf(dtype_); }

  const std::byte* raw() const { return data_.get(); }
  std::byte* mutable_raw() { return const_cast<std::byte*>(data_.get()); }
  template <class T>
  std::span<const T> data() const {
    GRAFT_CHECK(dtype_ == DTypeOf<T>(), "tensor is {}", Name(dtype_));
    return {reinterpret_cast<const T*>(raw()), static_cast<size_t>(elements_)};
  }
  template <class T>
  std::span<T> mutable_data() {
    GRAFT_CHECK(dtype_ == DTypeOf<T>(), "tensor is {}", Name(dtype_));
    return {reinterpret_cast<T*>(mutable_raw()), static_cast<size_t>(elements_)};
  }
  const std::shared_ptr<const std::byte>& shared() const { return data_; }

  // The same bytes with other dimensions of equal count.
  Tensor Reshaped(Dims dims) const;
  // The same bytes in a dtype of equal size.
  Tensor Retyped(DType dtype) const;
  // The values as int64; kInvalidArgument unless the dtype is an integer one or bool.
  Result<std::vector<int64_t>> ToInt64() const;

 private:
  DType dtype_ = DType::kInvalid;
  Dims dims_;
  int64_t elements_ = 0;
  std::shared_ptr<const std::byte> data_;
};

// "f32[1,224,224,3]"
std::string Describe(DType dtype, std::span<const int64_t> dims);
// True when dtype, dims and all bytes agree.
bool BitwiseEqual(const Tensor& a, const Tensor& b);

template <class T>
Tensor Tensor::Of(Dims dims, std::span<const T> values) {
  GRAFT_CHECK(CountElements(dims) == static_cast<int64_t>(values.size()), "{} values",
              values.size());
  Result<Tensor> tensor = Allocate(DTypeOf<T>(), std::move(dims));
  GRAFT_CHECK(tensor.ok(), "{}", tensor.status().message());
  for (size_t i = 0; i < values.size(); ++i)
    reinterpret_cast<T*>(tensor->mutable_raw())[i] = values[i];
  return std::move(tensor).value();
}

}  // namespace graft
