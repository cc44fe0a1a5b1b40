// Convolution of 8-bit integers as a product of the image's patches with the filter.
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv/patches.h"
#include "kernels/cpu/matmul/gemm_s8.h"

namespace graft::cpu {
namespace {

int64_t GroupSize(const ConvFilter& f) {
  return IntegersSize(f.depth(), f.group_outputs(), FormOf(f.types));
}

GemmProblem ToGemm(const ConvProblem& p) {
  GemmProblem gemm = PatchesProduct(p);
  gemm.group_panels = GroupSize(p.filter);
  return gemm;
}

}  // namespace

std::optional<Refusal> IgemmS8Refuses(const ConvFilter&) { return std::nullopt; }

size_t IgemmS8PackedBytes(const ConvFilter& f) { return f.groups * GroupSize(f); }

void IgemmS8Pack(const ConvFilter& f, const void* weights, void* packed, Executor& executor) {
  for (int64_t g = 0; g < f.groups; ++g) {
    PackIntegers(As<int8_t>(weights) + g * f.group_outputs(), f.depth(), f.group_outputs(),
                 f.output_channels, 1, FormOf(f.types), As<int8_t>(packed) + g * GroupSize(f),
                 executor);
  }
}

size_t IgemmS8WorkspaceBytes(const ConvProblem&, int width) { return GemmS8WorkspaceBytes(width); }

void IgemmS8Run(const ConvProblem& p, const ConvArguments& arguments, Executor& executor) {
  const auto copy_patches = ChooseCopyPatches(p);
  GemmS8(
      ToGemm(p),
      {FormOf(p.filter.types), As<int8_t>(arguments.weights), arguments.epilogue,
       arguments.workspace},
      [&](const TileRange& range, void* tile) { copy_patches(p, arguments.input, range, tile); },
      executor);
}

double IgemmS8Cost(const ConvProblem& p) { return GemmS8Cost(ToGemm(p), FormOf(p.filter.types)); }

}  // namespace graft::cpu
