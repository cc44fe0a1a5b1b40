#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/indices.h"
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

  float Position(int64_t i) const {
    return p.half_pixel_centers ? (static_cast<float>(i) + 0.5f) * scale - 0.5f
                                : static_cast<float>(i) * scale;
  }
  int64_t Inside(int64_t i) const { return std::clamp<int64_t>(i, 0, in - 1); }

  struct Between {
    int64_t lower, upper;
    float weight;  // of upper
  };
  Between Linear(int64_t i) const {
    const float at = Position(i);
    const float floor = std::floor(at);
    return {Inside(static_cast<int64_t>(floor)),
            std::min<int64_t>(static_cast<int64_t>(std::ceil(at)), in - 1), at - floor};
  }

  // A pixel of the result as a weighted sum of pixels of the image.
  struct Tap {
    int64_t index;
    float weight;
  };
  std::vector<Tap> Taps(int64_t i) const {
    return p.mode == ResizeMode::kBicubic ? Cubic(i) : Area(i);
  }

  // Cubic convolution. TensorFlow rounds the position to 1/1024 of a pixel. With half-pixel centres
  // the parameter is Keys' -1/2 and pixels outside of the image do not count; without, it is -3/4
  // and the pixel at the edge stands for them.
  std::vector<Tap> Cubic(int64_t i) const {
    constexpr float kSteps = 1024;
    const double a = p.half_pixel_centers ? -0.5 : -0.75;
    const float at = Position(i);
    const auto floor = static_cast<int64_t>(std::floor(at));
    const float part = std::rint((at - static_cast<float>(floor)) * kSteps) / kSteps;
    std::vector<Tap> taps;
    float sum = 0;
    for (int64_t k = -1; k <= 2; ++k) {
      const double x = std::abs(static_cast<double>(k) - part);
      double weight =
          x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
      if (p.half_pixel_centers && Inside(floor + k) != floor + k) weight = 0;
      taps.push_back({Inside(floor + k), static_cast<float>(weight)});
      sum += taps.back().weight;
    }
    if (p.half_pixel_centers && std::abs(sum) >= 1000 * std::numeric_limits<float>::min()) {
      for (Tap& tap : taps) tap.weight /= sum;
    }
    return taps;
  }

  // The share of each pixel in what lies under [i, i + 1) · scale. A scale of 0 gives NaN.
  std::vector<Tap> Area(int64_t i) const {
    const float begin = static_cast<float>(i) * scale;
    const float end = static_cast<float>(i + 1) * scale;
    std::vector<Tap> taps;
    auto k = static_cast<int64_t>(std::floor(begin));
    do {
      const auto pixel = static_cast<float>(k);
      taps.push_back({Inside(k), (std::min(end, pixel + 1) - std::max(begin, pixel)) / scale});
    } while (++k < static_cast<int64_t>(std::ceil(end)));
    return taps;
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

template <class T>
void Weighted(const Axis& vertical, const Axis& horizontal, const ConstArray& x, const Array& y) {
  for (int64_t row = 0; row < y.rows(); ++row) {
    const std::vector<Axis::Tap> w = horizontal.Taps(row % y.dims[2]);
    const std::vector<Axis::Tap> h = vertical.Taps(row / y.dims[2] % y.dims[1]);
    const int64_t n = row / (y.dims[2] * y.dims[1]);
    for (int64_t c = 0; c < y.row_length(); ++c) {
      double sum = 0;
      for (const Axis::Tap& down : h) {
        for (const Axis::Tap& across : w) {
          const T* pixel = x.Row<T>((n * x.dims[1] + down.index) * x.dims[2] + across.index);
          sum += static_cast<double>(down.weight) * across.weight * static_cast<double>(pixel[c]);
        }
      }
      y.Row<float>(row)[c] = static_cast<float>(sum);
    }
  }
}

// An axis of a crop between `first` and `last`, in single precision as TensorFlow computes it.
float CropPosition(float first, float last, int64_t i, int64_t size, int64_t pixels) {
  const auto edge = static_cast<float>(pixels - 1);
  if (size == 1) return static_cast<float>(0.5 * (first + last) * edge);
  const float scale = (last - first) * edge / static_cast<float>(size - 1);
  return first * edge + static_cast<float>(i) * scale;
}

}  // namespace

void Run(const ResizeProblem& problem, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  const Array& y = out[0];
  if (y.elements() == 0 || x.elements() == 0) return;
  const Axis vertical{problem, x.dims[1], y.dims[1]};
  const Axis horizontal{problem, x.dims[2], y.dims[2]};
  VisitDType(kNumberTypes, x.dtype, [&](auto type) {
    using T = decltype(type);
    switch (problem.mode) {
      case ResizeMode::kNearest:
        return Nearest<T>(vertical, horizontal, x, y);
      case ResizeMode::kBilinear:
        return Bilinear<T>(vertical, horizontal, x, y);
      case ResizeMode::kBicubic:
      case ResizeMode::kArea:
        return Weighted<T>(vertical, horizontal, x, y);
    }
  });
}

Status CheckData(const CropAndResizeProblem&, Inputs in) {
  GRAFT_RETURN_IF_ERROR(CheckIndices(in[2], in[0].dims, 1));
  for (int64_t row = 0; row < in[1].rows(); ++row) {
    for (int64_t k = 0; k < 4; ++k) {
      if (!std::isfinite(in[1].Row<float>(row)[k]))
        return InvalidArgumentError("box {} has a corner that is not finite", row);
    }
  }
  return OkStatus();
}

void Run(const CropAndResizeProblem& problem, Inputs in, Outputs out) {
  const ConstArray& x = in[0];
  const Array& y = out[0];
  if (y.elements() == 0) return;
  const std::vector<int64_t> images = ReadIndices(in[2]);
  const float bottom = static_cast<float>(x.dims[1] - 1);
  const float right = static_cast<float>(x.dims[2] - 1);
  VisitDType(kNumberTypes, x.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t row = 0; row < y.rows(); ++row) {
      const int64_t b = row / (y.dims[1] * y.dims[2]);
      const float* box = in[1].Row<float>(b);
      const float v =
          CropPosition(box[0], box[2], row / y.dims[2] % y.dims[1], y.dims[1], x.dims[1]);
      const float u = CropPosition(box[1], box[3], row % y.dims[2], y.dims[2], x.dims[2]);
      float* to = y.Row<float>(row);
      // NaN, from corners whose difference overflows, is outside.
      if (!(v >= 0 && v <= bottom && u >= 0 && u <= right)) {
        std::fill_n(to, y.row_length(), problem.extrapolation);
        continue;
      }
      auto pixel = [&](float i, float j, int64_t c) {
        const auto line = images[b] * x.dims[1] + static_cast<int64_t>(i);
        return static_cast<float>(x.Row<T>(line * x.dims[2] + static_cast<int64_t>(j))[c]);
      };
      for (int64_t c = 0; c < y.row_length(); ++c) {
        if (!problem.bilinear) {
          to[c] = pixel(std::round(v), std::round(u), c);
          continue;
        }
        auto across = [&](float i) {
          const float left = pixel(i, std::floor(u), c);
          return left + (pixel(i, std::ceil(u), c) - left) * (u - std::floor(u));
        };
        const float top = across(std::floor(v));
        to[c] = top + (across(std::ceil(v)) - top) * (v - std::floor(v));
      }
    }
  });
}

}  // namespace graft::reference
