#include "bench_history.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

#include "base/split.h"
#include "bench_compare.h"
#include "json_text.h"

namespace graft {
namespace {

using Json = nlohmann::ordered_json;

// A file that is locked while it lives.
class LockedFile {
 public:
  explicit LockedFile(const std::string& path)
      : path_(path), file_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
    if (file_ >= 0) flock(file_, LOCK_EX);
  }
  ~LockedFile() {
    if (file_ >= 0) close(file_);
  }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  Result<std::string> Read() const {
    std::string text;
    char block[1 << 16];
    ssize_t n = -1;
    while (file_ >= 0 && (n = read(file_, block, sizeof(block))) > 0)
      text.append(block, static_cast<size_t>(n));
    if (n < 0) return IoError("{}: {}", path_, std::strerror(errno));
    return text;
  }
  Status Append(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = write(file_, text.data(), text.size());
      if (n < 0) return IoError("{}: {}", path_, std::strerror(errno));
      text.remove_prefix(static_cast<size_t>(n));
    }
    return OkStatus();
  }

 private:
  const std::string path_;
  const int file_;
};

bool OfTheSame(const Json& a, const Json& b) {
  for (const char* field : {"plan", "inputs", "threads", "fingerprint"}) {
    if (a.value(field, Json()) != b.value(field, Json())) return false;
  }
  return true;
}

}  // namespace

Result<std::string> AppendToHistory(const std::string& path, Json figures) {
  const LockedFile file(path);
  GRAFT_ASSIGN_OR_RETURN(const std::string text, file.Read());
  std::optional<Json> last;
  int number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    if (line.empty()) continue;
    ++number;
    GRAFT_ASSIGN_OR_RETURN(Json before,
                           ParseBenchFigures(line, fmt::format("{}, line {}", path, number)));
    if (OfTheSame(before, figures)) last = std::move(before);
  }
  std::string change = last ? CompareBenchFigures(figures, *last)
                            : "the first of this plan, inputs, threads and machine\n";
  if (figures.contains("layers")) {
    for (Json& layer : figures["layers"]) layer.erase("problem");
  }
  figures["time"] = std::chrono::duration_cast<std::chrono::seconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count();
  const std::string_view end_of_line = text.empty() || text.ends_with('\n') ? "" : "\n";
  GRAFT_RETURN_IF_ERROR(file.Append(fmt::format("{}{}", end_of_line, ToText(figures))));
  return change;
}

}  // namespace graft
