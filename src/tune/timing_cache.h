// Measured times of tactics, and what tactics prepared, kept between builds. A build that finds all
// it needs here measures and prepares nothing, so it is fast and gives the same plan every time.
// Only measurements are kept: what the cost model says costs nothing to compute again, and must not
// be taken for a measurement by a build that measures.
//
// The file is text, one entry a line: the checksum of the rest of the line, microseconds, 'm', and
// the key; or for prepared bytes their hash, 'p', and the key. The bytes lie beside the file, in
// the folder <file>.prepared under their hash: they may be megabytes, which would make the file
// slow to open, and are read only when they are chosen. Lines are appended under a file lock, the
// others are written whole or not at all, so processes share them. A line that does not check is
// skipped, bytes that do not match their hash are as good as missing; what cannot be read or
// written costs one warning and nothing else.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/status.h"

namespace graft {

struct Timing {
  double microseconds = 0;
  bool rejected() const { return microseconds < 0; }  // its results were wrong: never chosen
};

class TimingCache {
 public:
  // The folder of prepared bytes is kept below this by removing the oldest.
  static constexpr uintmax_t kMaxPreparedFolder = uintmax_t{1} << 30;

  // Memory only.
  TimingCache() = default;
  // Backed by the file, which need not exist.
  static std::unique_ptr<TimingCache> Open(const std::string& path);
  // $GRAFT_CACHE/timings, else $XDG_CACHE_HOME/graft/timings, else ~/.cache/graft/timings; "" when
  // there is no home.
  static std::string DefaultPath();

  std::optional<Timing> Find(const std::string& key) const;
  void Insert(const std::string& key, Timing timing);
  // What a tactic prepared for the problem of the key.
  std::optional<std::string> FindPrepared(const std::string& key) const;
  void InsertPrepared(const std::string& key, std::string bytes);
  // Writes what was inserted since the last call. The warning for what cannot be written is the
  // status.
  Status Flush();
  // Lines of the file that did not check, at Open.
  int bad_lines() const { return bad_lines_; }
  const std::string& path() const { return path_; }

 private:
  std::string PreparedFolder() const { return path_ + ".prepared"; }
  std::string PreparedPath(const Hash128& hash) const {
    return PreparedFolder() + "/" + ToHex(hash);
  }
  Status WritePrepared();

  std::string path_;
  int bad_lines_ = 0;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Timing> timings_;
  std::unordered_map<std::string, Hash128> prepared_;
  std::map<Hash128, std::string> bytes_;  // that were inserted here
  std::vector<std::string> unsaved_;      // keys of timings
  std::vector<std::string> unsaved_prepared_;
};

}  // namespace graft
