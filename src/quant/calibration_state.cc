// What a calibration has gathered, as text, so that it can go on another day. The last line is a
// checksum of the others: a file that was cut is refused, and what reads is still not trusted.
#include <charconv>
#include <cmath>
#include <iterator>

#include "base/crc32c.h"
#include "base/split.h"
#include "quant/calibration.h"

namespace graft::quant {
namespace {

constexpr std::string_view kHeader = "graft-calibration 1";

template <class T>
bool TakeNumber(std::string_view* line, T* number) {
  const std::string_view text = CutFront(line, ' ');
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && at == text.data() + text.size();
}

bool IsAmount(double x) { return std::isfinite(x) && x >= 0; }

// Bins as runs: how many, of what count.
void AppendBins(const std::vector<int64_t>& bins, std::string* text) {
  for (size_t i = 0; i < bins.size();) {
    size_t end = i;
    while (end < bins.size() && bins[end] == bins[i]) ++end;
    fmt::format_to(std::back_inserter(*text), " {} {}", end - i, bins[i]);
    i = end;
  }
}

bool ReadBins(std::string_view* line, int64_t count, std::vector<int64_t>* bins) {
  int64_t sum = 0;
  while (!line->empty()) {
    int64_t run = 0;
    int64_t of = 0;
    if (!TakeNumber(line, &run) || !TakeNumber(line, &of)) return false;
    const auto room = Histogram::kMaxBins - static_cast<int64_t>(bins->size());
    if (run < 1 || run > room || of < 0 || of > (count - sum) / run) return false;
    sum += run * of;
    bins->insert(bins->end(), run, of);
  }
  return sum == count;
}

}  // namespace

std::string Calibration::Gathered(std::string_view key) const {
  std::string text = fmt::format("{}\n{}\nbatches {}\n", kHeader, key, batches_);
  for (size_t i = 0; i < values_.size(); ++i) {
    const Histogram& h = histograms_[i];
    fmt::format_to(std::back_inserter(text), "{}\n{} {} {}", values_[i].name, h.count(), h.amax(),
                   h.bin_width());
    AppendBins(h.bins(), &text);
    text += "\nchannels";
    for (const float largest : channels_[i])
      fmt::format_to(std::back_inserter(text), " {}", largest);
    text += '\n';
  }
  return fmt::format("{}{:08x}\n", text, Crc32c(0, text.data(), text.size()));
}

Status Calibration::Restore(std::string_view state, std::string_view key) {
  Status damaged = DataLossError("the state of the calibration is damaged");
  const size_t last = state.size() < 10 ? std::string_view::npos : state.size() - 9;
  if (last == std::string_view::npos ||
      state.substr(last) != fmt::format("{:08x}\n", Crc32c(0, state.data(), last)))
    return damaged;
  state.remove_suffix(9);
  if (CutFront(&state, '\n') != kHeader) return damaged;
  if (CutFront(&state, '\n') != key)
    return InvalidArgumentError("the state is of another model, of other data or of other options");
  std::string_view line = CutFront(&state, '\n');
  int64_t batches = 0;
  if (CutFront(&line, ' ') != "batches" || !TakeNumber(&line, &batches) || batches < 0)
    return damaged;
  std::vector<Histogram> histograms(values_.size());
  std::vector<std::vector<float>> channels(values_.size());
  for (size_t i = 0; i < values_.size(); ++i) {
    if (CutFront(&state, '\n') != values_[i].name) return damaged;
    line = CutFront(&state, '\n');
    int64_t count = 0;
    double amax = 0;
    double width = 0;
    std::vector<int64_t> bins;
    if (!TakeNumber(&line, &count) || !TakeNumber(&line, &amax) || !TakeNumber(&line, &width) ||
        count < 0 || !IsAmount(amax) || !IsAmount(width) || !ReadBins(&line, count, &bins) ||
        (width > 0 && bins.size() < Histogram::kFirstBins))
      return damaged;
    histograms[i] = Histogram(count, amax, width, std::move(bins));
    line = CutFront(&state, '\n');
    if (CutFront(&line, ' ') != "channels") return damaged;
    while (!line.empty()) {
      float& largest = channels[i].emplace_back();
      if (!TakeNumber(&line, &largest) || !IsAmount(largest)) return damaged;
    }
    if (!values_[i].channels && !channels[i].empty()) return damaged;
  }
  if (!state.empty()) return damaged;
  histograms_ = std::move(histograms);
  channels_ = std::move(channels);
  batches_ = batches;
  return OkStatus();
}

}  // namespace graft::quant
