#include "tf/checkpoint.h"

#include <cstring>

#include "base/crc32c.h"
#include "tf/attr_value.h"
#include "tf/table.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

constexpr int32_t kBundleVersion = 1;

Result<Extent> ParseExtent(std::string_view wire) {
  Extent extent;
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(1, &extent.start), Field(2, &extent.length)));
  return extent;
}

Result<TensorSlice> ParseSlice(std::string_view wire) {
  TensorSlice slice;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, nullptr, Field(1, [&](std::string_view part) {
                                     return Store(ParseExtent(part), &slice);
                                   })));
  return slice;
}

Result<BundleEntry> ParseEntry(std::string_view wire) {
  BundleEntry entry;
  int64_t dtype = 0;
  std::string_view shape_wire;
  const auto parse_slice = [&](std::string_view part) {
    return Store(ParseSlice(part), &entry.slices);
  };
  GRAFT_RETURN_IF_ERROR(ReadFields(
      wire, nullptr, Field(1, &dtype), Field(2, &shape_wire), Field(3, &entry.shard),
      Field(4, &entry.offset), Field(5, &entry.size), Field(6, &entry.crc), Field(7, parse_slice)));
  GRAFT_ASSIGN_OR_RETURN(entry.dtype, ParseDTypeNumber(dtype));
  GRAFT_ASSIGN_OR_RETURN(Shape shape, ParseShape(shape_wire));
  if (!shape.fully_known() || CountElements(shape.dims) < 0)
    return DataLossError("shape {}", ToString(shape));
  entry.dims = std::move(shape.dims);
  if (entry.shard < 0 || entry.offset < 0 || entry.size < 0)
    return DataLossError("negative shard, offset or size");
  return entry;
}

Result<int32_t> ParseHeader(std::string_view wire) {
  int32_t num_shards = 0, endianness = 0, min_consumer = 0;
  const auto parse_version = [&](std::string_view part) {
    return ReadFields(part, nullptr, Field(2, &min_consumer));
  };
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, nullptr, Field(1, &num_shards), Field(2, &endianness),
                                   Field(3, parse_version)));
  if (endianness != 0) return UnsupportedError("a big-endian checkpoint");
  if (min_consumer > kBundleVersion)
    return UnsupportedError("needs a reader of bundle version {}", min_consumer);
  if (num_shards < 1) return DataLossError("{} data files", num_shards);
  return num_shards;
}

// The key of a slice: OrderedCode of (0, name, rank, (start, length) per dimension).
void AppendUnsigned(uint64_t value, std::string* out) {
  std::string digits;
  for (; value != 0; value >>= 8) digits.insert(digits.begin(), static_cast<char>(value & 0xff));
  out->push_back(static_cast<char>(digits.size()));
  out->append(digits);
}
void AppendString(std::string_view text, std::string* out) {
  for (char c : text) {
    out->push_back(c);
    if (c == '\0') out->push_back('\xff');
    if (c == '\xff') out->push_back('\0');
  }
  out->append("\0\1", 2);
}
// Big-endian two's complement whose leading bits, inverted for negative numbers, say its length.
void AppendSigned(int64_t value, std::string* out) {
  const uint64_t magnitude = static_cast<uint64_t>(value < 0 ? ~value : value);
  int bits = 0;
  while (bits < 64 && magnitude >> bits != 0) ++bits;
  const int length = bits / 7 + 1;
  char bytes[10];
  for (int i = 0; i < 10; ++i) {
    const int shift = 8 * (9 - i);
    bytes[i] = static_cast<char>(shift < 64 ? value >> shift : value >> 63);
  }
  char* first = bytes + 10 - length;
  const int header = 0xffff & ~(0xffff >> length);  // `length` ones at the top of two bytes
  first[0] ^= static_cast<char>(header >> 8);
  if (length > 1) first[1] ^= static_cast<char>(header & 0xff);
  out->append(first, static_cast<size_t>(length));
}
std::string SliceKey(std::string_view name, const TensorSlice& slice) {
  std::string key;
  AppendUnsigned(0, &key);
  AppendString(name, &key);
  AppendUnsigned(slice.size(), &key);
  for (const Extent& extent : slice) {
    AppendSigned(extent.start, &key);
    AppendSigned(extent.length, &key);
  }
  return key;
}

// The slice with every extent spelled out, or kDataLoss when it does not lie inside `dims`.
Result<TensorSlice> Resolve(std::string_view key, const Dims& dims, TensorSlice slice) {
  if (slice.size() != dims.size())
    return DataLossError("'{}': a slice of rank {} of {}", key, slice.size(), dims.size());
  for (size_t i = 0; i < dims.size(); ++i) {
    Extent& extent = slice[i];
    if (extent.length == Extent::kFull) extent = {0, dims[i]};
    if (extent.start < 0 || extent.length < 0 || extent.start > dims[i] ||
        extent.length > dims[i] - extent.start) {
      return DataLossError("'{}': a slice lies outside the tensor", key);
    }
  }
  return slice;
}

Dims SliceDims(const TensorSlice& slice) {
  Dims dims;
  for (const Extent& extent : slice) dims.push_back(extent.length);
  return dims;
}

// Calls copy(byte offset in the whole, byte offset in the slice, bytes) for every run of the slice.
template <class F>
void ForEachRun(const Dims& dims, const TensorSlice& slice, size_t element, F copy) {
  const Dims part = SliceDims(slice);
  if (CountElements(part) == 0) return;
  if (dims.empty()) return copy(size_t{0}, size_t{0}, element);
  const size_t rank = dims.size();
  const size_t run = static_cast<size_t>(part[rank - 1]) * element;
  Dims at(rank, 0);
  for (size_t done = 0;; done += run) {
    int64_t offset = 0;
    for (size_t i = 0; i < rank; ++i) offset = offset * dims[i] + slice[i].start + at[i];
    copy(static_cast<size_t>(offset) * element, done, run);
    size_t i = rank - 1;
    while (i > 0 && ++at[i - 1] == part[i - 1]) at[--i] = 0;
    if (i == 0) return;
  }
}

}  // namespace

Result<ParsedIndex> ParseCheckpointIndex(std::string_view bytes) {
  GRAFT_ASSIGN_OR_RETURN(TableEntries table, ReadTable(bytes));
  if (table.empty() || !table.front().first.empty())
    return DataLossError("a checkpoint index without its header");
  ParsedIndex index;
  GRAFT_ASSIGN_OR_RETURN(index.num_shards, ParseHeader(table.front().second));
  for (size_t i = 1; i < table.size(); ++i) {
    Result<BundleEntry> entry = ParseEntry(table[i].second);
    if (!entry.ok()) return entry.status().WithContext(fmt::format("'{}'", table[i].first));
    if (entry->shard >= index.num_shards) {
      return DataLossError("'{}': data file {} of {}", table[i].first, entry->shard,
                           index.num_shards);
    }
    index.entries.emplace_hint(index.entries.end(), std::move(table[i].first),
                               std::move(entry).value());
  }
  return index;
}

Result<Checkpoint> Checkpoint::Open(const std::string& prefix) {
  const std::string path = prefix + ".index";
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path));
  Result<ParsedIndex> index = ParseCheckpointIndex(bytes.view());
  if (!index.ok()) return index.status().WithContext(path);
  Checkpoint checkpoint;
  checkpoint.prefix_ = prefix;
  checkpoint.entries_ = std::move(index->entries);
  for (const auto& [key, entry] : checkpoint.entries_) {
    if (!entry.slices.empty() || checkpoint.shards_.contains(entry.shard)) continue;
    GRAFT_ASSIGN_OR_RETURN(
        checkpoint.shards_[entry.shard],
        ReadFile(fmt::format("{}.data-{:05}-of-{:05}", prefix, entry.shard, index->num_shards)));
  }
  return checkpoint;
}

Result<const BundleEntry*> Checkpoint::Find(std::string_view key) const {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return NotFoundError("{}: no tensor '{}'", prefix_, key);
  return &it->second;
}

Result<FileBytes> Checkpoint::Data(std::string_view key, const BundleEntry& entry) const {
  const FileBytes& shard = shards_.at(entry.shard);
  const auto offset = static_cast<uint64_t>(entry.offset);
  const auto size = static_cast<uint64_t>(entry.size);
  if (offset > shard.size || size > shard.size - offset) {
    return DataLossError("{}: '{}' ends at byte {} of data file {}, which has {}", prefix_, key,
                         offset + size, entry.shard, shard.size);
  }
  return Part(shard, shard.view().substr(offset, size));
}

Result<Tensor> Checkpoint::ReadWhole(std::string_view key, const BundleEntry& entry) const {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes data, Data(key, entry));
  const size_t element = SizeOf(entry.dtype);
  if (element == 0) {
    return UnsupportedError("{}: '{}' has type {} (DataType {})", prefix_, key, Name(entry.dtype),
                            static_cast<int>(entry.dtype));
  }
  if (data.size % element != 0 ||
      data.size / element != static_cast<size_t>(CountElements(entry.dims))) {
    return DataLossError("{}: '{}' is {} in {} bytes", prefix_, key,
                         Describe(entry.dtype, entry.dims), data.size);
  }
  if (Crc32c(0, data.data.get(), data.size) != UnmaskCrc(entry.crc))
    return DataLossError("{}: checksum mismatch in '{}'", prefix_, key);
  if (reinterpret_cast<uintptr_t>(data.data.get()) % element == 0)
    return Tensor(entry.dtype, entry.dims, data.data);
  GRAFT_ASSIGN_OR_RETURN(Tensor copy, Tensor::Allocate(entry.dtype, entry.dims));
  std::memcpy(copy.mutable_raw(), data.data.get(), data.size);
  return copy;
}

Result<Tensor> Checkpoint::Assemble(std::string_view key, const BundleEntry& entry) const {
  const size_t element = SizeOf(entry.dtype);
  // Slices first: what they hold bounds what the whole may claim.
  std::vector<std::pair<TensorSlice, Tensor>> parts;
  int64_t elements = 0;
  for (const TensorSlice& stored : entry.slices) {
    GRAFT_ASSIGN_OR_RETURN(TensorSlice slice, Resolve(key, entry.dims, stored));
    GRAFT_ASSIGN_OR_RETURN(const BundleEntry* part, Find(SliceKey(key, stored)));
    if (part->dtype != entry.dtype || part->dims != SliceDims(slice) || !part->slices.empty())
      return DataLossError("{}: a slice of '{}' is not what it claims", prefix_, key);
    GRAFT_ASSIGN_OR_RETURN(Tensor data, ReadWhole(key, *part));
    elements += data.elements();
    parts.emplace_back(std::move(slice), std::move(data));
  }
  if (elements != CountElements(entry.dims)) {
    return DataLossError("{}: the slices of '{}' hold {} of {} elements", prefix_, key, elements,
                         CountElements(entry.dims));
  }
  GRAFT_ASSIGN_OR_RETURN(Tensor whole, Tensor::Allocate(entry.dtype, entry.dims));
  std::memset(whole.mutable_raw(), 0, whole.bytes());
  for (const auto& part : parts) {
    const Tensor& data = part.second;
    ForEachRun(entry.dims, part.first, element, [&](size_t to, size_t from, size_t bytes) {
      std::memcpy(whole.mutable_raw() + to, data.raw() + from, bytes);
    });
  }
  return whole;
}

Result<Tensor> Checkpoint::Read(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const BundleEntry* entry, Find(key));
  return entry->slices.empty() ? ReadWhole(key, *entry) : Assemble(key, *entry);
}

Result<Tensor> Checkpoint::ReadSlice(std::string_view key, const TensorSlice& wanted) const {
  GRAFT_ASSIGN_OR_RETURN(const Tensor whole, Read(key));
  GRAFT_ASSIGN_OR_RETURN(const TensorSlice slice, Resolve(key, whole.dims(), wanted));
  GRAFT_ASSIGN_OR_RETURN(Tensor part, Tensor::Allocate(whole.dtype(), SliceDims(slice)));
  ForEachRun(whole.dims(), slice, SizeOf(whole.dtype()), [&](size_t from, size_t to, size_t bytes) {
    std::memcpy(part.mutable_raw() + to, whole.raw() + from, bytes);
  });
  return part;
}

Result<std::vector<std::string>> Checkpoint::ReadStrings(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const BundleEntry* entry, Find(key));
  if (entry->dtype != DType::kString)
    return InvalidArgumentError("{}: '{}' is {}", prefix_, key, Name(entry->dtype));
  GRAFT_ASSIGN_OR_RETURN(const FileBytes data, Data(key, *entry));
  std::string_view rest = data.view();
  const auto count = static_cast<uint64_t>(CountElements(entry->dims));
  auto truncated = [&] { return DataLossError("{}: '{}' is truncated", prefix_, key); };
  auto mismatch = [&] { return DataLossError("{}: checksum mismatch in '{}'", prefix_, key); };
  if (count > rest.size()) return truncated();  // a length takes at least a byte

  // The checksum runs over the lengths as 32-bit numbers (64-bit where they need it), over its own
  // masked value so far, which is stored after the lengths, and over the strings.
  uint32_t crc = 0;
  std::vector<uint64_t> lengths(count);
  for (uint64_t& length : lengths) {
    try {
      const char* p = rest.data();
      length = protozero::decode_varint(&p, rest.data() + rest.size());
      rest.remove_prefix(static_cast<size_t>(p - rest.data()));
    } catch (const protozero::exception&) {
      return truncated();
    }
    const auto narrow = static_cast<uint32_t>(length);
    crc = narrow == length ? Crc32c(crc, &narrow, sizeof narrow)
                           : Crc32c(crc, &length, sizeof length);
  }
  if (rest.size() < sizeof(uint32_t)) return truncated();
  uint32_t stored;
  std::memcpy(&stored, rest.data(), sizeof stored);
  if (UnmaskCrc(stored) != crc) return mismatch();
  if (UnmaskCrc(entry->crc) != Crc32c(crc, rest.data(), rest.size())) return mismatch();
  rest.remove_prefix(sizeof stored);
  std::vector<std::string> strings;
  strings.reserve(count);
  for (uint64_t length : lengths) {
    if (length > rest.size()) return truncated();
    strings.emplace_back(rest.substr(0, length));
    rest.remove_prefix(length);
  }
  if (!rest.empty()) return DataLossError("{}: '{}' is longer than its strings", prefix_, key);
  return strings;
}

}  // namespace graft::tf
