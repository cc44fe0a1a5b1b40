#include "tune/tuner.h"

namespace graft {
namespace {

// Every shape of the module is defined under the binding.
Status CheckPoint(const ir::Module& module, const TuningPoint& point) {
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    Result<BoundNode> bound = BindNode(module, module.node(id), point.symbols);
    if (!bound.ok()) return bound.status();
  }
  return OkStatus();
}

int64_t DefaultSize(const ir::Module& module, const ir::Symbol& symbol, int64_t inner) {
  if (symbol.kind == ir::Symbol::Kind::kHostValue) return inner;
  if (symbol.kind == ir::Symbol::Kind::kInputDim && symbol.axis == 0) return 1;
  if (symbol.kind == ir::Symbol::Kind::kInputDim &&
      module.value(module.inputs[symbol.input]).shape.size() != 4) {
    return std::min<int64_t>(inner, 128);
  }
  return inner;
}

}  // namespace

Result<TuningPoint> DefaultTuningPoint(const ir::Module& module) {
  Status last;
  for (int64_t inner : {224, 256, 128, 64, 32, 16, 8, 4, 2, 1}) {
    TuningPoint point;
    for (const ir::Symbol& symbol : module.symbols)
      point.symbols.push_back(DefaultSize(module, symbol, inner));
    last = CheckPoint(module, point);
    if (last.ok()) return point;
  }
  return InvalidArgumentError(
      "no default size fits the model's unknown dimensions ({}); give sizes with --shapes",
      last.message());
}

Result<TuningPoint> TuningPointFor(const ir::Module& module, const std::vector<Dims>& input_dims) {
  if (input_dims.size() != module.inputs.size()) {
    return InvalidArgumentError("shapes for {} inputs, the engine has {}", input_dims.size(),
                                module.inputs.size());
  }
  TuningPoint point;
  for (const ir::Symbol& symbol : module.symbols)
    point.symbols.push_back(DefaultSize(module, symbol, 224));
  for (size_t s = 0; s < module.symbols.size(); ++s) {
    const ir::Symbol& symbol = module.symbols[s];
    if (symbol.kind != ir::Symbol::Kind::kInputDim) continue;
    const Dims& dims = input_dims[symbol.input];
    if (static_cast<size_t>(symbol.axis) < dims.size() && dims[symbol.axis] >= 0)
      point.symbols[s] = dims[symbol.axis];
  }
  for (size_t i = 0; i < input_dims.size(); ++i) {
    const ir::Value& value = module.value(module.inputs[i]);
    if (input_dims[i].size() != value.shape.size()) {
      return InvalidArgumentError("{}: shape of rank {} given, the model's is {}",
                                  module.input_names[i], input_dims[i].size(),
                                  ir::ToString(value.shape));
    }
    for (size_t k = 0; k < value.shape.size(); ++k) {
      if (input_dims[i][k] < 0) continue;
      GRAFT_ASSIGN_OR_RETURN(const int64_t n, value.shape[k].Evaluate(point.symbols));
      if (n != input_dims[i][k]) {
        return InvalidArgumentError("{}: dimension {} is {}, the model's is {}",
                                    module.input_names[i], k, input_dims[i][k],
                                    value.shape[k].ToString());
      }
    }
  }
  GRAFT_RETURN_IF_ERROR(CheckPoint(module, point));
  return point;
}

}  // namespace graft
