// Log lines by module, under TF-TRT's names (segment, convert_graph, convert_nodes, trt_engine,
// trt_engine_op). They go to the standard error, or to a sink that the C API sets (TensorFlow's
// log).
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace graft {

enum class LogLevel : int { kInfo = 0, kWarning = 1, kError = 2 };

// Called from any thread.
using LogSink = void (*)(void* state, LogLevel level, const char* module, const char* message);
// nullptr restores the standard error.
void SetLogSink(LogSink sink, void* state);

void WriteLog(LogLevel level, std::string_view module, std::string_view message);

template <class... Args>
void Log(LogLevel level, std::string_view module, fmt::format_string<Args...> format,
         Args&&... args) {
  WriteLog(level, module, fmt::format(format, std::forward<Args>(args)...));
}

// How much detail a module is to tell: what GRAFT_VMODULE or TF_CPP_VMODULE, of the form
// "segment=2,convert_graph=1", say of it (trt_engine_op is part of trt_engine), else TensorFlow's
// level for all modules, TF_CPP_MAX_VLOG_LEVEL; 0 by default. The environment is read once.
int VerboseLevel(std::string_view module);

}  // namespace graft

// A detail line, whose arguments are evaluated only when it is wanted.
#define GRAFT_VLOG(level, module, ...)                             \
  do {                                                             \
    if (::graft::VerboseLevel(module) >= (level))                  \
      ::graft::Log(::graft::LogLevel::kInfo, module, __VA_ARGS__); \
  } while (0)
