// Element-wise programs as CUDA C++.
#pragma once

#include <span>
#include <string>

#include "base/dtype.h"
#include "base/pointwise.h"

namespace graft::cuda {

// A function `Program` and the macro that calls it. With `first` the program's register 0 is handed
// to the macro, CALL(first, load), and load(i, type) gives register i + 1; without, CALL(load) with
// load(i, type) for register i. An empty program hands on its only input, or the first one.
// inputs: the dtypes of the registers that are operands. Also defines Y, the result's type.
std::string ProgramText(const PointwiseProgram& program, std::span<const DType> inputs, bool first);

// The line that includes that text in a class's (KeepPart of compiler.h). A program's text is made
// once, while the line is asked for by every step of every new shape.
std::string IncludedProgram(const PointwiseProgram& program, std::span<const DType> inputs,
                            bool first);

// The dtype of its result.
DType ResultOf(const PointwiseProgram& program, std::span<const DType> inputs);

}  // namespace graft::cuda
