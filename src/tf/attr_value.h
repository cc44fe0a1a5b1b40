// Values of TensorFlow attributes: AttrValue, TensorProto, TensorShapeProto and NameAttrList.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/tensor.h"

namespace graft::tf {

// A shape in a graph: of unknown rank, or with -1 for each unknown dimension.
struct Shape {
  bool unknown_rank = false;
  Dims dims;

  static Shape Unknown() { return {.unknown_rank = true, .dims = {}}; }
  bool fully_known() const;
  bool operator==(const Shape&) const = default;
};
std::string ToString(const Shape& shape);  // "[1,?,3]", "<unknown>"

// A TensorProto. It keeps the encoded bytes where they lie (often inside the mapped model file) and
// decodes when asked, so a graph of large constants costs no memory of its own.
class TensorValue {
 public:
  TensorValue() = default;
  explicit TensorValue(Tensor tensor);  // numeric dtypes
  // Reads dtype and shape and checks that the values fit them; `wire` is kept.
  static Result<TensorValue> Parse(FileBytes wire);
  static TensorValue String(std::string_view text);  // a scalar of strings

  DType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  // The numbers. Refers to the encoded bytes without a copy where they are aligned; otherwise
  // copies, or fills by TensorProto's rule: the last given value repeats. kUnsupported for strings,
  // resources, variants, and for a repeated value that would fill more than 2 GiB.
  Result<Tensor> Decode() const;
  Result<std::vector<std::string>> DecodeStrings() const;
  void AppendTo(std::string* out) const;            // the encoded TensorProto
  bool operator==(const TensorValue& other) const;  // equal encodings
  // Its size, and the hash of its bytes. The numbers are read where they lie.
  size_t EncodedSize() const;
  Hash128 EncodedHash() const;

 private:
  // The encoding, as the bytes before the part that lies in memory, and that part.
  std::pair<std::string, std::string_view> Encoded() const;

  DType dtype_ = DType::kInvalid;
  Dims dims_;
  FileBytes wire_;  // empty when made from a Tensor
  Tensor tensor_;
};

struct AttrValue;
using AttrMap = std::map<std::string, AttrValue, std::less<>>;

// The name of a function and the values of its attributes.
struct FuncValue {
  std::string name;
  AttrMap attrs;
  bool operator==(const FuncValue& other) const;
};

// Inside a function body: the value of the enclosing function's attribute of this name.
struct PlaceholderValue {
  std::string name;
  bool operator==(const PlaceholderValue&) const = default;
};

// An empty list has no element type on the wire: it is monostate.
using AttrList = std::variant<std::monostate, std::vector<std::string>, std::vector<int64_t>,
                              std::vector<float>, std::vector<bool>, std::vector<DType>,
                              std::vector<Shape>, std::vector<TensorValue>, std::vector<FuncValue>>;

struct AttrValue {
  using Variant = std::variant<std::monostate, std::string, int64_t, float, bool, DType, Shape,
                               TensorValue, AttrList, FuncValue, PlaceholderValue>;
  Variant value;

  AttrValue() = default;
  // NOLINTBEGIN(google-explicit-constructor): values convert to attributes by design.
  AttrValue(std::string v) : value(std::move(v)) {}
  AttrValue(const char* v) : value(std::string(v)) {}
  AttrValue(int64_t v) : value(v) {}
  AttrValue(int v) : value(int64_t{v}) {}
  AttrValue(float v) : value(v) {}
  AttrValue(bool v) : value(v) {}
  AttrValue(DType v) : value(v) {}
  AttrValue(Shape v) : value(std::move(v)) {}
  AttrValue(TensorValue v) : value(std::move(v)) {}
  AttrValue(FuncValue v) : value(std::move(v)) {}
  AttrValue(PlaceholderValue v) : value(std::move(v)) {}
  AttrValue(AttrList v) : value(std::move(v)) {}
  template <class T>
  AttrValue(std::vector<T> v) : value(v.empty() ? AttrList() : AttrList(std::move(v))) {}
  // NOLINTEND(google-explicit-constructor)

  template <class T>
  const T* get() const {
    return std::get_if<T>(&value);
  }
  // The list's elements; null when this is no list, or one of other elements. An empty list answers
  // with an empty vector for every T.
  template <class T>
  const std::vector<T>* list() const {
    static const std::vector<T> kEmpty;
    const AttrList* list = get<AttrList>();
    if (list == nullptr) return nullptr;
    if (std::holds_alternative<std::monostate>(*list)) return &kEmpty;
    return std::get_if<std::vector<T>>(list);
  }
  bool operator==(const AttrValue&) const = default;
};

inline bool FuncValue::operator==(const FuncValue& other) const {
  return name == other.name && attrs == other.attrs;
}

// Reading and writing. Parts of `file` that are kept (tensors) keep it alive. Nesting deeper than a
// fixed limit is kDataLoss.
Result<Shape> ParseShape(std::string_view wire);
Result<DType> ParseDTypeNumber(int64_t number);
Result<AttrValue> ParseAttrValue(const FileBytes& file, std::string_view wire, int depth = 0);
// Reads one map entry into `attrs`; the error names the key.
Status ParseAttrEntry(const FileBytes& file, std::string_view wire, AttrMap* attrs, int depth = 0);
void AppendShape(const Shape& shape, std::string* out);
void AppendAttrValue(const AttrValue& value, std::string* out);
// Writes every attribute as an entry of the map field `field`, sorted by key.
void AppendAttrs(const AttrMap& attrs, uint32_t field, std::string* out);

}  // namespace graft::tf
