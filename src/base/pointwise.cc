#include "base/pointwise.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

namespace graft {
namespace {

// Zero without a sign: what an immediate is that is not printed.
bool IsPlainZero(double x) { return x == 0 && !std::signbit(x); }

struct OpRow {
  std::string_view name;
  int operands;
};
constexpr OpRow kOps[] = {
#define GRAFT_POINTWISE(id, name, operands, formula) {name, operands},
#include "base/pointwise.inc"
#undef GRAFT_POINTWISE
};

}  // namespace

std::string_view Name(PointwiseOp op) { return kOps[static_cast<int>(op)].name; }
int OperandCount(PointwiseOp op) { return kOps[static_cast<int>(op)].operands; }

bool PointwiseInstruction::operator==(const PointwiseInstruction& other) const {
  auto same_bits = [](double a, double b) {
    return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
  };
  return op == other.op && dtype == other.dtype && std::ranges::equal(operands, other.operands) &&
         same_bits(p, other.p) && same_bits(q, other.q);
}

int PointwiseProgram::Add(PointwiseInstruction instruction) {
  instructions.push_back(instruction);
  return result();
}

int PointwiseProgram::Add(PointwiseOp op, DType dtype, int x, int y, int z, double p, double q) {
  return Add({op, dtype, {x, y, z}, p, q});
}

Status Verify(const PointwiseProgram& program) {
  if (program.inputs < 0 || program.inputs > kMaxPointwiseInstructions ||
      program.instructions.size() > kMaxPointwiseInstructions) {
    return DataLossError("element-wise program of {} inputs and {} instructions; the limit is {}",
                         program.inputs, program.instructions.size(), kMaxPointwiseInstructions);
  }
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    const PointwiseInstruction& in = program.instructions[i];
    if (static_cast<size_t>(in.op) >= std::size(kOps))
      return DataLossError("no element-wise op {}", static_cast<int>(in.op));
    if (!IsNumeric(in.dtype))
      return DataLossError("{} with dtype {}", Name(in.op), static_cast<int>(in.dtype));
    for (int k = 0; k < 3; ++k) {
      const int limit = k < OperandCount(in.op) ? program.inputs + static_cast<int>(i) : -1;
      if (limit < 0 ? in.operands[k] != -1 : (in.operands[k] < 0 || in.operands[k] >= limit)) {
        return DataLossError("{}: operand {} is register {}", Name(in.op), k, in.operands[k]);
      }
    }
  }
  return OkStatus();
}

namespace {

bool WorksOnIntegers(PointwiseOp op) {
  switch (op) {
    case PointwiseOp::kAdd:
    case PointwiseOp::kSub:
    case PointwiseOp::kMul:
    case PointwiseOp::kDiv:
    case PointwiseOp::kFloorDiv:
    case PointwiseOp::kFloorMod:
    case PointwiseOp::kTruncMod:
    case PointwiseOp::kPow:
    case PointwiseOp::kMin:
    case PointwiseOp::kMax:
    case PointwiseOp::kSquaredDifference:
    case PointwiseOp::kNeg:
    case PointwiseOp::kAbs:
    case PointwiseOp::kSign:
    case PointwiseOp::kSquare:
    case PointwiseOp::kFloor:
    case PointwiseOp::kCeil:
    case PointwiseOp::kRound:
    case PointwiseOp::kTrunc:
    case PointwiseOp::kRelu:
    case PointwiseOp::kClamp:
      return true;
    default:
      return false;
  }
}

// What an instruction demands of its operands; `own` is the result's dtype.
bool OperandFits(PointwiseOp op, int operand, DType x, DType first, DType own) {
  switch (op) {
    case PointwiseOp::kCast:
      return IsNumeric(x);
    case PointwiseOp::kEqual:
    case PointwiseOp::kNotEqual:
    case PointwiseOp::kLess:
    case PointwiseOp::kLessEqual:
    case PointwiseOp::kGreater:
    case PointwiseOp::kGreaterEqual:
      return x == first && own == DType::kBool;
    case PointwiseOp::kIsNan:
    case PointwiseOp::kIsInf:
    case PointwiseOp::kIsFinite:
      return IsFloating(x) && own == DType::kBool;
    case PointwiseOp::kSelect:
      return x == (operand == 0 ? DType::kBool : own);
    case PointwiseOp::kAnd:
    case PointwiseOp::kOr:
    case PointwiseOp::kXor:
    case PointwiseOp::kNot:
      return x == own && !IsFloating(own);
    default:
      return x == own && (IsFloating(own) || (IsInteger(own) && WorksOnIntegers(op)));
  }
}

}  // namespace

Status VerifyTypes(const PointwiseProgram& program, std::span<const DType> inputs) {
  if (inputs.size() != static_cast<size_t>(program.inputs))
    return DataLossError("an element-wise program of {} inputs with {}", program.inputs,
                         inputs.size());
  std::vector<DType> registers(inputs.begin(), inputs.end());
  for (const PointwiseInstruction& in : program.instructions) {
    for (int k = 0; k < OperandCount(in.op); ++k) {
      const DType x = registers[in.operands[k]];
      if (!OperandFits(in.op, k, x, registers[in.operands[0]], in.dtype)) {
        return DataLossError("{}.{}: operand {} is {}", Name(in.op), Name(in.dtype), k, Name(x));
      }
    }
    registers.push_back(in.dtype);
  }
  return OkStatus();
}

std::string ToString(const PointwiseProgram& program) {
  std::string text = fmt::format("{}:", program.inputs);
  int result = program.inputs;
  for (const PointwiseInstruction& in : program.instructions) {
    if (result > program.inputs) text += ";";
    text += fmt::format("r{}={}.{}(", result++, Name(in.op), Name(in.dtype));
    for (int k = 0; k < OperandCount(in.op); ++k)
      text += fmt::format("{}r{}", k ? "," : "", in.operands[k]);
    if (!IsPlainZero(in.p) || !IsPlainZero(in.q))
      text += fmt::format("|{},{}", in.p, in.q);  // fmt prints the shortest text that reads back
    text += ")";
  }
  return text;
}

namespace {

class ProgramParser {
 public:
  explicit ProgramParser(std::string_view text) : text_(text) {}

  Result<PointwiseProgram> Parse() {
    PointwiseProgram program;
    if (!Number(&program.inputs) || !Take(":")) return Bad();
    while (at_ < text_.size()) {
      PointwiseInstruction in;
      int result;
      if (!program.instructions.empty() && !Take(";")) return Bad();
      if (!Take("r") || !Number(&result) || result != program.result() + 1 || !Take("="))
        return Bad();
      const std::string_view name = Until('.');
      size_t op = 0;
      while (op < std::size(kOps) && kOps[op].name != name) ++op;
      if (op == std::size(kOps) || !Take(".")) return Bad();
      in.op = static_cast<PointwiseOp>(op);
      const std::optional<DType> dtype = ParseDType(Until('('));
      if (!dtype || !Take("(")) return Bad();
      in.dtype = *dtype;
      for (int k = 0; k < OperandCount(in.op); ++k) {
        if ((k > 0 && !Take(",")) || !Take("r") || !Number(&in.operands[k])) return Bad();
      }
      if (Take("|") && !(Number(&in.p) && Take(",") && Number(&in.q))) return Bad();
      if (!Take(")")) return Bad();
      program.Add(in);
      if (program.instructions.size() > kMaxPointwiseInstructions) return Bad();
    }
    GRAFT_RETURN_IF_ERROR(Verify(program));
    return program;
  }

 private:
  Status Bad() const {
    return DataLossError("element-wise program '{}': unexpected text at {}", text_, at_);
  }
  bool Take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  template <class T>
  bool Number(T* value) {
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), *value);
    if (error != std::errc()) return false;
    at_ = end - text_.data();
    return true;
  }
  std::string_view Until(char c) {
    const size_t end = std::min(text_.find(c, at_), text_.size());
    const std::string_view part = text_.substr(at_, end - at_);
    at_ = end;
    return part;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Result<PointwiseProgram> ParsePointwise(std::string_view text) {
  return ProgramParser(text).Parse();
}

PointwiseProgram Compose(const PointwiseProgram& outer, int input, const PointwiseProgram& inner) {
  PointwiseProgram joined;
  joined.inputs = inner.inputs + outer.inputs - 1;
  const int inner_count = static_cast<int>(inner.instructions.size());
  auto inner_register = [&](int r) {
    return r < inner.inputs ? r : joined.inputs + (r - inner.inputs);
  };
  auto outer_register = [&](int r) {
    if (r == input) return inner_register(inner.result());
    if (r < outer.inputs) return inner.inputs + (r < input ? r : r - 1);
    return joined.inputs + inner_count + (r - outer.inputs);
  };
  auto append = [&](PointwiseInstruction in, auto&& map) {
    for (int& r : in.operands) {
      if (r >= 0) r = map(r);
    }
    joined.Add(in);
  };
  for (const PointwiseInstruction& in : inner.instructions) append(in, inner_register);
  for (const PointwiseInstruction& in : outer.instructions) append(in, outer_register);
  return joined;
}

}  // namespace graft
