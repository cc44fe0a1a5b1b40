#include "roofline.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/aligned_buffer.h"
#include "kernels/cpu/fma_peak.h"
#include "timing.h"

namespace graft {
namespace {

constexpr double kSmallest = 32 << 10, kLargest = 128 << 20, kStep = 4;
constexpr double kSecondsEach = 0.02;

// The least time of several rounds, each over in a moment.
template <class F>
double LeastSeconds(F&& round) {
  double least = std::numeric_limits<double>::infinity();
  const int64_t start = SteadyNow();
  do {
    const int64_t begin = SteadyNow();
    round();
    least = std::min(least, SecondsSince(begin));
  } while (SecondsSince(start) < kSecondsEach);
  return least;
}

double MeasureGflops(Executor& executor) {
  constexpr int kRounds = 100'000;
  const double each = RunMultiplyAdds(kRounds);
  const double seconds = LeastSeconds([&] {
    executor.ParallelFor(executor.width(), [](int64_t, int) { RunMultiplyAdds(kRounds); });
  });
  return each * executor.width() / seconds * 1e-9;
}

// One half of the memory is copied into the other, each thread its own part. 0: there is no memory.
double MeasureBandwidth(Executor& executor, double bytes) {
  const int width = executor.width();
  const auto part = static_cast<size_t>(bytes) / 2 / static_cast<size_t>(width);
  AlignedBuffer memory(part * 2 * static_cast<size_t>(width));
  if (!memory) return 0;
  std::memset(memory.data(), 1, memory.size());
  // Many passes in a round, so that handing out the parts does not count.
  const int passes = std::max(1, static_cast<int>(4e6 / bytes));
  const double seconds = LeastSeconds([&] {
    executor.ParallelFor(width, [&](int64_t index, int) {
      std::byte* const from = memory.data() + part * 2 * static_cast<size_t>(index);
      for (int i = 0; i < passes; ++i) {
        std::memcpy(from + part, from, part);
        asm volatile("" : : "r"(from) : "memory");  // each pass is made
      }
    });
  });
  return static_cast<double>(memory.size()) * passes / seconds * 1e-9;
}

}  // namespace

double Roofline::BandwidthFor(double bytes) const {
  for (const Bandwidth& b : bandwidth) {
    if (bytes <= b.bytes) return b.gb_per_second;
  }
  return bandwidth.empty() ? 0 : bandwidth.back().gb_per_second;
}

Roofline MeasureRoofline(Executor& executor) {
  Roofline roofline;
  roofline.gflops = MeasureGflops(executor);
  for (double bytes = kSmallest; bytes <= kLargest; bytes *= kStep) {
    const double bandwidth = MeasureBandwidth(executor, bytes);
    if (bandwidth > 0) roofline.bandwidth.push_back({bytes, bandwidth});
  }
  roofline.overhead_us =
      1e6 * LeastSeconds([&] { executor.ParallelFor(executor.width(), [](int64_t, int) {}); });
  return roofline;
}

Limit LimitOf(const StepProfile& step, const Roofline& roofline) {
  if (roofline.gflops == 0 || roofline.bandwidth.empty()) return {};
  const bool floats = step.types.starts_with("f32") || step.types.starts_with("f16") ||
                      step.types.starts_with("bf16");
  if (!floats && step.flops > 0) return {};
  Limit limit{"overhead", roofline.overhead_us * 1e-3};
  const double memory_ms = step.bytes / roofline.BandwidthFor(step.bytes) * 1e-6;
  if (memory_ms > limit.ms) limit = {"memory", memory_ms};
  const double arithmetic_ms = step.flops / roofline.gflops * 1e-6;
  if (arithmetic_ms > limit.ms) limit = {"arithmetic", arithmetic_ms};
  return limit;
}

nlohmann::ordered_json ToJson(const Roofline& roofline) {
  nlohmann::ordered_json json = {{"gflops", roofline.gflops},
                                 {"overhead_us", roofline.overhead_us},
                                 {"bandwidth", nlohmann::ordered_json::array()}};
  for (const Roofline::Bandwidth& b : roofline.bandwidth)
    json["bandwidth"].push_back({{"bytes", b.bytes}, {"gb_per_second", b.gb_per_second}});
  return json;
}

}  // namespace graft
