// Maximum and average pooling over windows of [N, spatial…, C].
#pragma once

#include <cstdint>
#include <vector>

#include "base/dtype.h"
#include "base/tensor.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// kMax passes NaN over and gives the lowest number where there is nothing else, as TensorFlow's
// pooling of images. kMaxOrNan gives NaN where there is one, as its pooling of volumes.
enum class Pooling : uint8_t { kMax, kMaxOrNan, kAverage };

struct PoolProblem {
  Pooling pooling = Pooling::kMax;
  DType dtype = DType::kFloat32;
  Dims x;  // 1 to 3 spatial dimensions
  int64_t x_row_stride = 1;
  Dims y;
  int64_t y_row_stride = 1;
  std::vector<int64_t> window;
  std::vector<int64_t> strides;
  std::vector<int64_t> pads_before;
  bool count_padding = false;
};

// The cells of one window: where the first lies, how many there are along each axis, and how far
// apart.
struct PoolWindow {
  const std::byte* x;
  std::byte* y;
  int64_t count[3];
  const int64_t* strides;  // in elements
  double divisor;          // of an average
};
// Pools `channels` neighbouring channels of one window.
using PoolLoop = void (*)(const PoolWindow& window, int64_t channels);

// The vectorised f32 loop for this processor.
PoolLoop F32PoolLoop(Pooling pooling);

class PoolOperation {
 public:
  // kUnsupported for dtypes without a loop: averages are of f32 and f64 only.
  static Result<PoolOperation> Make(const PoolProblem& problem);
  static bool Supports(Pooling pooling, DType dtype);

  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const;

 private:
  // One of the three spatial axes; those that the problem lacks have one element.
  struct Axis {
    int64_t input = 1;
    int64_t output = 1;
    int64_t window = 1;
    int64_t stride = 1;
    int64_t pad = 0;
  };

  void RunPixels(Range pixels, Range channels, const Buffers& buffers) const;

  PoolLoop loop_ = nullptr;
  size_t element_size_ = 4;
  Axis axes_[3];
  int64_t x_strides_[4];  // batch, then the axes; in elements
  int64_t y_stride_ = 1;  // between pixels
  int64_t batch_ = 1;
  int64_t channels_ = 1;
  bool count_padding_ = false;
};

}  // namespace graft::cpu
