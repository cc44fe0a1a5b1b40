// What was left out of the engines, and why: the two forms that scripts of TF-TRT users match on,
// and Graft's own.
#pragma once

#include <string>
#include <vector>

namespace graft::partition {

// A node that stays native.
struct LeftOut {
  std::string op;
  std::string name;
  std::string reason;
  bool in_function = false;  // of a body of While, If or Case
};

// The sentence of the 2019 API: "There are N ops of M different types in the graph that are not
// converted to TensorRT: A, B, (For more information see …)." Types in alphabetical order.
std::string OldReport(const std::vector<LeftOut>& left_out);

// The box of later versions: types by falling count; with `detailed` each reason and how often.
std::string NewReport(const std::vector<LeftOut>& left_out, bool detailed);

// Graft's own: reasons by falling count, each with its types and up to `examples` node names.
std::string ReasonReport(const std::vector<LeftOut>& left_out, int examples = 3);

// Lines "OP Name|Reason|Count", the CSV of TF_TRT_SHOW_DETAILED_REPORT.
std::string CsvReport(const std::vector<LeftOut>& left_out);

}  // namespace graft::partition
