// One way in for every model: reads it, fills in default attributes, inlines calls, freezes
// variables, and cuts the graph down to what its outputs need.
#pragma once

#include <string>
#include <vector>

#include "base/hash.h"
#include "tf/endpoint.h"
#include "tf/freeze.h"
#include "tf/graph_def.h"
#include "tf/inline.h"
#include "tf/saved_model.h"
#include "tf/tidy.h"

namespace graft::tf {

struct ModelSpec {
  // A frozen graph (.pb), a SavedModel directory, or a MetaGraph (.meta).
  std::string path;
  // Of a SavedModel.
  std::vector<std::string> tags = {"serve"};
  std::string signature = "serving_default";
  bool only_signature = false;  // the others are dropped
  // A checkpoint's prefix. Empty: the SavedModel's own, the .meta file's name without .meta.
  std::string checkpoint;
  TidyOptions tidy;
  // Tensor names or signature keys; an input may carry a shape: "a:0[1,224,224,3]", ? or -1 for an
  // unknown dimension. Empty: the signature's; of a frozen graph, its placeholders, and the nodes
  // that nothing reads.
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

enum class ModelKind { kFrozenGraph, kSavedModel, kMetaGraph };

struct LoadedModel {
  ModelKind kind = ModelKind::kFrozenGraph;
  // What the outputs need, inputs included; nothing else.
  GraphDef graph;
  std::vector<Endpoint> inputs;
  std::vector<Endpoint> outputs;
  // For writing the whole model again (WriteSavedModel): all signatures of the tag over one graph
  // of which `graph` is a part, with initialisation, assets, and a saver if variables are left.
  // Without a SavedModel it is `graph` under one signature.
  MetaGraph whole;
  ModelFiles files;
  std::vector<KeptCall> kept_calls;
  FreezeReport freezing;
  TidyReport tidying;
  std::vector<std::string> warnings;
  // Of the model file and the checkpoint index (which holds the checksums of all tensors).
  Hash128 content_hash;
};

Result<LoadedModel> LoadModel(const ModelSpec& spec);

}  // namespace graft::tf
