// Convolution as a product of the image's patches with the filter: a tile of patches is copied
// together in the cache (never the whole matrix), the filter lies in panels of f32 or 16-bit
// floats.
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/patches.h"
#include "kernels/cpu/matmul/gemm.h"
#include "kernels/cpu/matmul/gemm_tile.h"

namespace graft::cpu {
namespace {

int64_t GroupSize(const ConvFilter& f) { return PanelsSize(f.depth(), f.group_outputs()); }

GemmProblem ToGemm(const ConvProblem& p) {
  GemmProblem gemm = PatchesProduct(p);
  gemm.group_panels = GroupSize(p.filter);
  return gemm;
}

template <class T>
void Pack(const ConvFilter& f, const T* weights, T* packed, Executor& executor) {
  for (int64_t g = 0; g < f.groups; ++g) {
    PackPanels(weights + g * f.group_outputs(), f.depth(), f.group_outputs(), f.output_channels, 1,
               packed + g * GroupSize(f), executor);
  }
}

}  // namespace

// A product of one column for each channel fills one lane in sixteen: depthwise.cc takes these.
std::optional<Refusal> IgemmRefuses(const ConvFilter& f) {
  if (f.groups == 1 || DepthwiseRefuses(f)) return std::nullopt;
  return Refuse("{} groups of one channel", f.groups);
}

size_t IgemmPackedBytes(const ConvFilter& f) {
  return f.groups * GroupSize(f) * SizeOf(f.types.filter);
}

void IgemmPack(const ConvFilter& f, const void* weights, void* packed, Executor& executor) {
  if (f.types.filter == DType::kFloat32) {
    Pack(f, As<float>(weights), As<float>(packed), executor);
  } else {
    Pack(f, As<uint16_t>(weights), As<uint16_t>(packed), executor);
  }
}

size_t IgemmWorkspaceBytes(const ConvProblem& p, int width) {
  return GemmWorkspaceBytes(width, p.filter.types.filter);
}

void IgemmRun(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {
  GemmArguments gemm;
  gemm.b = arguments.weights;
  gemm.b_type = p.filter.types.filter;
  gemm.c = As<float>(arguments.output);
  gemm.c_stride = p.output_stride;
  gemm.epilogue = arguments.epilogue;
  gemm.workspace = arguments.workspace;
  const auto copy_patches = ChooseCopyPatches(p);
  Gemm(
      ToGemm(p), gemm,
      [&](const TileRange& range, float* tile) { copy_patches(p, arguments.input, range, tile); },
      executor);
}

double IgemmCost(const ConvProblem& p) { return GemmCost(ToGemm(p), p.filter.types.filter); }

}  // namespace graft::cpu
