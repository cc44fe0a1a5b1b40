#include "backends/cuda/compiler.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <thread>
#include <vector>

#include "backends/cuda/driver.h"
#include "base/hash.h"
#include "kernels/cuda/sources.h"

namespace graft::cuda {
namespace {

constexpr int kLeastSm = 80;
constexpr std::string_view kPrelude = "prelude.cuh";

// Contraction of a product and a sum changes results; kernels that want it say fma.
const char* const kOptions[] = {"--std=c++17", "--fmad=false", "--device-int128", "-dw",
                                "--ptxas-options=-v"};

std::string SourceOf(const KernelClass& kernel) {
  // Appended, not formatted: it is made for every step of every new shape.
  std::string source = "#include \"";
  source.append(kPrelude).append("\"\n").append(kernel.text);
  source.append("\n#include \"").append(kernel.file).append("\"\n");
  return source;
}

constexpr std::string_view kIncludePart = "#include \"part-";

struct Parts {
  std::mutex mutex;
  std::map<std::string, std::string, std::less<>> texts;  // by name
};
Parts& AllParts() {
  static auto* const parts = new Parts;
  return *parts;
}

// Those that the text includes, each with its name.
std::map<std::string, std::string> PartsOf(std::string_view text) {
  std::map<std::string, std::string> found;
  Parts& parts = AllParts();
  std::lock_guard lock(parts.mutex);
  for (size_t at = 0; (at = text.find(kIncludePart, at)) != text.npos;) {
    at = text.find('"', at) + 1;
    const std::string_view name = text.substr(at, text.find('"', at) - at);
    if (const auto part = parts.texts.find(name); part != parts.texts.end()) found.insert(*part);
  }
  return found;
}

Status CompileError(const Nvrtc& nvrtc, nvrtcResult result, const KernelClass& kernel,
                    const std::string& log) {
  return InternalError("{}: {}: {}", kernel.file, nvrtc.GetErrorString(result), log);
}

std::string LogOf(const Nvrtc& nvrtc, nvrtcProgram program) {
  size_t size = 0;
  if (nvrtc.GetProgramLogSize(program, &size) != NVRTC_SUCCESS || size <= 1) return "";
  std::string log(size, '\0');
  if (nvrtc.GetProgramLog(program, log.data()) != NVRTC_SUCCESS) return "";
  log.pop_back();
  return log;
}

Result<Compiled> CompileNow(const Nvrtc& nvrtc, const KernelClass& kernel, int sm) {
  const std::string source = SourceOf(kernel);
  // Every file may be included.
  std::vector<std::string> texts, names;
  std::vector<const char*> headers, include_names;
  for (const std::string_view name : KernelFiles()) {
    names.emplace_back(name);
    texts.emplace_back(KernelSource(name));
  }
  for (auto& [name, text] : PartsOf(kernel.text)) {
    names.push_back(name);
    texts.push_back(std::move(text));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    headers.push_back(texts[i].c_str());
    include_names.push_back(names[i].c_str());
  }
  nvrtcProgram program = nullptr;
  nvrtcResult result =
      nvrtc.CreateProgram(&program, source.c_str(), "class.cu", static_cast<int>(headers.size()),
                          headers.data(), include_names.data());
  if (result != NVRTC_SUCCESS) return CompileError(nvrtc, result, kernel, "");
  struct Guard {
    const Nvrtc& nvrtc;
    nvrtcProgram* program;
    ~Guard() { nvrtc.DestroyProgram(program); }
  } guard{nvrtc, &program};
  const std::string arch = "--gpu-architecture=" + NameOfSm(sm);
  std::vector<const char*> options(std::begin(kOptions), std::end(kOptions));
  options.push_back(arch.c_str());
  result = nvrtc.CompileProgram(program, static_cast<int>(options.size()), options.data());
  Compiled compiled;
  compiled.log = LogOf(nvrtc, program);
  if (result != NVRTC_SUCCESS) return CompileError(nvrtc, result, kernel, compiled.log);
  size_t size = 0;
  result = nvrtc.GetCUBINSize(program, &size);
  if (result != NVRTC_SUCCESS) return CompileError(nvrtc, result, kernel, "no cubin");
  compiled.cubin.resize(size);
  result = nvrtc.GetCUBIN(program, compiled.cubin.data());
  if (result != NVRTC_SUCCESS) return CompileError(nvrtc, result, kernel, "no cubin");
  return compiled;
}

}  // namespace

std::string KeepPart(std::string text) {
  const std::string name = "part-" + ToHex(HashBytes(text));
  Parts& parts = AllParts();
  std::lock_guard lock(parts.mutex);
  parts.texts.emplace(name, std::move(text));
  return "#include \"" + name + "\"\n";
}

std::string NameOfSm(int sm) { return fmt::format("sm_{}{}", sm, sm >= 90 ? "a" : ""); }

Result<int> SmOfName(std::string_view name) {
  std::string_view digits = name.starts_with("sm_") ? name.substr(3) : "";
  if (digits.ends_with('a')) digits.remove_suffix(1);
  int sm = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), sm);
  if (error != std::errc() || end != digits.data() + digits.size())
    return InvalidArgumentError("'{}' is no kind of card: expected sm_90", name);
  if (sm < kLeastSm)
    return UnsupportedError("{}: compute capability {}.{} is needed", name, kLeastSm / 10,
                            kLeastSm % 10);
  GRAFT_ASSIGN_OR_RETURN(const Nvrtc* const nvrtc, OpenNvrtc());
  int count = 0;
  std::vector<int> known;
  if (nvrtc->GetNumSupportedArchs(&count) == NVRTC_SUCCESS) {
    known.resize(count);
    if (nvrtc->GetSupportedArchs(known.data()) != NVRTC_SUCCESS) known.clear();
  }
  if (std::find(known.begin(), known.end(), sm) == known.end())
    return UnsupportedError("the run-time compiler knows no {}: it knows sm_{}", name,
                            fmt::join(known, ", sm_"));
  return sm;
}

std::string HashOf(const KernelClass& kernel, int sm) {
  // All files, since one may include others.
  static const std::string files = [] {
    std::string all;
    for (const std::string_view file : KernelFiles()) all += KernelSource(file);
    return ToHex(HashBytes(all));
  }();
  return ToHex(HashBytes(SourceOf(kernel).append(NameOfSm(sm)).append(files)));
}

Result<Compiled> Compile(const KernelClass& kernel, int sm) {
  struct Entry {
    std::mutex mutex;  // held while it is made: others wait for it
    std::optional<Compiled> compiled;
  };
  static std::mutex mutex;
  static std::map<std::string, Entry> entries;
  // Each compilation takes a processor, and some hundred megabytes.
  static std::counting_semaphore<> processors(
      std::max<std::ptrdiff_t>(std::thread::hardware_concurrency(), 1));
  GRAFT_ASSIGN_OR_RETURN(const Nvrtc* const nvrtc, OpenNvrtc());
  const std::string hash = HashOf(kernel, sm);
  Entry* entry = nullptr;
  {
    std::lock_guard lock(mutex);
    entry = &entries[hash];
  }
  std::lock_guard lock(entry->mutex);
  if (!entry->compiled) {
    processors.acquire();
    Result<Compiled> compiled = CompileNow(*nvrtc, kernel, sm);
    processors.release();
    GRAFT_RETURN_IF_ERROR(compiled.status());
    entry->compiled = *std::move(compiled);
  }
  return *entry->compiled;
}

}  // namespace graft::cuda
