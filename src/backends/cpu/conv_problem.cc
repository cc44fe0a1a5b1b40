#include "backends/cpu/conv_problem.h"

namespace graft::cpu {
namespace {

// Places the entries of an image's spatial dimensions last of three.
template <class Values, class Convert>
Spatial ToSpatial(const Values& values, int64_t missing, Convert&& convert) {
  Spatial spatial = {missing, missing, missing};
  for (size_t i = 0; i < values.size(); ++i) {
    spatial[spatial.size() - values.size() + i] = convert(values[i]);
  }
  return spatial;
}

template <class Attributes>
ConvFilter MakeWindow(const Attributes& attributes, std::span<const int64_t> weights) {
  const size_t spatial = attributes.strides.size();
  auto same = [](int64_t n) { return n; };
  ConvFilter filter;
  filter.kernel = ToSpatial(weights.first(spatial), 1, same);
  filter.stride = ToSpatial(attributes.strides, 1, same);
  filter.dilation = ToSpatial(attributes.dilations, 1, same);
  return filter;
}

}  // namespace

// weights are [kernel…, C / groups, M].
ConvFilter MakeConvFilter(const ir::ConvAttributes& attributes, std::span<const int64_t> weights) {
  ConvFilter filter = MakeWindow(attributes, weights);
  filter.groups = *attributes.groups.constant();
  filter.input_channels = weights[weights.size() - 2] * filter.groups;
  filter.output_channels = weights.back();
  return filter;
}

// weights are [kernel…, C, M], and M is the input.
ConvFilter MakeConvFilter(const ir::ConvTransposeAttributes& attributes,
                          std::span<const int64_t> weights) {
  ConvFilter filter = MakeWindow(attributes, weights);
  filter.input_channels = weights.back();
  filter.output_channels = weights[weights.size() - 2];
  return filter;
}

template <class Attributes>
ConvProblem MakeConvProblem(const BoundNode& node) {
  const auto& attributes = std::get<Attributes>(node.attributes);
  const BoundValue& x = node.inputs[0];
  const BoundValue& y = node.outputs[0];
  auto same = [](int64_t n) { return n; };
  auto inner = [](const Dims& dims) { return std::span(dims).subspan(1, dims.size() - 2); };
  ConvProblem problem;
  problem.filter = MakeConvFilter(attributes, node.inputs[1].dims);
  problem.batch = x.dims[0];
  problem.input = ToSpatial(inner(x.dims), 1, same);
  problem.output = ToSpatial(inner(y.dims), 1, same);
  problem.pad =
      ToSpatial(attributes.pads_before, 0, [](const ir::Dim& d) { return *d.constant(); });
  problem.input_stride = x.row_stride;
  problem.output_stride = y.row_stride;
  return problem;
}

template ConvProblem MakeConvProblem<ir::ConvAttributes>(const BoundNode& node);
template ConvProblem MakeConvProblem<ir::ConvTransposeAttributes>(const BoundNode& node);

}  // namespace graft::cpu
