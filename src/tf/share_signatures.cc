#include "tf/share_signatures.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/hash.h"
#include "tf/endpoint.h"
#include "tf/opdefs.h"
#include "tf/prune.h"

namespace graft::tf {
namespace {

// Attributes that do not change the numbers.
constexpr std::string_view kNotes[] = {"_class", "_output_shapes", "_xla_inferred_shapes"};
// Of a node that no signature needs, and of one that several do.
constexpr int kNobody = -1;
constexpr int kSeveral = -2;

Hash128 HashOf(std::string_view kind, std::string_view text) {
  return HashBytes(fmt::format("{} {}", kind, text));
}

std::vector<Endpoint> EndpointsOf(const std::map<std::string, TensorInfo, std::less<>>& infos) {
  std::vector<Endpoint> all;
  for (const auto& [key, info] : infos) {
    for (Endpoint& endpoint : EndpointsOf(key, info)) all.push_back(std::move(endpoint));
  }
  return all;
}

class Sharer {
 public:
  Sharer(const std::string& preferred, NodeIndex index, MetaGraph* meta)
      : preferred_(preferred),
        nodes_(meta->graph.nodes),
        index_(std::move(index)),
        meta_(meta),
        owner_(nodes_.size(), kNobody),
        is_preferred_(nodes_.size(), false) {}

  Status Run() {
    GRAFT_RETURN_IF_ERROR(FindOwners());
    FindInputs();
    FindHashes();
    // The nth of a signature's nodes that compute the same becomes one with another signature's
    // nth: one signature alone is not tidied here, or a model would have fewer ops for a second
    // signature.
    std::vector<std::pair<Hash128, int>> keys(nodes_.size());
    std::map<std::pair<Hash128, int>, int> counts;
    for (size_t v = 0; v < nodes_.size(); ++v)
      keys[v] = {hashes_[v], counts[{hashes_[v], owner_[v]}]++};
    std::map<std::pair<Hash128, int>, size_t> first;
    for (const bool preferred : {true, false}) {
      for (size_t v = 0; v < nodes_.size(); ++v) {
        if (is_preferred_[v] == preferred && owner_[v] != kNobody) first.emplace(keys[v], v);
      }
    }
    // By index: the names must outlive what is renamed.
    std::vector<std::string> new_names;
    for (size_t v = 0; v < nodes_.size(); ++v) {
      const auto it = owner_[v] == kNobody ? first.end() : first.find(keys[v]);
      new_names.push_back(nodes_[it == first.end() ? v : it->second].name);
    }
    auto rename = [&](std::string* tensor) {
      const Result<TensorRef> ref = ParseTensorName(*tensor);
      const int v = ref.ok() ? index_.Find(ref->node) : -1;
      if (v < 0 || new_names[static_cast<size_t>(v)] == nodes_[static_cast<size_t>(v)].name) return;
      const std::string& name = new_names[static_cast<size_t>(v)];
      *tensor = tensor->find(':') == std::string::npos ? TensorName(name, ref->index)
                                                       : fmt::format("{}:{}", name, ref->index);
    };
    for (size_t v = 0; v < nodes_.size(); ++v) {
      if (owner_[v] == kNobody) continue;
      std::set<std::string> controls;
      for (std::string& input : nodes_[v].inputs) rename(&input);
      std::erase_if(nodes_[v].inputs, [&](const std::string& input) {
        return input.starts_with('^') && !controls.insert(input).second;
      });
    }
    for (auto& [key, signature] : meta_->signatures) {
      for (auto* infos : {&signature.inputs, &signature.outputs}) {
        for (auto& [name, info] : *infos) {
          if (!info.name.empty()) rename(&info.name);
          for (TensorInfo::Part& part : info.parts) rename(&part.name);
        }
      }
    }
    return OkStatus();
  }

 private:
  int NodeOf(const Endpoint& endpoint) const {
    const Result<TensorRef> ref = ParseTensorName(endpoint.tensor);
    return ref.ok() ? index_.Find(ref->node) : -1;
  }

  // Which signature needs each node.
  Status FindOwners() {
    int number = 0;
    for (const auto& [key, signature] : meta_->signatures) {
      std::vector<std::string> roots;
      for (const auto* infos : {&signature.inputs, &signature.outputs}) {
        for (const Endpoint& e : EndpointsOf(*infos)) {
          if (const int v = NodeOf(e); v >= 0) roots.push_back(nodes_[static_cast<size_t>(v)].name);
        }
      }
      GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> needed, Needed(meta_->graph, roots));
      for (size_t v = 0; v < needed.size(); ++v) {
        if (!needed[v]) continue;
        owner_[v] = owner_[v] == kNobody ? number : kSeveral;
        if (key == preferred_) is_preferred_[v] = true;
      }
      ++number;
    }
    return OkStatus();
  }

  // What is fed is known by how: a placeholder by its key, or, if it has several, by itself.
  void FindInputs() {
    for (const auto& [key, signature] : meta_->signatures) {
      for (const Endpoint& e : EndpointsOf(signature.inputs)) {
        const int v = NodeOf(e);
        if (v < 0) continue;
        const NodeDef& node = nodes_[static_cast<size_t>(v)];
        const Hash128 by_key =
            HashOf("input", fmt::format("{} {} {}", e.key, Name(e.dtype), ToString(e.shape)));
        const auto [it, is_new] = inputs_.emplace(v, by_key);
        if (node.op != "Placeholder" || (!is_new && it->second != by_key))
          it->second = HashOf("node", node.name);
      }
    }
  }

  // Of each node with all that is before it; of nodes in cycles and behind them, their names'.
  void FindHashes() {
    hashes_.resize(nodes_.size());
    std::vector<std::vector<int>> readers(nodes_.size());
    std::vector<size_t> waiting(nodes_.size(), 0);
    std::set<int> ready;  // the first in the graph's order comes first
    for (size_t v = 0; v < nodes_.size(); ++v) {
      hashes_[v] = HashOf("node", nodes_[v].name);
      waiting[v] = nodes_[v].inputs.size();
      for (const std::string& input : nodes_[v].inputs) {
        const Result<TensorRef> ref = ParseTensorName(input);
        const int source = ref.ok() ? index_.Find(ref->node) : -1;
        if (source >= 0) readers[static_cast<size_t>(source)].push_back(static_cast<int>(v));
      }
      if (waiting[v] == 0) ready.insert(static_cast<int>(v));
    }
    while (!ready.empty()) {
      const auto v = static_cast<size_t>(*ready.begin());
      ready.erase(ready.begin());
      hashes_[v] = HashOfNode(v);
      for (const int r : readers[v]) {
        if (--waiting[static_cast<size_t>(r)] == 0) ready.insert(r);
      }
    }
  }

  Hash128 HashOfNode(size_t v) {
    const NodeDef& node = nodes_[v];
    if (const auto input = inputs_.find(static_cast<int>(v)); input != inputs_.end())
      return input->second;
    const OpDef* op = FindOp(node.op);
    const bool makes_state = op == nullptr || std::ranges::any_of(op->outputs, [](const auto& arg) {
                               return arg.is_ref || arg.type == DType::kResource;
                             });
    const Hash128 itself = HashOf("node", node.name);
    if (makes_state || owner_[v] == kNobody || (op->is_stateful && owner_[v] == kSeveral))
      return itself;
    NodeDef bare = {.op = node.op, .device = node.device};
    std::vector<Hash128> parts;
    for (const auto& [key, value] : node.attrs) {
      if (std::ranges::find(kNotes, key) != std::end(kNotes)) continue;
      // A weight is hashed where it lies: to encode it would copy it.
      if (const auto* const tensor = value.get<TensorValue>()) {
        parts.push_back(HashOf("tensor", key));
        parts.push_back(tensor->EncodedHash());
      } else {
        bare.attrs.emplace(key, value);
      }
    }
    parts.push_back(HashBytes(SerializeNodeDef(bare)));
    for (const std::string& input : node.inputs) {
      const Result<TensorRef> ref = ParseTensorName(input);
      parts.push_back(hashes_[static_cast<size_t>(index_.Find(ref->node))]);
      parts.push_back(HashOf("output", std::to_string(ref->index)));
    }
    Hash128 hash = HashBytes(parts.data(), parts.size() * sizeof(Hash128));
    if (!op->is_stateful) return hash;
    // The first of its kind in one signature is the first in another.
    const int nth = count_[{hash, owner_[v]}]++;
    parts = {hash, HashOf("nth", std::to_string(nth))};
    return HashBytes(parts.data(), parts.size() * sizeof(Hash128));
  }

  const std::string& preferred_;
  std::vector<NodeDef>& nodes_;
  NodeIndex index_;
  MetaGraph* meta_;
  std::vector<int> owner_;  // number of the only signature that needs the node
  std::vector<bool> is_preferred_;
  std::map<int, Hash128> inputs_;
  std::vector<Hash128> hashes_;
  std::map<std::pair<Hash128, int>, int> count_;  // of stateful nodes, by what they do and owner
};

}  // namespace

Status ShareSignatures(const std::string& preferred, MetaGraph* meta) {
  if (meta->signatures.size() < 2) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(NodeIndex index, NodeIndex::Of(meta->graph.nodes));
  return Sharer(preferred, std::move(index), meta).Run();
}

}  // namespace graft::tf
