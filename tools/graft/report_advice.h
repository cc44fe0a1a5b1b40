// What to do next, in words, from what the report has found.
#pragma once

#include <string>
#include <vector>

#include "partition/report.h"
#include "report_engine.h"

namespace graft {

struct Advice {
  std::string found;   // "Cast keeps 14 nodes native: …"
  std::string to_do;   // which option, or where to look
  std::string search;  // what to look for in the table of nodes; "": nothing there
};

struct Findings {
  std::vector<partition::LeftOut> unconverted;
  const std::vector<EngineReport>* engines = nullptr;
  double tolerance = 0;  // of results, relative
  // Of the engine that takes the longest: milliseconds of runs with one item and with `batch`.
  int64_t batch = 0;  // 0: inputs fix it
  double ms_of_one = 0;
  double ms_of_batch = 0;
};

std::vector<Advice> Advise(const Findings& findings);

}  // namespace graft
