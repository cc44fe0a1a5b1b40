// Counts the heap allocations of an engine's calls once its shapes are known. Those of libraries
// are counted apart: oneDNN's interface builds a map of a primitive's arguments in each call, and
// oneTBB makes a task when a thread that has left is called back, and libgomp keeps a block for
// each thread that oneDNN meets for the first time.
//
//   allocation_count PLAN [THREADS]
//
// Prints "graft N libraries M", each for ten calls; fails when N is not 0.
#include <link.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "graft/command.h"

// NOLINTBEGIN(bugprone-reserved-identifier): the C library's own names.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace {

std::atomic<bool> counting{false};
std::atomic<int64_t> ours{0};
std::atomic<int64_t> theirs{0};
// Where the libraries' code lies.
struct Range {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};
Range libraries[3];
constexpr const char* kLibraries[] = {"libdnnl", "libtbb", "libgomp"};

void Count(const void* caller) {
  if (!counting.load(std::memory_order_relaxed)) return;
  const auto address = reinterpret_cast<uintptr_t>(caller);
  const bool inside = std::any_of(std::begin(libraries), std::end(libraries), [&](const Range& r) {
    return address >= r.begin && address < r.end;
  });
  ++(inside ? theirs : ours);
}

int FindLibraries(dl_phdr_info* info, size_t, void*) {
  for (size_t i = 0; i < std::size(kLibraries); ++i) {
    if (std::strstr(info->dlpi_name, kLibraries[i]) == nullptr) continue;
    libraries[i].begin = info->dlpi_addr;
    for (int p = 0; p < info->dlpi_phnum; ++p) {
      const auto& header = info->dlpi_phdr[p];
      if (header.p_type != PT_LOAD) continue;
      libraries[i].end =
          std::max(libraries[i].end, info->dlpi_addr + header.p_vaddr + header.p_memsz);
    }
  }
  return 0;
}

void* OrThrow(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// For everything in the process, libraries included.
extern "C" {
void* malloc(size_t size) noexcept {
  return Count(__builtin_return_address(0)), __libc_malloc(size);
}
void* calloc(size_t count, size_t size) noexcept {
  return Count(__builtin_return_address(0)), __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) noexcept {
  return Count(__builtin_return_address(0)), __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return Count(__builtin_return_address(0)), __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) noexcept {
  Count(__builtin_return_address(0));
  *memory = __libc_memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}
}
void* operator new(size_t size) {
  return Count(__builtin_return_address(0)), OrThrow(__libc_malloc(size));
}
void* operator new(size_t size, std::align_val_t alignment) {
  return Count(__builtin_return_address(0)),
         OrThrow(__libc_memalign(static_cast<size_t>(alignment), size));
}
void operator delete(void* memory) noexcept { __libc_free(memory); }
void operator delete(void* memory, size_t) noexcept { __libc_free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { __libc_free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { __libc_free(memory); }

namespace graft {
namespace {

constexpr int kCalls = 10;

Status Run(const std::string& plan, int threads) {
  GRAFT_ASSIGN_OR_RETURN(LoadedPlan loaded, LoadForRun(plan, threads, ""));
  const Engine& engine = *loaded.engine;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Dims> dims, InputDims(engine, {}));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, RandomInputs(engine, dims, 1));
  std::vector<TensorView> views;
  for (const Tensor& tensor : inputs) views.push_back(ViewOf(tensor));
  GRAFT_ASSIGN_OR_RETURN(std::vector<Tensor> outputs, loaded.context->Run(inputs));
  const auto allocate = [&](const OutputRequest& request) -> Result<OutputMemory> {
    return OutputMemory{outputs[request.output].mutable_raw()};
  };
  // The executor's threads begin with the first calls.
  for (int i = 0; i < kCalls; ++i) GRAFT_RETURN_IF_ERROR(loaded.context->Run(views, allocate));
  dl_iterate_phdr(FindLibraries, nullptr);
  counting = true;
  for (int i = 0; i < kCalls; ++i) GRAFT_RETURN_IF_ERROR(loaded.context->Run(views, allocate));
  counting = false;
  std::printf("graft %lld libraries %lld\n", static_cast<long long>(ours),
              static_cast<long long>(theirs));
  return ours == 0 ? OkStatus() : InternalError("{} allocations in {} calls", ours.load(), kCalls);
}

}  // namespace
}  // namespace graft

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("allocation_count PLAN [THREADS]\n", stderr), graft::kUsage;
  return graft::Report(graft::Run(argv[1], argc > 2 ? std::atoi(argv[2]) : 2));
}
