#include "tune/timing_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/split.h"

namespace graft {
namespace {

std::string Line(std::string_view value, char kind, std::string_view key) {
  const std::string body = fmt::format("{} {} {}", value, kind, key);
  return fmt::format("{:08x} {}\n", Crc32c(0, body.data(), body.size()), body);
}

struct Entry {
  std::string_view value;
  char kind;
  std::string_view key;
};

std::optional<Entry> ParseLine(std::string_view line) {
  if (line.size() < 9 || line[8] != ' ') return std::nullopt;
  uint32_t crc = 0;
  if (std::from_chars(line.data(), line.data() + 8, crc, 16).ptr != line.data() + 8)
    return std::nullopt;
  const std::string_view body = line.substr(9);
  if (Crc32c(0, body.data(), body.size()) != crc) return std::nullopt;
  const size_t space = body.find(' ');
  if (space == body.npos || body.size() < space + 4 || body[space + 2] != ' ') return std::nullopt;
  return Entry{body.substr(0, space), body[space + 1], body.substr(space + 3)};
}

std::optional<Timing> ParseTiming(std::string_view text) {
  Timing timing;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, timing.microseconds);
  if (error != std::errc() || at != end || !std::isfinite(timing.microseconds)) return std::nullopt;
  return timing;
}

std::optional<Hash128> ParseHash(std::string_view text) {
  Hash128 hash;
  if (text.size() != 32) return std::nullopt;
  for (auto [part, at] : {std::pair{&hash.high, text.data()}, {&hash.low, text.data() + 16}}) {
    if (std::from_chars(at, at + 16, *part, 16).ptr != at + 16) return std::nullopt;
  }
  return hash;
}

// Removes the oldest files until the rest is within the limit. Others may do the same meanwhile.
void ShrinkFolder(const std::string& folder, uintmax_t limit) {
  namespace fs = std::filesystem;
  struct File {
    fs::file_time_type time;
    fs::path path;
    uintmax_t size;
  };
  std::error_code ignored;
  std::vector<File> files;
  uintmax_t total = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const uintmax_t size = entry.file_size(ignored);
    if (ignored) continue;
    files.push_back({entry.last_write_time(ignored), entry.path(), size});
    total += size;
  }
  std::ranges::sort(files, {}, &File::time);
  for (const File& file : files) {
    if (total <= limit) return;
    fs::remove(file.path, ignored);
    total -= file.size;
  }
}

}  // namespace

std::unique_ptr<TimingCache> TimingCache::Open(const std::string& path) {
  auto cache = std::make_unique<TimingCache>();
  cache->path_ = path;
  if (path.empty()) return cache;
  // Copied, not mapped: another process may be appending.
  Result<FileBytes> bytes = ReadFile(path, /*map=*/false);
  if (!bytes.ok()) return cache;
  for (const std::string_view line : Split(bytes->view(), '\n')) {
    const std::optional<Entry> entry = ParseLine(line);
    const std::optional<Timing> timing =
        entry && entry->kind == 'm' ? ParseTiming(entry->value) : std::nullopt;
    const std::optional<Hash128> hash =
        entry && entry->kind == 'p' ? ParseHash(entry->value) : std::nullopt;
    if (timing) {
      cache->timings_[std::string(entry->key)] = *timing;
    } else if (hash) {
      cache->prepared_[std::string(entry->key)] = *hash;
    } else if (!entry || entry->kind != 'e') {  // estimates, which were kept once
      ++cache->bad_lines_;
    }
  }
  return cache;
}

std::string TimingCache::DefaultPath() {
  if (const char* dir = std::getenv("GRAFT_CACHE"); dir && *dir)
    return std::string(dir) + "/timings";
  if (const char* dir = std::getenv("XDG_CACHE_HOME"); dir && *dir)
    return std::string(dir) + "/graft/timings";
  if (const char* home = std::getenv("HOME"); home && *home)
    return std::string(home) + "/.cache/graft/timings";
  return "";
}

std::optional<Timing> TimingCache::Find(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto it = timings_.find(key);
  if (it == timings_.end()) return std::nullopt;
  return it->second;
}

void TimingCache::Insert(const std::string& key, Timing timing) {
  // As it will read back from the file, so that this build and the next decide alike.
  timing.microseconds = std::round(timing.microseconds * 1000) / 1000;
  std::lock_guard lock(mutex_);
  timings_[key] = timing;
  unsaved_.push_back(key);
}

std::optional<std::string> TimingCache::FindPrepared(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto it = prepared_.find(key);
  if (it == prepared_.end()) return std::nullopt;
  if (const auto bytes = bytes_.find(it->second); bytes != bytes_.end()) return bytes->second;
  if (path_.empty()) return std::nullopt;
  const Result<FileBytes> file = ReadFile(PreparedPath(it->second), /*map=*/false);
  if (!file.ok() || HashBytes(file->view()) != it->second) return std::nullopt;
  return std::string(file->view());
}

void TimingCache::InsertPrepared(const std::string& key, std::string bytes) {
  const Hash128 hash = HashBytes(bytes);
  std::lock_guard lock(mutex_);
  prepared_[key] = hash;
  bytes_.emplace(hash, std::move(bytes));
  unsaved_prepared_.push_back(key);
}

Status TimingCache::WritePrepared() {
  if (unsaved_prepared_.empty()) return OkStatus();
  std::error_code ignored;
  std::filesystem::create_directories(PreparedFolder(), ignored);
  for (const std::string& key : unsaved_prepared_) {
    const Hash128 hash = prepared_[key];
    GRAFT_RETURN_IF_ERROR(WriteFileAtomically(PreparedPath(hash), bytes_[hash]));
  }
  ShrinkFolder(PreparedFolder(), kMaxPreparedFolder);
  return OkStatus();
}

Status TimingCache::Flush() {
  std::lock_guard lock(mutex_);
  if (path_.empty() || (unsaved_.empty() && unsaved_prepared_.empty())) return OkStatus();
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
  Status status = WritePrepared();
  std::string lines;
  for (const std::string& key : unsaved_)
    lines += Line(fmt::format("{:.3f}", timings_[key].microseconds), 'm', key);
  if (status.ok()) {
    for (const std::string& key : unsaved_prepared_) lines += Line(ToHex(prepared_[key]), 'p', key);
  }
  unsaved_.clear();
  unsaved_prepared_.clear();
  const int fd = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return IoError("{}: timings are not kept: {}", path_, std::strerror(errno));
  if (::flock(fd, LOCK_EX) != 0 ||
      ::write(fd, lines.data(), lines.size()) != static_cast<ssize_t>(lines.size())) {
    status = IoError("{}: timings are not kept: {}", path_, std::strerror(errno));
  }
  ::close(fd);  // releases the lock
  return status;
}

}  // namespace graft
