// Which products are slower on 8-bit integers than in floats, with the casts that stand where one
// meets the other.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "convert/build_engine.h"

namespace graft::convert {

// What the tuner measured, in microseconds over all tuning points.
struct ProductTime {
  double integers = 0;
  double floats = 0;
};

// Times of one graph. The engine on integers and that in floats are tuned, step by step, and so is
// a cast for each value between nodes; all of it is in the timing cache, so a build that finds it
// there decides alike. Then the cheapest assignment is a minimum cut: every product has its two
// times, and every value whose producer and reader differ a cast's. Pools and concatenations, which
// take either as they come, are nodes of the cut with two times as well; what only floats compute
// is in floats.
class PrecisionByTime {
 public:
  // `products` are those that can be on integers. `options` are those of the engine on integers.
  // Nothing is known where nothing may be timed (level 0).
  static Result<PrecisionByTime> Measure(const EngineSource& source, const BuildOptions& options,
                                         const std::vector<std::string>& products);

  // By product. Empty: nothing is known.
  const std::map<std::string, ProductTime>& times() const { return times_; }

  // The products that are to be in floats for the graph to be fastest, given that those of `floats`
  // are. Of equal assignments, that with the fewest.
  std::set<std::string> Floats(const std::set<std::string>& floats) const;

 private:
  // A node of the fused module. What computes neither in both ways is not there.
  struct Node {
    std::string product;  // its name, where it is one
    ProductTime time;
  };
  // A value: who makes it and who reads it, -1 for what is always in floats, and what casts cost.
  struct Value {
    int producer = -1;
    std::vector<int> readers;
    double quantize = 0;
    double dequantize = 0;
  };
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::map<std::string, ProductTime> times_;
};

}  // namespace graft::convert
