#include "tf/record_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <protozero/pbf_writer.hpp>

#include "base/crc32c.h"
#include "tf/test_util.h"
#include "tf/wire.h"

namespace graft::tf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::string Bytes(T number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

std::string Record(const std::string& data) {
  const std::string size = Bytes<uint64_t>(data.size());
  return size + Bytes(MaskCrc(Crc32c(0, size.data(), size.size()))) + data +
         Bytes(MaskCrc(Crc32c(0, data.data(), data.size())));
}

std::string ErrorOf(const std::string& bytes) {
  const Result<RecordFile> file = RecordFile::FromBytes(CopyBytes(bytes));
  if (!file.ok()) return file.status().message();
  for (int64_t i = 0; i < file->records(); ++i) {
    if (const auto record = file->Read(i); !record.ok()) return record.status().message();
  }
  return "";
}

TEST(RecordFile, GivesItsRecords) {
  const RecordFile file = Get(RecordFile::FromBytes(CopyBytes(Record("first") + Record(""))));
  ASSERT_EQ(file.records(), 2);
  EXPECT_EQ(Get(file.Read(0)).view(), "first");
  EXPECT_EQ(Get(file.Read(1)).view(), "");
  EXPECT_EQ(Get(RecordFile::FromBytes(CopyBytes(""))).records(), 0);
}

TEST(RecordFile, SaysWhatIsDamaged) {
  const std::string whole = Record("first") + Record("second");
  EXPECT_EQ(ErrorOf(whole), "");
  for (size_t size = 1; size < whole.size(); ++size) {
    if (size == Record("first").size()) continue;
    EXPECT_NE(ErrorOf(whole.substr(0, size)), "") << size;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string other = whole;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_THAT(ErrorOf(other), HasSubstr(i < Record("first").size() ? "record 0" : "record 1"));
  }
  // A size that is larger than any file, rightly signed.
  const std::string size = Bytes(~uint64_t{0});
  EXPECT_THAT(ErrorOf(size + Bytes(MaskCrc(Crc32c(0, size.data(), size.size()))) + "more"),
              HasSubstr("of which 4 are there"));
  EXPECT_THAT(ErrorOf("\x1f\x8b and what gzip makes of records"), HasSubstr("compress"));
}

std::string Message(uint32_t field, const std::string& bytes) {
  std::string message;
  protozero::pbf_writer(message).add_bytes(field, bytes);
  return message;
}

std::string FeatureNamed(const std::string& name, const std::string& feature) {
  return Message(1, Message(1, name) + Message(2, feature));
}

TEST(ParseExample, ReadsListsPackedAndOneByOne) {
  std::string floats, integers;
  const float numbers[] = {1.5F, -2};
  protozero::pbf_writer(floats).add_packed_float(1, std::begin(numbers), std::end(numbers));
  protozero::pbf_writer(integers).add_int64(1, -7);
  protozero::pbf_writer(integers).add_int64(1, 1LL << 40);
  const std::string features =
      FeatureNamed("x", Message(2, floats)) + FeatureNamed("n", Message(3, integers)) +
      FeatureNamed("s", Message(1, Message(1, "text"))) + FeatureNamed("none", "");
  const Example example = Get(ParseExample(Message(1, features)));
  EXPECT_THAT(std::get<std::vector<float>>(*example.Find("x")), ElementsAre(1.5F, -2));
  EXPECT_THAT(std::get<std::vector<int64_t>>(*example.Find("n")), ElementsAre(-7, 1LL << 40));
  EXPECT_THAT(std::get<std::vector<std::string>>(*example.Find("s")), ElementsAre("text"));
  EXPECT_TRUE(std::get<std::vector<std::string>>(*example.Find("none")).empty());
  EXPECT_EQ(example.Find("other"), nullptr);
}

TEST(ParseExample, RefusesWhatIsNone) {
  EXPECT_FALSE(ParseExample("\x0a\x05xx").ok());
  EXPECT_FALSE(ParseExample(Message(1, "\x0a\xff")).ok());
  EXPECT_TRUE(Get(ParseExample("")).features.empty());
}

}  // namespace
}  // namespace graft::tf
