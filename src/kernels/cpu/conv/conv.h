// Convolution of NHWC images, single precision: the problem, and the algorithms that solve it.
//
// Everything has three spatial dimensions; those that an image does not have are 1, outermost.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/executor.h"
#include "base/status.h"
#include "kernels/cpu/epilogue.h"

namespace graft::cpu {

using Spatial = std::array<int64_t, 3>;

// What is known before any image is: the weights are packed for this much.
struct ConvFilter {
  Spatial kernel = {1, 1, 1};
  Spatial stride = {1, 1, 1};
  Spatial dilation = {1, 1, 1};
  int64_t groups = 1;
  int64_t input_channels = 1;   // of all groups
  int64_t output_channels = 1;  // of all groups

  int64_t group_inputs() const { return input_channels / groups; }
  int64_t group_outputs() const { return output_channels / groups; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  // The length of one output's inner product.
  int64_t depth() const { return taps() * group_inputs(); }
};

struct ConvProblem {
  ConvFilter filter;
  int64_t batch = 1;
  Spatial input = {1, 1, 1};
  Spatial output = {1, 1, 1};
  Spatial pad = {0, 0, 0};   // before
  int64_t input_stride = 1;  // elements between pixels
  int64_t output_stride = 1;

  int64_t input_pixels() const { return input[0] * input[1] * input[2]; }
  int64_t output_pixels() const { return output[0] * output[1] * output[2]; }
  int64_t rows() const { return batch * output_pixels(); }
  double multiply_adds() const {
    return static_cast<double>(rows()) * static_cast<double>(filter.depth()) *
           static_cast<double>(filter.output_channels);
  }
};

// Taps [first, last) of an axis.
struct TapRange {
  int64_t first;
  int64_t last;
  int64_t count() const { return last - first; }
};

// Those that fall inside the image when tap 0 reads input `start` of `axis`.
TapRange TapsInside(const ConvProblem& problem, int axis, int64_t start);

struct ConvArguments {
  const float* input = nullptr;
  const float* weights = nullptr;  // packed by the same kernel, 64-byte aligned
  float* output = nullptr;
  Epilogue epilogue;
  void* workspace = nullptr;  // 64-byte aligned
};

// One algorithm. `weights` of pack are [kernel…, group_inputs, output_channels].
struct ConvKernel {
  std::string_view name;
  int version;
  std::string_view packing;
  std::optional<Refusal> (*refuses)(const ConvFilter& filter);
  int64_t (*packed_size)(const ConvFilter& filter);  // in floats
  void (*pack)(const ConvFilter& filter, const float* weights, float* packed, Executor& executor);
  int64_t (*workspace_size)(const ConvProblem& problem, int width);  // in floats
  void (*run)(const ConvProblem& problem, const ConvArguments& arguments, Executor& executor);
  // An estimate in cycles of one core, to rank kernels that were not timed.
  double (*cost)(const ConvProblem& problem);
};

#define GRAFT_CONV_KERNEL(Id, name, version, packing)                                           \
  std::optional<Refusal> Id##Refuses(const ConvFilter& filter);                                 \
  int64_t Id##PackedSize(const ConvFilter& filter);                                             \
  void Id##Pack(const ConvFilter& filter, const float* weights, float* packed,                  \
                Executor& executor);                                                            \
  int64_t Id##WorkspaceSize(const ConvProblem& problem, int width);                             \
  void Id##Run(const ConvProblem& problem, const ConvArguments& arguments, Executor& executor); \
  double Id##Cost(const ConvProblem& problem);
#include "kernels/cpu/conv/kernels.inc"
#include "kernels/cpu/conv/transposed_kernels.inc"
#undef GRAFT_CONV_KERNEL

// All of them. Every filter is taken by one at least; the last one computes any, also what it
// refuses because another is better at it.
std::span<const ConvKernel> ConvKernels();

// Transposed convolution: output z * stride - pad + k * dilation gets input z times tap k.
// `weights` of pack are [kernel…, output_channels, input_channels]; one group.
std::span<const ConvKernel> TransposedConvKernels();

}  // namespace graft::cpu
