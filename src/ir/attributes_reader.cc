#include "ir/attributes_reader.h"

#include <algorithm>

#include "ir/attribute_names.h"

namespace graft::ir {
namespace {

// Calls item() for each element of "[a,b,…]".
template <class Item>
Status ReadList(Scanner& scanner, Item item) {
  GRAFT_RETURN_IF_ERROR(scanner.Expect("["));
  if (scanner.Take("]")) return OkStatus();
  do {
    GRAFT_RETURN_IF_ERROR(item());
  } while (scanner.Take(","));
  return scanner.Expect("]");
}

// Reads one field; the overloads are those of the printer.
struct Reader {
  Scanner& scanner;
  int symbol_count;
  Status status = OkStatus();

  template <class T>
  void operator()(std::string_view name, T& field) {
    if (!status.ok()) return;
    const std::string prefix = fmt::format(" {}=", name);
    if (MayBeMissing(field) && !scanner.Peek(prefix)) return;
    status = scanner.Expect(prefix);
    if (status.ok()) status = Read(field);
    if (!status.ok()) status = status.WithContext(name);
  }

  // What the printer leaves out.
  template <class T>
  static bool MayBeMissing(const T& initial) {
    if constexpr (std::is_same_v<T, DType>) return initial == DType::kInvalid;
    return std::is_same_v<T, PointwiseProgram>;
  }

  Status Read(bool& v) {
    v = scanner.Take("true");
    return v || scanner.Take("false") ? OkStatus() : scanner.Bad("true or false");
  }
  Status Read(int64_t& v) { return scanner.Number(&v); }
  Status Read(double& v) { return scanner.Number(&v); }
  Status Read(DType& v) { return Assign(v, ReadDType(scanner)); }
  Status Read(Dim& v) { return Assign(v, ReadDim(scanner, symbol_count)); }
  Status Read(std::string& v) { return Assign(v, scanner.Quoted()); }
  Status Read(std::vector<Dim>& v) { return Assign(v, ReadDims(scanner, symbol_count)); }
  Status Read(std::vector<int64_t>& v) {
    v.clear();
    return ReadList(scanner, [&] {
      v.push_back(0);
      return scanner.Number(&v.back());
    });
  }
  Status Read(PointwiseProgram& v) {
    GRAFT_RETURN_IF_ERROR(scanner.Expect("{"));
    GRAFT_RETURN_IF_ERROR(Assign(v, ParsePointwise(scanner.UntilAnyOf("}"))));
    return scanner.Expect("}");
  }
  Status Read(std::vector<Body>& v) {
    v.clear();
    return ReadList(scanner, [&] { return ReadBody(v.emplace_back()); });
  }
  Status ReadBody(Body& body) {
    GRAFT_RETURN_IF_ERROR(Assign(body.name, scanner.Quoted()));
    GRAFT_RETURN_IF_ERROR(scanner.Expect("{"));
    while (!scanner.Take("->")) {
      BodyNode& node = body.nodes.emplace_back();
      // One level deep, whatever a file holds.
      if (scanner.Peek("choice")) return scanner.Bad("an op other than choice");
      GRAFT_RETURN_IF_ERROR(Assign(node.attributes, ReadAttributes(scanner, symbol_count)));
      GRAFT_RETURN_IF_ERROR(scanner.Expect(" ("));
      GRAFT_RETURN_IF_ERROR(ReadNumbers(node.operands, ")"));
      GRAFT_RETURN_IF_ERROR(scanner.Expect(" "));
      GRAFT_RETURN_IF_ERROR(Assign(node.name, scanner.Quoted()));
      if (scanner.Take(" origin=[")) GRAFT_RETURN_IF_ERROR(ReadNumbers(node.origin, "]"));
      GRAFT_RETURN_IF_ERROR(scanner.Expect(";"));
    }
    return ReadNumbers(body.results, "}");
  }
  template <class T>
  Status ReadNumbers(std::vector<T>& numbers, std::string_view end) {
    while (!scanner.Take(end)) {
      if (!numbers.empty()) GRAFT_RETURN_IF_ERROR(scanner.Expect(","));
      GRAFT_RETURN_IF_ERROR(scanner.Number(&numbers.emplace_back()));
    }
    return OkStatus();
  }
  template <class E, class = std::enable_if_t<std::is_enum_v<E>>>
  Status Read(E& v) {
    const std::string_view word = scanner.Word();
    const auto& names = EnumNames<E>::kNames;
    const auto at = std::find(std::begin(names), std::end(names), word);
    if (at == std::end(names)) return DataLossError("no value '{}'", word);
    v = static_cast<E>(at - std::begin(names));
    return OkStatus();
  }

  template <class T>
  static Status Assign(T& target, Result<T> result) {
    GRAFT_ASSIGN_OR_RETURN(target, std::move(result));
    return OkStatus();
  }
};

Attributes DefaultAttributes(OpKind kind) {
  switch (kind) {
#define GRAFT_OP(Id, name, flags) \
  case OpKind::k##Id:             \
    return Id##Attributes();
#include "ir/ops.inc"
#undef GRAFT_OP
  }
  return std::monostate();
}

}  // namespace

Result<DType> ReadDType(Scanner& scanner) {
  const std::string_view word = scanner.Word();
  const std::optional<DType> dtype = ParseDType(word);
  if (!dtype) return DataLossError("no dtype '{}'", word);
  return *dtype;
}

Result<Dim> ReadDim(Scanner& scanner, int symbol_count) {
  return ParseDim(scanner.UntilAnyOf(" ,]\n"), symbol_count);
}

Result<std::vector<Dim>> ReadDims(Scanner& scanner, int symbol_count) {
  std::vector<Dim> dims;
  GRAFT_RETURN_IF_ERROR(ReadList(scanner, [&]() -> Status {
    GRAFT_ASSIGN_OR_RETURN(Dim dim, ReadDim(scanner, symbol_count));
    dims.push_back(std::move(dim));
    return OkStatus();
  }));
  return dims;
}

Result<Attributes> ReadAttributes(Scanner& scanner, int symbol_count) {
  const std::string_view word = scanner.Word();
  const std::optional<OpKind> kind = ParseOpKind(word);
  if (!kind) return DataLossError("no op '{}'", word);
  Attributes attributes = DefaultAttributes(*kind);
  Reader reader{scanner, symbol_count};
  std::visit(
      [&](auto& a) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(a)>, std::monostate>) a.Visit(reader);
      },
      attributes);
  if (!reader.status.ok()) return reader.status.WithContext(word);
  return attributes;
}

Result<Attributes> ParseAttributes(std::string_view text, int symbol_count) {
  Scanner scanner(text);
  GRAFT_ASSIGN_OR_RETURN(Attributes attributes, ReadAttributes(scanner, symbol_count));
  if (!scanner.at_end()) return scanner.Bad("the end");
  return attributes;
}

}  // namespace graft::ir
