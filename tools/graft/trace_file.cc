#include "trace_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "nvtx.h"

namespace graft {
namespace {

constexpr int kProcess = 1;

const char* Name(RunPart part) {
  switch (part) {
    case RunPart::kRun:
      return "run";
    case RunPart::kStage:
      return "stage";
    case RunPart::kStep:
      return "step";
    case RunPart::kCopy:
      return "copy";
  }
  return "";
}

double Microseconds(int64_t ns) { return static_cast<double>(ns) / 1000; }

nlohmann::ordered_json Span(const std::string& name, const char* category, int thread,
                            int64_t begin_ns, int64_t end_ns) {
  return {{"ph", "X"},
          {"name", name},
          {"cat", category},
          {"pid", kProcess},
          {"tid", thread},
          {"ts", Microseconds(begin_ns)},
          {"dur", Microseconds(end_ns - begin_ns)}};
}

nlohmann::ordered_json Label(const char* what, int thread, const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", kProcess}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

void TraceRecorder::Begin(RunPart part, std::string_view name, std::string_view detail) {
  open_.push_back(static_cast<int>(events_.size()));
  events_.push_back({part, std::string(name), std::string(detail)});
  PushNvtxRange(events_.back().name);
  events_.back().begin_ns = SteadyNow() - start_;
}

void TraceRecorder::End() {
  events_[open_.back()].end_ns = SteadyNow() - start_;
  open_.pop_back();
  PopNvtxRange();
}

void TraceRecorder::Worked(int worker, int64_t begin_ns, int64_t end_ns) {
  work_.push_back({worker, open_.back(), begin_ns - start_, end_ns - start_});
}

nlohmann::ordered_json TraceRecorder::ToJson() const {
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  events.push_back(Label("process_name", 0, "graft"));
  events.push_back(Label("thread_name", 0, "runs"));
  int workers = 0;
  for (const Work& w : work_) workers = std::max(workers, w.worker + 1);
  for (int w = 0; w < workers; ++w)
    events.push_back(Label("thread_name", w + 1, fmt::format("worker {}", w)));
  for (const Event& e : events_) {
    events.push_back(Span(e.name, Name(e.part), 0, e.begin_ns, e.end_ns));
    if (!e.detail.empty()) events.back()["args"]["tactic"] = e.detail;
  }
  for (const Work& w : work_)
    events.push_back(Span(events_[w.event].name, "work", w.worker + 1, w.begin_ns, w.end_ns));
  return {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}};
}

}  // namespace graft
