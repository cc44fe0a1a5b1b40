// The engines of this process by the hash of their content, so that sessions, functions and devices
// share one.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/hash.h"
#include "runtime/engine.h"

namespace graft {

class EngineRegistry {
 public:
  static EngineRegistry& Global();

  // The living engine with this content on this device ("cuda:0"), or the one that `make` gives. Of
  // callers
  // that ask for the same engine at the same time one makes it and the others wait.
  Result<std::shared_ptr<const Engine>> FindOrCreate(
      const Hash128& content, std::string_view device,
      FunctionRef<Result<std::shared_ptr<const Engine>>()> make);
  // Engines that somebody holds.
  int size() const;

 private:
  struct Entry {
    std::mutex making;
    std::weak_ptr<const Engine> engine;
  };
  mutable std::mutex mutex_;  // guards entries_
  std::map<std::pair<Hash128, std::string>, std::shared_ptr<Entry>> entries_;
};

}  // namespace graft
