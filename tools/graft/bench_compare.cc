#include "bench_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/file.h"

namespace graft {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kLatencies[] = {"min", "mean", "median", "p90", "p95", "p99"};
constexpr double kLeastRatio = 0.05;
constexpr double kLeastShare = 0.01;  // of the run

struct Time {
  double ms = 0;
  std::string tactic;
};

// By name; layers of one name count as one.
std::map<std::string, Time> LayerTimes(const Json& figures) {
  std::map<std::string, Time> times;
  for (const Json& layer : figures.value("layers", Json::array())) {
    Time& time = times[layer.at("name").get<std::string>()];
    time.ms += layer.at("ms").get<double>();
    time.tactic = layer.at("tactic").get<std::string>();
  }
  return times;
}

struct Change {
  std::string name;
  Time before, now;
  double difference() const { return now.ms - before.ms; }
};

std::vector<Change> Changes(const Json& now, const Json& before) {
  std::map<std::string, Change> changes;
  for (auto& [name, time] : LayerTimes(before)) changes[name].before = time;
  for (auto& [name, time] : LayerTimes(now)) changes[name].now = time;
  const double least = kLeastShare * now["latency_ms"]["median"].get<double>();
  std::vector<Change> moved;
  for (auto& [name, change] : changes) {
    const double difference = std::abs(change.difference());
    if (difference < least || difference < kLeastRatio * change.before.ms) continue;
    change.name = name;
    moved.push_back(change);
  }
  std::ranges::stable_sort(moved, std::greater(), &Change::difference);
  return moved;
}

bool IsLayer(const Json& layer) {
  return layer.is_object() && layer.contains("name") && layer["name"].is_string() &&
         layer.contains("tactic") && layer["tactic"].is_string() && layer.contains("ms") &&
         layer["ms"].is_number();
}

}  // namespace

Result<Json> ReadBenchFigures(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes bytes, ReadFile(path));
  return ParseBenchFigures(bytes.view(), path);
}

Result<Json> ParseBenchFigures(std::string_view text, const std::string& path) {
  Json figures = Json::parse(text.begin(), text.end(), nullptr, false);
  auto missing = [&](std::string_view what) {
    return DataLossError("{}: not the figures of graft bench --json: {}", path, what);
  };
  if (!figures.is_object() || !figures.contains("latency_ms") || !figures["latency_ms"].is_object())
    return missing("no latency_ms");
  for (const char* name : kLatencies) {
    const Json& latencies = figures["latency_ms"];
    if (!latencies.contains(name) || !latencies[name].is_number())
      return missing(fmt::format("no latency_ms.{}", name));
  }
  if (!figures.contains("fingerprint") || !figures["fingerprint"].is_string())
    return missing("no fingerprint");
  const Json layers = figures.value("layers", Json::array());
  if (!layers.is_array() || !std::ranges::all_of(layers, IsLayer))
    return missing("layers without name, tactic or ms");
  return figures;
}

std::string CompareBenchFigures(const Json& now, const Json& before) {
  std::string text;
  if (now["fingerprint"] != before["fingerprint"]) {
    text += fmt::format("Warning: measured on another machine or build: {}\n",
                        before["fingerprint"].get<std::string>());
  }
  // Figures of other work say nothing about this one's.
  for (const char* what : {"inputs", "threads"}) {
    const auto was = before.find(what);
    if (was == before.end() || *was == now[what]) continue;
    text += fmt::format("Warning: measured with other {}: {} before, {} now\n", what, was->dump(),
                        now[what].dump());
  }
  for (const char* name : kLatencies) {
    const double a = before["latency_ms"][name].get<double>();
    const double b = now["latency_ms"][name].get<double>();
    text += fmt::format("{:<6} {:9.4f} ms before, {:9.4f} ms now", name, a, b);
    if (a > 0) text += fmt::format(", {:.3f} x the time", b / a);
    text += "\n";
  }
  if (!now.contains("layers") || !before.contains("layers")) return text;
  const std::vector<Change> changes = Changes(now, before);
  if (changes.empty()) return text + "no layer has changed\n";
  text += fmt::format("{:>10} {:>10} {:>10}  {}\n", "before(ms)", "now(ms)", "change(ms)", "layer");
  for (const Change& c : changes) {
    text += fmt::format("{:10.4f} {:10.4f} {:+10.4f}  {}", c.before.ms, c.now.ms, c.difference(),
                        c.name);
    if (c.before.tactic.empty()) {
      text += " (new)";
    } else if (c.now.tactic.empty()) {
      text += " (gone)";
    } else if (c.before.tactic != c.now.tactic) {
      text += fmt::format(" ({} before, {} now)", c.before.tactic, c.now.tactic);
    }
    text += "\n";
  }
  return text;
}

}  // namespace graft
