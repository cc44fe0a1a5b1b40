// Kernels as text: a class of problems is one of the files of kernels/cuda with text in front of
// it, compiled to a cubin for one kind of card.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace graft::cuda {

struct KernelClass {
  std::string_view file;  // "affine.cu"
  std::string text;       // macros, types, the program: what the file asks for
  bool operator==(const KernelClass&) const = default;
};

// Keeps a text that classes share as long as the process lives, and gives the line that stands for
// it in theirs, named by what is in it.
std::string KeepPart(std::string text);

struct Compiled {
  std::string cubin;
  std::string log;  // of the assembler: registers, shared memory, spills
};

// Of everything that decides what the cubin does and where it runs: the class, the file, the
// prelude, the card's kind. Not of the compiler: a plan's cubins are good without it.
std::string HashOf(const KernelClass& kernel, int sm);

// Compiles for a kind of card: 80 is sm_80, 90 is sm_90a. Keeps what it made, by its hash, as long
// as the process lives; threads may compile at once.
Result<Compiled> Compile(const KernelClass& kernel, int sm);

// "sm_90a".
std::string NameOfSm(int sm);
// 90 for "sm_90" and "sm_90a". kInvalidArgument for what is no such name, kUnsupported where
// kernels are not made for it, or there is no compiler or it does not know it.
Result<int> SmOfName(std::string_view name);

}  // namespace graft::cuda
