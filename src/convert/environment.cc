#include "convert/environment.h"

#include <charconv>
#include <cstdlib>
#include <optional>

#include "base/split.h"

namespace graft::convert {
namespace {

std::string_view Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

std::set<std::string> List(std::string_view text) {
  std::set<std::string> items;
  for (const std::string_view item : Split(text, ',')) {
    if (!item.empty()) items.emplace(item);
  }
  return items;
}

std::optional<int> Integer(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> Flag(const char* name) {
  const std::string_view text = Variable(name);
  if (text == "1" || text == "true") return true;
  if (text == "0" || text == "false") return false;
  return std::nullopt;
}

}  // namespace

Status ApplyEnvironment(ConvertOptions* options) {
  options->candidates.denied_ops = List(Variable("TF_TRT_OP_DENYLIST"));
  options->candidates.faked_ops = List(Variable("TF_TRT_OP_FAKELIST"));
  if (const std::string_view text = Variable("TF_TRT_MAX_ALLOWED_ENGINES"); !text.empty()) {
    const std::optional<int> engines = Integer(text);
    if (!engines) {
      return InvalidArgumentError("TF_TRT_MAX_ALLOWED_ENGINES '{}': must be an integer", text);
    }
    options->cluster.maximum_segments = *engines;
  }
  if (const std::string_view text = Variable("TF_TRT_SHOW_DETAILED_REPORT"); !text.empty()) {
    // A level or the name of a file.
    if (const std::optional<int> level = Integer(text)) {
      options->detailed_report = *level >= 1;
    } else {
      options->exports.csv_report = text;
    }
  }
  options->exports.graph_picture = Variable("TF_TRT_EXPORT_GRAPH_VIZ_PATH");
  options->exports.engines_folder = Variable("TF_TRT_EXPORT_TRT_ENGINES_PATH");
  for (const auto& [name, option] :
       {std::pair("GRAFT_EMBED_WEIGHTS", &options->embed_weights),
        std::pair("GRAFT_WEIGHTS_IN_GRAPH", &options->weights_in_graph),
        std::pair("GRAFT_KEEP_ASSERTS", &options->tidy.keep_asserts),
        std::pair("GRAFT_STRICT_INT8", &options->build.int8.strict)}) {
    const std::string_view text = Variable(name);
    if (text.empty()) continue;
    const std::optional<bool> flag = Flag(name);
    if (!flag) return InvalidArgumentError("{} '{}': must be 0 or 1", name, text);
    *option = *option || *flag;
  }
  // The others that TF-TRT knows have nothing to act on here: disable_graph_freezing,
  // disable_logger_filtering.
  const std::set<std::string> features = List(Variable("TF_TRT_EXPERIMENTAL_FEATURES"));
  options->candidates.deny_float_casts = features.contains("reject_all_fp_cast_ops");
  options->attributes.native_segment = !features.contains("remove_native_segments");
  return OkStatus();
}

}  // namespace graft::convert
