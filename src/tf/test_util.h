// Helpers of this library's tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>

#include "tf/load_model.h"

namespace graft::tf {

// A copy of a file or directory that a test may damage; removed at the end.
class Copy {
 public:
  explicit Copy(const std::string& from)
      : path_(testing::TempDir() + "/graft_tf_" + std::filesystem::path(from).filename().string()) {
    std::filesystem::remove_all(path_);
    std::filesystem::copy(from, path_, std::filesystem::copy_options::recursive);
  }
  ~Copy() { std::filesystem::remove_all(path_); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  // Rewrites one of its files.
  void Change(const std::string& name, const std::function<void(std::string*)>& change) const {
    std::string bytes(ReadFile(Path(name), false)->view());
    change(&bytes);
    ASSERT_TRUE(WriteFileAtomically(Path(name), bytes).ok());
  }

 private:
  std::string path_;
};

// The value, or a test failure that shows the status.
template <class T>
T Get(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return std::move(result).value();
}

inline const NodeDef* FindNode(const GraphDef& graph, std::string_view name) {
  for (const NodeDef& node : graph.nodes) {
    if (node.name == name) return &node;
  }
  return nullptr;
}

inline int CountOp(const GraphDef& graph, std::string_view op) {
  int count = 0;
  for (const NodeDef& node : graph.nodes) count += node.op == op;
  return count;
}

// Whether some Const of the graph is exactly this tensor.
inline bool HasConst(const GraphDef& graph, const Tensor& value) {
  for (const NodeDef& node : graph.nodes) {
    if (node.op != "Const") continue;
    const Result<Tensor> tensor = node.Attr<TensorValue>("value")->Decode();
    if (tensor.ok() && BitwiseEqual(*tensor, value)) return true;
  }
  return false;
}

}  // namespace graft::tf
