#include "partition/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

namespace graft::partition {
namespace {

struct Group {
  std::string key;
  std::vector<const LeftOut*> nodes;
};

// Groups by a member, largest first, equal ones in alphabetical order.
std::vector<Group> GroupBy(const std::vector<const LeftOut*>& nodes, std::string LeftOut::*member) {
  std::map<std::string, std::vector<const LeftOut*>> by_key;
  for (const LeftOut* node : nodes) by_key[node->*member].push_back(node);
  std::vector<Group> groups;
  for (auto& [key, members] : by_key) groups.push_back({key, std::move(members)});
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.nodes.size() > b.nodes.size(); });
  return groups;
}

std::vector<const LeftOut*> Pointers(const std::vector<LeftOut>& left_out) {
  std::vector<const LeftOut*> pointers;
  for (const LeftOut& node : left_out) pointers.push_back(&node);
  return pointers;
}

}  // namespace

std::string OldReport(const std::vector<LeftOut>& left_out) {
  std::set<std::string> types;
  for (const LeftOut& node : left_out) types.insert(node.op);
  std::string list;
  for (const std::string& type : types) list += type + ", ";
  return fmt::format(
      "There are {} ops of {} different types in the graph that are not converted to TensorRT: "
      "{}(For more "
      "information see "
      "https://docs.nvidia.com/deeplearning/dgx/tf-trt-user-guide/index.html#supported-ops).",
      left_out.size(), types.size(), list);
}

std::string NewReport(const std::vector<LeftOut>& left_out, bool detailed) {
  const std::string box(80, '#');
  std::string text = fmt::format("\n\n{}\nTensorRT unsupported/non-converted OP Report:", box);
  const std::vector<Group> types = GroupBy(Pointers(left_out), &LeftOut::op);
  for (const Group& type : types) {
    text += fmt::format("\n\t- {} -> {}x", type.key, type.nodes.size());
    if (!detailed) continue;
    for (const Group& reason : GroupBy(type.nodes, &LeftOut::reason)) {
      text += fmt::format("\n\t\t- [Count: {}x] {}", reason.nodes.size(), reason.key);
    }
  }
  return text + fmt::format(
                    "\n{}\n\t- Total nonconverted OPs: {}\n\t- Total nonconverted OP Types: "
                    "{}\nFor more information see "
                    "https://docs.nvidia.com/deeplearning/frameworks/tf-trt-user-guide/"
                    "index.html#supported-ops.\n{}\n",
                    std::string(80, '-'), left_out.size(), types.size(), box);
}

std::string ReasonReport(const std::vector<LeftOut>& left_out, int examples) {
  std::string text;
  for (const Group& reason : GroupBy(Pointers(left_out), &LeftOut::reason)) {
    std::vector<std::string> types;
    for (const Group& type : GroupBy(reason.nodes, &LeftOut::op)) {
      types.push_back(fmt::format("{} {}", type.nodes.size(), type.key));
    }
    std::vector<std::string> names;
    for (const LeftOut* node : reason.nodes) {
      if (static_cast<int>(names.size()) == examples) {
        names.push_back("…");
        break;
      }
      names.push_back(node->name);
    }
    text += fmt::format("{:5}  {}\n       {} ({})\n", reason.nodes.size(), reason.key,
                        fmt::join(types, ", "), fmt::join(names, ", "));
  }
  return text;
}

std::string CsvReport(const std::vector<LeftOut>& left_out) {
  std::string text = "OP Name|Reason|Count\n";
  for (const Group& type : GroupBy(Pointers(left_out), &LeftOut::op)) {
    for (const Group& reason : GroupBy(type.nodes, &LeftOut::reason)) {
      text += fmt::format("{}|{}|{}\n", type.key, reason.key, reason.nodes.size());
    }
  }
  return text;
}

}  // namespace graft::partition
