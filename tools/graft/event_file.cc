#include "event_file.h"

#include <bit>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <protozero/pbf_writer.hpp>

#include "base/crc32c.h"
#include "base/file.h"

namespace graft {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written as they lie");

constexpr size_t kLargestAttribute = 1024;
// Fields of tensorflow.Event.
constexpr protozero::pbf_tag_type kWallTime = 1;
constexpr protozero::pbf_tag_type kFileVersion = 3;
constexpr protozero::pbf_tag_type kGraphDef = 4;

bool IsLarge(const tf::AttrValue& value) {
  if (const auto* text = value.get<std::string>()) return text->size() > kLargestAttribute;
  const auto* tensor = value.get<tf::TensorValue>();
  if (tensor == nullptr) return false;
  std::string encoded;
  tensor->AppendTo(&encoded);
  return encoded.size() > kLargestAttribute;
}

void DropLargeAttributes(std::vector<tf::NodeDef>& nodes) {
  for (tf::NodeDef& node : nodes) {
    std::vector<std::string> dropped;
    for (const auto& [key, value] : node.attrs) {
      if (IsLarge(value)) dropped.push_back(key);
    }
    for (const std::string& key : dropped) node.attrs.erase(key);
    if (!dropped.empty()) node.attrs["_too_large_attrs"] = std::move(dropped);
  }
}

// A record of TensorFlow's record files: length and data, each with its checksum.
void AppendRecord(const std::string& data, std::string* file) {
  auto append = [&](const auto& number) {
    file->append(reinterpret_cast<const char*>(&number), sizeof(number));
  };
  const uint64_t size = data.size();
  append(size);
  append(MaskCrc(Crc32c(0, &size, sizeof(size))));
  file->append(data);
  append(MaskCrc(Crc32c(0, data.data(), data.size())));
}

template <class Field>
void AppendEvent(Field add_field, std::string* file) {
  std::string event;
  protozero::pbf_writer writer(event);
  writer.add_double(
      kWallTime,
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  add_field(writer);
  AppendRecord(event, file);
}

}  // namespace

Status WriteGraphEvent(const std::string& folder, tf::GraphDef graph) {
  DropLargeAttributes(graph.nodes);
  for (tf::FunctionDef& function : graph.functions) DropLargeAttributes(function.nodes);
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, tf::SerializeGraphDef(graph));
  std::string file;
  AppendEvent([](auto& event) { event.add_string(kFileVersion, "brain.Event:2"); }, &file);
  AppendEvent([&](auto& event) { event.add_bytes(kGraphDef, bytes); }, &file);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return IoError("{}: {}", folder, error.message());
  return WriteFileAtomically(folder + "/events.out.tfevents.graft", file);
}

}  // namespace graft
