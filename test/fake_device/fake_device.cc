#include "fake_device/fake_device.h"

#include <cstring>
#include <set>

namespace graft::fake_device {
namespace {

// The calling thread's streams that record now.
thread_local int recording_streams = 0;

WorkQueue& QueueOf(void* stream) { return *static_cast<WorkQueue*>(stream); }

Status NotRecording(const char* what) {
  if (recording_streams == 0) return OkStatus();
  return FailedPreconditionError("fake device: {} while the thread records", what);
}

size_t SpanOf(const CopyRegion& region, size_t stride) {
  return region.rows <= 0 ? 0 : static_cast<size_t>(region.rows - 1) * stride + region.row_bytes;
}

}  // namespace

class FakeDevice::FakeRecording final : public Recording {
 public:
  FakeRecording(FakeDevice& device, std::vector<Part> parts) : device_(device) {
    for (Part& part : parts) parts_.push_back(std::make_shared<const Part>(std::move(part)));
    FindOrder();
  }
  ~FakeRecording() override {
    GRAFT_CHECK(*under_way_ == 0, "fake device: a recording is destroyed while it runs");
  }

  Status Launch(void* stream) override {
    ++device_.launches_;
    ++*under_way_;
    // Goes with the work, whether it was done or skipped.
    std::shared_ptr<void> launch(nullptr, [under_way = under_way_](void*) { --*under_way; });
    // Work that is queued keeps the addresses of now.
    return QueueOf(stream).Push(
        [parts = parts_, order = order_, launch = std::move(launch)]() -> Status {
          for (const int part : order) {
            for (const Work& work : parts[part]->work) GRAFT_RETURN_IF_ERROR(work());
          }
          return OkStatus();
        });
  }

  Status Update(int part, void* stream, FunctionRef<Status()> enqueue) override {
    ++device_.updates_;
    GRAFT_RETURN_IF_ERROR(device_.BeginRecording(stream));
    Status status = device_.MarkPart(stream, {});
    if (status.ok()) status = enqueue();
    --recording_streams;
    GRAFT_ASSIGN_OR_RETURN(std::vector<Part> parts, QueueOf(stream).EndRecording());
    GRAFT_RETURN_IF_ERROR(status);
    if (parts.size() != 1 || parts[0].work.size() != parts_.at(part)->work.size())
      return UnsupportedError("fake device: part {} is other work now", part);
    parts_[part] = std::make_shared<const Part>(std::move(parts[0]));
    return OkStatus();
  }

 private:
  // The last part that waits for none of those to come goes first: whoever names too few finds old
  // bytes.
  void FindOrder() {
    std::vector<int> open(parts_.size());
    std::vector<std::vector<int>> next(parts_.size());
    for (size_t i = 0; i < parts_.size(); ++i) {
      for (const int earlier : parts_[i]->after) {
        GRAFT_CHECK(earlier >= 0 && earlier < static_cast<int>(i), "part {} waits for {}", i,
                    earlier);
        next[earlier].push_back(static_cast<int>(i));
        ++open[i];
      }
    }
    std::set<int> ready;
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (open[i] == 0) ready.insert(static_cast<int>(i));
    }
    while (!ready.empty()) {
      const int part = *ready.rbegin();
      ready.erase(part);
      order_.push_back(part);
      for (const int later : next[part]) {
        if (--open[later] == 0) ready.insert(later);
      }
    }
  }

  FakeDevice& device_;
  std::vector<std::shared_ptr<const Part>> parts_;
  std::vector<int> order_;  // in which they run
  std::shared_ptr<std::atomic<int>> under_way_ = std::make_shared<std::atomic<int>>(0);
};

Result<void*> FakeDevice::Allocate(size_t bytes) {
  GRAFT_RETURN_IF_ERROR(NotRecording("memory is allocated"));
  return memory_.Allocate(bytes);
}

void FakeDevice::Free(void* address) {
  GRAFT_CHECK(recording_streams == 0, "fake device: memory is freed while the thread records");
  memory_.Free(address);
}

Status FakeDevice::FreeAsync(void* address, void* stream) {
  if (stream == nullptr) return Free(address), OkStatus();
  return QueueOf(stream).PushAlways([=, this] {
    memory_.Free(address);
    return OkStatus();
  });
}

void FakeDevice::DestroyStream(void* stream) {
  GRAFT_CHECK(recording_streams == 0,
              "fake device: a stream is destroyed while the thread records");
  delete static_cast<WorkQueue*>(stream);
}

Result<std::byte*> FakeDevice::Resolve(const void* address, MemorySpace space, size_t bytes) const {
  if (space == MemorySpace::kDevice) return memory_.Translate(address, bytes);
  if (memory_.Owns(address))
    return InvalidArgumentError("fake device: {} is no host memory", fmt::ptr(address));
  return static_cast<std::byte*>(const_cast<void*>(address));
}

Status FakeDevice::Copy(const CopyRegion& region, void* stream) {
  const bool from_host = region.source_space == MemorySpace::kHost;
  const bool to_host = region.target_space == MemorySpace::kHost;
  if (from_host || to_host) GRAFT_RETURN_IF_ERROR(NotRecording("host memory is copied"));
  ++(from_host ? to_device_ : to_host ? to_host_ : within_);
  const auto copy = [region, this]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(const std::byte* source, Resolve(region.source, region.source_space,
                                                            SpanOf(region, region.source_stride)));
    GRAFT_ASSIGN_OR_RETURN(std::byte * target, Resolve(region.target, region.target_space,
                                                       SpanOf(region, region.target_stride)));
    if (region.row_bytes == 0) return OkStatus();
    for (int64_t row = 0; row < region.rows; ++row) {
      std::memcpy(target + row * region.target_stride, source + row * region.source_stride,
                  region.row_bytes);
    }
    return OkStatus();
  };
  return stream == nullptr ? copy() : QueueOf(stream).Push(copy);
}

Status FakeDevice::Synchronize(void* stream) {
  GRAFT_RETURN_IF_ERROR(NotRecording("the host waits for a stream"));
  return stream ? QueueOf(stream).Synchronize() : OkStatus();
}

Status FakeDevice::Record(void* event, void* stream) {
  return QueueOf(stream).Record(static_cast<Event*>(event));
}

Status FakeDevice::Wait(void* stream, void* event) {
  return QueueOf(stream).Wait(*static_cast<Event*>(event));
}

Result<bool> FakeDevice::Done(void* event) {
  const std::shared_ptr<Event::Place> place = static_cast<Event*>(event)->place();
  if (!place) return true;
  std::lock_guard lock(place->mutex);
  if (place->done && !place->status.ok()) return place->status;
  return place->done;
}

Status FakeDevice::SynchronizeEvent(void* event) {
  GRAFT_RETURN_IF_ERROR(NotRecording("the host waits for an event"));
  const std::shared_ptr<Event::Place> place = static_cast<Event*>(event)->place();
  if (!place) return OkStatus();
  std::unique_lock lock(place->mutex);
  place->reached.wait(lock, [&] { return place->done; });
  return place->status;
}

Status FakeDevice::BeginRecording(void* stream) {
  GRAFT_RETURN_IF_ERROR(QueueOf(stream).BeginRecording());
  ++recording_streams;
  return OkStatus();
}

Status FakeDevice::MarkPart(void* stream, std::span<const int> after) {
  return QueueOf(stream).MarkPart(after);
}

Result<std::unique_ptr<Recording>> FakeDevice::EndRecording(void* stream) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<Part> parts, QueueOf(stream).EndRecording());
  --recording_streams;
  ++made_;
  return std::unique_ptr<Recording>(std::make_unique<FakeRecording>(*this, std::move(parts)));
}

}  // namespace graft::fake_device
