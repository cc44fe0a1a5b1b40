// Converting graphs from C++, as TF-TRT's trt_convert_api.h did: a thin layer over c_api.h, so that
// programs depend on the C ABI alone. Graphs are serialised GraphDefs; no TensorFlow is needed.
//
//   graft::api::ConversionParams params;
//   auto converted = graft::api::ConvertAndBuild(graph_def.SerializeAsString(), {"image"},
//   {"logits"},
//                                                {{{1, 224, 224, 3}}, {{8, 224, 224, 3}}}, params);
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "graft/c_api.h"
#include "graft/status.h"

namespace graft::api {

// TF-TRT's TfTrtConversionParams, with its defaults.
struct ConversionParams {
  int64_t max_workspace_size_bytes = int64_t{1} << 30;
  std::string precision_mode =
      "FP32";  // "FP16", "INT8" (by quantisation nodes: nothing is calibrated)
  int minimum_segment_size = 3;
  int max_cached_engines = 1;
  bool allow_build_at_runtime = true;
  bool use_dynamic_shape = true;  // recorded: engines take every shape
  std::string profile_strategy = "range";
  bool convert_to_static_engine = true;  // false: engines are built when they first run
};

// Dimensions of the inputs, in their order: engines are tuned for them, and take any other.
using InputShapes = std::vector<std::vector<int64_t>>;

namespace internal {

inline std::string Quoted(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      quoted += "\\u00";
      quoted += kHex[byte >> 4];
      quoted += kHex[byte & 15];
      continue;
    }
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  quoted += '"';
  return quoted;
}

template <class List, class ToJson>
std::string JsonList(const List& list, ToJson to_json) {
  std::string json = "[";
  for (const auto& item : list) {
    if (json.size() > 1) json += ',';
    json += to_json(item);
  }
  json += ']';
  return json;
}

// The options that all conversions have; the object is left open.
inline std::string JsonOptions(std::vector<std::string> input_names,
                               const std::vector<InputShapes>& shapes,
                               const ConversionParams& params) {
  // A point of too many shapes is the library's to refuse: it knows no input without a name.
  for (const InputShapes& inputs : shapes)
    if (inputs.size() > input_names.size()) input_names.resize(inputs.size());
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  const auto point = [&](const InputShapes& inputs) {
    std::string json = "{";
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (i > 0) json += ',';
      json += Quoted(input_names[i]);
      json += ':';
      json += JsonList(inputs[i], [](int64_t d) { return std::to_string(d); });
    }
    json += '}';
    return json;
  };
  std::string json = "{\"max-workspace-size-bytes\":";
  json += std::to_string(params.max_workspace_size_bytes);
  json += ",\"precision-mode\":" + Quoted(params.precision_mode);
  json += ",\"minimum-segment-size\":" + std::to_string(params.minimum_segment_size);
  json += ",\"maximum-cached-engines\":" + std::to_string(params.max_cached_engines);
  json += std::string(",\"use-calibration\":false,\"allow-build-at-runtime\":") +
          flag(params.allow_build_at_runtime);
  json += std::string(",\"use-implicit-batch\":") + flag(!params.use_dynamic_shape);
  json +=
      ",\"profile-strategy\":" + Quoted(params.use_dynamic_shape ? params.profile_strategy : "");
  json += std::string(",\"static-engine\":") + flag(params.convert_to_static_engine);
  json += std::string(",\"build-engines\":") + flag(params.convert_to_static_engine);
  return json + ",\"shapes\":" + JsonList(shapes, point);
}

// The text of `bytes`, which is freed.
inline std::string Take(graft_bytes* bytes) {
  std::string text(static_cast<const char*>(graft_bytes_data(bytes)), graft_bytes_size(bytes));
  graft_bytes_free(bytes);
  return text;
}

}  // namespace internal

// What a conversion gives: the converted GraphDef, and the report as `graft convert --json` writes
// it.
struct Converted {
  std::string graph_def;
  std::string report;
};

// Converts a frozen GraphDef and builds its engines. `input_names` are placeholders and
// `output_names` tensors or nodes; each of `shapes` has dimensions for every input. Errors:
// GRAFT_INVALID_ARGUMENT for names that are not in the graph, shapes that do not fit and parameters
// that make no sense, GRAFT_DATA_LOSS for bytes that are no GraphDef.
inline Result<Converted> ConvertAndBuild(const std::string& graph_def,
                                         const std::vector<std::string>& input_names,
                                         const std::vector<std::string>& output_names,
                                         const std::vector<InputShapes>& shapes,
                                         const ConversionParams& params = {}) {
  const std::string options = internal::JsonOptions(input_names, shapes, params) +
                              ",\"outputs\":" + internal::JsonList(output_names, internal::Quoted) +
                              "}";
  graft_bytes *converted = nullptr, *report = nullptr;
  Status status(graft_convert_graph_def(graph_def.data(), graph_def.size(), options.c_str(),
                                        &converted, &report));
  if (!status.ok()) return status;
  return Converted{internal::Take(converted), internal::Take(report)};
}

// The same of a SavedModel's signature, from folder to folder; gives the report. `input_names` are
// the signature's.
inline Result<std::string> ConvertAndBuildSavedModel(
    const std::string& saved_model_dir, const std::string& output_dir,
    const std::vector<std::string>& input_names, const std::vector<InputShapes>& shapes,
    const ConversionParams& params = {}, const std::string& signature_key = "serving_default",
    const std::vector<std::string>& tags = {"serve"}) {
  const std::string options = internal::JsonOptions(input_names, shapes, params) +
                              ",\"signature\":" + internal::Quoted(signature_key) +
                              ",\"tags\":" + internal::JsonList(tags, internal::Quoted) + "}";
  graft_bytes* report = nullptr;
  Status status(
      graft_convert_model(saved_model_dir.c_str(), output_dir.c_str(), options.c_str(), &report));
  if (!status.ok()) return status;
  return internal::Take(report);
}

}  // namespace graft::api
