// The steps of a plan: how long each takes, and how near it comes to what the machine can do.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "roofline.h"

namespace graft {

struct Layer {
  StepProfile profile;
  double ms = 0;  // of one run
  Limit limit;
  // The least time that the limit leaves, as a share of the time; 0: not known.
  double share() const { return ms > 0 ? limit.ms / ms : 0; }
};

// Of the machine that the engine runs on, with as many threads; nothing for a device of its own.
Result<Roofline> RooflineOf(const Engine& engine, int threads);

// Of a context that has profiled runs.
Result<std::vector<Layer>> Layers(const Context& context, const Roofline& roofline);

std::string DescribeLayers(const std::vector<Layer>& layers, const Roofline& roofline,
                           double whole_ms);
nlohmann::ordered_json ToJson(const std::vector<Layer>& layers);

}  // namespace graft
