#include "build_queue.h"

#include <pthread.h>
#include <sched.h>

#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "graft/c_api.h"

namespace graft_tf {
namespace {

class Queue {
 public:
  static Queue& Global() {
    static Queue* queue = new Queue;  // never destroyed: kernels may outlive static destruction
    return *queue;
  }

  void Add(std::function<void()> work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    work_.push_back(std::move(work));
    if (running_) return;
    running_ = true;
    std::thread([this] { Run(); }).detach();
  }

  void Stop() {
    std::deque<std::function<void()>> dropped;  // what it holds goes outside of the lock
    std::unique_lock<std::mutex> lock(mutex_);
    stopped_ = true;
    graft_stop_building_segments();
    dropped.swap(work_);
    ended_.wait(lock, [this] { return !running_; });
  }

 private:
  Queue() {
    // Work uses what is destroyed when a process ends.
    std::atexit([] { Global().Stop(); });
    // A child process has no thread that would do the work, or end.
    pthread_atfork([] { Global().mutex_.lock(); }, [] { Global().mutex_.unlock(); },
                   [] { Global().Forget(); });
  }

  void Forget() {
    // What it holds is the parent's.
    static_cast<void>(new std::deque<std::function<void()>>(std::move(work_)));
    work_.clear();
    running_ = false;
    mutex_.unlock();
  }

  void Run() {
    // Threads that this one starts are idle ones too. A system that refuses runs it as any other.
    const sched_param none = {};
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
    for (;;) {
      std::function<void()> work;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (work_.empty()) {
          running_ = false;
          ended_.notify_all();
          return;
        }
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable ended_;
  std::deque<std::function<void()>> work_;
  bool running_ = false;
  bool stopped_ = false;
};

}  // namespace

void RunWhenIdle(std::function<void()> work) { Queue::Global().Add(std::move(work)); }

void StopWork() { Queue::Global().Stop(); }

}  // namespace graft_tf
