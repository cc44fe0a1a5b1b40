// The image's patches, copied together tile by tile: A of the product that a convolution is.
#pragma once

#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/matmul/gemm.h"

namespace graft::cpu {

// Copies the patches of a range to rows kRowStride elements apart: those of f32 and of seven bits
// as they are, those of s8 and u8 as 16-bit integers. Outside of the image are zeros.
using CopyPatchesFunction = void (*)(const ConvProblem& problem, const void* input,
                                     const TileRange& range, void* tile);
CopyPatchesFunction ChooseCopyPatches(const ConvProblem& problem);

// The product, its panels' group_panels left to the caller.
GemmProblem PatchesProduct(const ConvProblem& problem);

}  // namespace graft::cpu
