// Measured times of tactics, kept between builds. A build whose timings are all here measures
// nothing, so it is fast and gives the same plan every time.
//
// The file is text, one timing a line: the checksum of the rest of the line, microseconds, 'm'
// (measured) or 'e' (estimated by the cost model), then the key. Lines are appended under a file
// lock, so processes share one file. A line that does not check is skipped; a file that cannot be
// read or written costs one warning and nothing else.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace graft {

struct Timing {
  double microseconds = 0;
  bool measured = true;
  bool rejected() const { return microseconds < 0; }  // its results were wrong: never chosen
};

class TimingCache {
 public:
  // Memory only.
  TimingCache() = default;
  // Backed by the file, which need not exist.
  static std::unique_ptr<TimingCache> Open(const std::string& path);
  // $GRAFT_CACHE/timings, else $XDG_CACHE_HOME/graft/timings, else ~/.cache/graft/timings; "" when
  // there is no home.
  static std::string DefaultPath();

  std::optional<Timing> Find(const std::string& key) const;
  void Insert(const std::string& key, Timing timing);
  // Appends what was inserted since the last call. The warning for a file that cannot be written is
  // the status.
  Status Flush();
  // Lines of the file that did not check, at Open.
  int bad_lines() const { return bad_lines_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int bad_lines_ = 0;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Timing> timings_;
  std::vector<std::string> unsaved_;  // keys
};

}  // namespace graft
