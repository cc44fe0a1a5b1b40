#include "convert/segment_points.h"

#include "tune/tuner.h"

namespace graft::convert {

Result<SegmentPoints> SegmentPoints::Of(const importer::ImportedGraph& imported,
                                        const std::vector<std::vector<Dims>>& points) {
  SegmentPoints segments(imported);
  for (const std::vector<Dims>& dims : points) {
    GRAFT_ASSIGN_OR_RETURN(TuningPoint point, TuningPointFor(imported.module, dims));
    segments.bindings_.push_back(std::move(point));
  }
  if (segments.bindings_.empty()) {
    Result<TuningPoint> point = DefaultTuningPoint(imported.module);
    if (point.ok()) segments.bindings_.push_back(*std::move(point));
  }
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
