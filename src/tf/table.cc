#include "tf/table.h"

#include <snappy.h>

#include <cstring>

#include "base/crc32c.h"

namespace graft::tf {
namespace {

constexpr uint64_t kMagic = 0xdb4775248b80fb57;
constexpr size_t kFooterBytes = 48;
constexpr size_t kTrailerBytes = 5;  // of a block: compression type, masked checksum
// Prefix compression lets a few bytes stand for a whole key; these keep a small file from unfolding
// into gigabytes. Real keys are variable names.
constexpr size_t kMaxKeyBytes = 1 << 16;
constexpr size_t kMaxTotalBytes = size_t{1} << 30;
// Snappy's densest element copies 64 bytes and takes 2.
constexpr size_t kMaxSnappyRatio = 64;

Status Corrupt(std::string_view what) { return DataLossError("not a sound table: {}", what); }

uint32_t Fixed32(const char* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

bool TakeVarint(std::string_view* text, uint64_t* value) {
  *value = 0;
  for (int shift = 0; shift < 64 && !text->empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(text->front());
    text->remove_prefix(1);
    *value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

struct BlockHandle {
  uint64_t offset = 0;
  uint64_t size = 0;
};
bool TakeHandle(std::string_view* text, BlockHandle* handle) {
  return TakeVarint(text, &handle->offset) && TakeVarint(text, &handle->size);
}

Result<std::string> ReadBlock(std::string_view file, BlockHandle handle) {
  if (handle.offset > file.size() || handle.size > file.size() - handle.offset ||
      file.size() - handle.offset - handle.size < kTrailerBytes) {
    return Corrupt("a block lies outside the file");
  }
  const std::string_view stored = file.substr(handle.offset, handle.size);
  const char* trailer = stored.data() + stored.size();
  if (UnmaskCrc(Fixed32(trailer + 1)) != Crc32c(0, stored.data(), stored.size() + 1))
    return Corrupt(fmt::format("checksum mismatch in the block at byte {}", handle.offset));
  switch (trailer[0]) {
    case 0:
      return std::string(stored);
    case 1: {
      size_t size = 0;
      std::string block;
      if (!snappy::GetUncompressedLength(stored.data(), stored.size(), &size) ||
          size / kMaxSnappyRatio > stored.size() ||
          !snappy::Uncompress(stored.data(), stored.size(), &block)) {
        return Corrupt("a block is no Snappy data");
      }
      return block;
    }
    default:
      return UnsupportedError("a block has compression type {}", int{trailer[0]});
  }
}

// Appends the block's entries to `entries` and their size to `total`.
Status ReadEntries(std::string_view block, TableEntries* entries, size_t* total) {
  // The restart array at the end serves binary search; entries are read in order here.
  if (block.size() < 4) return Corrupt("a block without its restart count");
  const uint64_t restarts = Fixed32(block.data() + block.size() - 4);
  if (restarts > (block.size() - 4) / 4) return Corrupt("more restarts than the block holds");
  block.remove_suffix(4 * (restarts + 1));
  std::string key;
  while (!block.empty()) {
    uint64_t shared, added, length;
    if (!TakeVarint(&block, &shared) || !TakeVarint(&block, &added) ||
        !TakeVarint(&block, &length) || shared > key.size() || added > block.size() ||
        length > block.size() - added) {
      return Corrupt("an entry passes the end of its block");
    }
    if (shared + added > kMaxKeyBytes) return Corrupt("a key is over 64 KiB");
    key.resize(shared);
    key.append(block.substr(0, added));
    if (!entries->empty() && entries->back().first >= key) return Corrupt("keys out of order");
    *total += key.size() + length + sizeof(TableEntries::value_type);
    if (*total > kMaxTotalBytes) return Corrupt("its entries unfold to over 1 GiB");
    entries->emplace_back(key, block.substr(added, length));
    block.remove_prefix(added + length);
  }
  return OkStatus();
}

}  // namespace

Result<TableEntries> ReadTable(std::string_view file) {
  if (file.size() < kFooterBytes) return Corrupt("shorter than its footer");
  std::string_view footer = file.substr(file.size() - kFooterBytes);
  uint64_t magic;
  std::memcpy(&magic, footer.data() + kFooterBytes - sizeof magic, sizeof magic);
  if (magic != kMagic) return Corrupt("wrong magic number at its end");
  BlockHandle meta_index, index;
  if (!TakeHandle(&footer, &meta_index) || !TakeHandle(&footer, &index))
    return Corrupt("malformed footer");

  size_t total = 0;
  TableEntries blocks;
  GRAFT_ASSIGN_OR_RETURN(const std::string index_block, ReadBlock(file, index));
  GRAFT_RETURN_IF_ERROR(ReadEntries(index_block, &blocks, &total));
  TableEntries entries;
  uint64_t end = 0;
  for (const auto& [separator, value] : blocks) {
    std::string_view rest = value;
    BlockHandle handle;
    if (!TakeHandle(&rest, &handle)) return Corrupt("malformed block handle");
    // Each block once, in file order: an index cannot make one block count many times.
    if (handle.offset < end) return Corrupt("blocks overlap");
    GRAFT_ASSIGN_OR_RETURN(const std::string block, ReadBlock(file, handle));
    end = handle.offset + handle.size;
    GRAFT_RETURN_IF_ERROR(ReadEntries(block, &entries, &total));
  }
  return entries;
}

}  // namespace graft::tf
