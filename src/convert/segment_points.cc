#include "convert/segment_points.h"

#include "tune/tuner.h"

namespace graft::convert {
namespace {

// Of the module's inputs; -1 for what is fixed or is to be the default.
std::vector<Dims> DimsAt(const ir::Module& module, int64_t batch) {
  std::vector<Dims> inputs;
  for (const ir::ValueId id : module.inputs) {
    const ir::Shape& shape = module.value(id).shape;
    Dims& dims = inputs.emplace_back(shape.size(), -1);
    if (!shape.empty() && !shape[0].is_constant()) dims[0] = batch;
  }
  return inputs;
}

}  // namespace

Result<SegmentPoints> SegmentPoints::Of(const importer::ImportedGraph& imported,
                                        const std::vector<std::vector<Dims>>& points,
                                        int64_t batch) {
  SegmentPoints segments(imported);
  for (const std::vector<Dims>& dims : points) {
    GRAFT_ASSIGN_OR_RETURN(TuningPoint point, TuningPointFor(imported.module, dims));
    segments.bindings_.push_back(std::move(point));
  }
  if (!segments.bindings_.empty()) return segments;
  if (Result<TuningPoint> point = DefaultTuningPoint(imported.module); point.ok())
    segments.bindings_.push_back(*std::move(point));
  if (batch <= 1) return segments;
  Result<TuningPoint> largest = TuningPointFor(imported.module, DimsAt(imported.module, batch));
  // A graph that no input of it is a batch of, or that takes none of this size, is tuned as others.
  if (largest.ok() && segments.bindings_ != std::vector{*largest})
    segments.bindings_.push_back(*std::move(largest));
  return segments;
}

Result<std::vector<std::vector<Dims>>> SegmentPoints::At(
    const std::vector<partition::Port>& ports) const {
  std::vector<std::vector<Dims>> points;
  for (const TuningPoint& binding : bindings_) {
    std::vector<Dims> point;
    for (const partition::Port& port : ports) {
      Dims dims;
      for (const ir::Dim& d :
           imported_->module.value(imported_->tensors[port.node][port.output]).shape) {
        GRAFT_ASSIGN_OR_RETURN(const int64_t n, d.Evaluate(binding.symbols));
        dims.push_back(n);
      }
      point.push_back(std::move(dims));
    }
    points.push_back(std::move(point));
  }
  return points;
}

}  // namespace graft::convert
