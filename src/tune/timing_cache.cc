#include "tune/timing_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

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

std::string Line(const std::string& key, const Timing& t) {
  const std::string body = fmt::format("{:.3f} {} {}", t.microseconds, t.measured ? 'm' : 'e', key);
  return fmt::format("{:08x} {}\n", Crc32c(0, body.data(), body.size()), body);
}

struct Entry {
  std::string key;
  Timing timing;
};

std::optional<Entry> ParseLine(std::string_view line) {
  if (line.size() < 9 || line[8] != ' ') return std::nullopt;
  uint32_t crc = 0;
  if (std::from_chars(line.data(), line.data() + 8, crc, 16).ptr != line.data() + 8)
    return std::nullopt;
  const std::string_view body = line.substr(9);
  if (Crc32c(0, body.data(), body.size()) != crc) return std::nullopt;
  Entry entry;
  const auto [end, error] =
      std::from_chars(body.data(), body.data() + body.size(), entry.timing.microseconds);
  const std::string_view rest = body.substr(end - body.data());
  if (error != std::errc() || !std::isfinite(entry.timing.microseconds) || rest.size() < 4 ||
      rest[0] != ' ' || (rest[1] != 'm' && rest[1] != 'e') || rest[2] != ' ') {
    return std::nullopt;
  }
  entry.timing.measured = rest[1] == 'm';
  entry.key = rest.substr(3);
  return entry;
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
    if (std::optional<Entry> entry = ParseLine(line)) {
      cache->timings_[entry->key] = entry->timing;
    } else {
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

Status TimingCache::Flush() {
  std::lock_guard lock(mutex_);
  if (path_.empty() || unsaved_.empty()) return OkStatus();
  std::string lines;
  for (const std::string& key : unsaved_) lines += Line(key, timings_[key]);
  unsaved_.clear();
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
  const int fd = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return IoError("{}: timings are not kept: {}", path_, std::strerror(errno));
  Status status;
  if (::flock(fd, LOCK_EX) != 0 ||
      ::write(fd, lines.data(), lines.size()) != static_cast<ssize_t>(lines.size())) {
    status = IoError("{}: timings are not kept: {}", path_, std::strerror(errno));
  }
  ::close(fd);  // releases the lock
  return status;
}

}  // namespace graft
