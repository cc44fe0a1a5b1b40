// The streams and events of the fake device: work is done in order, later, on another thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "base/status.h"

namespace graft::fake_device {

using Work = std::function<Status()>;
// What was queued of one part of a recording, and the parts that it waits for.
struct Part {
  std::vector<Work> work;
  std::vector<int> after;
};

// A place in a queue's work. Recording it again makes it stand for another place.
class Event {
 public:
  // Of the last recording of the event; null when there is none.
  struct Place {
    std::mutex mutex;
    std::condition_variable reached;
    bool done = false;
    Status status;  // of the queue when it came here
  };
  std::shared_ptr<Place> place() const;
  std::shared_ptr<Place> NewPlace();

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<Place> place_;
};

class WorkQueue {
 public:
  WorkQueue();
  ~WorkQueue();

  // Kept instead of done while the queue records.
  Status Push(Work work);
  // Done even when the work before it has failed. Not while recording.
  Status PushAlways(Work work);
  // Waits until all is done. The first failure since the last call; what came after it was skipped.
  Status Synchronize();

  Status Record(Event* event);
  Status Wait(const Event& event);

  bool recording() const;
  Status BeginRecording();
  Status MarkPart(std::span<const int> after);
  // Everything since BeginRecording, by part.
  Result<std::vector<Part>> EndRecording();

 private:
  struct Item {
    Work work;
    bool always = false;
  };
  void Run();
  Status Add(Item item);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::optional<std::vector<Part>> recorded_;
  bool busy_ = false;
  bool stop_ = false;
  Status status_;
  std::minstd_rand random_;
  std::thread thread_;
};

}  // namespace graft::fake_device
