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

// A whole number, as far as the text begins with one.
int ReadLevel(std::string_view text) {
  int level = 0;
  std::from_chars(text.data(), text.data() + text.size(), level);
  return level;
}

void ReadLevels(const char* text, Levels* levels) {
  if (!text) return;
  for (const std::string_view item : Split(text, ',')) {
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos) continue;
    (*levels)[std::string(item.substr(0, equals))] = ReadLevel(item.substr(equals + 1));
  }
}

// What the environment asks for: a level for modules by name, and one for all others.
struct Verbosity {
  Levels levels;
  int others = 0;

  Verbosity() {
    // The name that TensorFlow reads comes last, and so wins; the other is that of its earlier
    // releases.
    for (const char* name : {"TF_CPP_MIN_VLOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL"}) {
      if (const char* text = std::getenv(name)) others = ReadLevel(text);
    }
    ReadLevels(std::getenv("TF_CPP_VMODULE"), &levels);
    ReadLevels(std::getenv("GRAFT_VMODULE"), &levels);  // the more special one wins
  }
  int Of(std::string_view module) const {
    if (const auto found = levels.find(module); found != levels.end()) return found->second;
    // The name that TF-TRT's guide gives the module.
    return module == "trt_engine_op" ? Of("trt_engine") : others;
  }
};

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
  static const auto* const verbosity = new Verbosity;
  return verbosity->Of(module);
}

}  // namespace graft
