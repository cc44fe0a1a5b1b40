#include "quant/calibration_table.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

namespace graft::quant {
namespace {

constexpr std::string_view kPrefix = "TRT-";
constexpr std::string_view kSeparator = ": ";
constexpr size_t kMaxHexDigits = 8;
// Long lines are cut in messages.
constexpr size_t kShownCharacters = 80;

bool IsScale(float scale) { return std::isfinite(scale) && !std::signbit(scale); }

std::optional<float> ParseScale(std::string_view digits) {
  uint32_t bits = 0;
  if (digits.empty() || digits.size() > kMaxHexDigits) return std::nullopt;
  const char* const end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, bits, 16);
  if (error != std::errc() || at != end) return std::nullopt;
  const auto scale = std::bit_cast<float>(bits);
  return IsScale(scale) ? std::optional(scale) : std::nullopt;
}

// "TRT-8602-EntropyCalibration2"
bool ParseHeader(std::string_view line, CalibrationTable* table) {
  if (!line.starts_with(kPrefix)) return false;
  line.remove_prefix(kPrefix.size());
  const size_t dash = line.find('-');
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == line.size()) return false;
  table->version = line.substr(0, dash);
  table->algorithm = line.substr(dash + 1);
  return true;
}

// Cuts the next line off; "\r\n" ends one too.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

}  // namespace

const float* CalibrationTable::Find(std::string_view name) const {
  const auto at = std::find_if(scales.begin(), scales.end(),
                               [&](const auto& entry) { return entry.first == name; });
  return at == scales.end() ? nullptr : &at->second;
}

Result<CalibrationTable> ParseCalibrationTable(std::string_view text) {
  CalibrationTable table;
  const std::string_view header = TakeLine(&text);
  if (!ParseHeader(header, &table))
    return DataLossError("calibration table, line 1: '{}' is not TRT-<version>-<algorithm>",
                         header.substr(0, kShownCharacters));
  std::map<std::string_view, float> seen;
  for (int number = 2; !text.empty(); ++number) {
    const std::string_view line = TakeLine(&text);
    if (line.empty()) continue;
    const size_t colon = line.rfind(kSeparator);
    const std::optional<float> scale = colon == std::string_view::npos || colon == 0
                                           ? std::nullopt
                                           : ParseScale(line.substr(colon + kSeparator.size()));
    if (!scale)
      return DataLossError("calibration table, line {}: '{}' is not <name>: <scale in hexadecimal>",
                           number, line.substr(0, kShownCharacters));
    const std::string_view name = line.substr(0, colon);
    const auto [at, added] = seen.try_emplace(name, *scale);
    if (added) {
      table.scales.emplace_back(name, *scale);
    } else if (at->second != *scale) {
      return DataLossError("calibration table, line {}: a second scale of '{}'", number,
                           name.substr(0, kShownCharacters));
    }
  }
  return table;
}

Result<std::string> ToText(const CalibrationTable& table) {
  std::string text = fmt::format("{}{}-{}\n", kPrefix, table.version, table.algorithm);
  for (const auto& [name, scale] : table.scales) {
    if (!IsScale(scale)) return InvalidArgumentError("{}: a scale of {}", name, scale);
    text += fmt::format("{}{}{:08x}\n", name, kSeparator, std::bit_cast<uint32_t>(scale));
  }
  // A name with the end of a line in it would be another entry; an empty one none.
  const Result<CalibrationTable> read = ParseCalibrationTable(text);
  if (!read.ok() || read->version != table.version || read->algorithm != table.algorithm ||
      read->scales != table.scales)
    return InvalidArgumentError("a calibration table cannot hold these names");
  return text;
}

}  // namespace graft::quant
