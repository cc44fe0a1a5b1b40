// Any bytes as a record file of examples: read or refused.
#include "tf/record_file.h"
#include "tf/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace graft;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Checksums keep a fuzzer out of the records, so the bytes are an example as well.
  static_cast<void>(tf::ParseExample(bytes));
  const Result<tf::RecordFile> file = tf::RecordFile::FromBytes(tf::CopyBytes(bytes));
  if (!file.ok()) return 0;
  for (int64_t i = 0; i < file->records(); ++i) {
    const Result<FileBytes> record = file->Read(i);
    if (record.ok()) static_cast<void>(tf::ParseExample(record->view()));
  }
  return 0;
}
