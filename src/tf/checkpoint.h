// TensorFlow's checkpoints (tensor bundles): PREFIX.index and PREFIX.data-00000-of-00001, ….
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "base/tensor.h"

namespace graft::tf {

// A box inside a tensor: one extent per dimension. length kFull means the whole dimension.
struct Extent {
  static constexpr int64_t kFull = -1;
  int64_t start = 0;
  int64_t length = kFull;
};
using TensorSlice = std::vector<Extent>;

struct BundleEntry {
  DType dtype = DType::kInvalid;
  Dims dims;
  int32_t shard = 0;
  int64_t offset = 0;
  int64_t size = 0;
  uint32_t crc = 0;                 // masked
  std::vector<TensorSlice> slices;  // not empty: a partitioned variable, stored under slice keys
};
using BundleIndex = std::map<std::string, BundleEntry, std::less<>>;

// The index's bytes, verified, with the number of data files. Fit for fuzzing: touches no file.
struct ParsedIndex {
  int32_t num_shards = 0;
  BundleIndex entries;
};
Result<ParsedIndex> ParseCheckpointIndex(std::string_view bytes);

class Checkpoint {
 public:
  // Reads the index and maps the data files. Errors name the file.
  static Result<Checkpoint> Open(const std::string& prefix);

  const std::string& prefix() const { return prefix_; }
  const BundleIndex& entries() const { return entries_; }
  bool Contains(std::string_view key) const { return entries_.contains(key); }

  // The tensor under `key`, its checksum verified. Refers to the mapped file where the data is
  // aligned; a partitioned variable is put together from its slices.
  Result<Tensor> Read(std::string_view key) const;
  // A part of it.
  Result<Tensor> ReadSlice(std::string_view key, const TensorSlice& slice) const;
  Result<std::vector<std::string>> ReadStrings(std::string_view key) const;

 private:
  Result<const BundleEntry*> Find(std::string_view key) const;
  Result<FileBytes> Data(std::string_view key, const BundleEntry& entry) const;
  Result<Tensor> ReadWhole(std::string_view key, const BundleEntry& entry) const;
  Result<Tensor> Assemble(std::string_view key, const BundleEntry& entry) const;

  std::string prefix_;
  BundleIndex entries_;
  std::map<int32_t, FileBytes> shards_;
};

}  // namespace graft::tf
