#include <algorithm>
#include <cmath>

#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

// One axis of a resize, in single precision as TensorFlow computes it: the positions decide which
// pixels are read, so another rounding would be another result.
struct Axis {
  const ResizeProblem& p;
  int64_t in, out;
  float scale = p.align_corners && out > 1
                    ? static_cast<float>(in - 1) / static_cast<float>(out - 1)
                    : static_cast<float>(in) / static_cast<float>(out);

  int64_t Nearest(int64_t i) const {
    const float at = (static_cast<float>(i) + (p.half_pixel_centers ? 0.5f : 0.0f)) * scale;
    const float rounded = p.align_corners ? std::round(at) : std::floor(at);
    return std::clamp<int64_t>(static_cast<int64_t>(rounded), 0, in - 1);
  }

  struct Between {
    int64_t lower, upper;
    float weight;  // of upper
  };
  Between Linear(int64_t i) const {
    const float at = p.half_pixel_centers ? (static_cast<float>(i) + 0.5f) * scale - 0.5f
                                          : static_cast<float>(i) * scale;
    const float floor = std::floor(at);
    return {std::clamp<int64_t>(static_cast<int64_t>(floor), 0, in - 1),
            std::min<int64_t>(static_cast<int64_t>(std::ceil(at)), in - 1), at - floor};
  }
};

template <class T>
void Nearest(const Axis& vertical, const Axis& horizontal, const ConstArray& x, const Array& y) {
  for (int64_t row = 0; row < y.rows(); ++row) {
    const int64_t w = row % y.dims[2];
    const int64_t h = row / y.dims[2] % y.dims[1];
    const int64_t n = row / (y.dims[2] * y.dims[1]);
    const int64_t from = (n * x.dims[1] + vertical.Nearest(h)) * x.dims[2] + horizontal.Nearest(w);
    std::copy_n(x.Row<T>(from), y.row_length(), y.Row<T>(row));
  }
}

template <class T>
void Bilinear(const Axis& vertical, const Axis& horizontal, const ConstArray& x, const Array& y) {
  for (int64_t row = 0; row < y.rows(); ++row) {
    const Axis::Between w = horizontal.Linear(row % y.dims[2]);
    const Axis::Between h = vertical.Linear(row / y.dims[2] % y.dims[1]);
    const int64_t n = row / (y.dims[2] * y.dims[1]);
    auto pixel = [&](int64_t i, int64_t j) {
      return x.Row<T>((n * x.dims[1] + i) * x.dims[2] + j);
    };
    float* to = y.Row<float>(row);
    for (int64_t c = 0; c < y.row_length(); ++c) {
      auto between = [&](int64_t i) {
        const auto left = static_cast<float>(pixel(i, w.lower)[c]);
        const auto right = static_cast<float>(pixel(i, w.upper)[c]);
        return left + (right - left) * w.weight;
      };
      const float top = between(h.lower);
      to[c] = top + (between(h.upper) - top) * h.weight;
    }
  }
}

}  // namespace

void Run(const ResizeProblem& problem, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  const Array& y = out[0];
  if (y.elements() == 0 || x.elements() == 0) return;
  const Axis vertical{problem, x.dims[1], y.dims[1]};
  const Axis horizontal{problem, x.dims[2], y.dims[2]};
  WithNumber(x.dtype, [&](auto type) {
    using T = decltype(type);
    (problem.bilinear ? Bilinear<T> : Nearest<T>)(vertical, horizontal, x, y);
  });
}

}  // namespace graft::reference
