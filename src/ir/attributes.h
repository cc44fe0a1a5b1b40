// The attributes of each op of the IR, one struct an op. Every struct lists its fields once, in
// Visit: printing, parsing, the plan file, equality, problem strings and the substitution of
// symbols all go through that list, so an op is added by adding its struct here, its row in ops.inc
// and its shape rule.
//
// Conventions. Images are [N, spatial…, C]; all axes are non-negative and count from the outermost;
// a Dim may be symbolic. An op's operands are listed over its struct: [x, w, …] in order. "Epilogue
// operands" are further inputs that the epilogue program reads: its register 0 is the op's own
// result, register i is input (first epilogue operand + i - 1), each broadcast to the output's
// shape by NumPy's rule. program.inputs == 1 + epilogue operands; a program without instructions
// means no epilogue and no operands.
//
// An op whose data decides a dimension of its results has the attribute result_dim: a symbol of its
// own (Symbol::kResultDim), which is dimension 0 of result 0 and of others. Its last result, a
// scalar, is the symbol's value. A bound node has the symbol's upper bound in its place: so many
// rows have room, and those past the last result's value mean nothing. That of `read_integer` is a
// Symbol::kResultValue: no dimension and without a bound, but any integer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/op_kinds.h"
#include "base/pointwise.h"
#include "ir/dim.h"

namespace graft::ir {

using graft::FakeQuantizeArithmetic;
using graft::PadMode;
using graft::ReduceKind;
using graft::ResizeMode;
using graft::ScatterKind;

// [inputs…] → 1. Element-wise with NumPy broadcasting. program.inputs == number of operands.
struct PointwiseAttributes {
  PointwiseProgram program;
  template <class V>
  void Visit(V&& v) {
    v("program", program);
  }
};

// [x[N, spatial…, C], w[k…, C/groups, M], epilogue operands…] → y[N, spatial'…, M].
// Cross-correlation, TensorFlow's filter layout. 1 to 3 spatial dimensions, as many as strides has
// entries. A depthwise convolution has groups == C; its output channel c*multiplier + m comes from
// input channel c. An empty epilogue has no operands.
struct ConvAttributes {
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<Dim> pads_before;
  std::vector<Dim> pads_after;
  Dim groups = 1;
  PointwiseProgram epilogue;
  DType accumulator = DType::kInvalid;
  template <class V>
  void Visit(V&& v) {
    v("strides", strides), v("dilations", dilations), v("pads_before", pads_before),
        v("pads_after", pads_after);
    v("groups", groups), v("accumulator", accumulator), v("epilogue", epilogue);
  }
};

// [dy[N, spatial…, M], w[k…, C, M], epilogue operands…] → dx[N, output_size…, C]: the gradient of a
// convolution with these strides, dilations and pads with respect to its input. output_size holds
// the spatial dimensions.
struct ConvTransposeAttributes {
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<Dim> pads_before;
  std::vector<Dim> pads_after;
  std::vector<Dim> output_size;
  PointwiseProgram epilogue;
  DType accumulator = DType::kInvalid;
  template <class V>
  void Visit(V&& v) {
    v("strides", strides), v("dilations", dilations), v("pads_before", pads_before),
        v("pads_after", pads_after);
    v("output_size", output_size), v("accumulator", accumulator), v("epilogue", epilogue);
  }
};

// [a[…, M, K], b[…, K, N], epilogue operands…] → y[…, M, N], batch dimensions broadcast. With
// transpose_a a is […, K, M].
struct MatMulAttributes {
  bool transpose_a = false;
  bool transpose_b = false;
  PointwiseProgram epilogue;
  DType accumulator = DType::kInvalid;
  template <class V>
  void Visit(V&& v) {
    v("transpose_a", transpose_a), v("transpose_b", transpose_b);
    v("accumulator", accumulator), v("epilogue", epilogue);
  }
};

// The dtype of the sums of a convolution or product over such an operand.
template <class ProductAttributes>
DType AccumulatorOf(const ProductAttributes& attributes, DType operand) {
  return attributes.accumulator == DType::kInvalid ? operand : attributes.accumulator;
}

// [x[N, spatial…, C]] → y. A maximum passes NaN over and is the lowest value where there is nothing
// else, padding never wins it; an average divides by the cells inside the
// input, or, with count_padding, by the window's size.
enum class PoolKind : uint8_t { kMax, kAverage };
struct PoolAttributes {
  PoolKind kind = PoolKind::kMax;
  std::vector<int64_t> window;
  std::vector<int64_t> strides;
  std::vector<Dim> pads_before;
  std::vector<Dim> pads_after;
  bool count_padding = false;
  template <class V>
  void Visit(V&& v) {
    v("kind", kind), v("window", window), v("strides", strides);
    v("pads_before", pads_before), v("pads_after", pads_after), v("count_padding", count_padding);
  }
};

// [x] → y. Axes ascending. An empty set of elements gives TensorFlow's values (0, NaN, 1, ±infinity
// or the type's limit).
struct ReduceAttributes {
  ReduceKind kind = ReduceKind::kSum;
  std::vector<int64_t> axes;
  bool keep_dims = false;
  template <class V>
  void Visit(V&& v) {
    v("kind", kind), v("axes", axes), v("keep_dims", keep_dims);
  }
};

// [x] → int32 or int64 index of the first extreme element along the axis, which is removed.
enum class ArgReduceKind : uint8_t { kMax, kMin };
struct ArgReduceAttributes {
  ArgReduceKind kind = ArgReduceKind::kMax;
  int64_t axis = 0;
  DType dtype = DType::kInt64;
  template <class V>
  void Visit(V&& v) {
    v("kind", kind), v("axis", axis), v("dtype", dtype);
  }
};

// [x] → y over the last axis; log gives the logarithm of the softmax.
struct SoftmaxAttributes {
  bool log = false;
  template <class V>
  void Visit(V&& v) {
    v("log", log);
  }
};

// [x] → x with the dimensions `shape`, in row-major order. Reshape, Squeeze, ExpandDims.
struct ReshapeAttributes {
  Shape shape;
  template <class V>
  void Visit(V&& v) {
    v("shape", shape);
  }
};

// [x] → y with y.dims[i] = x.dims[permutation[i]].
struct TransposeAttributes {
  std::vector<int64_t> permutation;
  template <class V>
  void Visit(V&& v) {
    v("permutation", permutation);
  }
};

// [x0, x1, …] → y, at least one operand.
struct ConcatAttributes {
  int64_t axis = 0;
  template <class V>
  void Visit(V&& v) {
    v("axis", axis);
  }
};

// [x] → y[i] = x[begin + i * stride] on each axis, size elements. Strides may be negative (a
// reverse), never 0.
struct SliceAttributes {
  std::vector<Dim> begin;
  std::vector<Dim> size;
  std::vector<int64_t> strides;
  template <class V>
  void Visit(V&& v) {
    v("begin", begin), v("size", size), v("strides", strides);
  }
};

// [x] → y. kConstant pads with `value` (in x's dtype).
struct PadAttributes {
  PadMode mode = PadMode::kConstant;
  std::vector<Dim> before;
  std::vector<Dim> after;
  double value = 0;
  template <class V>
  void Visit(V&& v) {
    v("mode", mode), v("before", before), v("after", after), v("value", value);
  }
};

// [x] → x broadcast by NumPy's rule to `shape`. Fill is the broadcast of a scalar.
struct BroadcastAttributes {
  Shape shape;
  template <class V>
  void Visit(V&& v) {
    v("shape", shape);
  }
};

// [x] → x repeated multiples[i] times along axis i.
struct TileAttributes {
  std::vector<Dim> multiples;
  template <class V>
  void Visit(V&& v) {
    v("multiples", multiples);
  }
};

// [params, indices] → params.dims[:axis] + indices.dims[batch_dims:] + params.dims[axis+1:]. An
// index out of range is an error of the run.
struct GatherAttributes {
  int64_t axis = 0;
  int64_t batch_dims = 0;
  template <class V>
  void Visit(V&& v) {
    v("axis", axis), v("batch_dims", batch_dims);
  }
};

// [params, indices[…, K]] → indices.dims[:-1] + params.dims[K:]. An index out of range is an error
// of the run.
struct GatherNdAttributes {
  int64_t batch_dims = 0;
  template <class V>
  void Visit(V&& v) {
    v("batch_dims", batch_dims);
  }
};

// [x[N, H, W, C]] → y[N, size[0], size[1], C]. kNearest keeps the dtype, the others give f32. kArea
// has no half_pixel_centers.
struct ResizeAttributes {
  ResizeMode mode = ResizeMode::kNearest;
  std::vector<Dim> size;
  bool align_corners = false;
  bool half_pixel_centers = false;
  template <class V>
  void Visit(V&& v) {
    v("mode", mode), v("size", size), v("align_corners", align_corners),
        v("half_pixel_centers", half_pixel_centers);
  }
};

// [x[N, H, W, C]] → y[N, H*block, W*block, C/block²], or the inverse when to_depth.
struct DepthToSpaceAttributes {
  int64_t block = 2;
  bool to_depth = false;
  template <class V>
  void Visit(V&& v) {
    v("block", block), v("to_depth", to_depth);
  }
};

// [] → a vector (or scalar, when rank is 0) of integers known as expressions over the symbols:
// Shape, Range and the arithmetic on them, where their value is needed as data.
struct DimsAttributes {
  std::vector<Dim> values;
  DType dtype = DType::kInt32;
  int64_t rank = 1;
  template <class V>
  void Visit(V&& v) {
    v("values", values), v("dtype", dtype), v("rank", rank);
  }
};

// [x] → [values, indices (int32)] of the k largest along the last axis, sorted, ties to the lower
// index.
struct TopKAttributes {
  Dim k;
  template <class V>
  void Visit(V&& v) {
    v("k", k);
  }
};

// [x] → of each element the sum or product of those before it along the axis and itself, or, with
// exclusive, without itself. With reverse, of those behind it.
enum class CumulativeKind : uint8_t { kSum, kProd };
struct CumulativeAttributes {
  CumulativeKind kind = CumulativeKind::kSum;
  int64_t axis = 0;
  bool exclusive = false;
  bool reverse = false;
  template <class V>
  void Visit(V&& v) {
    v("kind", kind), v("axis", axis), v("exclusive", exclusive), v("reverse", reverse);
  }
};

// [x, indices[…, K], updates: indices.dims[:-1] + x.dims[K:]] → x with the slices that indices name
// replaced by, or combined with, those of updates, in their order. An index out of range is an
// error of the run.
struct ScatterNdAttributes {
  ScatterKind kind = ScatterKind::kUpdate;
  template <class V>
  void Visit(V&& v) {
    v("kind", kind);
  }
};

// [x[N, H, W, C], boxes[B, 4] f32, images[B] i32] → f32[B, size[0], size[1], C]: of image images[b]
// the part between the corners boxes[b] = (top, left, bottom, right), where 0 and 1 are the centres
// of the outermost pixels, resized by nearest or bilinear interpolation. Outside of the image is
// `extrapolation`. An image out of range, or a corner that is not finite, is an error of the run.
struct CropAndResizeAttributes {
  ResizeMode mode = ResizeMode::kBilinear;
  std::vector<Dim> size;
  double extrapolation = 0;
  template <class V>
  void Visit(V&& v) {
    v("mode", mode), v("size", size), v("extrapolation", extrapolation);
  }
};

// [x[…, C]] → x / (bias + alpha * s)^beta, where s is the sum of the squares over the channels at
// most `radius` away.
struct LrnAttributes {
  int64_t radius = 5;
  double bias = 1;
  double alpha = 1;
  double beta = 0.5;
  template <class V>
  void Visit(V&& v) {
    v("radius", radius), v("bias", bias), v("alpha", alpha), v("beta", beta);
  }
};

// [] → 0, 1, …, count - 1.
struct IotaAttributes {
  Dim count;
  DType dtype = DType::kInt32;
  template <class V>
  void Visit(V&& v) {
    v("count", count), v("dtype", dtype);
  }
};

// [x] → the same bytes as elements of another dtype. Where the sizes differ, the smaller type has
// one more dimension, the last, of as many elements as make up one of the larger.
struct BitcastAttributes {
  DType dtype = DType::kInt32;
  template <class V>
  void Visit(V&& v) {
    v("dtype", dtype);
  }
};

// [x i32 or i64] → [i64]: its element `element`, in row-major order, which becomes the symbol
// result_dim. So do integers that a run computes come to say shapes.
struct ReadIntegerAttributes {
  Dim result_dim;
  int64_t element = 0;
  template <class V>
  void Visit(V&& v) {
    v("result_dim", result_dim), v("element", element);
  }
};

// [x] → [positions i64[result_dim, rank], count i64]: the indices of the elements that are not
// zero, in row-major order. NaN is not zero.
struct WhereAttributes {
  Dim result_dim;
  template <class V>
  void Visit(V&& v) {
    v("result_dim", result_dim);
  }
};

// [boxes[N, 4] or, with overlaps, their overlaps[N, N], scores[N], thresholds f32[3]] → [chosen
// i32[result_dim], scores of the chosen[result_dim], count i64]. The thresholds are those of the
// overlap and of the score, and sigma. Greedy, by descending score, ties to the lower index; only
// scores above their threshold take part. sigma > 0 lowers scores by the overlap instead of
// dropping boxes that overlap by more than the threshold. The bound of result_dim limits how many
// are chosen. A threshold of boxes' overlaps outside [0, 1] or a negative sigma is an error of the
// run.
struct NonMaxSuppressionAttributes {
  Dim result_dim;
  bool overlaps = false;
  template <class V>
  void Visit(V&& v) {
    v("result_dim", result_dim), v("overlaps", overlaps);
  }
};

// [boxes[B, N, Q, 4], scores[B, N, C], thresholds f32[2]] → [boxes[B, size, 4], scores[B, size],
// classes (as floats)[B, size], count i32[B]]: in every class the best `per_class` boxes, of these
// the best `size`, the rest zeros. Q is 1 or C. The thresholds are those of the overlap, outside
// [0, 1] an error of the run, and of the score.
struct CombinedNonMaxSuppressionAttributes {
  Dim per_class;
  Dim size;
  bool clip = true;  // boxes to [0, 1]
  template <class V>
  void Visit(V&& v) {
    v("per_class", per_class), v("size", size), v("clip", clip);
  }
};

// [x[N, …]] → [rows[result_dim, …] of x that differ, for each row of x the position of its like
// (dtype)[N], how often each occurs (dtype)[result_dim], count i64]. In order of their first
// occurrence; a NaN equals nothing.
struct UniqueAttributes {
  Dim result_dim;
  DType dtype = DType::kInt32;
  template <class V>
  void Visit(V&& v) {
    v("result_dim", result_dim), v("dtype", dtype);
  }
};

// Quantisation. One pair of scale and zero point serves the whole tensor (scalars, axis -1) or each
// index along `axis` (vectors).
//
// [x float, inverse_scale f32, zero_point dtype] → clamp(round(x · inverse_scale) + zero_point), in
// f32, halves to even, as i8, u8, i16 or u16. The scale comes inverted because a product is rounded
// once: x / scale gives another integer in two of a million. NaN becomes the least integer.
struct QuantizeAttributes {
  DType dtype = DType::kInt8;
  int64_t axis = -1;
  template <class V>
  void Visit(V&& v) {
    v("dtype", dtype), v("axis", axis);
  }
};

// [q i8, u8, i16, u16 or i32, scale f32, zero_point of q's dtype] → f32: (q - zero_point) · scale.
// The difference is formed in 32 bits.
struct DequantizeAttributes {
  int64_t axis = -1;
  template <class V>
  void Visit(V&& v) {
    v("axis", axis);
  }
};

// [x float, min, max: of x's dtype] → x rounded to numbers that integers of `bits` bits stand for,
// in x's dtype: what TensorFlow's ops that emulate quantisation compute. The ends of the range are
// as the model gives them, before they are made to fit the integers: scalars (or vectors of one
// element), or vectors along `axis`.
//   kScaled: QuantizeAndDequantize. The scale is the larger one that `min` and `max` ask for; zero
//     is a number of the grid. Without range_given the range is that of x, for the whole tensor or
//     for each index along `axis`; `min` and `max` may have any shape then, and only who quantises
//     with integers reads them.
//   kNudged: FakeQuant. min and max are moved so that zero is a number of the grid. f32, unsigned,
//     halves up, the range given.
//   kNudgedDividing: the same, but x is divided by the step where kNudged multiplies by the
//   inverse.
enum class Rounding : uint8_t { kHalfEven, kHalfUp };
struct FakeQuantizeAttributes {
  FakeQuantizeArithmetic arithmetic = FakeQuantizeArithmetic::kScaled;
  int64_t bits = 8;
  bool is_signed = true;
  bool narrow_range = false;  // one integer less at the low end
  Rounding rounding = Rounding::kHalfEven;
  bool range_given = true;
  int64_t axis = -1;
  template <class V>
  void Visit(V&& v) {
    v("arithmetic", arithmetic), v("bits", bits), v("is_signed", is_signed);
    v("narrow_range", narrow_range), v("rounding", rounding);
    v("range_given", range_given), v("axis", axis);
  }
};

// [operands…] → what any one of the bodies gives: they compute the same, and which is the fastest
// has to be measured. A pass offers a choice where it cannot know; a body takes its place before
// memory is placed (choice.h). The first body is what the module was without the pass. A body is a
// list of nodes; its values are numbered: the choice's operands from 0, then the results of its
// nodes, each of which has one, in order. Bodies hold no constants, choices or opaque nodes.
struct Body;  // module.h
struct ChoiceAttributes {
  std::string region;  // what kind of choice it is: the pass's name
  std::vector<Body> bodies;
  template <class V>
  void Visit(V&& v) {
    v("region", region), v("bodies", bodies);
  }
};

// Any number of operands and results: a TensorFlow node that is not converted, kept so that the
// graph is whole. node_def holds the NodeDef's bytes.
struct OpaqueAttributes {
  std::string op;
  std::string node_def;
  template <class V>
  void Visit(V&& v) {
    v("op", op), v("node_def", node_def);
  }
};

}  // namespace graft::ir
