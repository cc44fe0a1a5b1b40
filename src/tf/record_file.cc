#include "tf/record_file.h"

#include <bit>
#include <cstring>

#include "base/crc32c.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

static_assert(std::endian::native == std::endian::little, "records are read as they lie");

// A record: its size, the size's checksum, the data, the data's checksum.
constexpr size_t kHead = sizeof(uint64_t) + sizeof(uint32_t);
constexpr size_t kTail = sizeof(uint32_t);

template <class T>
T NumberAt(const FileBytes& bytes, size_t at) {
  T number;
  std::memcpy(&number, bytes.data.get() + at, sizeof(T));
  return number;
}

bool IsGzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }
// The two bytes of zlib's header are a multiple of 31.
bool IsZlib(std::string_view bytes) {
  return bytes.size() > 1 && bytes[0] == 0x78 &&
         (0x7800 + static_cast<uint8_t>(bytes[1])) % 31 == 0;
}

// Of a oneof the last member counts; parts of one member are joined.
template <class T>
auto MembersOf(uint32_t field, Example::Feature* feature) {
  return Field(field, [feature](std::string_view list) {
    if (!std::holds_alternative<std::vector<T>>(*feature)) *feature = std::vector<T>();
    return ReadFields(list, nullptr, Field(1, &std::get<std::vector<T>>(*feature)));
  });
}

Result<Example::Feature> ParseFeature(std::string_view bytes) {
  Example::Feature feature;
  GRAFT_RETURN_IF_ERROR(ReadFields(bytes, nullptr, MembersOf<std::string>(1, &feature),
                                   MembersOf<float>(2, &feature), MembersOf<int64_t>(3, &feature)));
  return feature;
}

}  // namespace

Result<RecordFile> RecordFile::Open(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(FileBytes bytes, ReadFile(path));
  Result<RecordFile> file = FromBytes(std::move(bytes));
  if (!file.ok()) return file.status().WithContext(path);
  file->is_mapped_ = true;
  file->Release();
  return file;
}

Result<RecordFile> RecordFile::FromBytes(FileBytes bytes) {
  RecordFile file;
  file.bytes_ = std::move(bytes);
  const size_t size = file.bytes_.size;
  for (size_t at = 0; at < size;) {
    const int64_t number = file.records();
    const bool has_head = size - at >= kHead;
    const auto length = has_head ? NumberAt<uint64_t>(file.bytes_, at) : 0;
    if (!has_head || MaskCrc(Crc32c(0, file.bytes_.data.get() + at, sizeof(length))) !=
                         NumberAt<uint32_t>(file.bytes_, at + sizeof(length))) {
      if (at == 0 && (IsGzip(file.bytes_.view()) || IsZlib(file.bytes_.view())))
        return UnsupportedError("compressed records are not read; write them without compression");
      return DataLossError("record {}, at byte {}: the head is damaged", number, at);
    }
    at += kHead;
    if (size - at < kTail || length > size - at - kTail)
      return DataLossError("record {}: {} bytes, of which {} are there", number, length, size - at);
    file.begins_.emplace_back(at, length);
    at += length + kTail;
  }
  return file;
}

Result<FileBytes> RecordFile::Read(int64_t record) const {
  const auto [at, size] = begins_[record];
  const FileBytes data = Part(bytes_, bytes_.view().substr(at, size));
  if (MaskCrc(Crc32c(0, data.data.get(), size)) != NumberAt<uint32_t>(bytes_, at + size))
    return DataLossError("record {}: the checksum is another", record);
  return data;
}

const Example::Feature* Example::Find(std::string_view name) const {
  const Feature* found = nullptr;
  for (const auto& [key, feature] : features) {
    if (key == name) found = &feature;
  }
  return found;
}

Result<Example> ParseExample(std::string_view bytes) {
  Example example;
  const auto read_entry = [&](std::string_view entry) -> Status {
    auto& [key, feature] = example.features.emplace_back();
    std::string_view mapped;
    GRAFT_RETURN_IF_ERROR(ReadFields(entry, nullptr, Field(1, &key), Field(2, &mapped)));
    GRAFT_ASSIGN_OR_RETURN(feature, ParseFeature(mapped));
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(ReadFields(bytes, nullptr, Field(1, [&](std::string_view features) {
                                     return ReadFields(features, nullptr, Field(1, read_entry));
                                   })));
  return example;
}

}  // namespace graft::tf
