// One NVIDIA card as a Device. A stream is a CUstream; memory comes from the driver.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend_api/backend.h"
#include "backends/cuda/driver.h"
#include "backends/cuda/kernel_call.h"

namespace graft::cuda {

// What a kernel found wrong, written by the device (prelude.cuh).
struct ErrorRecord {
  int32_t kind = 0;
  int32_t step = 0;
  int64_t value = 0;
  int64_t limit = 0;
};

class CudaDevice final : public Device {
 public:
  // kUnsupported where there is no such card, kInternal where it does not start.
  static Result<std::unique_ptr<CudaDevice>> Open(int ordinal);
  ~CudaDevice() override;

  int ordinal() const override { return ordinal_; }
  bool host_accessible() const override { return false; }
  Result<void*> Allocate(size_t bytes) override;
  void Free(void* memory) override;
  Result<void*> AllocateAsync(size_t bytes, void* stream) override;
  Status FreeAsync(void* memory, void* stream) override;
  Result<void*> CreateStream() override;
  void DestroyStream(void* stream) override;
  Status Copy(const CopyRegion& region, void* stream) override;
  // Also tells what a step found wrong: an index out of range, an integer divided by zero.
  Status Synchronize(void* stream) override;
  Result<void*> CreateEvent() override;
  void DestroyEvent(void* event) override;
  Status Record(void* event, void* stream) override;
  Status Wait(void* stream, void* event) override;
  Result<bool> Done(void* event) override;
  Status SynchronizeEvent(void* event) override;
  bool records() const override { return true; }
  Status BeginRecording(void* stream) override;
  Status MarkPart(void* stream, std::span<const int> after) override;
  Result<std::unique_ptr<Recording>> EndRecording(void* stream) override;
  Result<double> Time(void* stream, FunctionRef<Status()> enqueue, int repetitions) override;

  const Driver& driver() const { return driver_; }
  int sm() const { return sm_; }
  // The card, its kind, clocks and cache, the driver and the compiler: all that decides a timing.
  const std::string& fingerprint() const { return fingerprint_; }

  // The launch's kernel in device code, loaded once. `hash` is its class's (HashOf), `cubin` what
  // Compile gave for that, or "" to compile it now.
  Result<CUfunction> FindKernel(const Launch& launch, const std::string& hash,
                                std::string_view cubin);
  // Where the stream's steps record what is wrong.
  Result<std::shared_ptr<ErrorRecord>> ErrorOf(void* stream);
  // A record of another stream's, into which work queued on this one writes.
  void AddError(void* stream, std::shared_ptr<ErrorRecord> record);
  Status LaunchKernel(CUfunction function, const Launch& launch, void* parameter, void* stream);
  // Whether blocks form clusters, and kernels start before the one before has ended.
  bool has_clusters() const { return sm_ >= 90; }

  // Makes the card's context the calling thread's, for as long as it lives.
  class Scope {
   public:
    explicit Scope(const CudaDevice& device);
    ~Scope();
    const Status& status() const { return status_; }

   private:
    const CudaDevice& device_;
    Status status_;
  };

 private:
  explicit CudaDevice(const Driver& driver) : driver_(driver) {}
  Status Start(int ordinal);
  // A kernel or a copy was queued.
  void CountNode(void* stream);
  // What the stream's steps have recorded; the record is empty afterwards.
  Status TakeError(void* stream);

  const Driver& driver_;
  int ordinal_ = 0;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  int sm_ = 0;
  std::string fingerprint_;

  std::mutex mutex_;
  struct Function {
    CUfunction function = nullptr;
    int shared_bytes = 0;  // that it may be launched with
  };
  std::map<std::string, CUmodule> modules_;                            // by HashOf
  std::map<std::pair<std::string, std::string>, Function> functions_;  // by HashOf and entry
  // By stream: its own record first. Pinned memory.
  std::map<void*, std::vector<std::shared_ptr<ErrorRecord>>> errors_;
  // Under way, by stream. The graph that is being captured is not asked: another thread may break
  // the capture off at any time, and the graph is gone then.
  struct UnderWay {
    size_t nodes = 0;                     // a kernel or a copy each
    std::vector<size_t> marks;            // how many there were at each
    std::vector<std::vector<int>> after;  // by part, those that it waits for
  };
  std::map<void*, UnderWay> recordings_;
};

// Names of steps, for what the device reports about them by number.
class StepName {
 public:
  explicit StepName(std::string name);
  ~StepName();
  StepName(const StepName&) = delete;
  StepName& operator=(const StepName&) = delete;
  int number() const { return number_; }
  static std::string Of(int number);  // "" for one that is gone

 private:
  int number_;
};

}  // namespace graft::cuda
