// What is known of the shapes of nodes that are not converted. It keeps what follows them
// convertible: an engine needs the rank of its inputs, and few ops need more.
#pragma once

#include <optional>
#include <vector>

#include "ir/module.h"
#include "tf/graph_def.h"

namespace graft::importer {

// What is taken of the shape that a loop's variable has on every turn, from the one it enters with.
// The importer tries the first and checks it against what the loop's body gives back.
enum class LoopShape : uint8_t { kSame, kRank, kUnknown };

// A node about to be added to the module as an opaque one.
class OpaqueNode {
 public:
  OpaqueNode(ir::Module* module, const tf::NodeDef& node, const std::vector<ir::ValueId>& operands,
             LoopShape loop_shape)
      : module_(module), node_(node), operands_(operands), loop_shape_(loop_shape) {}

  const tf::NodeDef& node() const { return node_; }
  int operand_count() const { return static_cast<int>(operands_.size()); }
  // Null when the operand's rank is not known.
  const ir::Shape* shape(int i) const;
  // The integers of operand i, as far as they are known. Null: none.
  const std::vector<ir::Dim>* contents(int i) const;
  // Of a loop's Merge.
  LoopShape loop_shape() const { return loop_shape_; }
  // Where operand i comes from: the NodeDef of the opaque node that made it, behind nodes that hand
  // it on (of handles: what made the resource). nullopt: none.
  std::optional<tf::NodeDef> source(int i) const;
  // A symbol for a dimension that only running the node tells.
  ir::Dim Unknown(int result, size_t axis);
  // With a symbol for each -1. nullopt for an unknown rank.
  std::optional<ir::Shape> FromAttribute(const tf::Shape& shape, int result);

 private:
  ir::Module* module_;
  const tf::NodeDef& node_;
  const std::vector<ir::ValueId>& operands_;
  LoopShape loop_shape_;
};

// The shape of a result; nullopt when its rank is not known.
std::optional<ir::Shape> OpaqueShape(OpaqueNode& node, int result);

}  // namespace graft::importer
