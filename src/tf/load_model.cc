#include "tf/load_model.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>
#include <unordered_set>

#include "base/split.h"
#include "tf/lift.h"
#include "tf/opdefs.h"
#include "tf/prune.h"
#include "tf/share_signatures.h"
#include "tf/variable_keys.h"

namespace graft::tf {
namespace {

namespace fs = std::filesystem;

constexpr char kSavedModelFile[] = "saved_model.pb";
constexpr char kPredictMethod[] = "tensorflow/serving/predict";

// The text of an input or output option: a name and, perhaps, a shape.
struct Named {
  std::string name;  // a key or a tensor name
  std::optional<Shape> shape;
};

Result<Named> ParseNamed(const std::string& text) {
  Named named;
  const size_t bracket = text.find('[');
  named.name = text.substr(0, bracket);
  if (bracket == std::string::npos) return named;
  auto bad = [&] {
    return InvalidArgumentError("'{}': write NAME[d0,d1,…] with ? for unknown", text);
  };
  if (!text.ends_with(']')) return bad();
  std::string_view rest = std::string_view(text).substr(bracket + 1);
  rest.remove_suffix(1);
  Shape shape;
  for (const std::string_view digits : Split(rest, ',')) {
    int64_t dim = -1;
    if (digits != "?" && digits != "-1") {
      const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), dim);
      if (error != std::errc() || stop != digits.data() + digits.size() || dim < 0) return bad();
    }
    shape.dims.push_back(dim);
  }
  named.shape = std::move(shape);
  return named;
}

class Loader {
 public:
  explicit Loader(const ModelSpec& spec) : spec_(spec) {}

  Result<LoadedModel> Run() {
    GRAFT_RETURN_IF_ERROR(Read());
    GraphDef& graph = model_.whole.graph;
    AddDefaultAttrs(&graph);
    GRAFT_ASSIGN_OR_RETURN(const VariableKeys objects, ObjectKeys());
    GRAFT_ASSIGN_OR_RETURN(model_.kept_calls, InlineCalls(&graph));
    GRAFT_RETURN_IF_ERROR(ChooseOutputs());
    GRAFT_RETURN_IF_ERROR(ChooseInputs());
    const LiftedNodes lifted = LiftBodies(SignatureNodes(), &graph);
    GRAFT_RETURN_IF_ERROR(Freeze(objects, lifted));
    model_.tidying = Tidy(spec_.tidy, lifted, &graph);
    GRAFT_RETURN_IF_ERROR(LowerBodies(lifted, &graph));
    // Tensors that the user names are to mean themselves.
    if (spec_.inputs.empty() && spec_.outputs.empty())
      GRAFT_RETURN_IF_ERROR(ShareSignatures(spec_.signature, &model_.whole));
    GRAFT_RETURN_IF_ERROR(PruneWhole());
    return Finish();
  }

 private:
  // ---- reading

  Status Read() {
    fs::path path(spec_.path);
    if (path.filename() == kSavedModelFile) path = path.parent_path();
    std::error_code error;
    if (path.empty() || fs::is_directory(path, error)) {
      return ReadSavedModelAt(path.empty() ? "." : path.string());
    }
    if (!fs::exists(path, error)) return NotFoundError("{}: no such file or directory", spec_.path);
    if (path.extension() == ".meta") return ReadMeta();
    if (path.extension() == ".pb") return ReadFrozen();
    if (path.extension() == ".pbtxt") {
      return UnsupportedError(
          "{}: the text form is not read; convert it with: python -c \"from google.protobuf import "
          "text_format; from tensorflow.core.framework.graph_pb2 import GraphDef; "
          "open('graph.pb', 'wb').write(text_format.Parse(open('{}').read(), "
          "GraphDef()).SerializeToString())\"",
          spec_.path, spec_.path);
    }
    if (path.extension() == ".keras" || path.extension() == ".h5") {
      return UnsupportedError(
          "{}: Keras's own files are not read; export a SavedModel with: python -c \"import keras; "
          "keras.saving.load_model('{}').export('{}')\"",
          spec_.path, spec_.path, path.stem().string());
    }
    return InvalidArgumentError("{}: a model is a .pb file, a .meta file or a SavedModel directory",
                                spec_.path);
  }

  Status ReadSavedModelAt(const std::string& directory) {
    model_.kind = ModelKind::kSavedModel;
    model_.files.directory = directory;
    GRAFT_ASSIGN_OR_RETURN(SavedModel saved, ReadSavedModel(directory));
    GRAFT_ASSIGN_OR_RETURN(model_.whole, SelectMetaGraph(std::move(saved), spec_.tags));
    GRAFT_RETURN_IF_ERROR(HashFile((fs::path(directory) / kSavedModelFile).string()));
    Result<const Signature*> signature = SelectSignature(model_.whole, spec_.signature);
    if (!signature.ok()) return signature.status().WithContext(directory);
    signature_ = **signature;
    // Collections belong to whole models.
    if (spec_.only_signature || !spec_.inputs.empty() || !spec_.outputs.empty())
      model_.whole.collections.clear();
    if (spec_.only_signature) {
      std::erase_if(model_.whole.signatures,
                    [&](const auto& entry) { return entry.first != spec_.signature; });
    }
    const std::string prefix = spec_.checkpoint.empty()
                                   ? (fs::path(directory) / "variables" / "variables").string()
                                   : spec_.checkpoint;
    // A model without variables may come without a checkpoint.
    std::error_code error;
    const bool exists = fs::exists(prefix + ".index", error);
    return exists || !spec_.checkpoint.empty() ? OpenCheckpoint(prefix) : OkStatus();
  }

  Status ReadMeta() {
    model_.kind = ModelKind::kMetaGraph;
    GRAFT_ASSIGN_OR_RETURN(model_.whole, ReadMetaGraph(spec_.path));
    GRAFT_RETURN_IF_ERROR(HashFile(spec_.path));
    if (spec_.outputs.empty()) {
      Result<const Signature*> signature = SelectSignature(model_.whole, spec_.signature);
      if (!signature.ok()) {
        return InvalidArgumentError("{}: name the outputs (it has no signature '{}')", spec_.path,
                                    spec_.signature);
      }
      signature_ = **signature;
    }
    model_.whole.signatures.clear();
    model_.whole.collections.clear();
    return OpenCheckpoint(spec_.checkpoint.empty()
                              ? fs::path(spec_.path).replace_extension().string()
                              : spec_.checkpoint);
  }

  Status ReadFrozen() {
    GRAFT_ASSIGN_OR_RETURN(model_.whole.graph, ReadGraphDef(spec_.path));
    GRAFT_RETURN_IF_ERROR(HashFile(spec_.path));
    return spec_.checkpoint.empty() ? OkStatus() : OpenCheckpoint(spec_.checkpoint);
  }

  Status OpenCheckpoint(const std::string& prefix) {
    GRAFT_ASSIGN_OR_RETURN(checkpoint_, Checkpoint::Open(prefix));
    model_.files.checkpoint = prefix;
    return HashFile(prefix + ".index");
  }

  // Each file's hash goes into the model's.
  Status HashFile(const std::string& path) {
    GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path));
    const Hash128 parts[] = {model_.content_hash, HashBytes(bytes.view())};
    model_.content_hash = HashBytes(parts, sizeof parts);
    return OkStatus();
  }

  Result<VariableKeys> ObjectKeys() {
    if (!checkpoint_) return VariableKeys();
    return KeysFromObjects(model_.whole, *checkpoint_);
  }

  // ---- inputs and outputs

  // Appends the signature's endpoints under `key`.
  Status AddEndpoints(const std::string& key, const TensorInfo& info,
                      std::vector<Endpoint>* endpoints) const {
    std::vector<Endpoint> found = EndpointsOf(key, info);
    if (found.empty()) {
      return UnsupportedError("signature '{}': '{}' is no tensor, nor made of tensors",
                              spec_.signature, key);
    }
    std::ranges::move(found, std::back_inserter(*endpoints));
    return OkStatus();
  }

  // The endpoint that `name` means: a signature's, by key or tensor name, or a tensor of the graph.
  Result<Endpoint> Find(const std::string& name,
                        const std::map<std::string, TensorInfo, std::less<>>& signature) const {
    for (const auto& [key, info] : signature) {
      std::vector<std::string> keys;
      for (Endpoint& endpoint : EndpointsOf(key, info)) {
        if (endpoint.key == name || endpoint.tensor == CanonicalTensor(name))
          return std::move(endpoint);
        keys.push_back(endpoint.key);
      }
      if (key == name) {
        return InvalidArgumentError("'{}' is a sparse or composite tensor: name {}", name,
                                    fmt::join(keys, ", "));
      }
    }
    Result<Endpoint> endpoint = FindEndpoint(model_.whole.graph, CanonicalTensor(name));
    if (!endpoint.ok()) return endpoint.status().WithContext(spec_.path);
    return endpoint;
  }

  Status ChooseOutputs() {
    for (const std::string& text : spec_.outputs) {
      GRAFT_ASSIGN_OR_RETURN(const Named named, ParseNamed(text));
      if (named.shape) return InvalidArgumentError("'{}': an output takes no shape", text);
      GRAFT_ASSIGN_OR_RETURN(Endpoint endpoint, Find(named.name, signature_.outputs));
      model_.outputs.push_back(std::move(endpoint));
    }
    if (!model_.outputs.empty()) return OkStatus();
    for (const auto& [key, info] : signature_.outputs)
      GRAFT_RETURN_IF_ERROR(AddEndpoints(key, info, &model_.outputs));
    if (model_.outputs.empty()) {
      GRAFT_ASSIGN_OR_RETURN(model_.outputs, DefaultOutputs(model_.whole.graph));
    }
    if (model_.outputs.empty())
      return InvalidArgumentError("{}: the model has no outputs; name them", spec_.path);
    return OkStatus();
  }

  Status ChooseInputs() {
    for (const auto& [key, info] : signature_.inputs)
      GRAFT_RETURN_IF_ERROR(AddEndpoints(key, info, &model_.inputs));
    for (const std::string& text : spec_.inputs) {
      GRAFT_ASSIGN_OR_RETURN(const Named named, ParseNamed(text));
      GRAFT_ASSIGN_OR_RETURN(Endpoint endpoint, Find(named.name, signature_.inputs));
      auto it = std::ranges::find(model_.inputs, endpoint.tensor, &Endpoint::tensor);
      if (it == model_.inputs.end()) {
        model_.inputs.push_back(std::move(endpoint));
        it = model_.inputs.end() - 1;
      }
      if (named.shape) GRAFT_RETURN_IF_ERROR(Narrow(*named.shape, &*it));
      GRAFT_RETURN_IF_ERROR(MakePlaceholder(*it));
    }
    if (model_.inputs.empty()) return GuessInputs();
    return OkStatus();
  }

  // The placeholders that the outputs need.
  Status GuessInputs() {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> needed,
                           Needed(model_.whole.graph, Nodes(model_.outputs)));
    GRAFT_ASSIGN_OR_RETURN(model_.inputs, DefaultInputs(model_.whole.graph));
    std::unordered_set<std::string_view> names;
    for (size_t i = 0; i < needed.size(); ++i) {
      if (needed[i]) names.insert(model_.whole.graph.nodes[i].name);
    }
    std::erase_if(model_.inputs, [&](const Endpoint& e) { return !names.contains(e.tensor); });
    return OkStatus();
  }

  static Status Narrow(const Shape& given, Endpoint* input) {
    const Shape& own = input->shape;
    bool fits = own.unknown_rank || own.dims.size() == given.dims.size();
    for (size_t i = 0; fits && !own.unknown_rank && i < own.dims.size(); ++i)
      fits = own.dims[i] < 0 || given.dims[i] < 0 || own.dims[i] == given.dims[i];
    if (!fits) {
      return InvalidArgumentError("input '{}' is {}; {} does not fit", input->key, ToString(own),
                                  ToString(given));
    }
    input->shape = given;
    return OkStatus();
  }

  // Makes the input's node a placeholder of its shape: the graph before it is cut off.
  Status MakePlaceholder(const Endpoint& input) {
    auto& nodes = model_.whole.graph.nodes;
    const auto node = std::ranges::find(nodes, NodeOf(input.tensor), &NodeDef::name);
    if (node == nodes.end())
      return DataLossError("signature '{}': no node '{}'", spec_.signature, input.tensor);
    if (node->op == "PlaceholderWithDefault") return OkStatus();  // fed, or not
    if (node->op != "Placeholder") {
      if (FindOp(node->op) == nullptr)
        return UnsupportedError("input '{}' is the custom op {}", input.tensor, node->op);
      GRAFT_ASSIGN_OR_RETURN(const std::vector<DType> types, OutputTypes(*node));
      if (types.size() != 1) {
        return UnsupportedError("input '{}' is one of {} outputs of {}; it cannot be fed",
                                input.tensor, types.size(), node->op);
      }
      *node = {.name = node->name,
               .op = "Placeholder",
               .device = node->device,
               .attrs = {{"dtype", input.dtype}}};
    }
    node->attrs["shape"] = input.shape;
    return OkStatus();
  }

  static std::vector<std::string> Nodes(const std::vector<Endpoint>& endpoints) {
    std::vector<std::string> nodes;
    for (const Endpoint& endpoint : endpoints) nodes.push_back(NodeOf(endpoint.tensor));
    return nodes;
  }

  // ---- freezing and pruning

  // The nodes of all inputs and outputs that the written model will have.
  std::vector<std::string> SignatureNodes() const {
    std::vector<std::string> nodes = Nodes(model_.outputs);
    for (std::string& input : Nodes(model_.inputs)) nodes.push_back(std::move(input));
    for (const auto& [key, signature] : model_.whole.signatures) {
      for (const auto* infos : {&signature.inputs, &signature.outputs}) {
        for (const auto& [name, info] : *infos) {
          for (const Endpoint& e : EndpointsOf(name, info)) nodes.push_back(NodeOf(e.tensor));
        }
      }
    }
    for (std::string& name : CollectedNodes(model_.whole)) nodes.push_back(NodeOf(name));
    return nodes;
  }

  // What the outputs need, and what the bodies of that need, to any depth.
  Result<std::vector<bool>> Live(const LiftedNodes& lifted) const {
    const GraphDef& graph = model_.whole.graph;
    GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(graph.nodes));
    std::vector<std::string> roots = SignatureNodes();
    for (LiftedNodes rest = lifted;;) {
      GRAFT_ASSIGN_OR_RETURN(std::vector<bool> live, Needed(graph, roots));
      const auto found = std::partition(rest.begin(), rest.end(), [&](const LiftedNode& node) {
        return !live[static_cast<size_t>(index.Find(node.name))];
      });
      if (found == rest.end()) return live;
      for (std::string& root : Roots({found, rest.end()})) roots.push_back(std::move(root));
      rest.erase(found, rest.end());
    }
  }

  Status Freeze(const VariableKeys& objects, const LiftedNodes& lifted) {
    MetaGraph& whole = model_.whole;
    GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> live, Live(lifted));
    if (!checkpoint_) checkpoint_.emplace();
    VariableKeys restored;
    if (whole.saver) {
      GRAFT_ASSIGN_OR_RETURN(restored, KeysFromRestore(whole.graph, *whole.saver));
    }
    GRAFT_ASSIGN_OR_RETURN(const VariableKeys keys, MergeKeys(restored, objects, *checkpoint_));
    GRAFT_ASSIGN_OR_RETURN(model_.freezing,
                           FreezeVariables(keys, *checkpoint_, live, &whole.graph));
    GRAFT_RETURN_IF_ERROR(RestoreTheRest(restored, objects));
    return WarnOfEmptyVariables(keys);
  }

  // Variables that stay, and that the object graph alone knows in the checkpoint: of Keras's
  // objects in a module, the restore operation fills copies that no signature reads. TensorFlow 2
  // does not ask it; whoever loads what is written here does.
  Status RestoreTheRest(const VariableKeys& restored, const VariableKeys& objects) {
    MetaGraph& whole = model_.whole;
    if (!whole.saver || whole.saver->restore_op.empty()) return OkStatus();
    std::vector<NodeDef>& nodes = whole.graph.nodes;
    const std::string restore_name(NodeOf(whole.saver->restore_op));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> run, Needed(whole.graph, {restore_name}));
    std::string prefix;  // of the checkpoint
    for (size_t i = 0; i < run.size(); ++i) {
      if (run[i] && nodes[i].op == "RestoreV2" && !nodes[i].inputs.empty())
        prefix = nodes[i].inputs[0];
    }
    if (prefix.empty()) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(nodes));
    const int restore = index.Find(restore_name);
    if (restore < 0) return OkStatus();
    std::vector<NodeDef> added;  // apart: the index points into the nodes
    for (const KeptVariable& kept : model_.freezing.kept) {
      const auto found = objects.find(kept.node);
      if (restored.contains(kept.node) || found == objects.end() ||
          !checkpoint_->Contains(found->second.key))
        continue;
      const NodeDef& variable = nodes[static_cast<size_t>(index.Find(kept.node))];
      if (variable.op != "VarHandleOp") continue;
      GRAFT_ASSIGN_OR_RETURN(const DType dtype, variable.Attr<DType>("dtype"));
      const std::string base = "restore/" + kept.node;
      std::vector<std::string> inputs = {prefix};
      for (const auto& [name, text] :
           {std::pair<std::string, std::string>{"key", found->second.key}, {"slice", ""}}) {
        const std::string scalar = fmt::format("{}/{}", base, name), vector = scalar + "s";
        added.push_back(
            {.name = scalar,
             .op = "Const",
             .attrs = {{"dtype", DType::kString}, {"value", TensorValue::String(text)}}});
        added.push_back({.name = vector,
                         .op = "Pack",
                         .inputs = {scalar},
                         .attrs = {{"N", 1}, {"T", DType::kString}, {"axis", 0}}});
        inputs.push_back(vector);
      }
      added.push_back({.name = base + "/value",
                       .op = "RestoreV2",
                       .inputs = std::move(inputs),
                       .attrs = {{"dtypes", std::vector<DType>{dtype}}}});
      added.push_back({.name = base + "/assign",
                       .op = "AssignVariableOp",
                       .inputs = {kept.node, base + "/value"},
                       .attrs = {{"dtype", dtype}}});
      nodes[static_cast<size_t>(restore)].inputs.push_back(fmt::format("^{}/assign", base));
    }
    std::ranges::move(added, std::back_inserter(nodes));
    return OkStatus();
  }

  // Variables that stay, and to which neither the checkpoint nor the initialisation gives a value.
  Status WarnOfEmptyVariables(const VariableKeys& keys) {
    const MetaGraph& whole = model_.whole;
    if (model_.freezing.kept.empty()) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(whole.graph.nodes));
    std::set<std::string> assigned;
    if (!whole.init_op.empty()) {
      GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> run, Needed(whole.graph, {whole.init_op}));
      for (size_t i = 0; i < run.size(); ++i) {
        const NodeDef& node = whole.graph.nodes[i];
        if (run[i] && node.op.find("Assign") != std::string::npos && !node.inputs.empty())
          assigned.insert(VariableBehind(whole.graph, index, node.inputs[0]));
      }
    }
    for (const KeptVariable& kept : model_.freezing.kept) {
      const auto key = keys.find(kept.node);
      const bool restored =
          whole.saver && checkpoint_->Contains(key == keys.end() ? kept.node : key->second.key);
      if (restored || assigned.contains(kept.node)) continue;
      model_.warnings.push_back(fmt::format(
          "variable {} stays, and has no value in the checkpoint nor from the initialisation: a "
          "session of TensorFlow 1 finds it uninitialized",
          kept.node));
    }
    return OkStatus();
  }

  // Tables, iterators and such.
  static bool MakesResource(const NodeDef& node) {
    const OpDef* op = FindOp(node.op);
    if (op == nullptr || !op->is_stateful || IsVariable(node)) return false;
    const Result<std::vector<DType>> types = OutputTypes(node, *op);
    return types.ok() && std::ranges::find(*types, DType::kResource) != types->end();
  }

  // Whether something is left that initialisation must fill: a variable, a table.
  static bool HoldsState(const GraphDef& graph, const std::vector<bool>& needed) {
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
      if (needed[i] && (IsVariable(graph.nodes[i]) || MakesResource(graph.nodes[i]))) return true;
    }
    return false;
  }

  // Whether the saver restores something that is left: a variable, a table that was filled by hand.
  Result<bool> SaverIsNeeded(const MetaGraph& whole, const std::vector<bool>& needed) const {
    if (!whole.saver || whole.saver->restore_op.empty()) return false;
    if (!model_.freezing.kept.empty()) return true;
    GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> restored,
                           Needed(whole.graph, {NodeOf(whole.saver->restore_op)}));
    for (size_t i = 0; i < needed.size(); ++i) {
      if (needed[i] && restored[i] && MakesResource(whole.graph.nodes[i])) return true;
    }
    return false;
  }

  Status PruneWhole() {
    MetaGraph& whole = model_.whole;
    std::vector<std::string> roots = SignatureNodes();
    GRAFT_ASSIGN_OR_RETURN(std::vector<bool> needed, Needed(whole.graph, roots));
    if (!HoldsState(whole.graph, needed)) whole.init_op.clear();
    if (!whole.init_op.empty()) roots.push_back(whole.init_op);
    if (HoldsState(whole.graph, needed)) {
      for (std::string& name : CollectedInitializers(whole)) roots.push_back(NodeOf(name));
    }
    GRAFT_ASSIGN_OR_RETURN(const bool saver_needed, SaverIsNeeded(whole, needed));
    if (!saver_needed) whole.saver.reset();
    if (whole.saver) {
      for (const std::string* name :
           {&whole.saver->restore_op, &whole.saver->save_tensor, &whole.saver->filename_tensor}) {
        if (!name->empty()) roots.push_back(NodeOf(*name));
      }
    }
    GRAFT_ASSIGN_OR_RETURN(needed, Needed(whole.graph, roots));
    Prune(needed, &whole.graph);
    DropDanglingColocation(&whole.graph);
    GRAFT_ASSIGN_OR_RETURN(const NodeIndex index, NodeIndex::Of(whole.graph.nodes));
    std::erase_if(whole.assets,
                  [&](const AssetFile& asset) { return index.Find(NodeOf(asset.tensor)) < 0; });
    MakeAssetsConstant();
    whole.objects.reset();
    return OkStatus();
  }

  // The V1 form has a constant where TF2 leaves a placeholder for an asset's path; loaders feed
  // either.
  void MakeAssetsConstant() {
    for (const AssetFile& asset : model_.whole.assets) {
      auto& nodes = model_.whole.graph.nodes;
      const auto node = std::ranges::find(nodes, NodeOf(asset.tensor), &NodeDef::name);
      if (node == nodes.end() || node->op != "Placeholder") continue;
      *node = {
          .name = node->name,
          .op = "Const",
          .device = node->device,
          .attrs = {{"dtype", DType::kString}, {"value", TensorValue::String(asset.filename)}}};
    }
  }

  Result<LoadedModel> Finish() {
    std::vector<std::string> roots = Nodes(model_.outputs);
    for (std::string& input : Nodes(model_.inputs)) roots.push_back(std::move(input));
    model_.graph = model_.whole.graph;
    GRAFT_ASSIGN_OR_RETURN(const std::vector<bool> needed, Needed(model_.graph, roots));
    Prune(needed, &model_.graph);
    DropDanglingColocation(&model_.graph);
    if (model_.whole.signatures.empty()) {
      model_.whole.tags = {"serve"};
      Signature& signature = model_.whole.signatures["serving_default"];
      signature.method = kPredictMethod;
      for (const auto& [from, to] : {std::pair(&model_.inputs, &signature.inputs),
                                     std::pair(&model_.outputs, &signature.outputs)}) {
        for (const Endpoint& e : *from) {
          const std::string tensor =
              e.tensor.find(':') == std::string::npos ? e.tensor + ":0" : e.tensor;
          TensorInfo& info = (*to)[e.key];
          info.name = tensor;
          info.dtype = e.dtype;
          info.shape = e.shape;
        }
      }
    }
    return std::move(model_);
  }

  const ModelSpec& spec_;
  LoadedModel model_;
  Signature signature_;  // empty for a frozen graph
  std::optional<Checkpoint> checkpoint_;
};

}  // namespace

Result<LoadedModel> LoadModel(const ModelSpec& spec) { return Loader(spec).Run(); }

}  // namespace graft::tf
