// Symbolic dimensions: a Dim is an integer constant or a small expression over symbols, kept in a
// canonical form (a polynomial over symbols and non-linear atoms), so that equal expressions
// compare equal: (s0*49*64)/64 == s0*49.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace graft::ir {

using SymbolId = int32_t;

class Dim {
 public:
  Dim(int64_t constant = 0);  // NOLINT: implicit by design
  static Dim Symbol(SymbolId id);

  std::optional<int64_t> constant() const;
  bool is_constant() const { return terms_.empty(); }
  bool operator==(int64_t value) const { return is_constant() && constant_ == value; }
  bool operator==(const Dim& other) const;
  // A total order on canonical forms, for sorting and maps; it says nothing about values.
  int Compare(const Dim& other) const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  Dim& operator+=(const Dim& b) { return *this = *this + b; }
  Dim& operator*=(const Dim& b) { return *this = *this * b; }

  // The value under a binding of all symbols (index = SymbolId). kInvalidArgument: symbol unbound,
  // division by zero, or a result outside ±2^62.
  Result<int64_t> Evaluate(std::span<const int64_t> symbols) const;
  // With symbols replaced: `substitute(id)` gives the new Dim of a symbol.
  Dim Substitute(const std::function<Dim(SymbolId)>& substitute) const;
  // Calls visit(id) for every symbol that occurs, more than once if it occurs so.
  void VisitSymbols(const std::function<void(SymbolId)>& visit) const;

  // Whether the value cannot be below zero under any binding, as far as its form shows;
  // `symbol(id)` says whether a symbol's value cannot.
  bool NonNegative(const std::function<bool(SymbolId)>& symbol) const;

  // "s0*4+1", "floordiv(s0+1,2)". Read back by ParseDim.
  std::string ToString() const;

  // Atoms that are no sum of products. Division is floor division, as Python's //; Broadcast(a, b)
  // is the size of a broadcast axis; Mul(a, b) is a product that would have too many terms when
  // written as a sum.
  enum class Function { kFloorDiv, kMod, kMin, kMax, kBroadcast, kMul };
  friend Dim Apply(Function function, const Dim& a, const Dim& b);

  struct Atom;
  struct Term {
    int64_t coefficient;
    std::vector<std::shared_ptr<const Atom>> factors;  // sorted, not empty
  };
  const std::vector<Term>& terms() const { return terms_; }

  // The same value as an expression of at most kMaxDimSize (dim_size.h), parts of it replaced by
  // what `name(part)` gives: a symbol that stands for the part, which is no larger either. Equal
  // expressions are taken apart alike.
  Dim Shorten(const std::function<Dim(const Dim& part)>& name) const;

 private:
  int64_t constant_ = 0;
  std::vector<Term> terms_;  // sorted by factors, coefficients not 0

  static int CompareFactors(const Term& a, const Term& b);
  void AddTerm(Term term);
  static Dim MakeAtom(Function function, const Dim& a, const Dim& b);
  std::optional<Dim> DivideExactly(const Dim& divisor) const;
};

Dim operator+(const Dim& a, const Dim& b);
Dim operator-(const Dim& a, const Dim& b);
Dim operator*(const Dim& a, const Dim& b);
Dim Apply(Dim::Function function, const Dim& a, const Dim& b);
inline Dim FloorDiv(const Dim& a, const Dim& b) { return Apply(Dim::Function::kFloorDiv, a, b); }
inline Dim CeilDiv(const Dim& a, const Dim& b) { return FloorDiv(a + b - 1, b); }
inline Dim Mod(const Dim& a, const Dim& b) { return Apply(Dim::Function::kMod, a, b); }
inline Dim Min(const Dim& a, const Dim& b) { return Apply(Dim::Function::kMin, a, b); }
inline Dim Max(const Dim& a, const Dim& b) { return Apply(Dim::Function::kMax, a, b); }
inline Dim BroadcastDim(const Dim& a, const Dim& b) {
  return Apply(Dim::Function::kBroadcast, a, b);
}

// What TensorFlow's SAME padding adds to an axis of `size` in all, before and after, for a window
// that covers `extent` elements.
Dim SamePadding(const Dim& size, const Dim& extent, int64_t stride);

using Shape = std::vector<Dim>;

// Reads ToString's form; symbols are s<id> with id < symbol_count.
Result<Dim> ParseDim(std::string_view text, int symbol_count);
Dim Product(std::span<const Dim> dims);
std::string ToString(const Shape& shape);  // "[s0,224,224,3]"
// The constant dims, or nullopt if one is symbolic.
std::optional<std::vector<int64_t>> ConstantDims(std::span<const Dim> shape);
Shape MakeShape(std::span<const int64_t> dims);

}  // namespace graft::ir
