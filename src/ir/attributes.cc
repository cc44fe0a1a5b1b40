// What is generic over all attribute structs: names, flags, text and the substitution of
// dimensions, by way of Visit.
#include <fmt/ranges.h>

#include <type_traits>

#include "ir/attribute_names.h"
#include "ir/module.h"
#include "ir/scanner.h"

namespace graft::ir {
namespace {

struct OpRow {
  std::string_view name;
  uint8_t flags;
};
constexpr OpRow kOps[] = {
#define GRAFT_OP(Id, name, flags) {name, flags},
#include "ir/ops.inc"
#undef GRAFT_OP
};

// Prints one field. Overloads, not a template: a new field type does not compile until it has a
// text form.
struct Printer {
  std::string* text;
  void operator()(std::string_view name, bool v) { Put(name, v ? "true" : "false"); }
  void operator()(std::string_view name, int64_t v) { Put(name, fmt::format("{}", v)); }
  void operator()(std::string_view name, double v) { Put(name, fmt::format("{}", v)); }
  void operator()(std::string_view name, DType v) {
    if (v != DType::kInvalid) Put(name, Name(v));
  }
  void operator()(std::string_view name, const Dim& v) { Put(name, v.ToString()); }
  void operator()(std::string_view name, const std::string& v) { Put(name, Quote(v)); }
  void operator()(std::string_view name, const std::vector<int64_t>& v) {
    Put(name, fmt::format("[{}]", fmt::join(v, ",")));
  }
  void operator()(std::string_view name, const std::vector<Dim>& v) { Put(name, ToString(v)); }
  void operator()(std::string_view name, const PointwiseProgram& v) {
    if (!v.empty()) Put(name, fmt::format("{{{}}}", graft::ToString(v)));
  }
  template <class E, class = std::enable_if_t<std::is_enum_v<E>>>
  void operator()(std::string_view name, E v) {
    Put(name, EnumName(v));
  }
  // ["apart"{conv … (0,1) "a";pointwise … (2) "b" origin=[7];->3},…]
  void operator()(std::string_view name, const std::vector<Body>& v) {
    std::string bodies;
    for (const Body& body : v) {
      bodies += fmt::format("{}{}{{", bodies.empty() ? "" : ",", Quote(body.name));
      for (const BodyNode& node : body.nodes) {
        bodies += fmt::format("{} ({}) {}", AttributesToString(node.attributes),
                              fmt::join(node.operands, ","), Quote(node.name));
        if (!node.origin.empty())
          bodies += fmt::format(" origin=[{}]", fmt::join(node.origin, ","));
        bodies += ";";
      }
      bodies += fmt::format("->{}}}", fmt::join(body.results, ","));
    }
    Put(name, fmt::format("[{}]", bodies));
  }

  void Put(std::string_view name, std::string_view value) {
    *text += fmt::format(" {}={}", name, value);
  }
};

struct FindProgram {
  const PointwiseProgram* program = nullptr;
  void operator()(std::string_view, PointwiseProgram& p) { program = &p; }
  template <class T>
  void operator()(std::string_view, T&) {}
};

struct Substituter {
  const std::function<Result<Dim>(const Dim&)>* substitute;
  Status status;
  void One(Dim& d) {
    if (!status.ok() || d.is_constant()) return;
    Result<Dim> r = (*substitute)(d);
    if (r.ok())
      d = *r;
    else
      status = r.status();
  }
  void operator()(std::string_view, Dim& v) { One(v); }
  void operator()(std::string_view, std::vector<Dim>& v) {
    for (Dim& d : v) One(d);
  }
  void operator()(std::string_view, std::vector<Body>& v) {
    for (Body& body : v) {
      for (BodyNode& node : body.nodes) {
        if (!status.ok()) return;
        Result<Attributes> replaced = SubstituteDims(node.attributes, *substitute);
        if (replaced.ok())
          node.attributes = *std::move(replaced);
        else
          status = replaced.status();
      }
    }
  }
  template <class T>
  void operator()(std::string_view, T&) {}
};

}  // namespace

std::string_view Name(OpKind kind) { return kOps[static_cast<int>(kind)].name; }
uint8_t Flags(OpKind kind) { return kOps[static_cast<int>(kind)].flags; }
std::optional<OpKind> ParseOpKind(std::string_view name) {
  for (size_t i = 0; i < std::size(kOps); ++i) {
    if (kOps[i].name == name) return static_cast<OpKind>(i);
  }
  return std::nullopt;
}

const PointwiseProgram* ProgramOf(const Attributes& attributes) {
  FindProgram find;
  std::visit(
      [&](const auto& a) {
        using T = std::decay_t<decltype(a)>;
        if constexpr (!std::is_same_v<T, std::monostate>) const_cast<T&>(a).Visit(find);
      },
      attributes);
  return find.program;
}

const Dim* ResultDimOf(const Attributes& attributes) {
  return std::visit(
      [](const auto& a) -> const Dim* {
        if constexpr (requires { a.result_dim; })
          return &a.result_dim;
        else
          return nullptr;
      },
      attributes);
}

std::optional<SymbolId> ResultSymbolOf(const Node& node) {
  const Dim* dim = ResultDimOf(node.attributes);
  std::optional<SymbolId> symbol;
  if (dim) dim->VisitSymbols([&](SymbolId s) { symbol = s; });
  return symbol && *dim == Dim::Symbol(*symbol) ? symbol : std::nullopt;
}

std::string AttributesToString(const Attributes& attributes) {
  std::string text(Name(static_cast<OpKind>(attributes.index())));
  std::visit(
      [&](const auto& a) {
        using T = std::decay_t<decltype(a)>;
        if constexpr (!std::is_same_v<T, std::monostate>) {
          const_cast<T&>(a).Visit(
              [p = Printer{&text}](std::string_view name, const auto& field) mutable {
                p(name, field);
              });
        }
      },
      attributes);
  return text;
}

Result<Attributes> SubstituteDims(const Attributes& attributes,
                                  const std::function<Result<Dim>(const Dim&)>& substitute) {
  Attributes copy = attributes;
  Substituter substituter{&substitute, OkStatus()};
  std::visit(
      [&](auto& a) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(a)>, std::monostate>)
          a.Visit(substituter);
      },
      copy);
  if (!substituter.status.ok()) return substituter.status;
  return copy;
}

}  // namespace graft::ir
