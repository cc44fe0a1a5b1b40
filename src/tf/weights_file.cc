#include "tf/weights_file.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/aligned_buffer.h"
#include "base/file.h"
#include "base/hash.h"

namespace graft::tf {
namespace {

constexpr std::string_view kEngineOp = "TRTEngineOp", kWeightOp = "GraftWeight",
                           kMapOp = "GraftMapWeights";
constexpr std::string_view kWeightsMagic = "GRAFTWTS";
// Smaller ones cost less than a node that loads them.
constexpr size_t kLeastBytes = 64 << 10;
// And less than that in all is no burden: small models stay one file.
constexpr size_t kLeastFile = 1 << 20;

std::string_view BytesOf(const Tensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.raw()), tensor.bytes()};
}

std::string_view Padding(size_t bytes) {
  static constexpr char kZeros[kBufferAlignment] = {};
  return {kZeros, AlignUp(bytes) - bytes};
}

// Calls visit(node) for each node of the graph and of its functions until it fails.
template <class F>
Status ForEachNode(GraphDef* graph, F&& visit) {
  for (NodeDef& node : graph->nodes) GRAFT_RETURN_IF_ERROR(visit(node));
  for (FunctionDef& function : graph->functions) {
    for (NodeDef& node : function.nodes) GRAFT_RETURN_IF_ERROR(visit(node));
  }
  return OkStatus();
}

Result<std::set<std::string>> NativeSegments(GraphDef* graph) {
  std::set<std::string> names;
  GRAFT_RETURN_IF_ERROR(ForEachNode(graph, [&](const NodeDef& node) -> Status {
    if (node.op != kEngineOp || node.FindAttr("segment_func") == nullptr) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(const FuncValue function, node.Attr<FuncValue>("segment_func"));
    names.insert(function.name);
    return OkStatus();
  }));
  return names;
}

// Holders of a constant: native segments themselves, and the functions for constants that several
// of them share, which are nothing else.
bool IsConstantFunction(const FunctionDef& function) {
  return function.nodes.size() == 1 && function.nodes[0].op == "Const";
}

// Null where the node holds no numbers, or few.
const TensorValue* LargeNumbers(const NodeDef& node) {
  const AttrValue* const attr = node.op == "Const" ? node.FindAttr("value") : nullptr;
  const auto* const value = attr == nullptr ? nullptr : attr->get<TensorValue>();
  const bool large =
      value != nullptr && SizeOf(value->dtype()) > 0 && value->EncodedSize() >= kLeastBytes;
  return large ? value : nullptr;
}

std::string AssetOf(const std::string& file) { return "graft-weights-" + file; }

// An engine's plan as bytes, if it is large; else no tensor.
Tensor LargePlan(const NodeDef& node) {
  if (node.op != kEngineOp) return {};
  Result<std::string> plan = node.Attr<std::string>("serialized_segment");
  if (!plan.ok() || plan->size() < kLeastBytes) return {};
  const auto owner = std::make_shared<const std::string>(*std::move(plan));
  return Tensor(DType::kUint8, {static_cast<int64_t>(owner->size())},
                {owner, reinterpret_cast<const std::byte*>(owner->data())});
}

// What goes into a file.
class FileOf {
 public:
  // Gives its place.
  int64_t Add(Tensor tensor) {
    const Hash128 hash = HashBytes(BytesOf(tensor));
    const auto [known, is_new] = offsets_.try_emplace(hash, static_cast<int64_t>(size_));
    if (is_new) {
      hashes_ += ToHex(hash);
      size_ += AlignUp(tensor.bytes());
      tensors_.push_back(std::move(tensor));
    }
    return known->second;
  }
  size_t size() const { return size_; }
  std::string Name() const { return ToHex(HashBytes(hashes_)); }
  Status Write(const std::string& path) const {
    std::vector<std::string_view> parts{kWeightsMagic, Padding(kWeightsMagic.size())};
    for (const Tensor& tensor : tensors_) {
      parts.push_back(BytesOf(tensor));
      parts.push_back(Padding(tensor.bytes()));
    }
    return WriteFileAtomically(path, parts);
  }

 private:
  std::map<Hash128, int64_t> offsets_;  // by contents
  std::vector<Tensor> tensors_;         // in their order in the file
  std::string hashes_;
  size_t size_ = AlignUp(kWeightsMagic.size());
};

std::string FreeName(std::string name, const std::unordered_set<std::string>& taken) {
  while (taken.contains(name)) name += "_";
  return name;
}

// Has the model's initialisation map the file.
void AddLoading(const std::string& file, MetaGraph* meta) {
  std::unordered_set<std::string> taken;
  for (const NodeDef& node : meta->graph.nodes) taken.insert(node.name);
  NodeDef path{.name = FreeName("graft_weights_file", taken), .op = "Const"};
  path.attrs = {{"dtype", DType::kString}, {"value", TensorValue::String("")}};
  NodeDef map{.name = FreeName("graft_map_weights", taken), .op = std::string(kMapOp)};
  map.inputs = {path.name};
  map.attrs = {{"file", file}};
  std::string init = map.name;
  if (!meta->init_op.empty()) {
    NodeDef both{.name = FreeName("graft_initialize", taken), .op = "NoOp"};
    both.inputs = {"^" + meta->init_op, "^" + map.name};
    init = both.name;
    meta->graph.nodes.push_back(std::move(both));
  }
  meta->init_op = std::move(init);
  AssetFile asset{.tensor = path.name + ":0", .filename = AssetOf(file), .write = nullptr};
  meta->assets.push_back(std::move(asset));
  meta->graph.nodes.push_back(std::move(path));
  meta->graph.nodes.push_back(std::move(map));
}

}  // namespace

Status MoveWeightsToFile(MetaGraph* meta) {
  GRAFT_ASSIGN_OR_RETURN(const std::set<std::string> segments, NativeSegments(&meta->graph));
  std::set<std::string> holders = segments;
  for (const FunctionDef& function : meta->graph.functions) {
    if (!segments.contains(function.signature.name)) continue;
    for (const NodeDef& node : function.nodes) {
      const AttrValue* const f = node.op == "PartitionedCall" ? node.FindAttr("f") : nullptr;
      const auto* const called = f == nullptr ? nullptr : f->get<FuncValue>();
      const FunctionDef* const constant =
          called == nullptr ? nullptr : meta->graph.FindFunction(called->name);
      if (constant != nullptr && IsConstantFunction(*constant)) holders.insert(called->name);
    }
  }
  FileOf contents;
  std::vector<std::pair<NodeDef*, int64_t>> constants;  // and where they go
  struct MovedPlan {
    NodeDef* node;
    int64_t offset, size;
  };
  std::vector<MovedPlan> plans;
  for (FunctionDef& function : meta->graph.functions) {
    if (!holders.contains(function.signature.name)) continue;
    for (NodeDef& node : function.nodes) {
      const TensorValue* const value = LargeNumbers(node);
      if (value == nullptr) continue;
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, value->Decode());
      constants.emplace_back(&node, contents.Add(std::move(tensor)));
    }
  }
  GRAFT_RETURN_IF_ERROR(ForEachNode(&meta->graph, [&](NodeDef& node) {
    if (Tensor plan = LargePlan(node); plan.valid()) {
      const auto size = static_cast<int64_t>(plan.bytes());
      plans.push_back({&node, contents.Add(std::move(plan)), size});
    }
    return OkStatus();
  }));
  if (contents.size() < kLeastFile) return OkStatus();
  const std::string file = contents.Name();
  for (const auto& [node, offset] : constants) {
    const Dims dims = LargeNumbers(*node)->dims();
    node->op = kWeightOp;
    node->attrs.erase(node->attrs.find("value"));
    node->attrs["shape"] = Shape{.unknown_rank = false, .dims = dims};
    node->attrs["file"] = file;
    node->attrs["offset"] = offset;
  }
  for (const auto& [node, offset, size] : plans) {
    node->attrs["_plan_file"] = file;
    node->attrs["_plan_offset"] = offset;
    node->attrs["_plan_size"] = size;
    node->attrs["serialized_segment"] = "";
  }
  AddLoading(file, meta);
  meta->assets.back().write = [contents = std::move(contents)](const std::string& path) {
    return contents.Write(path);
  };
  return OkStatus();
}

Status TakeWeightsFromFile(const std::string& directory, MetaGraph* meta) {
  std::map<std::string, FileBytes> files;
  // `size` bytes at `offset` of a file.
  const auto part = [&](const NodeDef& node, const std::string& name, int64_t offset,
                        int64_t size) -> Result<std::shared_ptr<const std::byte>> {
    if (!files.contains(name)) {
      const std::string asset = AssetOf(name);
      GRAFT_RETURN_IF_ERROR(CheckAssetName(asset).WithContext(node.name));
      const std::filesystem::path path = std::filesystem::path(directory) / "assets" / asset;
      GRAFT_ASSIGN_OR_RETURN(files[name], ReadFile(path.string()));
      if (!files[name].view().starts_with(kWeightsMagic))
        return DataLossError("{}: {} is no file of weights", node.name, path.string());
    }
    const FileBytes& file = files[name];
    const auto end = static_cast<int64_t>(file.size);
    if (offset < 0 || offset % kBufferAlignment != 0 || offset > end || size < 0 ||
        size > end - offset)
      return DataLossError("{}: its numbers are not in the file of weights", node.name);
    return std::shared_ptr<const std::byte>(file.data, file.data.get() + offset);
  };
  GRAFT_RETURN_IF_ERROR(ForEachNode(&meta->graph, [&](NodeDef& node) -> Status {
    if (node.op == kWeightOp) {
      GRAFT_ASSIGN_OR_RETURN(const DType dtype, node.Attr<DType>("dtype"));
      GRAFT_ASSIGN_OR_RETURN(const Shape shape, node.Attr<Shape>("shape"));
      GRAFT_ASSIGN_OR_RETURN(const std::string file, node.Attr<std::string>("file"));
      GRAFT_ASSIGN_OR_RETURN(const int64_t offset, node.Attr<int64_t>("offset"));
      const int64_t elements = shape.fully_known() ? CountElements(shape.dims) : -1;
      const auto element = static_cast<int64_t>(SizeOf(dtype));
      const bool sized = elements >= 0 && element > 0 && elements <= (int64_t{1} << 62) / element;
      GRAFT_ASSIGN_OR_RETURN(const std::shared_ptr<const std::byte> data,
                             part(node, file, offset, sized ? elements * element : -1));
      node.op = "Const";
      for (const std::string_view attr : {"shape", "file", "offset"})
        node.attrs.erase(node.attrs.find(attr));
      node.attrs["value"] = TensorValue(Tensor(dtype, shape.dims, data));
    } else if (node.op == kEngineOp && node.FindAttr("_plan_file") != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(const std::string file, node.Attr<std::string>("_plan_file"));
      GRAFT_ASSIGN_OR_RETURN(const int64_t offset, node.Attr<int64_t>("_plan_offset"));
      GRAFT_ASSIGN_OR_RETURN(const int64_t size, node.Attr<int64_t>("_plan_size"));
      GRAFT_ASSIGN_OR_RETURN(const std::shared_ptr<const std::byte> data,
                             part(node, file, offset, size));
      for (const std::string_view attr : {"_plan_file", "_plan_offset", "_plan_size"})
        node.attrs.erase(node.attrs.find(attr));
      node.attrs["serialized_segment"] =
          std::string(reinterpret_cast<const char*>(data.get()), static_cast<size_t>(size));
    }
    return OkStatus();
  }));
  // What loads the files. Models that TensorFlow 2 has written have it in a function, where it may
  // stay.
  std::set<std::string> gone;
  for (const NodeDef& node : meta->graph.nodes) {
    if (node.op != kMapOp || node.inputs.size() != 1) continue;
    gone.insert(node.name);
    gone.insert(CanonicalTensor(node.inputs[0]));
  }
  if (gone.empty()) return OkStatus();
  if (gone.contains(meta->init_op)) meta->init_op.clear();
  std::erase_if(meta->assets,
                [&](const AssetFile& a) { return gone.contains(CanonicalTensor(a.tensor)); });
  std::erase_if(meta->graph.nodes, [&](const NodeDef& n) { return gone.contains(n.name); });
  for (NodeDef& node : meta->graph.nodes) {
    std::erase_if(node.inputs, [&](const std::string& input) {
      return input.starts_with("^") && gone.contains(input.substr(1));
    });
  }
  return OkStatus();
}

}  // namespace graft::tf
