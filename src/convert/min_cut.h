// The cheapest way to put every node of a graph on one of two sides, where some edges cost when
// they lead from the one to the other.
#pragma once

#include <cstddef>
#include <vector>

namespace graft::convert {

class MinCut {
 public:
  // The two sides. Further nodes are on either.
  static constexpr int kSource = 0;
  static constexpr int kSink = 1;

  int AddNode();
  // Costs `capacity`, which may be infinite, when `from` is on the source's side and `to` on the
  // sink's. Negative ones count as none.
  void Connect(int from, int to, double capacity);

  // By node, whether it is on the source's side of a cut that costs least; of equal ones, of that
  // with the fewest there. A cut of infinite cost must not be the only one. Dinic's algorithm
  // (Soviet Math. Dokl. 11, 1970); afterwards capacities are used up.
  std::vector<bool> Solve();

 private:
  struct Edge {
    int to;
    double left;  // of the capacity
  };
  bool FindLevels();
  double Push(int node, double most);

  std::vector<Edge> edges_;                // that at i ^ 1 leads back
  std::vector<std::vector<int>> from_{2};  // by node, of edges_
  std::vector<int> levels_;                // by node; -1: cannot be reached
  std::vector<size_t> next_;               // by node, the edge of from_ that is to be tried
};

}  // namespace graft::convert
