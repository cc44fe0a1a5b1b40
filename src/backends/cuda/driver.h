// The NVIDIA libraries, opened by name when first asked for: nothing links CUDA, so Graft loads and
// runs on machines without it.
#pragma once

#include <cuda.h>
#include <nvrtc.h>

#include <string>

#include "base/status.h"

namespace graft::cuda {

// The driver's functions (libcuda.so.1): the member's name, and the symbol with its version.
#define GRAFT_CUDA_DRIVER(F)                                         \
  F(Init, cuInit)                                                    \
  F(DriverGetVersion, cuDriverGetVersion)                            \
  F(GetErrorName, cuGetErrorName)                                    \
  F(GetErrorString, cuGetErrorString)                                \
  F(DeviceGet, cuDeviceGet)                                          \
  F(DeviceGetCount, cuDeviceGetCount)                                \
  F(DeviceGetName, cuDeviceGetName)                                  \
  F(DeviceGetAttribute, cuDeviceGetAttribute)                        \
  F(PrimaryCtxRetain, cuDevicePrimaryCtxRetain)                      \
  F(CtxPushCurrent, cuCtxPushCurrent_v2)                             \
  F(CtxPopCurrent, cuCtxPopCurrent_v2)                               \
  F(MemAlloc, cuMemAlloc_v2)                                         \
  F(MemFree, cuMemFree_v2)                                           \
  F(MemAllocAsync, cuMemAllocAsync)                                  \
  F(MemFreeAsync, cuMemFreeAsync)                                    \
  F(MemHostAlloc, cuMemHostAlloc)                                    \
  F(MemFreeHost, cuMemFreeHost)                                      \
  F(MemcpyAsync, cuMemcpyAsync)                                      \
  F(Memcpy2DAsync, cuMemcpy2DAsync_v2)                               \
  F(MemsetD8Async, cuMemsetD8Async)                                  \
  F(StreamCreate, cuStreamCreate)                                    \
  F(StreamDestroy, cuStreamDestroy_v2)                               \
  F(StreamSynchronize, cuStreamSynchronize)                          \
  F(StreamWaitEvent, cuStreamWaitEvent)                              \
  F(StreamBeginCapture, cuStreamBeginCapture_v2)                     \
  F(StreamEndCapture, cuStreamEndCapture)                            \
  F(EventCreate, cuEventCreate)                                      \
  F(EventDestroy, cuEventDestroy_v2)                                 \
  F(EventRecord, cuEventRecord)                                      \
  F(EventQuery, cuEventQuery)                                        \
  F(EventSynchronize, cuEventSynchronize)                            \
  F(EventElapsedTime, cuEventElapsedTime_v2)                         \
  F(ModuleLoadData, cuModuleLoadData)                                \
  F(ModuleGetFunction, cuModuleGetFunction)                          \
  F(FuncGetAttribute, cuFuncGetAttribute)                            \
  F(FuncGetParamInfo, cuFuncGetParamInfo)                            \
  F(FuncSetAttribute, cuFuncSetAttribute)                            \
  F(LaunchKernelEx, cuLaunchKernelEx)                                \
  F(TensorMapEncodeTiled, cuTensorMapEncodeTiled)                    \
  F(TensorMapEncodeIm2col, cuTensorMapEncodeIm2col)                  \
  F(GraphGetNodes, cuGraphGetNodes)                                  \
  F(GraphGetEdges, cuGraphGetEdges_v2)                               \
  F(GraphAddDependencies, cuGraphAddDependencies_v2)                 \
  F(GraphRemoveDependencies, cuGraphRemoveDependencies_v2)           \
  F(GraphNodeGetType, cuGraphNodeGetType)                            \
  F(GraphKernelNodeGetParams, cuGraphKernelNodeGetParams_v2)         \
  F(GraphExecKernelNodeSetParams, cuGraphExecKernelNodeSetParams_v2) \
  F(GraphInstantiate, cuGraphInstantiateWithFlags)                   \
  F(GraphLaunch, cuGraphLaunch)                                      \
  F(GraphDestroy, cuGraphDestroy)                                    \
  F(GraphExecDestroy, cuGraphExecDestroy)

struct Driver {
#define GRAFT_MEMBER(Name, symbol) decltype(&::symbol) Name = nullptr;
  GRAFT_CUDA_DRIVER(GRAFT_MEMBER)
#undef GRAFT_MEMBER
  int version = 0;  // 13000: CUDA 13.0
};

// The run-time compiler's functions (libnvrtc.so.13).
#define GRAFT_NVRTC(F)                               \
  F(Version, nvrtcVersion)                           \
  F(GetNumSupportedArchs, nvrtcGetNumSupportedArchs) \
  F(GetSupportedArchs, nvrtcGetSupportedArchs)       \
  F(GetErrorString, nvrtcGetErrorString)             \
  F(CreateProgram, nvrtcCreateProgram)               \
  F(DestroyProgram, nvrtcDestroyProgram)             \
  F(CompileProgram, nvrtcCompileProgram)             \
  F(GetProgramLogSize, nvrtcGetProgramLogSize)       \
  F(GetProgramLog, nvrtcGetProgramLog)               \
  F(GetCUBINSize, nvrtcGetCUBINSize)                 \
  F(GetCUBIN, nvrtcGetCUBIN)

struct Nvrtc {
#define GRAFT_MEMBER(Name, symbol) decltype(&::symbol) Name = nullptr;
  GRAFT_NVRTC(GRAFT_MEMBER)
#undef GRAFT_MEMBER
  int version = 0;
};

// kUnsupported, with why, where there is no driver, it is older than CUDA 13 or has no device; the
// answer is found once and stays. A child forked after that gets kFailedPrecondition: CUDA does not
// survive fork.
Result<const Driver*> OpenDriver();
// kUnsupported where the library is missing. Needs no driver.
Result<const Nvrtc*> OpenNvrtc();

// A failed call as a status: kResourceExhausted where memory ran out, kUnsupported where a stream
// cannot be captured or its capture was broken off, else kInternal, with the call's and the error's
// name.
Status ToStatus(const Driver& driver, CUresult result, const char* call);

#define GRAFT_CUDA(driver, Call, ...)                                                           \
  do {                                                                                          \
    if (const CUresult graft_result = (driver).Call(__VA_ARGS__); graft_result != CUDA_SUCCESS) \
      return ::graft::cuda::ToStatus(driver, graft_result, #Call);                              \
  } while (false)

}  // namespace graft::cuda
