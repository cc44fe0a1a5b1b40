#include "backends/cuda/driver.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>

namespace graft::cuda {
namespace {

constexpr int kLeastVersion = 13000;

std::atomic<bool> forked = false;

std::string Version(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

template <class Function>
Status Find(void* library, const char* symbol, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, symbol));
  if (*function) return OkStatus();
  return UnsupportedError("{} is missing", symbol);
}

Result<const Driver*> FindDriver() {
  void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return UnsupportedError("there is no NVIDIA driver: {}", dlerror());
  static Driver driver;
  // Asked first: an older driver lacks some of the others.
  GRAFT_RETURN_IF_ERROR(Find(library, "cuInit", &driver.Init));
  GRAFT_RETURN_IF_ERROR(Find(library, "cuDriverGetVersion", &driver.DriverGetVersion));
  if (driver.DriverGetVersion(&driver.version) != CUDA_SUCCESS)
    return UnsupportedError("the NVIDIA driver does not tell its version");
  if (driver.version < kLeastVersion) {
    return UnsupportedError("the NVIDIA driver is for CUDA {}, {} is needed",
                            Version(driver.version), Version(kLeastVersion));
  }
#define GRAFT_FIND(Name, symbol)                                          \
  if (Status status = Find(library, #symbol, &driver.Name); !status.ok()) \
    return status.WithContext("the NVIDIA driver");
  GRAFT_CUDA_DRIVER(GRAFT_FIND)
#undef GRAFT_FIND
  if (const CUresult result = driver.Init(0); result != CUDA_SUCCESS) {
    const char* text = nullptr;
    driver.GetErrorString(result, &text);
    return UnsupportedError("the NVIDIA driver does not start: {}", text ? text : "?");
  }
  int devices = 0;
  if (driver.DeviceGetCount(&devices) != CUDA_SUCCESS || devices == 0)
    return UnsupportedError("there is no NVIDIA device");
  pthread_atfork(nullptr, nullptr, [] { forked = true; });
  return &driver;
}

void* OpenNvrtcLibrary(std::string* why) {
  constexpr const char* kName = "libnvrtc.so.13";
  if (void* library = dlopen(kName, RTLD_NOW | RTLD_LOCAL)) return library;
  *why = dlerror();
  // Where toolkits put it without telling the loader.
  const char* const home = std::getenv("CUDA_HOME");
  for (const std::string& folder :
       {std::string(home ? home : ""), std::string("/usr/local/cuda")}) {
    if (folder.empty()) continue;
    if (void* library =
            dlopen(fmt::format("{}/lib64/{}", folder, kName).c_str(), RTLD_NOW | RTLD_LOCAL))
      return library;
  }
  return nullptr;
}

Result<const Nvrtc*> FindNvrtc() {
  std::string why;
  void* const library = OpenNvrtcLibrary(&why);
  if (!library) return UnsupportedError("there is no run-time compiler: {}", why);
  static Nvrtc nvrtc;
#define GRAFT_FIND(Name, symbol)                                         \
  if (Status status = Find(library, #symbol, &nvrtc.Name); !status.ok()) \
    return status.WithContext("the run-time compiler");
  GRAFT_NVRTC(GRAFT_FIND)
#undef GRAFT_FIND
  int major = 0, minor = 0;
  nvrtc.Version(&major, &minor);
  nvrtc.version = major * 1000 + minor * 10;
  return &nvrtc;
}

}  // namespace

Result<const Driver*> OpenDriver() {
  static const Result<const Driver*> driver = FindDriver();
  if (forked)
    return FailedPreconditionError(
        "this process was forked from one that uses CUDA, which does not "
        "survive it: start processes by spawning them");
  return driver;
}

Result<const Nvrtc*> OpenNvrtc() {
  static const Result<const Nvrtc*> nvrtc = FindNvrtc();
  return nvrtc;
}

Status ToStatus(const Driver& driver, CUresult result, const char* call) {
  const char* name = nullptr;
  const char* text = nullptr;
  driver.GetErrorName(result, &name);
  driver.GetErrorString(result, &text);
  const std::string message = fmt::format("CUDA: {}: {} ({})", call, text ? text : "unknown error",
                                          name ? name : std::to_string(result).c_str());
  // Also where another thread did what CUDA forbids while anything is captured.
  if (result >= CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED &&
      result <= CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD)
    return UnsupportedError("{}", message);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) return ResourceExhaustedError("{}", message);
  return InternalError("{}", message);
}

}  // namespace graft::cuda
