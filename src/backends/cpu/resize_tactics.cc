#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "kernels/cpu/resize/resize.h"

namespace graft::cpu {
namespace {

class ResizeTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const bool bilinear = IsBilinear(*node.get<ir::ResizeAttributes>());
    if (ResizeOperation::Supports(bilinear, dtype)) return std::nullopt;
    return Refuse("no resizing of {} on the CPU", Name(dtype));
  }
  TacticTraits Traits(const ir::Module&, const ir::Node& node) const override {
    TacticTraits traits;
    traits.strided_inputs = true;
    traits.strided_output = true;
    traits.exact = !IsBilinear(*node.get<ir::ResizeAttributes>());
    return traits;
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node,
                                          const PackedWeights*) const override {
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

}  // namespace

std::unique_ptr<Tactic> MakeResizeTaps(std::string_view name, int version) {
  return std::make_unique<ResizeTactic>(name, version);
}

}  // namespace graft::cpu
