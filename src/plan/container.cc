#include "plan/container.h"

#include <cstring>

#include "base/aligned_buffer.h"
#include "base/hash.h"

namespace graft {
namespace {

constexpr uint32_t kMaxSections = 64;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t section_count;
  uint64_t file_size;
  uint64_t hash;
};
struct TableEntry {
  uint32_t kind;
  uint32_t zero;
  uint64_t offset;
  uint64_t size;
  uint64_t hash;
};
static_assert(sizeof(Header) == 32 && sizeof(TableEntry) == 32);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "plan files are little-endian");

constexpr std::string_view kUnknown = "unknown";

std::string_view KindName(uint32_t kind) {
  switch (static_cast<SectionKind>(kind)) {
    case SectionKind::kMetadata:
      return "metadata";
    case SectionKind::kWeights:
      return "weights";
    case SectionKind::kPrepared:
      return "prepared";
    case SectionKind::kPacked:
      return "packed";
  }
  return kUnknown;
}

uint64_t SectionHash(uint32_t kind, std::string_view bytes) {
  return static_cast<SectionKind>(kind) == SectionKind::kWeights ? 0 : HashBytes(bytes).low;
}

// Header::hash is 0 while it is computed.
uint64_t HeaderHash(Header header, std::span<const TableEntry> table) {
  header.hash = 0;
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(table.data()), table.size_bytes());
  return HashBytes(bytes).low;
}

std::string Join(const NewSection& section) {
  std::string bytes;
  for (const NewSection::Piece& piece : section.pieces) {
    bytes.resize(piece.offset, '\0');
    bytes += piece.bytes;
  }
  return bytes;
}

}  // namespace

FileParts WriteContainer(std::span<const NewSection> sections) {
  std::vector<TableEntry> table;
  size_t end = sizeof(Header) + sections.size() * sizeof(TableEntry);
  for (const NewSection& section : sections) {
    std::string joined;
    if (section.kind != SectionKind::kWeights) joined = Join(section);
    const size_t offset = AlignUp(end);
    const auto kind = static_cast<uint32_t>(section.kind);
    table.push_back({kind, 0, offset, section.size(), SectionHash(kind, joined)});
    end = offset + section.size();
  }
  Header header = {};
  std::memcpy(header.magic, kPlanMagic.data(), kPlanMagic.size());
  header.version = kPlanVersion;
  header.section_count = static_cast<uint32_t>(sections.size());
  header.file_size = end;
  header.hash = HeaderHash(header, table);

  FileParts file;
  file.head.assign(reinterpret_cast<const char*>(&header), sizeof(header));
  file.head.append(reinterpret_cast<const char*>(table.data()), table.size() * sizeof(TableEntry));
  size_t at = file.head.size();
  auto append = [&](size_t offset, std::string_view bytes) {
    static constexpr char kZeros[kBufferAlignment] = {};
    for (; at < offset; at += file.rest.back().size())
      file.rest.push_back({kZeros, std::min(offset - at, sizeof(kZeros))});
    if (!bytes.empty()) file.rest.push_back(bytes);
    at += bytes.size();
  };
  for (size_t i = 0; i < sections.size(); ++i) {
    append(table[i].offset, {});
    for (const NewSection::Piece& piece : sections[i].pieces)
      append(table[i].offset + piece.offset, piece.bytes);
  }
  return file;
}

std::string FileParts::Joined() const {
  size_t size = head.size();
  for (const std::string_view part : rest) size += part.size();
  std::string file;
  file.reserve(size);
  file = head;
  for (const std::string_view part : rest) file += part;
  return file;
}

Result<std::vector<Section>> ReadContainer(const FileBytes& bytes) {
  const std::string_view file = bytes.view();
  Header header;
  if (!bytes.view().starts_with(kPlanMagic)) return DataLossError("magic: this is not a plan file");
  if (file.size() < sizeof(Header)) return DataLossError("header: the file is truncated");
  std::memcpy(&header, file.data(), sizeof(header));
  if (header.version > kPlanVersion) {
    return UnsupportedError("version: the plan has version {}, this build reads up to {}",
                            header.version, kPlanVersion);
  }
  if (header.version == 0) return DataLossError("version: 0");
  if (header.file_size != file.size()) {
    return DataLossError("file size: {} bytes are announced, {} are there", header.file_size,
                         file.size());
  }
  if (header.section_count > kMaxSections ||
      sizeof(Header) + header.section_count * sizeof(TableEntry) > file.size()) {
    return DataLossError("section count: {}", header.section_count);
  }
  std::vector<TableEntry> table(header.section_count);
  if (!table.empty())
    std::memcpy(table.data(), file.data() + sizeof(Header), table.size() * sizeof(TableEntry));
  if (HeaderHash(header, table) != header.hash)
    return DataLossError("header hash: the section table is altered");

  std::vector<Section> sections;
  size_t end = sizeof(Header) + table.size() * sizeof(TableEntry);
  for (const TableEntry& entry : table) {
    const std::string_view name = KindName(entry.kind);
    if (entry.offset % kBufferAlignment != 0 || entry.offset < end || entry.offset > file.size() ||
        entry.size > file.size() - entry.offset) {
      return DataLossError("{} section: [{}, +{}) does not lie in the file", name, entry.offset,
                           entry.size);
    }
    end = entry.offset + entry.size;
    const Section section = {static_cast<SectionKind>(entry.kind),
                             file.substr(entry.offset, entry.size)};
    const bool known = name != kUnknown;
    const bool entries_have_hashes =
        section.kind == SectionKind::kPrepared || section.kind == SectionKind::kPacked;
    if (!entries_have_hashes && SectionHash(entry.kind, section.bytes) != entry.hash) {
      return DataLossError("{} section: its hash differs", name);
    }
    if (known) sections.push_back(section);
  }
  return sections;
}

}  // namespace graft
