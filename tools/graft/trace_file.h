// What runs do and when, as a file that chrome://tracing and ui.perfetto.dev show.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/observer.h"

namespace graft {

// Collects what it is told: parts of runs, on the thread of the caller (0), and what each worker of
// its executor did (1 + worker). Times are nanoseconds since it was made. Parts are ranges for
// NVIDIA's profilers too (nvtx.h).
class TraceRecorder final : public RunObserver {
 public:
  struct Event {
    RunPart part;
    std::string name;
    std::string detail;
    int64_t begin_ns = 0;
    int64_t end_ns = 0;
  };
  struct Work {
    int worker;
    int event;  // the step that it is of
    int64_t begin_ns;
    int64_t end_ns;
  };

  TraceRecorder() : start_(SteadyNow()) {}
  void Begin(RunPart part, std::string_view name, std::string_view detail) override;
  void End() override;
  void Worked(int worker, int64_t begin_ns, int64_t end_ns) override;

  const std::vector<Event>& events() const { return events_; }  // by their beginning
  const std::vector<Work>& work() const { return work_; }

  // Trace Event Format (JSON Object Format), complete events in microseconds.
  nlohmann::ordered_json ToJson() const;

 private:
  const int64_t start_;
  std::vector<Event> events_;
  std::vector<int> open_;  // of events_, the innermost last
  std::vector<Work> work_;
};

}  // namespace graft
