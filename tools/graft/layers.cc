#include "layers.h"

#include <fmt/format.h>

#include <algorithm>

namespace graft {

Result<Roofline> RooflineOf(const Engine& engine, int threads) {
  if (!engine.backend().device().host_accessible()) return Roofline();
  return MeasureRoofline(*MakeTbbExecutor(threads));
}

Result<std::vector<Layer>> Layers(const Context& context, const Roofline& roofline) {
  GRAFT_ASSIGN_OR_RETURN(std::vector<StepProfile> profiles, context.Profile());
  std::vector<Layer> layers;
  for (StepProfile& profile : profiles) {
    Layer& layer = layers.emplace_back();
    layer.ms = profile.total_ms / static_cast<double>(std::max<int64_t>(1, profile.runs));
    layer.limit = LimitOf(profile, roofline);
    layer.profile = std::move(profile);
  }
  return layers;
}

std::string DescribeLayers(const std::vector<Layer>& layers, const Roofline& roofline,
                           double whole_ms) {
  double total = 0;
  for (const Layer& l : layers) total += l.ms;
  std::string text = fmt::format("\n=== Layers ({} steps, {:.3f} ms of {:.3f} ms) ===\n",
                                 layers.size(), total, whole_ms);
  if (roofline.gflops > 0) {
    text += fmt::format(
        "this machine: {:.1f} GFLOP/s of f32, {:.1f} GB/s of memory, {:.2f} us for an empty loop\n",
        roofline.gflops, roofline.bandwidth.back().gb_per_second, roofline.overhead_us);
  }
  text += fmt::format("{:>9} {:>6} {:>9} {:>8}  {:<10} {:>8}  {:<32} {}\n", "time(ms)", "%",
                      "GFLOP/s", "GB/s", "limit", "of it(%)", "tactic", "layer");
  for (const Layer& l : layers) {
    const double per_second = l.ms > 0 ? 1e-6 / l.ms : 0;  // billions
    text += fmt::format("{:9.4f} {:6.2f} {:9.1f} {:8.2f}  {:<10} {:>8}  {:<32} {}\n", l.ms,
                        100 * l.ms / total, l.profile.flops * per_second,
                        l.profile.bytes * per_second, l.limit.name.empty() ? "-" : l.limit.name,
                        l.limit.name.empty() ? "-" : fmt::format("{:.0f}", 100 * l.share()),
                        l.profile.tactic, l.profile.name);
  }
  return text;
}

nlohmann::ordered_json ToJson(const std::vector<Layer>& layers) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Layer& l : layers) {
    json.push_back({{"name", l.profile.name},
                    {"op", l.profile.op},
                    {"tactic", l.profile.tactic},
                    {"problem", l.profile.problem},
                    {"types", l.profile.types},
                    {"result", l.profile.result},
                    {"ms", l.ms},
                    {"gflop", l.profile.flops / 1e9},
                    {"bytes", l.profile.bytes},
                    {"limit", nullptr},
                    {"of_limit", nullptr}});
    if (l.limit.name.empty()) continue;
    json.back()["limit"] = l.limit.name;
    json.back()["of_limit"] = l.share();
  }
  return json;
}

}  // namespace graft
