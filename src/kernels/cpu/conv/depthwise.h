// What depthwise convolutions of any element type share: the order of their weights, and how a row
// of outputs is walked.
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
  int64_t weight_block;  // from a block of channels to the next
  int64_t channels;
};

// Weights lie in blocks of so many channels, all taps of a block together; the last is filled up
// with zeros.
template <class T>
void PackDepthwise(const ConvFilter& f, int64_t block, const void* filter, void* target) {
  const T* weights = As<T>(filter);
  T* packed = As<T>(target);
  for (int64_t first = 0; first < f.output_channels; first += block) {
    for (int64_t tap = 0; tap < f.taps(); ++tap) {
      for (int64_t c = first; c < first + block; ++c) {
        *packed++ = c < f.output_channels ? weights[tap * f.output_channels + c] : T(0);
      }
    }
  }
}

}  // namespace graft::cpu
