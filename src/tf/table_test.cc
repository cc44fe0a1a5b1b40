#include "tf/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <leveldb/env.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/table.h>
#include <leveldb/table_builder.h>

#include <filesystem>
#include <random>

#include "base/file.h"

namespace graft::tf {
namespace {

// A table of the entries, as LevelDB writes it.
std::string Built(const TableEntries& entries, leveldb::CompressionType compression) {
  const std::string path = testing::TempDir() + "/graft_table_test";
  leveldb::WritableFile* file = nullptr;
  EXPECT_TRUE(leveldb::Env::Default()->NewWritableFile(path, &file).ok());
  leveldb::Options options;
  options.compression = compression;
  options.block_size = 512;
  leveldb::TableBuilder builder(options, file);
  for (const auto& [key, value] : entries) builder.Add(key, value);
  EXPECT_TRUE(builder.Finish().ok());
  EXPECT_TRUE(file->Close().ok());
  delete file;
  std::string bytes(ReadFile(path)->view());
  std::filesystem::remove(path);
  return bytes;
}

TableEntries Some(int count) {
  std::mt19937 random(7);
  TableEntries entries;
  for (int i = 0; i < count; ++i) {
    entries.emplace_back(fmt::format("layer_{:04}/kernel", i),
                         std::string(random() % 200, static_cast<char>('a' + i % 3)));
  }
  return entries;
}

TEST(Table, ReadsWhatLevelDbWrites) {
  for (int count : {0, 1, 17, 500}) {
    for (auto compression : {leveldb::kNoCompression, leveldb::kSnappyCompression}) {
      const TableEntries entries = Some(count);
      Result<TableEntries> read = ReadTable(Built(entries, compression));
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      EXPECT_EQ(*read, entries);
    }
  }
}

// LevelDB's own reader, all checks on.
Result<TableEntries> ReadByLevelDb(const std::string& bytes) {
  const std::string path = testing::TempDir() + "/graft_table_test_oracle";
  GRAFT_RETURN_IF_ERROR(WriteFileAtomically(path, bytes));
  leveldb::RandomAccessFile* raw_file = nullptr;
  if (!leveldb::Env::Default()->NewRandomAccessFile(path, &raw_file).ok()) return IoError("open");
  std::unique_ptr<leveldb::RandomAccessFile> file(raw_file);
  leveldb::Options options;
  options.paranoid_checks = true;
  leveldb::Table* raw_table = nullptr;
  if (!leveldb::Table::Open(options, file.get(), bytes.size(), &raw_table).ok())
    return DataLossError("refused");
  std::unique_ptr<leveldb::Table> table(raw_table);
  leveldb::ReadOptions read;
  read.verify_checksums = true;
  std::unique_ptr<leveldb::Iterator> it(table->NewIterator(read));
  TableEntries entries;
  for (it->SeekToFirst(); it->Valid(); it->Next())
    entries.emplace_back(it->key().ToString(), it->value().ToString());
  if (!it->status().ok()) return DataLossError("refused");
  return entries;
}

TEST(Table, AnyChangedByteIsRefusedOrHarmless) {
  const TableEntries entries = Some(40);
  const std::string good = Built(entries, leveldb::kSnappyCompression);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    Result<TableEntries> read = ReadTable(bad);
    if (read.ok()) {
      EXPECT_EQ(*read, entries) << "byte " << i;
      EXPECT_TRUE(ReadByLevelDb(bad).ok()) << "byte " << i;
    } else {
      EXPECT_NE(read.status().code(), StatusCode::kInternal);
    }
  }
}

TEST(Table, TruncationIsRefused) {
  const std::string good = Built(Some(40), leveldb::kNoCompression);
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_EQ(ReadTable(good.substr(0, size)).status().code(), StatusCode::kDataLoss);
}

}  // namespace
}  // namespace graft::tf
