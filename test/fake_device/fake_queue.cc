#include "fake_device/fake_queue.h"

#include <chrono>
#include <utility>

namespace graft::fake_device {

std::shared_ptr<Event::Place> Event::place() const {
  std::lock_guard lock(mutex_);
  return place_;
}

std::shared_ptr<Event::Place> Event::NewPlace() {
  std::lock_guard lock(mutex_);
  return place_ = std::make_shared<Place>();
}

WorkQueue::WorkQueue() : thread_([this] { Run(); }) {}

WorkQueue::~WorkQueue() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status WorkQueue::Push(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (recorded_) {
      if (recorded_->empty())
        return FailedPreconditionError("fake device: work recorded before the first part");
      recorded_->back().work.push_back(std::move(work));
      return OkStatus();
    }
  }
  return Add({std::move(work)});
}

Status WorkQueue::PushAlways(Work work) { return Add({std::move(work), /*always=*/true}); }

Status WorkQueue::Add(Item item) {
  {
    std::lock_guard lock(mutex_);
    if (recorded_) return FailedPreconditionError("fake device: this cannot be recorded");
    items_.push_back(std::move(item));
  }
  changed_.notify_all();
  return OkStatus();
}

Status WorkQueue::Synchronize() {
  std::unique_lock lock(mutex_);
  if (recorded_) return FailedPreconditionError("fake device: waiting for a stream that records");
  changed_.wait(lock, [&] { return items_.empty() && !busy_; });
  return std::exchange(status_, OkStatus());
}

Status WorkQueue::Record(Event* event) {
  return PushAlways([this, place = event->NewPlace()] {
    Status status;
    {
      std::lock_guard lock(mutex_);
      status = status_;
    }
    {
      std::lock_guard lock(place->mutex);
      place->done = true;
      place->status = std::move(status);
    }
    place->reached.notify_all();
    return OkStatus();
  });
}

Status WorkQueue::Wait(const Event& event) {
  std::shared_ptr<Event::Place> place = event.place();
  if (!place) return OkStatus();
  return PushAlways([place = std::move(place)] {
    std::unique_lock lock(place->mutex);
    place->reached.wait(lock, [&] { return place->done; });
    return OkStatus();
  });
}

bool WorkQueue::recording() const {
  std::lock_guard lock(mutex_);
  return recorded_.has_value();
}

Status WorkQueue::BeginRecording() {
  std::lock_guard lock(mutex_);
  if (recorded_) return FailedPreconditionError("fake device: the stream records already");
  recorded_.emplace();
  return OkStatus();
}

Status WorkQueue::MarkPart(std::span<const int> after) {
  std::lock_guard lock(mutex_);
  if (!recorded_) return FailedPreconditionError("fake device: the stream does not record");
  recorded_->push_back({{}, {after.begin(), after.end()}});
  return OkStatus();
}

Result<std::vector<Part>> WorkQueue::EndRecording() {
  std::lock_guard lock(mutex_);
  if (!recorded_) return FailedPreconditionError("fake device: the stream does not record");
  std::vector<Part> parts = *std::move(recorded_);
  recorded_.reset();
  return parts;
}

void WorkQueue::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || !items_.empty(); });
    if (items_.empty()) return;
    Item item = std::move(items_.front());
    items_.pop_front();
    busy_ = true;
    const bool skip = !status_.ok() && !item.always;
    // Now and then a step starts late: whoever does not wait for it sees old bytes.
    const auto delay = std::chrono::microseconds(random_() % 8 == 0 ? random_() % 50 : 0);
    lock.unlock();
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    Status status = skip ? OkStatus() : item.work();
    item.work = nullptr;  // what it holds goes before anybody is told that it is done
    lock.lock();
    busy_ = false;
    if (status_.ok()) status_ = std::move(status);
    changed_.notify_all();
  }
}

}  // namespace graft::fake_device
