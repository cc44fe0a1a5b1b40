#include "ir/dim.h"

#include <algorithm>
#include <cctype>

#include "ir/dim_size.h"

namespace graft::ir {

// A symbol, or a function of two Dims.
struct Dim::Atom {
  SymbolId symbol = -1;  // >= 0 for a symbol
  Function function = Function::kFloorDiv;
  Dim a, b;
  int64_t size = 1;  // ExpressionSize of itself
};

namespace {

int CompareAtoms(const Dim::Atom& x, const Dim::Atom& y) {
  if (x.symbol != y.symbol) {
    // Symbols come before functions (whose symbol is -1).
    if (x.symbol < 0 || y.symbol < 0) return x.symbol < 0 ? 1 : -1;
    return x.symbol < y.symbol ? -1 : 1;
  }
  if (x.symbol >= 0) return 0;
  if (x.function != y.function) return x.function < y.function ? -1 : 1;
  if (int c = x.a.Compare(y.a)) return c;
  return x.b.Compare(y.b);
}

constexpr std::string_view kFunctionNames[] = {"floordiv", "mod", "min", "max", "broadcast", "mul"};
constexpr int64_t kLimit = int64_t{1} << 62;

int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return (a % b != 0 && ((a < 0) != (b < 0))) ? q - 1 : q;
}

bool MulOverflows(int64_t a, int64_t b, int64_t* product) {
  return __builtin_mul_overflow(a, b, product) || *product > kLimit || *product < -kLimit;
}
bool AddOverflows(int64_t a, int64_t b, int64_t* sum) {
  return __builtin_add_overflow(a, b, sum) || *sum > kLimit || *sum < -kLimit;
}

// nullopt where the value is not defined (division by zero) or out of range.
std::optional<int64_t> Compute(Dim::Function f, int64_t a, int64_t b) {
  switch (f) {
    case Dim::Function::kFloorDiv:
      if (b == 0) return std::nullopt;
      return FloorDivide(a, b);
    case Dim::Function::kMod:
      if (b == 0) return std::nullopt;
      return a - FloorDivide(a, b) * b;
    case Dim::Function::kMin:
      return std::min(a, b);
    case Dim::Function::kMax:
      return std::max(a, b);
    case Dim::Function::kBroadcast:
      return a == 1 ? b : a;
    case Dim::Function::kMul: {
      int64_t product;
      if (MulOverflows(a, b, &product)) return std::nullopt;
      return product;
    }
  }
  return std::nullopt;
}

// Coefficients of expressions come from models; past ±2^62 they saturate, and Evaluate reports the
// range.
int64_t SaturatingMul(int64_t a, int64_t b) {
  int64_t p;
  if (MulOverflows(a, b, &p)) return ((a < 0) != (b < 0)) ? -kLimit - 1 : kLimit + 1;
  return p;
}
int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t s;
  if (AddOverflows(a, b, &s)) return (a < 0 || b < 0) ? -kLimit - 1 : kLimit + 1;
  return s;
}

}  // namespace

Dim::Dim(int64_t constant) : constant_(constant) {}

Dim Dim::Symbol(SymbolId id) {
  Dim d;
  d.terms_.push_back({1, {std::make_shared<const Atom>(Atom{id})}});
  return d;
}

std::optional<int64_t> Dim::constant() const {
  return is_constant() ? std::optional<int64_t>(constant_) : std::nullopt;
}

int Dim::CompareFactors(const Term& a, const Term& b) {
  if (a.factors.size() != b.factors.size()) return a.factors.size() > b.factors.size() ? -1 : 1;
  for (size_t i = 0; i < a.factors.size(); ++i) {
    if (int c = CompareAtoms(*a.factors[i], *b.factors[i])) return c;
  }
  return 0;
}

int Dim::Compare(const Dim& other) const {
  if (terms_.size() != other.terms_.size()) return terms_.size() < other.terms_.size() ? -1 : 1;
  for (size_t i = 0; i < terms_.size(); ++i) {
    if (int c = CompareFactors(terms_[i], other.terms_[i])) return c;
    if (terms_[i].coefficient != other.terms_[i].coefficient) {
      return terms_[i].coefficient < other.terms_[i].coefficient ? -1 : 1;
    }
  }
  return constant_ == other.constant_ ? 0 : constant_ < other.constant_ ? -1 : 1;
}

bool Dim::operator==(const Dim& other) const { return Compare(other) == 0; }

void Dim::AddTerm(Term term) {
  if (term.coefficient == 0) return;
  auto at = std::lower_bound(terms_.begin(), terms_.end(), term,
                             [](const Term& x, const Term& y) { return CompareFactors(x, y) < 0; });
  if (at != terms_.end() && CompareFactors(*at, term) == 0) {
    at->coefficient = SaturatingAdd(at->coefficient, term.coefficient);
    if (at->coefficient == 0) terms_.erase(at);
  } else {
    terms_.insert(at, std::move(term));
  }
}

Dim operator+(const Dim& a, const Dim& b) {
  Dim sum = a;
  sum.constant_ = SaturatingAdd(a.constant_, b.constant_);
  for (const Dim::Term& t : b.terms_) sum.AddTerm(t);
  return sum;
}

Dim operator-(const Dim& a, const Dim& b) { return a + b * Dim(-1); }

Dim operator*(const Dim& a, const Dim& b) {
  // A sum of products can be shortened and divided; past a size it is too dear.
  constexpr int64_t kMaxWritten = 4096;
  const auto terms = [](const Dim& d) {
    return static_cast<int64_t>(d.terms_.size() + (d.constant_ != 0 ? 1 : 0));
  };
  if (!a.is_constant() && !b.is_constant() &&
      ExpressionSize(a) * terms(b) + ExpressionSize(b) * terms(a) > kMaxWritten) {
    return a.Compare(b) > 0 ? Dim::MakeAtom(Dim::Function::kMul, b, a)
                            : Dim::MakeAtom(Dim::Function::kMul, a, b);
  }
  Dim product(SaturatingMul(a.constant_, b.constant_));
  auto scaled = [&](const Dim& x, int64_t factor) {
    for (Dim::Term t : x.terms_) {
      t.coefficient = SaturatingMul(t.coefficient, factor);
      product.AddTerm(std::move(t));
    }
  };
  scaled(a, b.constant_);
  scaled(b, a.constant_);
  for (const Dim::Term& x : a.terms_) {
    for (const Dim::Term& y : b.terms_) {
      Dim::Term t{SaturatingMul(x.coefficient, y.coefficient), x.factors};
      t.factors.insert(t.factors.end(), y.factors.begin(), y.factors.end());
      std::sort(t.factors.begin(), t.factors.end(),
                [](const auto& p, const auto& q) { return CompareAtoms(*p, *q) < 0; });
      product.AddTerm(std::move(t));
    }
  }
  return product;
}

// this / divisor when the divisor is a single term (or a constant) that divides every term.
std::optional<Dim> Dim::DivideExactly(const Dim& divisor) const {
  if (*this == divisor) return Dim(1);
  if (divisor.is_constant()) {
    const int64_t d = divisor.constant_;
    if (d == 0 || constant_ % d != 0) return std::nullopt;
    Dim quotient(constant_ / d);
    for (Term t : terms_) {
      if (t.coefficient % d != 0) return std::nullopt;
      t.coefficient /= d;
      quotient.AddTerm(std::move(t));
    }
    return quotient;
  }
  if (divisor.constant_ != 0 || divisor.terms_.size() != 1 || constant_ != 0) return std::nullopt;
  const Term& d = divisor.terms_[0];
  Dim quotient;
  for (Term t : terms_) {
    if (t.coefficient % d.coefficient != 0) return std::nullopt;
    t.coefficient /= d.coefficient;
    for (const auto& factor : d.factors) {
      auto at = std::find_if(t.factors.begin(), t.factors.end(),
                             [&](const auto& f) { return CompareAtoms(*f, *factor) == 0; });
      if (at == t.factors.end()) return std::nullopt;
      t.factors.erase(at);
    }
    if (t.factors.empty()) {
      quotient.constant_ = SaturatingAdd(quotient.constant_, t.coefficient);
    } else {
      quotient.AddTerm(std::move(t));
    }
  }
  return quotient;
}

Dim Apply(Dim::Function f, const Dim& a, const Dim& b) {
  if (a.is_constant() && b.is_constant()) {
    if (auto value = Compute(f, a.constant_, b.constant_)) return Dim(*value);
  }
  switch (f) {
    case Dim::Function::kFloorDiv:
      if (auto quotient = a.DivideExactly(b)) return *quotient;
      break;
    case Dim::Function::kMod:
      if (a.DivideExactly(b)) return Dim(0);
      break;
    case Dim::Function::kMul:
      return a * b;
    case Dim::Function::kMin:
    case Dim::Function::kMax:
    case Dim::Function::kBroadcast:
      if (a == b) return a;
      if (f == Dim::Function::kBroadcast) {
        if (a == 1) return b;
        if (b == 1) return a;
        // A constant over 1 decides: the other side must be it or 1.
        if (a.is_constant()) return a;
        if (b.is_constant()) return b;
      } else {
        const Dim difference = a - b;
        if (difference.is_constant())
          return (difference.constant_ > 0) == (f == Dim::Function::kMax) ? a : b;
      }
      // These commute: one order.
      if (a.Compare(b) > 0) return Apply(f, b, a);
      break;
  }
  return Dim::MakeAtom(f, a, b);
}

Dim Dim::MakeAtom(Function function, const Dim& a, const Dim& b) {
  Dim d;
  const int64_t size = 1 + ExpressionSize(a) + ExpressionSize(b);
  d.terms_.push_back({1, {std::make_shared<const Atom>(Atom{-1, function, a, b, size})}});
  return d;
}

int64_t ExpressionSize(const Dim& dim) {
  int64_t size = 0;
  for (const Dim::Term& term : dim.terms()) {
    for (const auto& atom : term.factors) size += atom->size;
  }
  return size;
}

Result<int64_t> Dim::Evaluate(std::span<const int64_t> symbols) const {
  int64_t sum = constant_;
  for (const Term& term : terms_) {
    int64_t product = term.coefficient;
    for (const auto& atom : term.factors) {
      int64_t value;
      if (atom->symbol >= 0) {
        if (static_cast<size_t>(atom->symbol) >= symbols.size()) {
          return InvalidArgumentError("symbol s{} is not bound", atom->symbol);
        }
        value = symbols[atom->symbol];
      } else {
        GRAFT_ASSIGN_OR_RETURN(const int64_t a, atom->a.Evaluate(symbols));
        GRAFT_ASSIGN_OR_RETURN(const int64_t b, atom->b.Evaluate(symbols));
        std::optional<int64_t> computed = Compute(atom->function, a, b);
        if (!computed && atom->function == Function::kMul)
          return InvalidArgumentError("{} is out of range", ToString());
        if (!computed) return InvalidArgumentError("division by zero in {}", ToString());
        value = *computed;
      }
      if (MulOverflows(product, value, &product))
        return InvalidArgumentError("{} is out of range", ToString());
    }
    if (AddOverflows(sum, product, &sum))
      return InvalidArgumentError("{} is out of range", ToString());
  }
  return sum;
}

Dim Dim::Substitute(const std::function<Dim(SymbolId)>& substitute) const {
  Dim sum(constant_);
  for (const Term& term : terms_) {
    Dim product(term.coefficient);
    for (const auto& atom : term.factors) {
      product *= atom->symbol >= 0 ? substitute(atom->symbol)
                                   : Apply(atom->function, atom->a.Substitute(substitute),
                                           atom->b.Substitute(substitute));
    }
    sum += product;
  }
  return sum;
}

void Dim::VisitSymbols(const std::function<void(SymbolId)>& visit) const {
  for (const Term& term : terms_) {
    for (const auto& atom : term.factors) {
      if (atom->symbol >= 0) {
        visit(atom->symbol);
      } else {
        atom->a.VisitSymbols(visit);
        atom->b.VisitSymbols(visit);
      }
    }
  }
}

bool Dim::NonNegative(const std::function<bool(SymbolId)>& symbol) const {
  if (constant_ < 0) return false;
  auto atom_is = [&](const Atom& atom) {
    if (atom.symbol >= 0) return symbol(atom.symbol);
    const bool a = atom.a.NonNegative(symbol);
    const bool b = atom.b.NonNegative(symbol);
    switch (atom.function) {
      case Function::kMax:
        return a || b;
      case Function::kMod:
        return b;  // has the divisor's sign
      case Function::kFloorDiv:
      case Function::kMin:
      case Function::kBroadcast:
      case Function::kMul:
        return a && b;
    }
    return false;
  };
  return std::all_of(terms_.begin(), terms_.end(), [&](const Term& term) {
    return term.coefficient >= 0 && std::all_of(term.factors.begin(), term.factors.end(),
                                                [&](const auto& atom) { return atom_is(*atom); });
  });
}

Dim Dim::Shorten(const std::function<Dim(const Dim& part)>& name) const {
  if (ExpressionSize(*this) <= kMaxDimSize) return *this;
  // Puts `next` to what is gathered; where both together are too large, each becomes a symbol.
  const auto gather = [&](Dim* gathered, Dim next, auto join) {
    if (ExpressionSize(*gathered) + ExpressionSize(next) > kMaxDimSize) {
      if (ExpressionSize(*gathered) > 1) *gathered = name(*gathered);
      if (ExpressionSize(next) > kMaxDimSize / 2) next = name(next);
    }
    *gathered = join(*gathered, next);
  };
  Dim sum(constant_);
  for (const Term& term : terms_) {
    Dim product(term.coefficient);
    for (const auto& atom : term.factors) {
      Dim factor;
      if (atom->size <= kMaxDimSize) {
        factor.terms_.push_back({1, {atom}});
      } else {
        Dim a = atom->a.Shorten(name);
        Dim b = atom->b.Shorten(name);
        // A product of sums would be written as a sum again.
        if (atom->function == Function::kMul ||
            ExpressionSize(a) + ExpressionSize(b) >= kMaxDimSize) {
          if (ExpressionSize(a) > 1) a = name(a);
          if (ExpressionSize(b) > 1) b = name(b);
        }
        factor = Apply(atom->function, a, b);
        if (factor.terms_.size() > 1 || (factor.constant_ != 0 && !factor.is_constant()))
          factor = name(factor);
      }
      gather(&product, std::move(factor), [](const Dim& x, const Dim& y) { return x * y; });
    }
    gather(&sum, std::move(product), [](const Dim& x, const Dim& y) { return x + y; });
  }
  return sum;
}

std::string Dim::ToString() const {
  std::string text;
  for (const Term& term : terms_) {
    std::string product;
    if (term.coefficient != 1)
      product = term.coefficient == -1 ? "-" : fmt::format("{}*", term.coefficient);
    for (size_t i = 0; i < term.factors.size(); ++i) {
      const Atom& atom = *term.factors[i];
      if (i > 0) product += "*";
      product += atom.symbol >= 0
                     ? fmt::format("s{}", atom.symbol)
                     : fmt::format("{}({},{})", kFunctionNames[static_cast<int>(atom.function)],
                                   atom.a.ToString(), atom.b.ToString());
    }
    if (!text.empty() && product[0] != '-') text += "+";
    text += product;
  }
  if (text.empty()) return fmt::format("{}", constant_);
  if (constant_ != 0) text += fmt::format("{:+}", constant_);
  return text;
}

namespace {

// expression = ['-'] product {('+'|'-') product};  product = factor {'*' factor};
// factor = number | 's' number | function '(' expression ',' expression ')'
class DimParser {
 public:
  DimParser(std::string_view text, int symbol_count) : text_(text), symbol_count_(symbol_count) {}
  Result<Dim> Parse() {
    GRAFT_ASSIGN_OR_RETURN(Dim d, Expression(0));
    if (at_ != text_.size()) return Bad();
    return d;
  }

 private:
  Status Bad() const { return DataLossError("dimension '{}': unexpected text at {}", text_, at_); }
  bool Take(char c) {
    if (at_ < text_.size() && text_[at_] == c) return ++at_, true;
    return false;
  }
  Result<int64_t> Number() {
    int64_t value = 0;
    const size_t start = at_;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_]))) {
      if (MulOverflows(value, 10, &value) || AddOverflows(value, text_[at_] - '0', &value))
        return Bad();
      ++at_;
    }
    if (at_ == start) return Bad();
    return value;
  }
  Result<Dim> Expression(int depth) {
    if (depth > kMaxDimSize) return Bad();  // each level is a function
    Dim sum;
    bool negative = Take('-');
    do {
      GRAFT_ASSIGN_OR_RETURN(Dim product, Factor(depth));
      while (Take('*')) {
        GRAFT_ASSIGN_OR_RETURN(Dim factor, Factor(depth));
        product *= factor;
        if (IsOversized(product)) return Bad();
      }
      sum = negative ? sum - product : sum + product;
      if (IsOversized(sum)) return Bad();
      negative = at_ < text_.size() && text_[at_] == '-';
    } while (Take('+') || Take('-'));
    return sum;
  }
  Result<Dim> Factor(int depth) {
    for (size_t f = 0; f < std::size(kFunctionNames); ++f) {
      if (text_.substr(at_).starts_with(kFunctionNames[f])) {
        at_ += kFunctionNames[f].size();
        if (!Take('(')) return Bad();
        GRAFT_ASSIGN_OR_RETURN(Dim a, Expression(depth + 1));
        if (!Take(',')) return Bad();
        GRAFT_ASSIGN_OR_RETURN(Dim b, Expression(depth + 1));
        if (!Take(')')) return Bad();
        return Apply(static_cast<Dim::Function>(f), a, b);
      }
    }
    if (Take('s')) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t id, Number());
      if (id >= symbol_count_)
        return DataLossError("dimension '{}': there is no symbol s{}", text_, id);
      return Dim::Symbol(static_cast<SymbolId>(id));
    }
    GRAFT_ASSIGN_OR_RETURN(const int64_t value, Number());
    return Dim(value);
  }

  std::string_view text_;
  int symbol_count_;
  size_t at_ = 0;
};

}  // namespace

Dim SamePadding(const Dim& size, const Dim& extent, int64_t stride) {
  // max((ceil(size / stride) - 1) * stride + extent - size, 0), in a form that stays small when
  // many layers nest. Where the window covers the stride, it cannot be negative.
  const Dim padding = Mod(Dim(0) - size, stride) + (extent - stride);
  const bool covers = extent.is_constant() && *extent.constant() >= stride;
  return covers ? padding : Max(padding, 0);
}

Result<Dim> ParseDim(std::string_view text, int symbol_count) {
  return DimParser(text, symbol_count).Parse();
}

Dim Product(std::span<const Dim> dims) {
  Dim product(1);
  for (const Dim& d : dims) product *= d;
  return product;
}

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ",";
    text += shape[i].ToString();
  }
  return text + "]";
}

std::optional<std::vector<int64_t>> ConstantDims(std::span<const Dim> shape) {
  std::vector<int64_t> dims;
  for (const Dim& d : shape) {
    if (!d.is_constant()) return std::nullopt;
    dims.push_back(*d.constant());
  }
  return dims;
}

Shape MakeShape(std::span<const int64_t> dims) { return Shape(dims.begin(), dims.end()); }

}  // namespace graft::ir
