// Bias, batch normalisation, softmax: what works along the channels.
#include "import/normalize.h"

#include <cmath>

#include "import/layout.h"
#include "import/pointwise.h"

namespace graft::importer {
namespace {

Accepted<ir::ValueId> EmitAdd(NodeContext& ctx, ir::ValueId x, ir::ValueId y,
                              std::string_view part = "") {
  PointwiseProgram program{.inputs = 2};
  program.Add(PointwiseOp::kAdd, ctx.ValueOf(x).dtype, 0, 1);
  return ctx.EmitPointwise(std::move(program), {x, y}, part);
}

// The statistics as float vectors of equal length, when all are constant.
struct Statistics {
  std::span<const float> gamma, beta, mean, variance;
};
std::optional<Statistics> ConstantStatistics(const NodeContext& ctx, ir::ValueId gamma,
                                             ir::ValueId beta, ir::ValueId mean,
                                             ir::ValueId variance) {
  const int64_t channels = [&] {
    const auto& constant = ctx.ValueOf(gamma).constant;
    return constant ? constant->elements() : -1;
  }();
  for (ir::ValueId id : {gamma, beta, mean, variance}) {
    const auto& constant = ctx.ValueOf(id).constant;
    if (!constant || constant->dtype() != DType::kFloat32 || constant->elements() != channels)
      return std::nullopt;
  }
  auto data = [&](ir::ValueId id) { return ctx.ValueOf(id).constant->data<float>(); };
  return Statistics{data(gamma), data(beta), data(mean), data(variance)};
}

struct Moments {
  ir::ValueId mean;
  ir::ValueId variance;
};

// Of each channel of x [N, …, C] over the batch, in `dtype`.
Accepted<Moments> EmitMoments(NodeContext& ctx, ir::ValueId x, DType dtype) {
  ir::ReduceAttributes mean{.kind = ir::ReduceKind::kMean};
  for (size_t axis = 0; axis + 1 < ctx.ValueOf(x).shape.size(); ++axis)
    mean.axes.push_back(static_cast<int64_t>(axis));
  GRAFT_ASSIGN_OR_RETURN(x, ctx.Cast(x, dtype, "wide"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId centre, ctx.Emit(mean, {x}, "mean"));
  PointwiseProgram program{.inputs = 2};
  const int centred = program.Add(PointwiseOp::kSub, dtype, 0, 1);
  program.Add(PointwiseOp::kSquare, dtype, centred);
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId squares,
                         ctx.EmitPointwise(std::move(program), {x, centre}, "squares"));
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId variance, ctx.Emit(mean, {squares}, "variance"));
  return Moments{centre, variance};
}

}  // namespace

Accepted<ir::ValueId> EmitBatchNorm(NodeContext& ctx, ir::ValueId x, ir::ValueId gamma,
                                    ir::ValueId beta, ir::ValueId mean, ir::ValueId variance,
                                    float epsilon) {
  const DType dtype = ctx.ValueOf(x).dtype;
  const DType wide = ctx.ValueOf(gamma).dtype;  // half inputs have float statistics
  PointwiseProgram program;
  std::vector<ir::ValueId> operands;
  if (const auto s = ConstantStatistics(ctx, gamma, beta, mean, variance)) {
    std::vector<float> scale, shift;
    for (size_t c = 0; c < s->gamma.size(); ++c) {
      const double factor = s->gamma[c] / std::sqrt(double{s->variance[c]} + epsilon);
      scale.push_back(static_cast<float>(factor));
      shift.push_back(static_cast<float>(s->beta[c] - s->mean[c] * factor));
    }
    const auto channels = static_cast<int64_t>(scale.size());
    operands = {x, ctx.AddConstant(Tensor::Of<float>({channels}, scale), "scale"),
                ctx.AddConstant(Tensor::Of<float>({channels}, shift), "shift")};
    program.inputs = 3;
    const int input = dtype == wide ? 0 : program.Add(PointwiseOp::kCast, wide, 0);
    const int scaled = program.Add(PointwiseOp::kMul, wide, input, 1);
    program.Add(PointwiseOp::kAdd, wide, scaled, 2);
  } else {
    operands = {x, gamma, beta, mean, variance};
    program.inputs = 5;
    const int input = dtype == wide ? 0 : program.Add(PointwiseOp::kCast, wide, 0);
    const int eps = program.Add(PointwiseOp::kConstant, wide, -1, -1, -1, epsilon);
    const int shifted = program.Add(PointwiseOp::kAdd, wide, 4, eps);
    const int inverse = program.Add(PointwiseOp::kRsqrt, wide, shifted);
    const int factor = program.Add(PointwiseOp::kMul, wide, inverse, 1);
    const int centred = program.Add(PointwiseOp::kSub, wide, input, 3);
    const int scaled = program.Add(PointwiseOp::kMul, wide, centred, factor);
    program.Add(PointwiseOp::kAdd, wide, scaled, 2);
  }
  if (dtype != wide) program.Add(PointwiseOp::kCast, dtype, program.result());
  return ctx.EmitPointwise(std::move(program), std::move(operands));
}

Accepted<ir::ValueId> EmitFusedOps(NodeContext& ctx, ir::ValueId x) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> ops,
                         ctx.AttrList<std::string>("fused_ops"));
  GRAFT_ASSIGN_OR_RETURN(const float epsilon, ctx.Attr<float>("epsilon"));
  GRAFT_ASSIGN_OR_RETURN(const float alpha, ctx.Attr<float>("leakyrelu_alpha"));
  int next = 2;
  auto need = [&](int operands) -> Outcome {
    if (next + operands > ctx.operand_count()) return Refuse("fused_ops has too few operands");
    return kAccepted;
  };
  for (const std::string& op : ops) {
    if (op == "BiasAdd" || op == "Add") {
      GRAFT_RETURN_IF_REFUSED(need(1));
      GRAFT_ASSIGN_OR_RETURN(x, EmitAdd(ctx, x, ctx.operand(next)));
      next += 1;
    } else if (op == "FusedBatchNorm") {
      GRAFT_RETURN_IF_REFUSED(need(4));
      GRAFT_ASSIGN_OR_RETURN(
          x, EmitBatchNorm(ctx, x, ctx.operand(next), ctx.operand(next + 1), ctx.operand(next + 2),
                           ctx.operand(next + 3), epsilon));
      next += 4;
    } else {
      GRAFT_ASSIGN_OR_RETURN(x, EmitActivation(ctx, x, op, alpha));
    }
  }
  return x;
}

Outcome ImportBiasAddV1(NodeContext& ctx) {
  return ctx.Output(EmitAdd(ctx, ctx.operand(0), ctx.operand(1)));
}

Outcome ImportBiasAdd(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  if (ctx.rank(0) < 2 || ctx.rank(1) != 1)
    return Refuse("value {} and bias {}", ToString(ctx.shape(0)), ToString(ctx.shape(1)));
  if (!channels_first || ctx.rank(0) == 2) return ImportBiasAddV1(ctx);
  GRAFT_ASSIGN_OR_RETURN(ir::ValueId x, ToChannelsLast(ctx, ctx.operand(0)));
  GRAFT_ASSIGN_OR_RETURN(x, EmitAdd(ctx, x, ctx.operand(1)));
  return ctx.Output(ToChannelsFirst(ctx, x));
}

// x, scale, offset, mean, variance
Outcome ImportFusedBatchNorm(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const bool training, ctx.Attr<bool>("is_training"));
  // Whoever reads the statistics of the batch keeps them in variables.
  if (training && (ctx.IsRead(1) || ctx.IsRead(2))) {
    return Refuse(
        "{} only supports is_training=false. If you are using Keras, please call "
        "keras.backend.set_learning_phase(0) before constructing your model.",
        ctx.node().op);
  }
  GRAFT_ASSIGN_OR_RETURN(const bool channels_first, ReadChannelsFirst(ctx));
  GRAFT_ASSIGN_OR_RETURN(const float epsilon, ctx.Attr<float>("epsilon"));
  ir::ValueId x = ctx.operand(0);
  if (channels_first) {
    GRAFT_ASSIGN_OR_RETURN(x, ToChannelsLast(ctx, x));
  }
  Moments moments = {ctx.operand(3), ctx.operand(4)};
  if (training) {
    GRAFT_ASSIGN_OR_RETURN(moments, EmitMoments(ctx, x, ctx.dtype(1)));
  } else {
    // TensorFlow passes the statistics through.
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(1, moments.mean));
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(2, moments.variance));
  }
  GRAFT_ASSIGN_OR_RETURN(x, EmitBatchNorm(ctx, x, ctx.operand(1), ctx.operand(2), moments.mean,
                                          moments.variance, epsilon));
  if (channels_first) {
    GRAFT_ASSIGN_OR_RETURN(x, ToChannelsFirst(ctx, x));
  }
  // What is kept for the gradient: outside of training nothing that it would look at.
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(3, moments.mean));
  GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(4, moments.variance));
  if (ctx.node().op == "FusedBatchNormV3" && ctx.IsRead(5)) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId zero, ctx.Scalar(0, ctx.dtype(1), "reserve"));
    GRAFT_RETURN_IF_REFUSED(ctx.SetOutput(5, zero));
  }
  return ctx.SetOutput(0, x);
}

// t, m, v, beta, gamma
Outcome ImportBatchNormWithGlobalNormalization(NodeContext& ctx) {
  GRAFT_ASSIGN_OR_RETURN(const float epsilon, ctx.Attr<float>("variance_epsilon"));
  GRAFT_ASSIGN_OR_RETURN(const bool scale, ctx.Attr<bool>("scale_after_normalization"));
  ir::ValueId gamma = ctx.operand(4);
  if (!scale) {
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId one, ctx.Scalar(1, ctx.dtype(4), "one"));
    GRAFT_ASSIGN_OR_RETURN(
        gamma, ctx.Emit(ir::BroadcastAttributes{.shape = ctx.shape(4)}, {one}, "gamma"));
  }
  return ctx.Output(EmitBatchNorm(ctx, ctx.operand(0), gamma, ctx.operand(3), ctx.operand(1),
                                  ctx.operand(2), epsilon));
}

Outcome ImportLrn(NodeContext& ctx) {
  ir::LrnAttributes lrn;
  if (ctx.rank(0) != 4) return Refuse("input {}: must have rank 4", ToString(ctx.shape(0)));
  GRAFT_ASSIGN_OR_RETURN(lrn.radius, ctx.Attr<int64_t>("depth_radius"));
  GRAFT_ASSIGN_OR_RETURN(lrn.bias, ctx.Attr<float>("bias"));
  GRAFT_ASSIGN_OR_RETURN(lrn.alpha, ctx.Attr<float>("alpha"));
  GRAFT_ASSIGN_OR_RETURN(lrn.beta, ctx.Attr<float>("beta"));
  return ctx.Output(ctx.Emit(lrn, {ctx.operand(0)}));
}

Outcome ImportSoftmax(NodeContext& ctx) {
  return ctx.Output(
      ctx.Emit(ir::SoftmaxAttributes{.log = ctx.node().op == "LogSoftmax"}, {ctx.operand(0)}));
}

}  // namespace graft::importer
