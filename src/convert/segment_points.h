// Where the user's tuning points, which are of the whole graph, put the inputs of its segments.
#pragma once

#include <vector>

#include "backend_api/choices.h"
#include "import/importer.h"
#include "partition/encapsulate.h"

namespace graft::convert {

class SegmentPoints {
 public:
  // `points` as in ConvertOptions. Without them there is the default, and one more where the
  // inputs' first dimensions, those that are not fixed, are `batch`, if that is above 1. The graph
  // outlives this.
  static Result<SegmentPoints> Of(const importer::ImportedGraph& imported,
                                  const std::vector<std::vector<Dims>>& points, int64_t batch);
  // The dimensions of each port at each point. None where the user gave no points and no default
  // fits the whole graph: a segment may still have one.
  Result<std::vector<std::vector<Dims>>> At(const std::vector<partition::Port>& ports) const;

 private:
  explicit SegmentPoints(const importer::ImportedGraph& imported) : imported_(&imported) {}

  const importer::ImportedGraph* imported_;
  std::vector<TuningPoint> bindings_;  // of the whole graph's symbols
};

}  // namespace graft::convert
