// What an engine costs at its border, against what it saves.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "import/importer.h"
#include "partition/cluster.h"
#include "partition/encapsulate.h"

namespace graft::partition {

// Costs of a call in TensorFlow's executor on one thread, in ns, as bench/engine_border.py prints
// them (TensorFlow 2.21, Zen 3).
struct BorderCost {
  double engine = 1450;  // an engine node with one input and one output
  double port = 330;     // each further input or output
  double node = 280;     // a native node of the kinds below
};

// By node of the graph, whether it is of another kind: an engine saves more in it than borders
// cost. Light are those whose arithmetic TensorFlow does as fast as an engine, in place and node by
// node: element-wise ones, and those that only give another shape.
std::vector<bool> HeavyNodes(const importer::ImportedGraph& imported);

// Why the segment is faster as native nodes, or nullopt. One that has a heavy node never is.
std::optional<std::string> WhyNotWorth(const SegmentPorts& ports,
                                       const std::vector<ClusterNode>& nodes,
                                       const std::vector<bool>& heavy, const BorderCost& cost = {});

}  // namespace graft::partition
