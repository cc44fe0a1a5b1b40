// Text names of the enumerations that attributes use, in the order of their values.
#pragma once

#include <span>
#include <string_view>

#include "ir/attributes.h"
#include "ir/module.h"

namespace graft::ir {

template <class E>
struct EnumNames;
template <>
struct EnumNames<PoolKind> {
  static constexpr std::string_view kNames[] = {"max", "average"};
};
template <>
struct EnumNames<ReduceKind> {
  static constexpr std::string_view kNames[] = {"sum", "mean", "max", "min", "prod", "all", "any"};
};
template <>
struct EnumNames<ArgReduceKind> {
  static constexpr std::string_view kNames[] = {"max", "min"};
};
template <>
struct EnumNames<PadMode> {
  static constexpr std::string_view kNames[] = {"constant", "reflect", "symmetric"};
};
template <>
struct EnumNames<ResizeMode> {
  static constexpr std::string_view kNames[] = {"nearest", "bilinear", "bicubic", "area"};
};
template <>
struct EnumNames<CumulativeKind> {
  static constexpr std::string_view kNames[] = {"sum", "prod"};
};
template <>
struct EnumNames<ScatterKind> {
  static constexpr std::string_view kNames[] = {"update", "add", "sub", "min", "max"};
};
template <>
struct EnumNames<FakeQuantizeArithmetic> {
  static constexpr std::string_view kNames[] = {"scaled", "nudged", "nudged_dividing"};
};
template <>
struct EnumNames<Rounding> {
  static constexpr std::string_view kNames[] = {"half_even", "half_up"};
};
template <>
struct EnumNames<RangeOrigin> {
  static constexpr std::string_view kNames[] = {"op", "node", "table", "calibration"};
};

template <class E>
std::string_view EnumName(E value) {
  return EnumNames<E>::kNames[static_cast<int>(value)];
}

}  // namespace graft::ir
