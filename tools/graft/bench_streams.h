// graft bench --streams: what several contexts of one engine get through side by side.
#pragma once

#include <string>
#include <vector>

#include "command.h"

namespace graft {

struct StreamsOptions {
  int streams = 1;
  int threads = 0;      // of all streams together; 0: all processors
  double duration = 3;  // seconds for each size
};

// One size: a single context on all threads beside `streams` contexts with a share of them each.
struct StreamsFigures {
  std::vector<Dims> dims;
  double one_items_per_second = 0;
  double items_per_second = 0;
  double median_ms = 0;  // latency of a run of one of the streams
};

// kInvalidArgument when there are more streams than threads.
Result<StreamsFigures> MeasureStreams(const std::shared_ptr<const Engine>& engine,
                                      const std::vector<Dims>& dims, const StreamsOptions& options);

std::string StreamsText(const std::vector<StreamsFigures>& figures, const StreamsOptions& options);

}  // namespace graft
