#include "engine_resource.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "tensorflow/core/lib/io/path.h"
#include "tensorrt_bytes.h"

namespace graft_tf {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr int kSerializedEngineField = 2;
constexpr int kKeyField = 15;

}  // namespace

std::string ResourceName(absl::string_view node) {
  return std::string(tensorflow::io::Basename(node));
}

absl::Status EngineResource::AddRecord(absl::string_view record) {
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(record.data()),
                                               static_cast<int>(record.size()));
  SavedEngine engine;
  while (const uint32_t tag = input.ReadTag()) {
    std::string* field = nullptr;
    if (tag == WireFormatLite::MakeTag(kSerializedEngineField,
                                       WireFormatLite::WIRETYPE_LENGTH_DELIMITED)) {
      field = &engine.plan;
    } else if (tag ==
               WireFormatLite::MakeTag(kKeyField, WireFormatLite::WIRETYPE_LENGTH_DELIMITED)) {
      field = &engine.key;
    }
    bool good;
    if (field != nullptr) {
      uint32_t size;
      good = input.ReadVarint32(&size) && input.ReadString(field, static_cast<int>(size));
    } else {
      good = WireFormatLite::SkipField(&input, tag);
    }
    if (!good) return absl::DataLossError("a record of the engine file is damaged");
  }
  if (!input.ConsumedEntireMessage())
    return absl::DataLossError("a record of the engine file is damaged");
  if (IsTensorRtEngine(engine.plan)) return absl::UnimplementedError(kTensorRtEngine);
  if (engine.plan.empty()) return absl::OkStatus();
  if (engine.key.empty()) return absl::UnimplementedError("an engine that is not Graft's");
  Add(std::move(engine));
  return absl::OkStatus();
}

void EngineResource::Add(SavedEngine engine) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (SavedEngine& known : engines_) {
    if (known.key != engine.key) continue;
    known = std::move(engine);
    return;
  }
  engines_.push_back(std::move(engine));
}

void EngineResource::Remove(const std::string& key) {
  std::lock_guard<std::mutex> lock(mutex_);
  engines_.erase(std::remove_if(engines_.begin(), engines_.end(),
                                [&](const SavedEngine& e) { return e.key == key; }),
                 engines_.end());
}

std::vector<std::string> EngineResource::Records() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> records;
  for (const SavedEngine& engine : engines_) {
    std::string record;
    {
      google::protobuf::io::StringOutputStream stream(&record);
      google::protobuf::io::CodedOutputStream output(&stream);
      WireFormatLite::WriteBytes(kSerializedEngineField, engine.plan, &output);
      WireFormatLite::WriteBytes(kKeyField, engine.key, &output);
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::string EngineResource::Find(const std::string& key) const {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const SavedEngine& engine : engines_) {
    if (engine.key == key) return engine.plan;
  }
  return {};
}

std::string EngineResource::DebugString() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return absl::StrCat("engines of the nodes of one name: ", engines_.size());
}

}  // namespace graft_tf
