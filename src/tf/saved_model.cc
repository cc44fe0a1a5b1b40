#include "tf/saved_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <unordered_set>

#include "tf/weights_file.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

namespace fs = std::filesystem;

constexpr char kModelFile[] = "saved_model.pb";
// Signatures under these keys are no entry points: they name operations to run at loading.
constexpr std::string_view kReservedPrefix = "__saved_model_";
constexpr std::string_view kInitSignature = "__saved_model_init_op";
// Collections that name the initialisation operation, in TensorFlow's order of preference.
constexpr std::string_view kInitCollections[] = {"saved_model_main_op", "legacy_init_op"};
constexpr std::string_view kAssetCollection = "saved_model_assets";
// Collections that are not kept, as TF-TRT did not: of variables, which are frozen, and of what
// describes them, the control flow and the training's input queues by name.
constexpr std::string_view kForgottenCollections[] = {"cond_context",
                                                      "concatenated_variables",
                                                      "global_step",
                                                      "legacy_init_op",
                                                      "local_variables",
                                                      "metric_variables",
                                                      "model_variables",
                                                      "moving_average_variables",
                                                      "queue_runners",
                                                      "saved_model_assets",
                                                      "saved_model_main_op",
                                                      "saveable_objects",
                                                      "savers",
                                                      "train_op",
                                                      "trainable_resource_variables",
                                                      "trainable_variables",
                                                      "variables",
                                                      "while_context"};

// Composite tensors of composite tensors: RaggedTensors of RaggedTensors and the like.
constexpr int kMaxCompositeDepth = 16;

Status ParseTensorParts(std::string_view wire, int depth, TensorInfo* info);

Result<TensorInfo> ParseTensorInfo(std::string_view wire, int depth = 0) {
  TensorInfo info;
  int64_t dtype = 0;
  info.shape = Shape::Unknown();
  GRAFT_RETURN_IF_ERROR(ReadFields(
      wire, &info.other, Field(1, &info.name), Field(2, &dtype),
      Field(3, [&](std::string_view part) { return Store(ParseShape(part), &info.shape); })));
  GRAFT_ASSIGN_OR_RETURN(info.dtype, ParseDTypeNumber(dtype));
  GRAFT_RETURN_IF_ERROR(ParseTensorParts(info.other, depth, &info));
  return info;
}

// The tensors of coo_sparse and composite_tensor; those of nested ones in order.
Status ParseTensorParts(std::string_view wire, int depth, TensorInfo* info) {
  if (depth > kMaxCompositeDepth)
    return DataLossError("composite tensors nest deeper than {}", kMaxCompositeDepth);
  std::string values, indices, dense_shape;
  const auto parse_sparse = [&](std::string_view part) {
    return ReadFields(part, nullptr, Field(1, &values), Field(2, &indices), Field(3, &dense_shape));
  };
  const auto parse_component = [&](std::string_view part) -> Status {
    GRAFT_ASSIGN_OR_RETURN(TensorInfo component, ParseTensorInfo(part, depth + 1));
    if (!component.name.empty()) {
      component.parts = {{"", std::move(component.name), component.dtype, component.shape}};
    }
    for (TensorInfo::Part& found : component.parts) {
      found.label = std::to_string(info->parts.size());
      info->parts.push_back(std::move(found));
    }
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(4, parse_sparse), Field(5, [&](std::string_view part) {
                   return ReadFields(part, nullptr, Field(2, parse_component));
                 })));
  if (values.empty()) return OkStatus();
  const int64_t rank = info->shape.unknown_rank ? -1 : std::ssize(info->shape.dims);
  info->parts.push_back({"indices", std::move(indices), DType::kInt64, {.dims = {-1, rank}}});
  info->parts.push_back({"values", std::move(values), info->dtype, {.dims = {-1}}});
  info->parts.push_back({"dense_shape", std::move(dense_shape), DType::kInt64, {.dims = {rank}}});
  std::erase_if(info->parts, [](const TensorInfo::Part& part) { return part.name.empty(); });
  return OkStatus();
}

Status ParseTensorEntry(std::string_view wire, std::map<std::string, TensorInfo, std::less<>>* to) {
  GRAFT_ASSIGN_OR_RETURN(MapEntry entry, ReadMapEntry(wire));
  Result<TensorInfo> info = ParseTensorInfo(entry.value);
  if (!info.ok()) return info.status().WithContext(fmt::format("'{}'", entry.key));
  to->insert_or_assign(std::move(entry.key), std::move(info).value());
  return OkStatus();
}

Result<Signature> ParseSignatureDef(std::string_view wire) {
  Signature signature;
  const auto entries_into = [](auto* infos) {
    return [infos](std::string_view part) { return ParseTensorEntry(part, infos); };
  };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, &signature.other, Field(1, entries_into(&signature.inputs)),
                 Field(2, entries_into(&signature.outputs)), Field(3, &signature.method)));
  return signature;
}

Result<AssetFile> ParseAsset(std::string_view wire) {
  AssetFile asset;
  TensorInfo info;
  GRAFT_RETURN_IF_ERROR(ReadFields(
      wire, nullptr,
      Field(1, [&](std::string_view part) { return Store(ParseTensorInfo(part), &info); }),
      Field(2, &asset.filename)));
  asset.tensor = std::move(info.name);
  return asset;
}

Result<SaverDef> ParseSaver(std::string_view wire) {
  SaverDef saver;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, &saver.other, Field(1, &saver.filename_tensor),
                                   Field(2, &saver.save_tensor), Field(3, &saver.restore_op)));
  return saver;
}

// The strings in field `field` of the message: of a NodeList (1), of a kind inside a oneof, ….
Result<std::vector<std::string>> StringsOf(std::string_view wire, uint32_t field) {
  std::vector<std::string> strings;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, nullptr, Field(field, &strings)));
  return strings;
}

Result<Collection> ParseCollection(std::string_view wire) {
  Collection collection;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, &collection.other, Field(1, [&](std::string_view part) {
                                     return Store(StringsOf(part, 1), &collection.nodes);
                                   })));
  return collection;
}

// The encoded google.protobuf.Any messages of a collection of such.
Result<std::vector<std::string>> AnyOf(const Collection& collection) {
  std::vector<std::string> any;
  GRAFT_RETURN_IF_ERROR(ReadFields(collection.other, nullptr, Field(5, [&](std::string_view part) {
                                     return Store(StringsOf(part, 1), &any);
                                   })));
  return any;
}

Result<SavedObject> ParseObject(std::string_view wire) {
  SavedObject object;
  using Kind = SavedObject::Kind;
  const auto parse_child = [&](std::string_view part) {
    return Store(ParseObjectReference(part), &object.children);
  };
  // The name is a string in field `name` of the kind's message; 0: it has none.
  const auto kind_into = [&](Kind kind, uint32_t name) {
    return [&object, kind, name](std::string_view part) {
      object.kind = kind;
      return name == 0 ? OkStatus() : ReadFields(part, nullptr, Field(name, &object.name));
    };
  };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(1, parse_child), Field(5, kind_into(Kind::kAsset, 0)),
                 Field(7, kind_into(Kind::kVariable, 6)), Field(9, kind_into(Kind::kConstant, 1)),
                 Field(10, kind_into(Kind::kResource, 0))));
  return object;
}

Result<SavedObjectGraph> ParseObjectGraph(std::string_view wire) {
  SavedObjectGraph graph;
  const auto parse_object = [&](std::string_view part) {
    const Status status = Store(ParseObject(part), &graph.nodes);
    return status.ok() ? status : status.WithContext(fmt::format("object {}", graph.nodes.size()));
  };
  const auto parse_function = [&](std::string_view part) -> Status {
    GRAFT_ASSIGN_OR_RETURN(MapEntry entry, ReadMapEntry(part));
    std::vector<int64_t> bound;
    GRAFT_RETURN_IF_ERROR(ReadFields(entry.value, nullptr, Field(2, &bound)));
    graph.bound_inputs.insert_or_assign(std::move(entry.key), std::move(bound));
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(1, parse_object), Field(2, parse_function)));
  return graph;
}

Status ParseMetaInfo(std::string_view wire, MetaGraph* meta) {
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(4, &meta->tags), Field(5, &meta->tensorflow_version)));
  std::ranges::sort(meta->tags);
  return OkStatus();
}

// Moves the reserved signatures and collections to where MetaGraph keeps what they say.
Status Interpret(MetaGraph* meta) {
  const auto& collections = meta->collections;
  if (const auto init = meta->signatures.find(kInitSignature);
      init != meta->signatures.end() && !init->second.outputs.empty()) {
    meta->init_op = init->second.outputs.begin()->second.name;
  }
  for (std::string_view key : kInitCollections) {
    const auto it = collections.find(key);
    if (meta->init_op.empty() && it != collections.end() && !it->second.nodes.empty())
      meta->init_op = it->second.nodes.front();
  }
  if (!meta->init_op.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const TensorRef ref, ParseTensorName(meta->init_op));
    meta->init_op = std::string(ref.node);
  }
  std::erase_if(meta->signatures,
                [](const auto& entry) { return entry.first.starts_with(kReservedPrefix); });
  const auto assets = collections.find(kAssetCollection);
  if (!meta->assets.empty() || assets == collections.end()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> files, AnyOf(assets->second));
  for (const std::string& any : files) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> value, StringsOf(any, 2));
    if (value.empty()) continue;
    GRAFT_ASSIGN_OR_RETURN(AssetFile asset, ParseAsset(value.back()));
    meta->assets.push_back(std::move(asset));
  }
  return OkStatus();
}

Status ParseCollectionEntry(std::string_view wire,
                            std::map<std::string, Collection, std::less<>>* collections) {
  GRAFT_ASSIGN_OR_RETURN(const MapEntry entry, ReadMapEntry(wire));
  return Store(ParseCollection(entry.value), &(*collections)[entry.key]);
}

Status ParseSignatureEntry(std::string_view wire,
                           std::map<std::string, Signature, std::less<>>* signatures) {
  GRAFT_ASSIGN_OR_RETURN(MapEntry entry, ReadMapEntry(wire));
  Result<Signature> signature = ParseSignatureDef(entry.value);
  if (!signature.ok())
    return signature.status().WithContext(fmt::format("signature '{}'", entry.key));
  signatures->insert_or_assign(std::move(entry.key), std::move(signature).value());
  return OkStatus();
}

Result<MetaGraph> ParseMetaGraphPart(const FileBytes& bytes) {
  using Part = std::string_view;
  MetaGraph meta;
  GRAFT_RETURN_IF_ERROR(ReadFields(
      bytes.view(), nullptr,  //
      Field(1, [&](Part part) { return ParseMetaInfo(part, &meta); }),
      Field(2, [&](Part part) { return Store(ParseGraphDef(tf::Part(bytes, part)), &meta.graph); }),
      Field(3, [&](Part part) { return Store(ParseSaver(part), &meta.saver); }),
      Field(4, [&](Part part) { return ParseCollectionEntry(part, &meta.collections); }),
      Field(5, [&](Part part) { return ParseSignatureEntry(part, &meta.signatures); }),
      Field(6, [&](Part part) { return Store(ParseAsset(part), &meta.assets); }),
      Field(7, [&](Part part) {
        return Store(ParseObjectGraph(part), &meta.objects).WithContext("object graph");
      })));
  GRAFT_RETURN_IF_ERROR(Interpret(&meta));
  for (const std::string_view key : kForgottenCollections) {
    const auto found = meta.collections.find(key);
    if (found != meta.collections.end()) meta.collections.erase(found);
  }
  return meta;
}

// ---- writing

TensorInfo OneTensor(std::string name, DType dtype, Shape shape) {
  TensorInfo info;
  info.name = std::move(name);
  info.dtype = dtype;
  info.shape = std::move(shape);
  return info;
}

std::string EncodedTensorInfo(const TensorInfo& info) {
  std::string out, shape;
  protozero::pbf_writer w(out);
  WriteString(&w, 1, info.name);
  if (info.dtype != DType::kInvalid) w.add_enum(2, static_cast<int32_t>(info.dtype));
  AppendShape(info.shape, &shape);
  WriteMessage(&w, 3, shape);
  WriteEncoded(&out, info.other);
  return out;
}

void WriteEntry(protozero::pbf_writer* w, uint32_t field, std::string_view key,
                std::string_view message) {
  protozero::pbf_writer entry(*w, field);
  entry.add_bytes(1, key.data(), key.size());
  WriteMessage(&entry, 2, message);
}

std::string EncodedSignature(const Signature& signature) {
  std::string out;
  protozero::pbf_writer w(out);
  for (const auto& [key, info] : signature.inputs) WriteEntry(&w, 1, key, EncodedTensorInfo(info));
  for (const auto& [key, info] : signature.outputs) WriteEntry(&w, 2, key, EncodedTensorInfo(info));
  WriteString(&w, 3, signature.method);
  WriteEncoded(&out, signature.other);
  return out;
}

// Empty when nothing of it is left. Loaders take no name that the graph does not have.
std::string EncodedCollection(const Collection& collection,
                              const std::unordered_set<std::string_view>& nodes) {
  std::string out, list;
  protozero::pbf_writer names(list);
  for (const std::string& name : collection.nodes) {
    const Result<TensorRef> ref = ParseTensorName(name);
    if (ref.ok() && nodes.contains(ref->node)) names.add_bytes(1, name);
  }
  protozero::pbf_writer w(out);
  if (!list.empty()) WriteMessage(&w, 1, list);
  WriteEncoded(&out, collection.other);
  return out;
}

Result<std::string> EncodedSavedModel(const MetaGraph& meta) {
  GRAFT_ASSIGN_OR_RETURN(const std::string graph, SerializeGraphDef(meta.graph));
  std::string info, out_meta, out;
  protozero::pbf_writer info_writer(info);
  for (const std::string& tag : meta.tags) info_writer.add_bytes(4, tag);
  WriteString(&info_writer, 5, meta.tensorflow_version);

  protozero::pbf_writer w(out_meta);
  WriteMessage(&w, 1, info);
  WriteMessage(&w, 2, graph);
  if (meta.saver) {
    std::string saver;
    protozero::pbf_writer s(saver);
    WriteString(&s, 1, meta.saver->filename_tensor);
    WriteString(&s, 2, meta.saver->save_tensor);
    WriteString(&s, 3, meta.saver->restore_op);
    WriteEncoded(&saver, meta.saver->other);
    WriteMessage(&w, 3, saver);
  }
  std::unordered_set<std::string_view> nodes;
  for (const NodeDef& node : meta.graph.nodes) nodes.insert(node.name);
  for (const auto& [key, collection] : meta.collections) {
    const std::string encoded = EncodedCollection(collection, nodes);
    if (!encoded.empty()) WriteEntry(&w, 4, key, encoded);
  }
  std::map<std::string, Signature, std::less<>> signatures = meta.signatures;
  if (!meta.init_op.empty()) {
    signatures[std::string(kInitSignature)].outputs[std::string(kInitSignature)] =
        OneTensor(meta.init_op, DType::kInvalid, Shape::Unknown());
  }
  for (const auto& [key, signature] : signatures)
    WriteEntry(&w, 5, key, EncodedSignature(signature));
  for (const AssetFile& asset : meta.assets) {
    std::string message;
    protozero::pbf_writer a(message);
    WriteMessage(&a, 1, EncodedTensorInfo(OneTensor(asset.tensor, DType::kString, {})));
    WriteString(&a, 2, asset.filename);
    WriteMessage(&w, 6, message);
  }
  protozero::pbf_writer model(out);
  model.add_int64(1, 1);
  WriteMessage(&model, 2, out_meta);
  return out;
}

// Collections whose nodes only training needs: what inference leaves of them is kept.
constexpr std::string_view kTrainingCollections[] = {"activations",
                                                     "asset_filepaths",
                                                     "biases",
                                                     "eval_step",
                                                     "global_step_read_op_cache",
                                                     "init_op",
                                                     "losses",
                                                     "ready_op",
                                                     "ready_for_local_init_op",
                                                     "regularization_losses",
                                                     "resources",
                                                     "local_resources",
                                                     "summaries",
                                                     "summary_op",
                                                     "unbound_inputs",
                                                     "update_ops",
                                                     "weights"};
constexpr std::string_view kInitializers[] = {"table_initializer", "local_init_op"};

// The names that the collections hold whose key `wanted` takes, as far as the graph has them.
template <class F>
std::vector<std::string> NamesIn(const MetaGraph& meta, F&& wanted) {
  std::vector<std::string> names;
  if (meta.collections.empty()) return names;
  std::unordered_set<std::string_view> nodes;
  for (const NodeDef& node : meta.graph.nodes) nodes.insert(node.name);
  for (const auto& [key, collection] : meta.collections) {
    if (!wanted(key)) continue;
    for (const std::string& name : collection.nodes) {
      const Result<TensorRef> ref = ParseTensorName(name);
      if (ref.ok() && !ref->is_control() && nodes.contains(ref->node)) names.push_back(name);
    }
  }
  return names;
}

Status FileError(const fs::path& path, const std::error_code& error) {
  return IoError("{}: {}", path.string(), error.message());
}

// A directory that vanishes with its contents unless it is renamed away.
class TemporaryDirectory {
 public:
  // With the permissions of an ordinary directory, which mkdtemp does not give.
  static Result<TemporaryDirectory> Beside(const fs::path& target) {
    std::string path;
    do {
      uint64_t random = 0;
      if (::getentropy(&random, sizeof(random)) != 0)
        return IoError("{}: no random name: {}", target.string(), std::strerror(errno));
      path = fmt::format("{}.{:016x}", target.string(), random);
      if (::mkdir(path.c_str(), 0777) == 0) return TemporaryDirectory(path);
    } while (errno == EEXIST);
    return IoError("{}: cannot create: {}", path, std::strerror(errno));
  }
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  explicit TemporaryDirectory(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

Status CopyFile(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  if (!error) fs::copy_file(from, to, error);
  return error ? FileError(from, error) : OkStatus();
}

// The checkpoint's index and data, under the prefix that loaders of SavedModels look for.
Status CopyCheckpoint(const std::string& prefix, const fs::path& directory) {
  const fs::path path(prefix);
  const std::string name = path.filename().string();
  std::error_code error;
  fs::directory_iterator files(path.has_parent_path() ? path.parent_path() : ".", error);
  if (error) return FileError(path.parent_path(), error);
  for (const fs::directory_entry& file : files) {
    const std::string found = file.path().filename().string();
    if (found != name + ".index" && !found.starts_with(name + ".data-")) continue;
    GRAFT_RETURN_IF_ERROR(
        CopyFile(file.path(), directory / ("variables" + found.substr(name.size()))));
  }
  return OkStatus();
}

Status CheckTarget(const fs::path& target, const std::string& source) {
  std::error_code error;
  if (!fs::exists(target, error)) return OkStatus();
  if (!source.empty() && fs::equivalent(target, source, error))
    return InvalidArgumentError("{}: a model cannot be written over itself", target.string());
  if (!fs::is_directory(target) ||
      (!fs::is_empty(target, error) && !fs::exists(target / kModelFile))) {
    return InvalidArgumentError("{}: exists and is no SavedModel", target.string());
  }
  return OkStatus();
}

}  // namespace

Result<SavedObject::Child> ParseObjectReference(std::string_view wire) {
  SavedObject::Child child;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, nullptr, Field(1, &child.node), Field(2, &child.name)));
  return child;
}

Result<MetaGraph> ParseMetaGraph(const FileBytes& bytes) { return ParseMetaGraphPart(bytes); }

Result<SavedModel> ParseSavedModel(const FileBytes& bytes) {
  SavedModel model;
  GRAFT_RETURN_IF_ERROR(ReadFields(bytes.view(), nullptr, Field(2, [&](std::string_view part) {
                                     return Store(ParseMetaGraphPart(Part(bytes, part)),
                                                  &model.meta_graphs);
                                   })));
  if (model.meta_graphs.empty()) return DataLossError("no MetaGraph in it");
  return model;
}

Result<SavedModel> ReadSavedModel(const std::string& directory) {
  const fs::path path = fs::path(directory) / kModelFile;
  std::error_code error;
  if (!fs::exists(path, error)) {
    if (const fs::path text = fs::path(directory) / "saved_model.pbtxt"; fs::exists(text, error)) {
      return UnsupportedError(
          "{}: the text form is not read; convert it with: python -c \"from google.protobuf import "
          "text_format; from tensorflow.core.protobuf.saved_model_pb2 import SavedModel; "
          "open('{}', 'wb').write(text_format.Parse(open('{}').read(), "
          "SavedModel()).SerializeToString())\"",
          text.string(), path.string(), text.string());
    }
    if (const fs::path cpb = fs::path(directory) / "saved_model.cpb"; fs::exists(cpb, error)) {
      return UnsupportedError(
          "{}: the chunked form is not read; convert it with TensorFlow: model = "
          "tf.saved_model.load(DIRECTORY), then tf.saved_model.save(model, OTHER, "
          "signatures=model.signatures) without experimental_image_format",
          cpb.string());
    }
  }
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path.string()));
  Result<SavedModel> model = ParseSavedModel(bytes);
  if (!model.ok()) return model.status().WithContext(path.string());
  for (MetaGraph& meta : model->meta_graphs)
    GRAFT_RETURN_IF_ERROR(TakeWeightsFromFile(directory, &meta).WithContext(directory));
  model->directory = directory;
  return model;
}

Result<MetaGraph> ReadMetaGraph(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path));
  Result<MetaGraph> meta = ParseMetaGraph(bytes);
  if (!meta.ok()) return meta.status().WithContext(path);
  return meta;
}

std::vector<std::string> CollectedNodes(const MetaGraph& meta) {
  return NamesIn(meta, [](std::string_view key) {
    return std::ranges::find(kTrainingCollections, key) == std::end(kTrainingCollections) &&
           std::ranges::find(kInitializers, key) == std::end(kInitializers);
  });
}

std::vector<std::string> CollectedInitializers(const MetaGraph& meta) {
  return NamesIn(meta, [](std::string_view key) {
    return std::ranges::find(kInitializers, key) != std::end(kInitializers);
  });
}

Result<MetaGraph> SelectMetaGraph(SavedModel model, const std::vector<std::string>& tags) {
  std::vector<std::string> wanted = tags;
  std::ranges::sort(wanted);
  std::vector<std::string> existing;
  for (MetaGraph& meta : model.meta_graphs) {
    if (meta.tags == wanted) return std::move(meta);
    existing.push_back(fmt::format("[{}]", fmt::join(meta.tags, ", ")));
  }
  return InvalidArgumentError("{}: no graph with the tags [{}]; there are: {}", model.directory,
                              fmt::join(wanted, ", "), fmt::join(existing, "; "));
}

Result<const Signature*> SelectSignature(const MetaGraph& meta, std::string_view key) {
  const auto it = meta.signatures.find(key);
  if (it != meta.signatures.end()) return &it->second;
  std::vector<std::string_view> keys;
  for (const auto& [existing, signature] : meta.signatures) keys.push_back(existing);
  return InvalidArgumentError("no signature '{}'; there are: {}", key, fmt::join(keys, ", "));
}

Status CheckAssetName(const std::string& name) {
  const fs::path path(name);
  const bool climbs = std::ranges::find(path, fs::path("..")) != path.end();
  if (name.empty() || path.is_absolute() || climbs)
    return DataLossError("asset file name '{}' leaves the model's directory", name);
  return OkStatus();
}

Status WriteSavedModel(const MetaGraph& meta, const ModelFiles& files,
                       const std::string& target_text) {
  const std::string& source = files.directory;
  fs::path target(target_text);
  if (!target.has_filename()) target = target.parent_path();  // "dir/"
  GRAFT_RETURN_IF_ERROR(CheckTarget(target, source));
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, EncodedSavedModel(meta));
  std::error_code error;
  if (target.has_parent_path()) fs::create_directories(target.parent_path(), error);
  if (error) return FileError(target.parent_path(), error);

  GRAFT_ASSIGN_OR_RETURN(TemporaryDirectory made, TemporaryDirectory::Beside(target));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomically((made.path() / kModelFile).string(), bytes));
  for (const AssetFile& asset : meta.assets) {
    GRAFT_RETURN_IF_ERROR(CheckAssetName(asset.filename));
    const fs::path to = made.path() / "assets" / asset.filename;
    if (fs::exists(to, error)) continue;  // two tensors may name one file
    if (asset.write) {
      fs::create_directories(to.parent_path(), error);
      if (error) return FileError(to.parent_path(), error);
      GRAFT_RETURN_IF_ERROR(asset.write(to.string()));
      continue;
    }
    GRAFT_RETURN_IF_ERROR(CopyFile(fs::path(source) / "assets" / asset.filename, to));
  }
  // What users put beside the assets: warm-up requests of TensorFlow Serving, ….
  if (const fs::path extra = fs::path(source) / "assets.extra";
      !source.empty() && fs::is_directory(extra, error)) {
    fs::copy(extra, made.path() / "assets.extra", fs::copy_options::recursive, error);
    if (error) return FileError(extra, error);
  }
  if (meta.saver && !files.checkpoint.empty())
    GRAFT_RETURN_IF_ERROR(CopyCheckpoint(files.checkpoint, made.path() / "variables"));
  if (fs::exists(target, error)) {
    // Exchange, so that the target is a whole model at every moment; the old one goes with `made`.
    if (::renameat2(AT_FDCWD, made.path().c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0)
      return IoError("{}: cannot replace: {}", target.string(), std::strerror(errno));
    return OkStatus();
  }
  fs::rename(made.path(), target, error);
  return error ? FileError(target, error) : OkStatus();
}

}  // namespace graft::tf
