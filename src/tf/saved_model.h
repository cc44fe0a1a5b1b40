// SavedModel directories and MetaGraphDef files (.meta): reader, and writer of the V1 form.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tf/graph_def.h"

namespace graft::tf {

// One input or output of a signature.
struct TensorInfo {
  std::string name;  // of a tensor of the main graph; empty for sparse and composite tensors
  DType dtype = DType::kInvalid;
  Shape shape;
  // What a sparse tensor ("indices", "values", "dense_shape") or another composite one ("0", "1",
  // …) consists of.
  struct Part {
    std::string label;
    std::string name;
    DType dtype = DType::kInvalid;
    Shape shape;
  };
  std::vector<Part> parts;
  std::string other;  // the encoded fields that say so
};

struct Signature {
  std::map<std::string, TensorInfo, std::less<>> inputs;
  std::map<std::string, TensorInfo, std::less<>> outputs;
  std::string method;
  std::string other;
};

// A file under assets/ whose path is fed to a tensor of the main graph when the model is loaded.
struct AssetFile {
  std::string tensor;
  std::string filename;
  // Of a file that the model did not have: writes it to a path.
  std::function<Status(const std::string& path)> write = nullptr;
};

// What a program of TensorFlow 1 noted under a name.
struct Collection {
  std::vector<std::string> nodes;  // and tensors
  std::string other;               // the encoded fields of its other kinds
};

struct SaverDef {
  std::string filename_tensor;
  std::string save_tensor;
  std::string restore_op;
  std::string other;
};

// The objects that a TF2 program saved: what functions captured, and what those things are.
struct SavedObject {
  enum class Kind { kOther, kAsset, kVariable, kConstant, kResource };
  struct Child {
    int32_t node = 0;
    std::string name;
  };
  Kind kind = Kind::kOther;
  std::vector<Child> children;
  std::string name;  // a variable's name, the Const operation of a constant
};
struct SavedObjectGraph {
  std::vector<SavedObject> nodes;
  // Function → the objects its last arguments are bound to, in order.
  std::map<std::string, std::vector<int64_t>, std::less<>> bound_inputs;
};

struct MetaGraph {
  std::vector<std::string> tags;
  std::string tensorflow_version;
  GraphDef graph;
  std::optional<SaverDef> saver;
  std::map<std::string, Signature, std::less<>> signatures;  // without __saved_model_…
  std::string init_op;  // main-graph node to run after restoring; empty when there is none
  std::vector<AssetFile> assets;
  // Without those that the fields above hold, and those of variables and of control flow: loaders
  // look for all that these name, and converting takes it away.
  std::map<std::string, Collection, std::less<>> collections;
  std::optional<SavedObjectGraph> objects;
};

struct SavedModel {
  std::string directory;
  std::vector<MetaGraph> meta_graphs;
};

// An ObjectReference: the edge of a model's object graph, and of a checkpoint's.
Result<SavedObject::Child> ParseObjectReference(std::string_view wire);

Result<SavedModel> ParseSavedModel(const FileBytes& bytes);
Result<MetaGraph> ParseMetaGraph(const FileBytes& bytes);

// Reads DIRECTORY/saved_model.pb; weights that are in a file (tf/weights_file.h) are constants. The
// text form (.pbtxt) and the chunked form (.cpb) are kUnsupported, with how to convert them.
Result<SavedModel> ReadSavedModel(const std::string& directory);
Result<MetaGraph> ReadMetaGraph(const std::string& path);

// What collections name of the graph: nodes and tensors that a program may ask for. Not what only
// training needs (losses, summaries, updates), and nothing that is not there.
std::vector<std::string> CollectedNodes(const MetaGraph& meta);
// Of the collections of what a program runs before anything else: it fills tables.
std::vector<std::string> CollectedInitializers(const MetaGraph& meta);

// The MetaGraph with exactly these tags; kInvalidArgument lists the tag sets there are.
Result<MetaGraph> SelectMetaGraph(SavedModel model, const std::vector<std::string>& tags);
// kInvalidArgument lists the keys there are.
Result<const Signature*> SelectSignature(const MetaGraph& meta, std::string_view key);

// Where the files that a model needs are.
struct ModelFiles {
  std::string directory;   // of the SavedModel that it was; empty: it was none
  std::string checkpoint;  // its prefix; empty: there is none
};

// Asset names come from the model: they must stay inside its directory.
Status CheckAssetName(const std::string& name);

// Writes the V1 form, which every loader of TensorFlow reads: `meta` with its graph, signatures,
// initialisation, collections (of what the graph still has) and assets, whose files are copied out
// of the model's directory unless they are new, and, when `meta` has a saver, the checkpoint. All
// goes to a directory beside the target, renamed at the end. An existing target is replaced only if
// it is a SavedModel (or empty), and is not the model's directory.
Status WriteSavedModel(const MetaGraph& meta, const ModelFiles& files, const std::string& target);

}  // namespace graft::tf
