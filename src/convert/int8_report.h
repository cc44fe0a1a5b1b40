// What INT8 made of an engine, for reports.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/module.h"
#include "quant/calibration_table.h"

namespace graft::convert {

// A convolution or product of matrices.
struct Int8Layer {
  std::string node;
  bool integers = false;
  std::string reason;  // why it is computed in floats
};

struct Int8Report {
  std::vector<Int8Layer> layers;
  // Of the values that need a range: those that have it from the table, from the model's
  // quantisation nodes, and those that have none.
  int from_table = 0;
  int from_nodes = 0;
  int missing = 0;

  // Products on integers.
  int integers() const;
  void Add(const Int8Report& other);
};

// Of a fused module whose ranges are found; that its layers are on integers is not known yet.
Int8Report DescribeLayers(const ir::Module& module);

// Marks those on integers. The others have a reason then, if they had none: `floats` has those of
// nodes that were to be in floats.
void MarkIntegers(const std::vector<std::string>& integers,
                  const std::map<std::string, std::string>& floats, Int8Report* report);

// InvalidArgument for a table that holds nothing of a model that needs ranges.
Status CheckTableIsUsed(const quant::CalibrationTable& table, const Int8Report& report);

}  // namespace graft::convert
