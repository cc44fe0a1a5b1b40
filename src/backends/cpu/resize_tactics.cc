#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "ir/attribute_names.h"
#include "kernels/cpu/resize/crop.h"
#include "kernels/cpu/resize/filter.h"
#include "kernels/cpu/resize/resize.h"

namespace graft::cpu {
namespace {

class ResizeTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const auto& a = *node.get<ir::ResizeAttributes>();
    if (a.mode != ir::ResizeMode::kNearest && !IsBilinear(a))
      return Refuse("interpolation is {}", ir::EnumName(a.mode));
    if (ResizeOperation::Supports(IsBilinear(a), dtype)) return std::nullopt;
    return Refuse("no resizing of {} on the CPU", Name(dtype));
  }
  TacticTraits Traits(const ir::Module&, const ir::Node& node) const override {
    TacticTraits traits;
    traits.strided_inputs = true;
    traits.strided_output = true;
    traits.exact = !IsBilinear(*node.get<ir::ResizeAttributes>());
    return traits;
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::ResizeAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    return MakeStep(node,
                    ResizeOperation::Make({IsBilinear(a), x.dtype, x.dims, x.row_stride, y.dims,
                                           y.row_stride, a.align_corners, a.half_pixel_centers}));
  }

 private:
  static bool IsBilinear(const ir::ResizeAttributes& a) {
    return a.mode == ir::ResizeMode::kBilinear;
  }
};

class FilterTactic final : public CpuTactic {
 public:
  FilterTactic(std::string_view name, int version)
      : CpuTactic(name, version, {.strided_inputs = true, .strided_output = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const auto& a = *node.get<ir::ResizeAttributes>();
    if (a.mode != ir::ResizeMode::kBicubic && a.mode != ir::ResizeMode::kArea)
      return Refuse("interpolation is {}", ir::EnumName(a.mode));
    if (FilterOperation::Supports(dtype)) return std::nullopt;
    return Refuse("no resizing of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::ResizeAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    const auto filter =
        a.mode == ir::ResizeMode::kBicubic ? ResizeFilter::kBicubic : ResizeFilter::kArea;
    return MakeStep(
        node, FilterOperation::Make({filter, x.dtype, x.dims, x.row_stride, y.dims, y.row_stride,
                                     a.align_corners, a.half_pixel_centers}));
  }
};

class CropTactic final : public CpuTactic {
 public:
  CropTactic(std::string_view name, int version)
      : CpuTactic(name, version, {.strided_inputs = true, .strided_output = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    if (CropOperation::Supports(dtype)) return std::nullopt;
    return Refuse("no crops of {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::CropAndResizeAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    return MakeStep(node, CropOperation::Make({a.mode == ir::ResizeMode::kBilinear, x.dtype, x.dims,
                                               x.row_stride, y.dims, y.row_stride,
                                               static_cast<float>(a.extrapolation)}));
  }
};

}  // namespace

std::unique_ptr<Tactic> MakeResizeFilter(std::string_view name, int version) {
  return std::make_unique<FilterTactic>(name, version);
}
std::unique_ptr<Tactic> MakeCropTaps(std::string_view name, int version) {
  return std::make_unique<CropTactic>(name, version);
}
std::unique_ptr<Tactic> MakeResizeTaps(std::string_view name, int version) {
  return std::make_unique<ResizeTactic>(name, version);
}

}  // namespace graft::cpu
