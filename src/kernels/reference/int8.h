// The exact forms of INT8 (docs/numerics.md), one number at a time: what every integer kernel gives
// on every instruction set and device, bit for bit. Values are symmetric: x ≈ q · scale, no zero
// points. Each operation on floats is rounded once, in f32, halves to even; nothing is contracted.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

namespace graft::reference {

// The integers of a result: [-127, 127], [0, 127] behind a ReLU (the pairwise multiply of AVX2 is
// exact on them), or less where a clamp ends below.
struct Int8Range {
  int32_t least = -127;
  int32_t most = 127;
};

// q = clamp(round(x · inverse_scale)); NaN gives the least integer.
int8_t QuantizeInt8(float x, float inverse_scale, Int8Range range = {});

// What a sum of products is multiplied by to become the result's integers: the scales' quotient in
// double precision, rounded once.
float RequantizingMultiplier(float input_scale, float weight_scale, float output_scale);

// clamp(round(float(acc + bias) · m)). acc + bias fits 32 bits.
int8_t Requantize(int32_t acc, int32_t bias, float m, Int8Range range = {});

// With a residual r, whose integers are worth m_r of the result's:
// clamp(round(fl(float(acc + bias) · m) + fl(float(r) · m_r))).
int8_t RequantizeWithResidual(int32_t acc, int32_t bias, float m, int8_t r, float m_r,
                              Int8Range range = {});

// A result in floats: float(acc + bias) · scale, where scale = input_scale · weight_scale.
float DequantizeSum(int32_t acc, int32_t bias, float scale);

// The mean of `count` integers whose sum is given, where one of them is worth m of the result's:
// clamp(round(float(sum) · fl(m / float(count)))). Average pooling counts what its op says.
int8_t MeanInt8(int32_t sum, int32_t count, float m, Int8Range range = {});

// An operand of a concatenation, an addition's term, whatever has another scale than the result:
// clamp(round(float(q) · m)). With m = 1 the integer itself.
int8_t RescaleInt8(int8_t q, float m, Int8Range range = {});

// A function of one value as 256 results, that of q at q + 128: each is
// QuantizeInt8(f(double(q) · input_scale)), f and the product in double precision. The table is
// made once and stored, so that no kernel computes f.
using Int8Table = std::array<int8_t, 256>;
Int8Table MakeInt8Table(const std::function<double(double)>& f, float input_scale,
                        float inverse_output_scale, Int8Range range = {});

}  // namespace graft::reference
