// Convolution of NHWC images: the problem, and the algorithms that solve it.
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
#include "kernels/cpu/element_types.h"
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
  ElementTypes types;           // the kernel's: those of its row

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
  const void* input = nullptr;
  const void* weights = nullptr;  // packed by the same kernel, 64-byte aligned
  void* output = nullptr;         // of the accumulator's type
  Epilogue epilogue;
  void* workspace = nullptr;  // 64-byte aligned
};

// One algorithm. `weights` of pack are [kernel…, group_inputs, output_channels]. Sizes are in
// bytes.
struct ConvKernel {
  std::string_view name;
  int version;
  std::string_view packing;
  ElementTypes types;
  SumsIn sums;
  std::optional<Refusal> (*refuses)(const ConvFilter& filter);
  size_t (*packed_bytes)(const ConvFilter& filter);
  void (*pack)(const ConvFilter& filter, const void* weights, void* packed, Executor& executor);
  size_t (*workspace_bytes)(const ConvProblem& problem, int width);
  void (*run)(const ConvProblem& problem, const ConvArguments& arguments, Executor& executor);
  // An estimate in cycles of one core, to rank kernels that were not timed.
  double (*cost)(const ConvProblem& problem);
};

// Rows may share functions: the filter says for which types they are called.
#define GRAFT_CONV_KERNEL(Id, name, version, packing, Input, Filter, Accumulator, Sums)           \
  std::optional<Refusal> Id##Refuses(const ConvFilter& filter);                                   \
  size_t Id##PackedBytes(const ConvFilter& filter);                                               \
  void Id##Pack(const ConvFilter& filter, const void* weights, void* packed, Executor& executor); \
  size_t Id##WorkspaceBytes(const ConvProblem& problem, int width);                               \
  void Id##Run(const ConvProblem& problem, const ConvArguments& arguments, Executor& executor);   \
  double Id##Cost(const ConvProblem& problem);
#include "kernels/cpu/conv/kernels.inc"
#include "kernels/cpu/conv/transposed_kernels.inc"
#undef GRAFT_CONV_KERNEL

// All of them. Every filter is taken by one at least; the last one of its types computes any, also
// what it refuses because another is better at it.
std::span<const ConvKernel> ConvKernels();

// Transposed convolution: output z * stride - pad + k * dilation gets input z times tap k.
// `weights` of pack are [kernel…, output_channels, input_channels]; one group.
std::span<const ConvKernel> TransposedConvKernels();

}  // namespace graft::cpu
