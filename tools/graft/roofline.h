// What this machine does at most, and which of its limits a step of a plan is up against.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/executor.h"
#include "runtime/context.h"

namespace graft {

// Measured, with all threads of an executor.
struct Roofline {
  struct Bandwidth {
    double bytes;          // of memory that is gone through again and again
    double gb_per_second;  // read and written
  };
  double gflops = 0;                 // independent f32 multiply-adds
  std::vector<Bandwidth> bandwidth;  // by rising size: caches first
  double overhead_us = 0;            // of a loop in which every thread has nothing to do

  // For a step that touches so much memory.
  double BandwidthFor(double bytes) const;
};

// Takes about a quarter of a second.
Roofline MeasureRoofline(Executor& executor);

// How long a step takes at the least: the longest of its three limits.
struct Limit {
  // "arithmetic", "memory" or "overhead"; "" where a limit that counts has not been measured
  // (products of integers, steps of a device).
  std::string name;
  double ms = 0;
};
Limit LimitOf(const StepProfile& step, const Roofline& roofline);

nlohmann::ordered_json ToJson(const Roofline& roofline);

}  // namespace graft
