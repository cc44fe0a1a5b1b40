// A driver that is not there: libcuda.so.1 for tests on machines without a card. Device memory is
// the host's, kernels do nothing, and $GRAFT_STUB chooses what goes wrong:
//   old        the driver is for CUDA 12.8
//   no_device  there is no card
//   memory     device memory is out
//   async      queued work fails: what waits for it says so
//   kernel     launches fail
//   capture    what is captured is lost, as when another thread waits for the whole device
// $GRAFT_STUB_TRACE is a file to which copies, launches, waits and captures are written, with their
// streams.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kOutOfMemory = 2, kNotFound = 500, kIllegalAddress = 700, kCaptureInvalidated = 901 };

static int Is(const char* mode) {
  const char* asked = getenv("GRAFT_STUB");
  return asked && strcmp(asked, mode) == 0;
}

static int Trace(const char* format, ...) {
  const char* path = getenv("GRAFT_STUB_TRACE");
  FILE* file = path ? fopen(path, "a") : NULL;
  if (!file) return 0;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(file, format, arguments);
  va_end(arguments);
  return fclose(file), 0;
}

#define STUB(name) \
  int name(void) { return 0; }
#define MAKES_HANDLE(name)  \
  int name(void** handle) { \
    *handle = malloc(1);    \
    return 0;               \
  }

int cuInit(unsigned flags) { return (void)flags, 0; }
// libnvrtc looks for a table of the driver's, and calls this without looking whether it is there.
int cuGetExportTable(const void** table, const void* id) {
  return (void)id, *table = NULL, kNotFound;
}
int cuDriverGetVersion(int* version) { return *version = Is("old") ? 12080 : 13000, 0; }
int cuGetErrorName(int error, const char** name) {
  *name = error == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_ILLEGAL_ADDRESS";
  return 0;
}
int cuGetErrorString(int error, const char** text) {
  *text = error == kOutOfMemory ? "out of memory" : "an illegal memory access was encountered";
  return 0;
}
int cuDeviceGetCount(int* count) { return *count = Is("no_device") ? 0 : 1, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char* name, int size, int device) {
  return (void)device, strncpy(name, "Stub", (size_t)size), 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1;  // compute capability 9.0
  return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  return (void)device, *context = (void*)1, 0;
}
int cuCtxPushCurrent_v2(void* context) { return (void)context, 0; }
int cuCtxPopCurrent_v2(void** context) { return *context = 0, 0; }
int cuMemAlloc_v2(unsigned long long* memory, size_t bytes) {
  if (Is("memory")) return kOutOfMemory;
  *memory = (unsigned long long)aligned_alloc(64, (bytes + 63) / 64 * 64);
  return 0;
}
int cuMemFree_v2(unsigned long long memory) { return free((void*)memory), 0; }
int cuMemGetInfo_v2(size_t* available, size_t* total) { return *available = 1, *total = 2, 0; }
int cuMemAllocAsync(unsigned long long* memory, size_t bytes, void* stream) {
  return (void)stream, cuMemAlloc_v2(memory, bytes);
}
int cuMemFreeAsync(unsigned long long memory, void* stream) {
  return (void)stream, cuMemFree_v2(memory);
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  return (void)flags, *memory = aligned_alloc(64, (bytes + 63) / 64 * 64), 0;
}
int cuMemFreeHost(void* memory) { return free(memory), 0; }
// Of what is being captured, and a graph's: kernels and copies.
static _Thread_local size_t captured;
int cuMemcpyAsync(unsigned long long target, unsigned long long source, size_t bytes,
                  void* stream) {
  memcpy((void*)target, (const void*)source, bytes);
  ++captured;
  return Trace("copy %zu %p\n", bytes, stream);
}
STUB(cuMemcpy2DAsync_v2)
STUB(cuMemsetD8Async)
MAKES_HANDLE(cuStreamCreate)
int cuStreamDestroy_v2(void* stream) { return free(stream), 0; }
int cuStreamSynchronize(void* stream) { return (void)stream, Is("async") ? kIllegalAddress : 0; }
int cuStreamWaitEvent(void* stream, void* event, unsigned flags) {
  return (void)event, (void)flags, Trace("wait %p\n", stream);
}
int cuStreamBeginCapture_v2(void* stream, int mode) {
  captured = 0;
  return (void)mode, Trace("capture %p\n", stream);
}
int cuStreamEndCapture(void* stream, void** graph) {
  (void)stream;
  if (Is("capture")) return *graph = NULL, kCaptureInvalidated;
  size_t* const made = malloc(sizeof(size_t));
  *made = captured;
  return *graph = made, 0;
}
MAKES_HANDLE(cuEventCreate)
int cuEventDestroy_v2(void* event) { return free(event), 0; }
STUB(cuEventRecord)
int cuEventQuery(void* event) { return (void)event, Is("async") ? kIllegalAddress : 0; }
int cuEventSynchronize(void* event) { return (void)event, Is("async") ? kIllegalAddress : 0; }
int cuEventElapsedTime_v2(float* milliseconds) { return *milliseconds = 1, 0; }
MAKES_HANDLE(cuModuleLoadData)
int cuModuleGetFunction(void** function) { return *function = (void*)1, 0; }
STUB(cuFuncGetAttribute)
STUB(cuFuncGetParamInfo)
STUB(cuFuncSetAttribute)
STUB(cuTensorMapEncodeTiled)
STUB(cuTensorMapEncodeIm2col)
struct LaunchConfig {
  unsigned grid[3], block[3], shared;
  void* stream;
};
int cuLaunchKernelEx(const struct LaunchConfig* config) {
  Trace("launch %p\n", config->stream);
  ++captured;
  return Is("kernel") ? kIllegalAddress : 0;
}
int cuGraphGetNodes(void* graph, void** nodes, size_t* count) {
  (void)nodes;
  return *count = *(size_t*)graph, 0;
}
STUB(cuGraphGetEdges_v2)
STUB(cuGraphAddDependencies_v2)
STUB(cuGraphRemoveDependencies_v2)
STUB(cuGraphNodeGetType)
STUB(cuGraphKernelNodeGetParams_v2)
STUB(cuGraphExecKernelNodeSetParams_v2)
MAKES_HANDLE(cuGraphInstantiateWithFlags)
int cuGraphLaunch(void* graph, void* stream) { return (void)graph, Trace("graph %p\n", stream); }
int cuGraphDestroy(void* graph) { return free(graph), 0; }
int cuGraphExecDestroy(void* graph) { return free(graph), 0; }
