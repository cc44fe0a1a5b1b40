#include "base/log.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "base/split.h"

namespace graft {
namespace {

void WriteToStandardError(void*, LogLevel level, const char* module, const char* message) {
  constexpr char kLetters[] = "IWE";
  std::fprintf(stderr, "%c %s: %s\n", kLetters[static_cast<int>(level)], module, message);
}

struct Sink {
  std::mutex mutex;  // lines come whole, and no line comes after its sink was replaced
  LogSink write = WriteToStandardError;
  void* state = nullptr;
};
Sink& GlobalSink() {
  static auto* const sink = new Sink;
  return *sink;
}

using Levels = std::map<std::string, int, std::less<>>;

void ReadLevels(const char* text, Levels* levels) {
  if (!text) return;
  for (const std::string_view item : Split(text, ',')) {
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) continue;
    int level = 0;
    std::from_chars(item.data() + equals + 1, item.data() + item.size(), level);
    (*levels)[std::string(item.substr(0, equals))] = level;
  }
}

}  // namespace

void SetLogSink(LogSink write, void* state) {
  Sink& sink = GlobalSink();
  std::lock_guard lock(sink.mutex);
  sink.write = write ? write : WriteToStandardError;
  sink.state = state;
}

void WriteLog(LogLevel level, std::string_view module, std::string_view message) {
  Sink& sink = GlobalSink();
  std::lock_guard lock(sink.mutex);
  sink.write(sink.state, level, std::string(module).c_str(), std::string(message).c_str());
}

int VerboseLevel(std::string_view module) {
  static const Levels* const levels = [] {
    auto* read = new Levels;
    ReadLevels(std::getenv("TF_CPP_VMODULE"), read);
    ReadLevels(std::getenv("GRAFT_VMODULE"), read);  // the more special one wins
    return read;
  }();
  const auto found = levels->find(module);
  return found == levels->end() ? 0 : found->second;
}

}  // namespace graft
