#include "npz.h"

#include <algorithm>
#include <cstring>

#include "npy.h"

namespace graft {
namespace {

// PKWARE's APPNOTE.TXT, 4.3: the end record names the central directory, whose entries name the
// local headers, behind which the members' bytes lie. Fields that are all ones stand in the ZIP64
// extra field (4.5.3).
constexpr uint32_t kEndMark = 0x06054b50;
constexpr uint32_t kEntryMark = 0x02014b50;
constexpr uint32_t kLocalMark = 0x04034b50;
constexpr size_t kEndSize = 22;
constexpr size_t kEntrySize = 46;
constexpr size_t kLocalSize = 30;
constexpr size_t kMaxComment = 0xffff;
constexpr uint16_t kZip64 = 1;
constexpr uint32_t kElsewhere = 0xffffffff;

class Zip {
 public:
  Zip(const FileBytes& file, const std::string& path)
      : file_(file), bytes_(file.view()), path_(path) {}

  Result<std::vector<std::pair<std::string, Tensor>>> Read() {
    size_t end = 0;
    if (!FindEnd(&end)) return DataLossError("{}: not a .npz file", path_);
    const auto count = Field<uint16_t>(end + 10);
    size_t at = Field<uint32_t>(end + 16);
    std::vector<std::pair<std::string, Tensor>> arrays;
    for (int i = 0; i < count; ++i) {
      if (!Holds(at, kEntrySize) || Field<uint32_t>(at) != kEntryMark) return CutOff();
      const size_t name_size = Field<uint16_t>(at + 28);
      const size_t extra_size = Field<uint16_t>(at + 30);
      const size_t comment_size = Field<uint16_t>(at + 32);
      const size_t size = kEntrySize + name_size + extra_size + comment_size;
      if (!Holds(at, size)) return CutOff();
      std::string name(bytes_.substr(at + kEntrySize, name_size));
      GRAFT_ASSIGN_OR_RETURN(const FileBytes member, Member(at, name));
      GRAFT_ASSIGN_OR_RETURN(Tensor tensor, FindArray(member, fmt::format("{}: {}", path_, name)));
      if (name.ends_with(".npy")) name.resize(name.size() - 4);
      arrays.emplace_back(std::move(name), std::move(tensor));
      at += size;
    }
    return arrays;
  }

 private:
  bool Holds(uint64_t at, uint64_t size) const {
    return at <= bytes_.size() && size <= bytes_.size() - at;
  }
  // Within the file: the caller has asked.
  template <class T>
  T Field(size_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  Status CutOff() const { return DataLossError("{}: the archive's directory is damaged", path_); }

  // A comment of any length may follow the record.
  bool FindEnd(size_t* end) const {
    if (bytes_.size() < kEndSize) return false;
    for (size_t comment = 0; comment <= std::min(kMaxComment, bytes_.size() - kEndSize);
         ++comment) {
      *end = bytes_.size() - kEndSize - comment;
      if (Field<uint32_t>(*end) == kEndMark) return true;
    }
    return false;
  }

  // The bytes of the member whose entry is at `at`.
  Result<FileBytes> Member(size_t at, const std::string& name) const {
    if (Field<uint16_t>(at + 10) != 0)
      return UnsupportedError("{}: {} is compressed; numpy.savez writes it without", path_, name);
    uint64_t packed = Field<uint32_t>(at + 20);
    uint64_t size = Field<uint32_t>(at + 24);
    uint64_t local = Field<uint32_t>(at + 42);
    size_t extra = at + kEntrySize + Field<uint16_t>(at + 28);
    size_t left = Field<uint16_t>(at + 30);
    while (left >= 4) {
      const auto kind = Field<uint16_t>(extra);
      size_t field_size = Field<uint16_t>(extra + 2);
      if (field_size > left - 4) return CutOff();
      size_t field = extra + 4;
      extra += 4 + field_size;
      left -= 4 + field_size;
      if (kind != kZip64) continue;
      // Only those that are elsewhere, in this order.
      for (uint64_t* value : {&size, &packed, &local}) {
        if (*value != kElsewhere) continue;
        if (field_size < 8) return CutOff();
        *value = Field<uint64_t>(field);
        field += 8, field_size -= 8;
      }
    }
    if (packed != size || !Holds(local, kLocalSize) || Field<uint32_t>(local) != kLocalMark)
      return CutOff();
    const uint64_t start =
        local + kLocalSize + Field<uint16_t>(local + 26) + Field<uint16_t>(local + 28);
    if (!Holds(start, size)) return DataLossError("{}: {} is cut off", path_, name);
    return FileBytes{{file_.data, file_.data.get() + start}, size};
  }

  const FileBytes& file_;
  std::string_view bytes_;
  const std::string& path_;
};

}  // namespace

Result<Npz> OpenNpz(const std::string& path) {
  Npz npz;
  GRAFT_ASSIGN_OR_RETURN(npz.file, ReadFile(path));
  GRAFT_ASSIGN_OR_RETURN(npz.arrays, Zip(npz.file, path).Read());
  return npz;
}

}  // namespace graft
