#include "kernels/reference/int8.h"

#include <algorithm>
#include <cmath>

namespace graft::reference {
namespace {

// The one rounding to an integer. In this order NaN becomes the least.
int8_t ToInt8(float x, Int8Range range) {
  const float rounded = std::nearbyint(x);
  if (!(rounded >= static_cast<float>(range.least))) return static_cast<int8_t>(range.least);
  return static_cast<int8_t>(std::min(rounded, static_cast<float>(range.most)));
}

}  // namespace

int8_t QuantizeInt8(float x, float inverse_scale, Int8Range range) {
  return ToInt8(x * inverse_scale, range);
}

float RequantizingMultiplier(float input_scale, float weight_scale, float output_scale) {
  return static_cast<float>(static_cast<double>(input_scale) * static_cast<double>(weight_scale) /
                            static_cast<double>(output_scale));
}

int8_t Requantize(int32_t acc, int32_t bias, float m, Int8Range range) {
  return ToInt8(static_cast<float>(acc + bias) * m, range);
}

int8_t RequantizeWithResidual(int32_t acc, int32_t bias, float m, int8_t r, float m_r,
                              Int8Range range) {
  const float product = static_cast<float>(acc + bias) * m;
  const float residual = static_cast<float>(r) * m_r;
  return ToInt8(product + residual, range);
}

float DequantizeSum(int32_t acc, int32_t bias, float scale) {
  return static_cast<float>(acc + bias) * scale;
}

int8_t MeanInt8(int32_t sum, int32_t count, float m, Int8Range range) {
  const float share = m / static_cast<float>(count);
  return ToInt8(static_cast<float>(sum) * share, range);
}

int8_t RescaleInt8(int8_t q, float m, Int8Range range) {
  return ToInt8(static_cast<float>(q) * m, range);
}

Int8Table MakeInt8Table(const std::function<double(double)>& f, float input_scale,
                        float inverse_output_scale, Int8Range range) {
  Int8Table table;
  for (int q = -128; q < 128; ++q) {
    const double y = f(static_cast<double>(q) * static_cast<double>(input_scale));
    table[q + 128] = QuantizeInt8(static_cast<float>(y), inverse_output_scale, range);
  }
  return table;
}

}  // namespace graft::reference
