// Which nodes go into which engine. Works on a bare graph of candidates and others, in near-linear
// time.
//
// Method. Every candidate gets a level: the largest number of times that a path to it left the
// candidates and came back. Connected candidates of one level form a cluster; a path that leaves it
// returns only to a higher level, so contracting all of them makes no cycle. Levels are careful
// rather than greedy, so neighbouring clusters are then merged wherever no other path joins them.
// Control edges order nodes but never join them: they count as leaving.
//
// Nodes of different groups never share a segment. Along a path of candidates a group that was left
// does not come back (groups are sets of readers, which only shrink), so parting clusters by group
// makes no cycle either.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"

namespace graft::partition {

struct ClusterNode {
  bool candidate = false;
  // A constant: copied into every segment that reads it; never a member, never an edge.
  bool copied = false;
  bool weightless = false;    // Identity and the like: does not count for the minimum size
  int group = 0;              // only nodes of one group share a segment
  std::vector<int> inputs;    // producers of data inputs, by index; may repeat
  std::vector<int> controls;  // control dependencies
  std::string_view name;      // for the log
};

struct ClusterOptions {
  int minimum_segment_size = 3;
  int maximum_segments = 0;  // the largest are kept; 0 or less: no limit
};

struct Segment {
  std::vector<int> nodes;  // in topological order
  // Members that count, and constants that they read, as TF-TRT counts; 0 where no member counts.
  int size = 0;
};

// Each list in topological order of the segments' first nodes.
struct Clusters {
  std::vector<Segment> segments;
  std::vector<Segment> too_small;  // fewer nodes than the minimum
  std::vector<Segment> too_many;   // smaller than all that are kept
};

// `order` is a topological order of all nodes
// (edges that close a loop may go backwards in it; they are ignored).
Clusters Cluster(const std::vector<ClusterNode>& graph, const std::vector<int>& order,
                 const ClusterOptions& options);

}  // namespace graft::partition
