// Random modules that have something for most passes.
#pragma once

#include <algorithm>
#include <random>

#include "ir/module.h"

namespace graft::passes {

// Networks of convolutions, element-wise nodes, poolings, slices and concatenations on small
// images.
class RandomModule {
 public:
  explicit RandomModule(uint32_t seed) : random_(seed) {
    module_.AddSymbol({.kind = ir::Symbol::Kind::kInputDim, .input = 0, .axis = 0, .name = "x.0"});
    values_.push_back(module_.AddInput("x", DType::kFloat32, {ir::Dim::Symbol(0), 6, 7, 4}));
  }

  ir::Module Make(int nodes) {
    for (int i = 0; i < nodes; ++i) {
      switch (Below(8)) {
        case 0:
        case 1:
          Conv(Pick());
          break;
        case 2:
          Pool(Pick());
          break;
        case 3:
          Pad(Pick());
          break;
        case 4:
          Binary();
          break;
        case 5:
          Concat();
          break;
        case 6:
          Slice(Pick());
          break;
        default:
          Unary(Pick());
      }
    }
    for (int i = 0; i < 2; ++i) {
      module_.outputs.push_back(values_[values_.size() - 1 - i]);
      module_.output_names.push_back(fmt::format("y{}", i));
    }
    GRAFT_CHECK(module_.Compact().ok());
    return std::move(module_);
  }

 private:
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % n); }
  // Recent values more often, so that the network is deep.
  ir::ValueId Pick() {
    return values_[values_.size() - 1 - Below(std::min<int64_t>(values_.size(), 4))];
  }
  const ir::Shape& ShapeOf(ir::ValueId v) const { return module_.value(v).shape; }

  ir::ValueId Constant(const Dims& dims) {
    Tensor tensor = *Tensor::Allocate(DType::kFloat32, dims);
    std::normal_distribution<float> normal(0, 0.4f);
    for (float& v : tensor.mutable_data<float>()) v = normal(random_);
    return module_.AddConstant("constant", std::move(tensor));
  }
  void Add(ir::Attributes attributes, std::vector<ir::ValueId> inputs) {
    const auto id = module_.AddNode(std::move(attributes), std::move(inputs),
                                    fmt::format("node{}", module_.node_count()));
    GRAFT_CHECK(id.ok(), "{}", id.status().message());
    values_.push_back(module_.node(*id).outputs[0]);
  }

  void Conv(ir::ValueId x) {
    const int64_t channels = *ShapeOf(x).back().constant();
    const int64_t size = 1 + 2 * Below(2);
    const bool depthwise = Below(3) == 0;
    const int64_t pad = Below(2) * (size / 2);
    ir::ConvAttributes conv;
    conv.strides.assign(2, 1 + Below(2));
    conv.dilations.assign(2, 1);
    conv.pads_before.assign(2, pad);
    conv.pads_after.assign(2, pad);
    conv.groups = depthwise ? channels : 1;
    if (*ShapeOf(x)[1].constant() + 2 * pad < size || *ShapeOf(x)[2].constant() + 2 * pad < size) {
      return;
    }
    const ir::ValueId w =
        Constant({size, size, depthwise ? 1 : channels, depthwise ? channels : 4});
    Add(conv, {x, w});
    const ir::ValueId y = values_.back();
    if (Below(2)) Scale(y);
  }

  void Scale(ir::ValueId x) {
    PointwiseProgram program{2, {}};
    program.Add(Below(2) ? PointwiseOp::kMul : PointwiseOp::kAdd, DType::kFloat32, 0, 1);
    const int64_t channels = *ShapeOf(x).back().constant();
    Add(ir::PointwiseAttributes{program}, {x, Constant({Below(3) ? channels : 1})});
  }

  void Unary(ir::ValueId x) {
    constexpr PointwiseOp kOps[] = {PointwiseOp::kRelu, PointwiseOp::kSigmoid, PointwiseOp::kTanh,
                                    PointwiseOp::kAbs};
    if (Below(4) == 0) return Scale(x);
    PointwiseProgram program{1, {}};
    program.Add(kOps[Below(4)], DType::kFloat32, 0);
    Add(ir::PointwiseAttributes{program}, {x});
  }

  // Two values of one shape.
  void Binary() {
    const ir::ValueId x = Pick();
    for (ir::ValueId other : values_) {
      if (ShapeOf(other) != ShapeOf(x) || Below(2)) continue;
      PointwiseProgram program{2, {}};
      program.Add(Below(2) ? PointwiseOp::kMul : PointwiseOp::kAdd, DType::kFloat32, 0, 1);
      return Add(ir::PointwiseAttributes{program}, {x, other});
    }
  }

  void Concat() {
    const ir::ValueId x = Pick();
    if (*ShapeOf(x).back().constant() > 12) return;
    for (ir::ValueId other : values_) {
      if (!std::equal(ShapeOf(x).begin(), ShapeOf(x).end() - 1, ShapeOf(other).begin())) continue;
      if (*ShapeOf(other).back().constant() > 12 || Below(2)) continue;
      return Add(ir::ConcatAttributes{3}, {x, other});
    }
  }

  // Some of the channels.
  void Slice(ir::ValueId x) {
    const ir::Shape shape = ShapeOf(x);
    const int64_t channels = *shape.back().constant();
    if (channels < 2) return;
    const int64_t begin = Below(channels - 1);
    ir::SliceAttributes slice;
    slice.begin.assign(4, 0);
    slice.begin.back() = begin;
    slice.size.assign(shape.begin(), shape.end());
    slice.size.back() = 1 + Below(channels - begin - 1);
    slice.strides.assign(4, 1);
    Add(slice, {x});
  }

  void Pool(ir::ValueId x) {
    if (*ShapeOf(x)[1].constant() < 3 || *ShapeOf(x)[2].constant() < 3) return;
    ir::PoolAttributes pool;
    pool.kind = Below(2) ? ir::PoolKind::kMax : ir::PoolKind::kAverage;
    pool.window.assign(2, 2);
    pool.strides.assign(2, 1 + Below(2));
    pool.pads_before.assign(2, 0);
    pool.pads_after.assign(2, 0);
    Add(pool, {x});
  }

  void Pad(ir::ValueId x) {
    ir::PadAttributes pad;
    pad.before = {0, Below(2), Below(2), 0};
    pad.after = {0, Below(2), Below(2), 0};
    Add(pad, {x});
  }

  std::mt19937 random_;
  ir::Module module_;
  std::vector<ir::ValueId> values_;
};

}  // namespace graft::passes
