#include "engine_resource.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"

namespace graft_tf {
namespace {

using google::protobuf::internal::WireFormatLite;

constexpr int kSerializedEngineField = 2;

}  // namespace

absl::Status EngineResource::AddRecord(absl::string_view record) {
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(record.data()),
                                               static_cast<int>(record.size()));
  std::string engine;
  while (const uint32_t tag = input.ReadTag()) {
    bool good;
    if (tag == WireFormatLite::MakeTag(kSerializedEngineField,
                                       WireFormatLite::WIRETYPE_LENGTH_DELIMITED)) {
      uint32_t size;
      good = input.ReadVarint32(&size) && input.ReadString(&engine, static_cast<int>(size));
    } else {
      good = WireFormatLite::SkipField(&input, tag);
    }
    if (!good) return absl::DataLossError("a record of the engine file is damaged");
  }
  if (!input.ConsumedEntireMessage())
    return absl::DataLossError("a record of the engine file is damaged");
  if (!engine.empty()) AddEngine(std::move(engine));
  return absl::OkStatus();
}

void EngineResource::AddEngine(std::string plan) {
  std::lock_guard<std::mutex> lock(mutex_);
  engines_.push_back(std::move(plan));
}

std::vector<std::string> EngineResource::Records() const {
  std::vector<std::string> records;
  for (const std::string& engine : Engines()) {
    std::string record;
    {
      google::protobuf::io::StringOutputStream stream(&record);
      google::protobuf::io::CodedOutputStream output(&stream);
      WireFormatLite::WriteBytes(kSerializedEngineField, engine, &output);
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<std::string> EngineResource::Engines() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return engines_;
}

std::string EngineResource::DebugString() const {
  return absl::StrCat("engines of one node: ", Engines().size());
}

}  // namespace graft_tf
