#include "ir/stages.h"
#include "tune/tuner.h"

namespace graft {
namespace {

// Gives result dims their upper bounds. The first node whose shapes are not defined then, and why;
// node_count when all are.
ir::NodeId FirstUndefined(const ir::Module& module, const ir::Stages& stages, TuningPoint& point,
                          Status* why) {
  *why = ir::BindUpperBounds(module, stages, &point.symbols);
  if (!why->ok()) return 0;
  for (ir::NodeId id = 0; id < module.node_count(); ++id) {
    Result<BoundNode> bound = BindNode(module, module.node(id), point.symbols);
    if (bound.ok()) continue;
    *why = bound.status();
    return id;
  }
  *why = OkStatus();
  return module.node_count();
}

// Every shape of the module is defined under the binding.
Status CheckPoint(const ir::Module& module, const ir::Stages& stages, TuningPoint& point) {
  Status status;
  FirstUndefined(module, stages, point, &status);
  return status;
}

// Changes one size after the other, each so that more nodes are defined than before.
Status Repair(const ir::Module& module, const ir::Stages& stages, TuningPoint& point) {
  static constexpr int64_t kTried[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,   10,  12,  14,
                                       15, 16, 20, 24, 32, 48, 64, 96, 128, 192, 224, 256};
  Status why;
  ir::NodeId defined = FirstUndefined(module, stages, point, &why);
  auto improve = [&] {
    for (int64_t& symbol : point.symbols) {
      const int64_t before = symbol;
      for (const int64_t size : kTried) {
        symbol = size;
        Status now;
        const ir::NodeId reached = FirstUndefined(module, stages, point, &now);
        if (reached > defined) {
          defined = reached;
          why = std::move(now);
          return true;
        }
      }
      symbol = before;
    }
    return false;
  };
  while (!why.ok() && improve()) {
  }
  return why;
}

// In the order in which they are tried.
constexpr int64_t kSizes[] = {224, 256, 128, 64, 32, 16, 8, 4, 2, 1};

// The value that a size is a dimension of; null for data.
const ir::Value* ValueOf(const ir::Module& module, const ir::Symbol& symbol) {
  if (symbol.kind == ir::Symbol::Kind::kInputDim) return &module.value(module.inputs[symbol.input]);
  if (symbol.kind != ir::Symbol::Kind::kResultDim) return nullptr;
  const std::vector<ir::ValueId>& results = module.node(symbol.node).outputs;
  const auto result = static_cast<size_t>(symbol.result);
  return result < results.size() ? &module.value(results[result]) : nullptr;
}

// By symbol, whether it says how many there are of something, as a batch size does: the outermost
// dimension of an input or result, or data that is the outermost dimension of values and no other.
std::vector<bool> FindCounts(const ir::Module& module) {
  std::vector<bool> counts(module.symbols.size(), false), inner(module.symbols.size(), false);
  for (ir::ValueId v = 0; v < module.value_count(); ++v) {
    const ir::Shape& shape = module.value(v).shape;
    if (shape.size() < 2) continue;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      shape[axis].VisitSymbols([&](ir::SymbolId s) {
        if (axis == 0 && shape[0] == ir::Dim::Symbol(s))
          counts[s] = true;
        else
          inner[s] = true;
      });
    }
  }
  for (size_t s = 0; s < counts.size(); ++s) {
    const ir::Symbol& symbol = module.symbols[s];
    counts[s] = symbol.is_size() ? symbol.axis == 0 : counts[s] && !inner[s];
  }
  return counts;
}

// Sizes to begin with: 1 for counts, `inner` for others, less where no image is likely.
std::vector<int64_t> DefaultSizes(const ir::Module& module, int64_t inner) {
  const std::vector<bool> counts = FindCounts(module);
  std::vector<int64_t> sizes;
  for (size_t s = 0; s < module.symbols.size(); ++s) {
    const ir::Value* const value = ValueOf(module, module.symbols[s]);
    const bool image = value == nullptr || value->shape.size() == 4;
    sizes.push_back(counts[s] ? 1 : image ? inner : std::min<int64_t>(inner, 128));
  }
  return sizes;
}

}  // namespace

Result<TuningPoint> DefaultTuningPoint(const ir::Module& module) {
  GRAFT_ASSIGN_OR_RETURN(const ir::Stages stages, ir::FindStages(module));
  for (const int64_t inner : kSizes) {
    TuningPoint point{DefaultSizes(module, inner)};
    if (CheckPoint(module, stages, point).ok()) return point;
  }
  Status status;
  for (int64_t size : {16, 4}) {
    TuningPoint point{std::vector<int64_t>(module.symbols.size(), size)};
    status = Repair(module, stages, point);
    if (status.ok()) return point;
  }
  return UnsupportedError(
      "no default size fits the model's unknown dimensions ({}); give sizes with --shapes",
      status.message());
}

Result<TuningPoint> TuningPointFor(const ir::Module& module, const std::vector<Dims>& input_dims) {
  if (input_dims.size() != module.inputs.size()) {
    return InvalidArgumentError("shapes for {} inputs, the engine has {}", input_dims.size(),
                                module.inputs.size());
  }
  GRAFT_ASSIGN_OR_RETURN(const ir::Stages stages, ir::FindStages(module));
  TuningPoint point{DefaultSizes(module, kSizes[0])};
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
  // Sizes that are data are still to be chosen.
  Status status;
  for (const int64_t size : kSizes) {
    const std::vector<int64_t> sizes = DefaultSizes(module, size);
    for (size_t s = 0; s < module.symbols.size(); ++s) {
      if (!module.symbols[s].is_size()) point.symbols[s] = sizes[s];
    }
    status = CheckPoint(module, stages, point);
    if (status.ok()) return point;
  }
  return status;
}

}  // namespace graft
