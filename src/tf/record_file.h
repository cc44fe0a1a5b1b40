// TensorFlow's record files (TFRecord) and the tf.train.Example in their records. Bytes are
// somebody else's: whatever is wrong with them is a kDataLoss.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/release_pages.h"
#include "base/status.h"

namespace graft::tf {

// Reads records in any order from the file, which is mapped.
class RecordFile {
 public:
  // Checks how the file is divided into records, but not yet what they hold. kDataLoss names the
  // record that does not fit; compressed files are kUnsupported.
  static Result<RecordFile> Open(const std::string& path);
  static Result<RecordFile> FromBytes(FileBytes bytes);

  int64_t records() const { return static_cast<int64_t>(begins_.size()); }
  // kDataLoss where its checksum is another.
  Result<FileBytes> Read(int64_t record) const;
  // What was read leaves memory, where the bytes are a file's.
  void Release() const {
    if (is_mapped_) ReleasePages(bytes_);
  }

 private:
  FileBytes bytes_;
  bool is_mapped_ = false;
  std::vector<std::pair<size_t, size_t>> begins_;  // of each record's data, and its size
};

// One sample: its features by name, in the order of the message.
struct Example {
  using Feature = std::variant<std::vector<std::string>, std::vector<float>, std::vector<int64_t>>;
  std::vector<std::pair<std::string, Feature>> features;

  // Null where there is none. Of several, the last counts, as protobuf maps have it.
  const Feature* Find(std::string_view name) const;
};

Result<Example> ParseExample(std::string_view bytes);

}  // namespace graft::tf
