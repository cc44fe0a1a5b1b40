// What depthwise convolutions of any element type share: how a row of outputs is walked.
#pragma once

#include <cstdint>

#include "kernels/cpu/conv/conv.h"

namespace graft::cpu {

// A run of neighbouring outputs of one row, and the taps that fall inside the image.
template <class T>
struct DepthwiseTaps {
  const T* input;        // what the first tap of the first output reads, channel 0
  const T* weights;      // of the first tap
  int64_t rows;          // taps
  int64_t columns;       // taps
  int64_t input_row;     // elements from a tap to the one below it
  int64_t input_column;  // to the one beside it
  int64_t input_output;  // from an output's taps to the next output's
  int64_t weight_row;    // from a row of taps to the next
  int64_t channels;
};

}  // namespace graft::cpu
