#include "backends/cuda/program_text.h"

#include <bit>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "backends/cuda/kernel_call.h"
#include "base/hash.h"

namespace graft::cuda {
namespace {

// Every bit of it, infinities too.
std::string Literal(double value) {
  return fmt::format("__longlong_as_double({:#x}ll)", std::bit_cast<uint64_t>(value));
}

std::string_view Enumerator(PointwiseOp op) {
  switch (op) {
#define GRAFT_POINTWISE(id, name, operands, formula) \
  case PointwiseOp::id:                              \
    return #id;
#include "base/pointwise.inc"
#undef GRAFT_POINTWISE
  }
  return "";
}

std::string_view ComparisonOf(PointwiseOp op) {
  switch (op) {
    case PointwiseOp::kEqual:
      return "==";
    case PointwiseOp::kNotEqual:
      return "!=";
    case PointwiseOp::kLess:
      return "<";
    case PointwiseOp::kLessEqual:
      return "<=";
    case PointwiseOp::kGreater:
      return ">";
    case PointwiseOp::kGreaterEqual:
      return ">=";
    default:
      return "";
  }
}

std::string_view LogicOf(PointwiseOp op) {
  switch (op) {
    case PointwiseOp::kAnd:
      return "&";
    case PointwiseOp::kOr:
      return "|";
    case PointwiseOp::kXor:
      return "^";
    default:
      return "";
  }
}

// The register as the type that arithmetic on it is done in.
std::string Wide(DType dtype, int32_t reg) {
  return fmt::format("Arithmetic<{}>(r{})", TypeOf(dtype), reg);
}

// The register whose whole number between bounds the cast to 8 bits `in` gives, as the last three
// instructions of what ends in integers (RoundBetween of prelude.cuh): the clamp's place among the
// instructions. nullopt: it is another cast.
std::optional<int> RoundedClamp(const PointwiseProgram& program, const PointwiseInstruction& in,
                                std::span<const DType> dtypes) {
  const auto instruction = [&](int32_t reg) { return reg - program.inputs; };
  if (in.op != PointwiseOp::kCast || SizeOf(in.dtype) != 1 || !IsInteger(in.dtype))
    return std::nullopt;
  const int clamp = instruction(in.operands[0]);
  if (clamp < 0 || dtypes[in.operands[0]] != DType::kFloat32) return std::nullopt;
  const PointwiseInstruction& bounds = program.instructions[clamp];
  if (bounds.op != PointwiseOp::kClamp || instruction(bounds.operands[0]) < 0) return std::nullopt;
  constexpr double kMost = 1 << 21;
  for (const double bound : {bounds.p, bounds.q}) {
    if (!(std::abs(bound) <= kMost) || bound != std::nearbyint(bound)) return std::nullopt;
  }
  const PointwiseInstruction& rounding = program.instructions[instruction(bounds.operands[0])];
  if (rounding.op != PointwiseOp::kRound || dtypes[bounds.operands[0]] != DType::kFloat32 ||
      bounds.p > bounds.q)
    return std::nullopt;
  return clamp;
}

// Statements that compute the instruction's register.
std::string Statement(const PointwiseInstruction& in, int32_t result,
                      std::span<const DType> dtypes) {
  const std::string_view type = TypeOf(in.dtype);
  const int32_t x = in.operands[0], y = in.operands[1], z = in.operands[2];
  const DType from = x < 0 ? in.dtype : dtypes[x];
  const std::string target = fmt::format("  const {} r{} = ", type, result);
  if (in.op == PointwiseOp::kConstant)
    return fmt::format("{}Convert<{}>({});\n", target, type, Literal(in.p));
  if (in.op == PointwiseOp::kCast) return fmt::format("{}Convert<{}>(r{});\n", target, type, x);
  if (in.op == PointwiseOp::kSelect) return fmt::format("{}r{} ? r{} : r{};\n", target, x, y, z);
  if (const std::string_view sign = ComparisonOf(in.op); !sign.empty())
    return fmt::format("{}{} {} {};\n", target, Wide(from, x), sign, Wide(from, y));
  if (const std::string_view sign = LogicOf(in.op); !sign.empty())
    return fmt::format("{}{}(r{} {} r{});\n", target, type, x, sign, y);
  if (in.op == PointwiseOp::kNot)
    return fmt::format("{}{}({}r{});\n", target, type, in.dtype == DType::kBool ? "!" : "~", x);
  if (in.op == PointwiseOp::kIsNan || in.op == PointwiseOp::kIsInf ||
      in.op == PointwiseOp::kIsFinite)
    return fmt::format("{}{}({});\n", target, Enumerator(in.op), Wide(from, x));

  std::string text;
  if (IsInteger(in.dtype)) {
    if (in.op == PointwiseOp::kDiv || in.op == PointwiseOp::kFloorDiv ||
        in.op == PointwiseOp::kFloorMod || in.op == PointwiseOp::kTruncMod)
      text += fmt::format("  undefined |= DividesByZero(r{});\n", y);
    if (in.op == PointwiseOp::kPow) text += fmt::format("  undefined |= IsNegative(r{});\n", y);
  }
  std::string operands = Wide(in.dtype, x);
  if (OperandCount(in.op) > 1) operands += ", " + Wide(in.dtype, y);
  const std::string immediate = fmt::format("Arithmetic<{}>(Convert<{}>(", type, type);
  text += fmt::format("{}{}({}({}, {}{})), {}{}))));\n", target, type, Enumerator(in.op), operands,
                      immediate, Literal(in.p), immediate, Literal(in.q));
  return text;
}

}  // namespace

DType ResultOf(const PointwiseProgram& program, std::span<const DType> inputs) {
  return program.empty() ? inputs[0] : program.instructions.back().dtype;
}

std::string ProgramText(const PointwiseProgram& program, std::span<const DType> inputs,
                        bool first) {
  std::vector<DType> dtypes(inputs.begin(), inputs.end());
  for (const PointwiseInstruction& in : program.instructions) dtypes.push_back(in.dtype);
  const std::string_view result = TypeOf(ResultOf(program, inputs));
  std::string text = fmt::format("typedef {} Y;\n", result);
  text += "__device__ inline Y Program(bool& undefined";
  for (size_t i = 0; i < inputs.size(); ++i)
    text += fmt::format(", const {} r{}", TypeOf(inputs[i]), i);
  text += ") {\n";
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const PointwiseInstruction& in = program.instructions[i];
    if (const std::optional<int> clamp = RoundedClamp(program, in, dtypes)) {
      const PointwiseInstruction& bounds = program.instructions[*clamp];
      const int32_t rounding = bounds.operands[0] - program.inputs;
      text +=
          fmt::format("  const {0} r{1} = RoundBetween<{0}>(r{2}, {3}, {4});\n", TypeOf(in.dtype),
                      inputs.size() + i, program.instructions[rounding].operands[0],
                      Literal(bounds.p), Literal(bounds.q));
      continue;
    }
    text += Statement(program.instructions[i], static_cast<int32_t>(inputs.size() + i), dtypes);
  }
  text += fmt::format("  return r{};\n}}\n", dtypes.size() - 1);
  text += first ? "#define CALL(first, load) Program(undefined, first"
                : "#define CALL(load) Program(undefined";
  for (size_t i = first ? 1 : 0; i < inputs.size(); ++i)
    text += fmt::format(", load({}, {})", first ? i - 1 : i, TypeOf(inputs[i]));
  return text + ")\n";
}

namespace {

// Of everything that the text is made of.
Hash128 KeyOf(const PointwiseProgram& program, std::span<const DType> inputs, bool first) {
  std::string bytes;
  bytes.reserve(64 + program.instructions.size() * sizeof(PointwiseInstruction));
  const auto add = [&](const auto&... values) {
    (bytes.append(reinterpret_cast<const char*>(&values), sizeof(values)), ...);
  };
  add(first, program.inputs, inputs.size());
  for (const DType dtype : inputs) add(dtype);
  for (const PointwiseInstruction& in : program.instructions)
    add(in.op, in.dtype, in.operands, in.p, in.q);
  return HashBytes(bytes);
}

}  // namespace

std::string IncludedProgram(const PointwiseProgram& program, std::span<const DType> inputs,
                            bool first) {
  static std::mutex mutex;
  static auto* const lines = new std::map<Hash128, std::string>;
  const Hash128 key = KeyOf(program, inputs, first);
  std::lock_guard lock(mutex);
  std::string& line = (*lines)[key];
  if (line.empty()) line = KeepPart(ProgramText(program, inputs, first));
  return line;
}

}  // namespace graft::cuda
