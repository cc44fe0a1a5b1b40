#include "backends/cuda/cuda_device.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <optional>

namespace graft::cuda {
namespace {

struct Names {
  std::mutex mutex;
  std::map<int, std::string> names;
  int next = 1;
};
Names& AllNames() {
  static Names* const names = new Names;  // steps may outlive static objects
  return *names;
}

enum ErrorKind { kIndexOutOfRange = 1, kUndefinedInteger, kBadBox, kBadThreshold, kBadSigma };

Status ToStatus(const ErrorRecord& error) {
  const auto as_float = [&] { return std::bit_cast<float>(static_cast<int32_t>(error.value)); };
  Status status;
  switch (error.kind) {
    case kIndexOutOfRange:
      status = InvalidArgumentError("index {} is not in [0, {})", error.value, error.limit);
      break;
    case kUndefinedInteger:
      status = InvalidArgumentError("an integer division by zero, or an integer's negative power");
      break;
    case kBadBox:
      status = InvalidArgumentError("box {} has a corner that is not finite", error.value);
      break;
    case kBadThreshold:
      status = InvalidArgumentError("iou_threshold {} is not in [0, 1]", as_float());
      break;
    case kBadSigma:
      status = InvalidArgumentError("soft_nms_sigma {} is negative", as_float());
      break;
    default:
      status = InternalError("CUDA: error record {}", error.kind);
  }
  const std::string name = StepName::Of(error.step);
  return name.empty() ? status : status.WithContext(name);
}

}  // namespace

StepName::StepName(std::string name) {
  Names& all = AllNames();
  std::lock_guard lock(all.mutex);
  number_ = all.next;
  all.next = all.next == std::numeric_limits<int>::max() ? 1 : all.next + 1;
  all.names[number_] = std::move(name);
}

StepName::~StepName() {
  Names& all = AllNames();
  std::lock_guard lock(all.mutex);
  all.names.erase(number_);
}

std::string StepName::Of(int number) {
  Names& all = AllNames();
  std::lock_guard lock(all.mutex);
  const auto found = all.names.find(number);
  return found == all.names.end() ? "" : found->second;
}

CudaDevice::Scope::Scope(const CudaDevice& device) : device_(device) {
  // Also asks whether the process was forked.
  if (const Result<const Driver*> driver = OpenDriver(); !driver.ok()) {
    status_ = driver.status();
  } else if (const CUresult result = device_.driver_.CtxPushCurrent(device_.context_);
             result != CUDA_SUCCESS) {
    status_ = cuda::ToStatus(device_.driver_, result, "CtxPushCurrent");
  }
}

CudaDevice::Scope::~Scope() {
  CUcontext popped = nullptr;
  if (status_.ok()) device_.driver_.CtxPopCurrent(&popped);
}

#define GRAFT_IN_CONTEXT()  \
  const Scope scope(*this); \
  GRAFT_RETURN_IF_ERROR(scope.status())

Result<std::unique_ptr<CudaDevice>> CudaDevice::Open(int ordinal) {
  GRAFT_ASSIGN_OR_RETURN(const Driver* const driver, OpenDriver());
  std::unique_ptr<CudaDevice> device(new CudaDevice(*driver));
  GRAFT_RETURN_IF_ERROR(device->Start(ordinal));
  return device;
}

Status CudaDevice::Start(int ordinal) {
  int count = 0;
  GRAFT_CUDA(driver_, DeviceGetCount, &count);
  if (ordinal >= count)
    return UnsupportedError("there is no device cuda:{}: this machine has {}", ordinal, count);
  GRAFT_CUDA(driver_, DeviceGet, &device_, ordinal);
  const auto attribute = [&](CUdevice_attribute which) {
    int value = 0;
    return driver_.DeviceGetAttribute(&value, which, device_) == CUDA_SUCCESS ? value : 0;
  };
  sm_ = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
        attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  if (sm_ < 80)
    return UnsupportedError("cuda:{} has compute capability {}.{}, 8.0 is needed", ordinal,
                            sm_ / 10, sm_ % 10);
  ordinal_ = ordinal;
  char name[256] = {};
  GRAFT_CUDA(driver_, DeviceGetName, name, sizeof(name) - 1, device_);
  const Result<const Nvrtc*> nvrtc = OpenNvrtc();
  fingerprint_ = fmt::format("{} {} sms={} clock={} memory={} l2={} driver={} nvrtc={}", name,
                             NameOfSm(sm_), attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
                             attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
                             attribute(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
                             attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE), driver_.version,
                             nvrtc.ok() ? (*nvrtc)->version : 0);
  GRAFT_CUDA(driver_, PrimaryCtxRetain, &context_, device_);
  return OkStatus();
}

// Devices live as long as the process, and the driver may be gone before them.
CudaDevice::~CudaDevice() = default;

Result<void*> CudaDevice::Allocate(size_t bytes) {
  GRAFT_IN_CONTEXT();
  CUdeviceptr memory = 0;
  GRAFT_CUDA(driver_, MemAlloc, &memory, std::max<size_t>(bytes, 1));
  return reinterpret_cast<void*>(memory);
}

void CudaDevice::Free(void* memory) {
  const Scope scope(*this);
  if (memory && scope.status().ok()) driver_.MemFree(reinterpret_cast<CUdeviceptr>(memory));
}

Result<void*> CudaDevice::AllocateAsync(size_t bytes, void* stream) {
  if (stream == nullptr) return Allocate(bytes);
  GRAFT_IN_CONTEXT();
  CUdeviceptr memory = 0;
  GRAFT_CUDA(driver_, MemAllocAsync, &memory, std::max<size_t>(bytes, 1),
             static_cast<CUstream>(stream));
  return reinterpret_cast<void*>(memory);
}

Status CudaDevice::FreeAsync(void* memory, void* stream) {
  if (!memory) return OkStatus();
  if (stream == nullptr) return Free(memory), OkStatus();
  GRAFT_IN_CONTEXT();
  GRAFT_CUDA(driver_, MemFreeAsync, reinterpret_cast<CUdeviceptr>(memory),
             static_cast<CUstream>(stream));
  return OkStatus();
}

Result<void*> CudaDevice::CreateStream() {
  GRAFT_IN_CONTEXT();
  CUstream stream = nullptr;
  GRAFT_CUDA(driver_, StreamCreate, &stream, CU_STREAM_NON_BLOCKING);
  return static_cast<void*>(stream);
}

void CudaDevice::DestroyStream(void* stream) {
  const Scope scope(*this);
  if (!stream || !scope.status().ok()) return;
  driver_.StreamDestroy(static_cast<CUstream>(stream));
  std::lock_guard lock(mutex_);
  errors_.erase(stream);
  // Other streams forget what recordings of this one have written to, when those are gone.
  for (auto& [other, records] : errors_) {
    const auto borrowed = records.begin() + (records.empty() ? 0 : 1);
    records.erase(std::remove_if(borrowed, records.end(),
                                 [](const auto& record) { return record.use_count() == 1; }),
                  records.end());
  }
}

Status CudaDevice::Copy(const CopyRegion& region, void* stream) {
  if (region.row_bytes == 0 || region.rows == 0) return OkStatus();
  GRAFT_IN_CONTEXT();
  const auto queue = static_cast<CUstream>(stream);
  if (region.rows == 1) {
    GRAFT_CUDA(driver_, MemcpyAsync, reinterpret_cast<CUdeviceptr>(region.target),
               reinterpret_cast<CUdeviceptr>(region.source), region.row_bytes, queue);
  } else {
    CUDA_MEMCPY2D copy = {};
    // Addresses of host and device are of one space.
    copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
    copy.srcDevice = reinterpret_cast<CUdeviceptr>(region.source);
    copy.srcPitch = region.source_stride;
    copy.dstDevice = reinterpret_cast<CUdeviceptr>(region.target);
    copy.dstPitch = region.target_stride;
    copy.WidthInBytes = region.row_bytes;
    copy.Height = static_cast<size_t>(region.rows);
    GRAFT_CUDA(driver_, Memcpy2DAsync, &copy, queue);
  }
  CountNode(stream);
  if (stream == nullptr) GRAFT_CUDA(driver_, StreamSynchronize, nullptr);
  return OkStatus();
}

Status CudaDevice::TakeError(void* stream) {
  std::lock_guard lock(mutex_);
  const auto found = errors_.find(stream);
  if (found == errors_.end()) return OkStatus();
  for (const std::shared_ptr<ErrorRecord>& record : found->second) {
    if (record->kind == 0) continue;
    Status status = ToStatus(*record);
    *record = ErrorRecord();
    return status;
  }
  return OkStatus();
}

Status CudaDevice::Synchronize(void* stream) {
  GRAFT_IN_CONTEXT();
  GRAFT_CUDA(driver_, StreamSynchronize, static_cast<CUstream>(stream));
  return TakeError(stream);
}

namespace {

struct Event {
  CUevent event = nullptr;
  void* stream = nullptr;  // for which it stands
};

}  // namespace

Result<void*> CudaDevice::CreateEvent() {
  GRAFT_IN_CONTEXT();
  auto event = std::make_unique<Event>();
  GRAFT_CUDA(driver_, EventCreate, &event->event, CU_EVENT_DISABLE_TIMING);
  return static_cast<void*>(event.release());
}

void CudaDevice::DestroyEvent(void* event) {
  const std::unique_ptr<Event> owned(static_cast<Event*>(event));
  const Scope scope(*this);
  if (owned && scope.status().ok()) driver_.EventDestroy(owned->event);
}

Status CudaDevice::Record(void* event, void* stream) {
  GRAFT_IN_CONTEXT();
  auto* const e = static_cast<Event*>(event);
  GRAFT_CUDA(driver_, EventRecord, e->event, static_cast<CUstream>(stream));
  e->stream = stream;
  return OkStatus();
}

Status CudaDevice::Wait(void* stream, void* event) {
  GRAFT_IN_CONTEXT();
  GRAFT_CUDA(driver_, StreamWaitEvent, static_cast<CUstream>(stream),
             static_cast<Event*>(event)->event, CU_EVENT_WAIT_DEFAULT);
  return OkStatus();
}

Result<bool> CudaDevice::Done(void* event) {
  GRAFT_IN_CONTEXT();
  const auto* const e = static_cast<const Event*>(event);
  const CUresult result = driver_.EventQuery(e->event);
  if (result == CUDA_ERROR_NOT_READY) return false;
  if (result != CUDA_SUCCESS) return cuda::ToStatus(driver_, result, "EventQuery");
  GRAFT_RETURN_IF_ERROR(TakeError(e->stream));
  return true;
}

Status CudaDevice::SynchronizeEvent(void* event) {
  GRAFT_IN_CONTEXT();
  const auto* const e = static_cast<const Event*>(event);
  GRAFT_CUDA(driver_, EventSynchronize, e->event);
  return TakeError(e->stream);
}

Result<double> CudaDevice::Time(void* stream, FunctionRef<Status()> enqueue, int repetitions) {
  GRAFT_IN_CONTEXT();
  struct Event {
    const Driver& driver;
    CUevent event = nullptr;
    ~Event() {
      if (event) driver.EventDestroy(event);
    }
  } first{driver_}, last{driver_};
  const auto queue = static_cast<CUstream>(stream);
  GRAFT_CUDA(driver_, EventCreate, &first.event, CU_EVENT_DEFAULT);
  GRAFT_CUDA(driver_, EventCreate, &last.event, CU_EVENT_DEFAULT);
  // Short runs are timed as an engine has them, recorded one after the other: the host would be
  // slower in queueing them.
  std::optional<std::unique_ptr<Recording>> recording;
  if (repetitions > 1 && stream != nullptr) {
    GRAFT_RETURN_IF_ERROR(BeginRecording(stream));
    Status queued;
    for (int i = 0; i < repetitions && queued.ok(); ++i) queued = enqueue();
    Result<std::unique_ptr<Recording>> recorded = EndRecording(stream);
    GRAFT_RETURN_IF_ERROR(queued);
    GRAFT_RETURN_IF_ERROR(recorded.status());
    recording = *std::move(recorded);
    GRAFT_RETURN_IF_ERROR((*recording)->Launch(stream));  // the first one has to be uploaded
  }
  GRAFT_CUDA(driver_, EventRecord, first.event, queue);
  if (recording) {
    GRAFT_RETURN_IF_ERROR((*recording)->Launch(stream));
  } else {
    for (int i = 0; i < repetitions; ++i) GRAFT_RETURN_IF_ERROR(enqueue());
  }
  GRAFT_CUDA(driver_, EventRecord, last.event, queue);
  GRAFT_RETURN_IF_ERROR(Synchronize(stream));
  float milliseconds = 0;
  GRAFT_CUDA(driver_, EventElapsedTime, &milliseconds, first.event, last.event);
  return milliseconds * 1e3 / repetitions;
}

Result<CUfunction> CudaDevice::FindKernel(const Launch& launch, const std::string& hash,
                                          std::string_view cubin) {
  const KernelClass& kernel = launch.kernel;
  {
    std::lock_guard lock(mutex_);
    const auto found = functions_.find({hash, launch.entry});
    if (found != functions_.end() && found->second.shared_bytes >= launch.shared_bytes)
      return found->second.function;
  }
  GRAFT_IN_CONTEXT();
  CUmodule module = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = modules_.find(hash); found != modules_.end()) module = found->second;
  }
  if (!module) {
    std::string compiled(cubin);
    // A driver that is older than the compiler of the plan's may not take what that made.
    if (compiled.empty() || driver_.ModuleLoadData(&module, compiled.data()) != CUDA_SUCCESS) {
      Result<Compiled> result = Compile(kernel, sm_);
      if (result.status().code() == StatusCode::kUnsupported) {
        return UnsupportedError(
            "{}, and {}",
            cubin.empty()
                ? "no kernel is at hand for " + NameOfSm(sm_)
                : fmt::format("the driver, for CUDA {}.{}, does not take the "
                              "plan's kernel for {}",
                              driver_.version / 1000, driver_.version % 1000 / 10, NameOfSm(sm_)),
            result.status().message());
      }
      GRAFT_RETURN_IF_ERROR(result.status());
      compiled = std::move(result->cubin);
      GRAFT_CUDA(driver_, ModuleLoadData, &module, compiled.data());
    }
    std::lock_guard lock(mutex_);
    // Another thread's is as good; both stay loaded.
    module = modules_.emplace(hash, module).first->second;
  }
  CUfunction function = nullptr;
  GRAFT_CUDA(driver_, ModuleGetFunction, &function, module, launch.entry.c_str());
  std::lock_guard lock(mutex_);
  Function& known = functions_[{hash, launch.entry}];
  if (known.function == nullptr) known = {function, 48 << 10};  // which is always allowed
  if (launch.shared_bytes > known.shared_bytes) {
    GRAFT_CUDA(driver_, FuncSetAttribute, function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
               launch.shared_bytes);
    known.shared_bytes = launch.shared_bytes;
  }
  return function;
}

Result<std::shared_ptr<ErrorRecord>> CudaDevice::ErrorOf(void* stream) {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<ErrorRecord>>& records = errors_[stream];
  if (!records.empty()) return records.front();
  GRAFT_IN_CONTEXT();
  void* memory = nullptr;
  GRAFT_CUDA(driver_, MemHostAlloc, &memory, sizeof(ErrorRecord),
             CU_MEMHOSTALLOC_DEVICEMAP | CU_MEMHOSTALLOC_PORTABLE);
  records.emplace_back(new (memory) ErrorRecord, [this](ErrorRecord* record) {
    const Scope scope(*this);
    if (scope.status().ok()) driver_.MemFreeHost(record);
  });
  return records.front();
}

void CudaDevice::AddError(void* stream, std::shared_ptr<ErrorRecord> record) {
  GRAFT_CHECK(record != nullptr, "no record");
  // The stream's own stands first.
  if (!ErrorOf(stream).ok()) return;
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<ErrorRecord>>& records = errors_[stream];
  if (std::find(records.begin(), records.end(), record) == records.end())
    records.push_back(std::move(record));
}

Status CudaDevice::LaunchKernel(CUfunction function, const Launch& launch, void* parameter,
                                void* stream) {
  GRAFT_IN_CONTEXT();
  CUlaunchAttribute attributes[2] = {};
  CUlaunchConfig config = {};
  config.gridDimX = static_cast<unsigned>(launch.grid[0]);
  config.gridDimY = static_cast<unsigned>(launch.grid[1]);
  config.gridDimZ = static_cast<unsigned>(launch.grid[2]);
  config.blockDimX = static_cast<unsigned>(launch.block);
  config.blockDimY = config.blockDimZ = 1;
  config.sharedMemBytes = static_cast<unsigned>(launch.shared_bytes);
  config.hStream = static_cast<CUstream>(stream);
  config.attrs = attributes;
  if (has_clusters()) {
    // Every kernel waits for the one before it (Begin of prelude.cuh).
    CUlaunchAttribute& early = attributes[config.numAttrs++];
    early.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    early.value.programmaticStreamSerializationAllowed = 1;
    if (launch.cluster > 1) {
      CUlaunchAttribute& cluster = attributes[config.numAttrs++];
      cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
      cluster.value.clusterDim = {1, 1, static_cast<unsigned>(launch.cluster)};
    }
  }
  void* parameters[] = {parameter};
  GRAFT_CUDA(driver_, LaunchKernelEx, &config, function, parameters, nullptr);
  CountNode(stream);
  return OkStatus();
}

}  // namespace graft::cuda
