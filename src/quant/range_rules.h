// Which values of a module have a range for INT8, and which need one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/module.h"
#include "quant/calibration_table.h"

namespace graft::quant {

// Gives ranges to values that have none yet. For a value the first of these counts:
//   1. what it has: from a quantisation node (ReadQuantizationNodes), or given before;
//   2. the table's entry under its name, or, for inputs and outputs, under TF-TRT's binding name;
//   3. the op that computes it: a clamp's ends (Relu6: 6), 1 for sigmoid, tanh and softmax;
//   4. a value that it shares its scale with, because an op between them hands elements on as they
//      are (SharesScale); both ways, the nearest first, results before operands.
// Where a table has a scale for every channel of a value that has leave to differ by channel
// (ChannelName, MayDifferByChannel), its range, but a node's, becomes one for each: some
// more than the table's, none larger than the whole's.
// `table` may be null. The module is as the kernels will see it, after fusion, so that ranges of
// what became part of a larger node are gone.
void FindRanges(ir::Module& module, const CalibrationTable* table);

// Whether the node's result holds nothing but elements of operand 0, and zeros: integers of that
// are integers of the result.
bool SharesScale(const ir::Node& node);

// Whether it is an average pool, or a mean.
bool IsAverage(const ir::Node& node);

// Whether each channel, along the last axis, may have integers of a scale of its own: a convolution
// or product makes the value, whose results have a factor for each channel anyway, and nothing but
// convolutions and products of matrices by constant weights read it, which take the scales in.
bool MayDifferByChannel(const ir::Module& module, const ir::Uses& uses, ir::ValueId value);

// A value without a range that an INT8 kernel would read.
struct MissingRange {
  ir::ValueId value = -1;  // where it is first computed: elements handed on as they are share it
  ir::NodeId reader = -1;  // the first node that needs it
};

// The values that need a range: what a convolution, transposed convolution or matmul reads (their
// constant weights give their own), directly or as a residual, by way of ops that share the scale.
// Nothing else. In the order of their readers, each once.
std::vector<MissingRange> FindMissingRanges(const ir::Module& module);

// The same without asking whether they have one: what calibration watches.
std::vector<MissingRange> FindNeededRanges(const ir::Module& module);

// One line for each missing range: the value, and who reads it.
std::vector<std::string> DescribeMissing(const ir::Module& module);

// InvalidArgument that holds such lines; OK for none.
Status CheckNoneMissing(const std::vector<std::string>& missing);

// The name of a value in tables: TensorFlow's node, with its output unless that is 0.
std::string TableName(const ir::Value& value);
// The name of a channel of the value of this name, which no tensor has: "conv1/Relu[3]".
std::string ChannelName(std::string_view name, int64_t channel);

}  // namespace graft::quant
