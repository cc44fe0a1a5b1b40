// What several passes need to rewrite a module.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/module.h"

namespace graft::passes {

// `into` computes what `from` did as well: it covers its TensorFlow nodes.
void Cover(ir::Module& module, ir::NodeId into, const ir::Node& from);
// Likewise, for a node that is not in a module yet.
void Cover(ir::Node& into, const ir::Node& from);

bool SameType(const ir::Value& a, const ir::Value& b);

// Whether such a node would have one result, of the type of `wanted`.
bool Gives(const ir::Module& module, const ir::Attributes& attributes,
           const std::vector<ir::ValueId>& inputs, const ir::Value& wanted);

// Readers of `from` read `to` instead, which has the same type and takes its name and range.
Status ReplaceValue(ir::Module& module, ir::ValueId from, ir::ValueId to);

// The node `id` gives way to a new one with results of the same types and numbers: readers read
// those instead, which keep the old values' names and ranges. The new node covers the old one's
// TensorFlow nodes. `name` is the new node's; empty: the old one's. Fails when the operands do not
// fit.
Result<ir::NodeId> ReplaceNode(ir::Module& module, ir::NodeId id, ir::Attributes attributes,
                               std::vector<ir::ValueId> inputs, std::string name = {});

// The node `id`, of one result, gives way to a value that exists already.
void ReplaceNodeByValue(ir::Module& module, ir::NodeId id, ir::ValueId value);

// The epilogue of a node whose op has one, else null.
const PointwiseProgram* Epilogue(const ir::Node& node);
PointwiseProgram* MutableEpilogue(ir::Attributes& attributes);

// Whether all of them are zero, whatever the symbols are.
bool AllZero(std::span<const ir::Dim> dims);

// The dtype of what a node computes before its epilogue: of its sums, where it forms sums.
DType OwnDType(const ir::Module& module, const ir::Node& node);

// Which dimension of the weights, of `rank` dimensions, belongs to the input channels of a
// convolution or product and which to its outputs'. None for other ops.
struct WeightAxes {
  size_t input;
  size_t output;
};
std::optional<WeightAxes> AxesOfWeights(const ir::Node& node, size_t rank);

// A floating-point constant that varies along the last axis at most, as one number for each of
// `channels`.
std::optional<std::vector<double>> ChannelVector(const ir::Value& value, int64_t channels);

}  // namespace graft::passes
