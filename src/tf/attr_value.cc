#include "tf/attr_value.h"

#include <algorithm>
#include <cstring>

#include "tf/wire.h"

namespace graft::tf {
namespace {

// Lists of functions with attributes of lists of functions … nest; real graphs stay below 4.
constexpr int kMaxNesting = 16;
// TensorFlow's own limit (TensorShape::MaxDimensions).
constexpr int kMaxRank = 254;
constexpr int64_t kMaxFillBytes = int64_t{1} << 31;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// The fields of a TensorProto that hold numbers, as they come.
struct TensorFields {
  DType dtype = DType::kInvalid;
  Shape shape;
  std::string_view content;
  std::vector<int64_t> integers;  // int_val, int64_val, bool_val, half_val, uint32_val, uint64_val
  std::vector<float> floats;      // float_val, scomplex_val
  std::vector<double> doubles;    // double_val, dcomplex_val
  std::vector<std::string> strings;
};

// With values=false only dtype, shape and content are read.
Result<TensorFields> ReadTensor(std::string_view wire, bool values) {
  TensorFields t;
  std::string_view shape;
  int64_t dtype = 0;
  auto* const floats = values ? &t.floats : nullptr;
  auto* const doubles = values ? &t.doubles : nullptr;
  auto* const integers = values ? &t.integers : nullptr;
  auto* const strings = values ? &t.strings : nullptr;
  GRAFT_RETURN_IF_ERROR(ReadFields(wire, nullptr, Field(1, &dtype), Field(2, &shape),
                                   Field(4, &t.content), Field(5, floats), Field(6, doubles),
                                   Field(7, integers), Field(8, strings), Field(9, floats),
                                   Field(10, integers), Field(11, integers), Field(12, doubles),
                                   Field(13, integers), Field(16, integers), Field(17, integers)));
  GRAFT_ASSIGN_OR_RETURN(t.dtype, ParseDTypeNumber(dtype));
  GRAFT_ASSIGN_OR_RETURN(t.shape, ParseShape(shape));
  return t;
}

// Fills `out` with the values by TensorProto's rule: zeros when there are none, the last one
// repeated when there are too few, the first ones when there are too many.
template <class T, class V>
void Fill(const std::vector<V>& values, Tensor* out) {
  T* data = reinterpret_cast<T*>(out->mutable_raw());
  const size_t count = static_cast<size_t>(out->elements());
  const size_t given = std::min(values.size(), count);
  for (size_t i = 0; i < given; ++i) data[i] = static_cast<T>(values[i]);
  std::fill(data + given, data + count, given > 0 ? data[given - 1] : T{});
}
// The same for complex numbers, which come as pairs.
template <class T>
void FillPairs(const std::vector<T>& values, Tensor* out) {
  T* data = reinterpret_cast<T*>(out->mutable_raw());
  const size_t count = static_cast<size_t>(out->elements());
  const size_t given = std::min(values.size() / 2, count);
  std::copy_n(values.begin(), 2 * given, data);
  for (size_t i = given; i < count; ++i) {
    data[2 * i] = given > 0 ? values[2 * given - 2] : T{};
    data[2 * i + 1] = given > 0 ? values[2 * given - 1] : T{};
  }
}

void FillFromFields(const TensorFields& t, Tensor* out) {
  switch (t.dtype) {
    case DType::kFloat32:
      return Fill<float>(t.floats, out);
    case DType::kFloat64:
      return Fill<double>(t.doubles, out);
    case DType::kComplex64:
      return FillPairs(t.floats, out);
    case DType::kComplex128:
      return FillPairs(t.doubles, out);
    case DType::kBool:
      return Fill<bool>(t.integers, out);
    default:
      break;
  }
  switch (SizeOf(t.dtype)) {
    case 1:
      return Fill<uint8_t>(t.integers, out);
    case 2:
      return Fill<uint16_t>(t.integers, out);
    case 4:
      return Fill<uint32_t>(t.integers, out);
    case 8:
      return Fill<uint64_t>(t.integers, out);
  }
}

Result<FuncValue> ParseFunc(const FileBytes& file, std::string_view wire, int depth) {
  FuncValue func;
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(1, &func.name), Field(2, [&](std::string_view entry) {
                   return ParseAttrEntry(file, entry, &func.attrs, depth + 1);
                 })));
  return func;
}

Result<AttrList> ParseList(const FileBytes& file, std::string_view wire, int depth) {
  std::vector<std::string> strings;
  std::vector<int64_t> integers, bools, types;
  std::vector<float> floats;
  std::vector<Shape> shapes;
  std::vector<TensorValue> tensors;
  std::vector<FuncValue> funcs;
  const auto parse_shape = [&](std::string_view part) { return Store(ParseShape(part), &shapes); };
  const auto parse_tensor = [&](std::string_view part) {
    return Store(TensorValue::Parse(Part(file, part)), &tensors);
  };
  const auto parse_func = [&](std::string_view part) {
    return Store(ParseFunc(file, part, depth + 1), &funcs);
  };
  GRAFT_RETURN_IF_ERROR(ReadFields(
      wire, nullptr, Field(2, &strings), Field(3, &integers), Field(4, &floats), Field(5, &bools),
      Field(6, &types), Field(7, parse_shape), Field(8, parse_tensor), Field(9, parse_func)));
  AttrList list;
  int kinds = 0;
  auto take = [&]<class T>(std::vector<T> values) {
    if (values.empty()) return;
    ++kinds;
    list = std::move(values);
  };
  take(std::move(strings));
  take(std::move(integers));
  take(std::move(floats));
  take(std::vector<bool>(bools.begin(), bools.end()));
  std::vector<DType> dtypes;
  dtypes.reserve(types.size());
  for (int64_t number : types) GRAFT_RETURN_IF_ERROR(Store(ParseDTypeNumber(number), &dtypes));
  take(std::move(dtypes));
  take(std::move(shapes));
  take(std::move(tensors));
  take(std::move(funcs));
  if (kinds > 1) return DataLossError("a list of elements of several types");
  return list;
}

void AppendFunc(const FuncValue& func, std::string* out) {
  protozero::pbf_writer w(*out);
  WriteString(&w, 1, func.name);
  AppendAttrs(func.attrs, 2, out);
}

template <class T, class F>
void AppendMessages(const std::vector<T>& values, uint32_t field, std::string* out, F append) {
  for (const T& value : values) {
    std::string message;
    append(value, &message);
    protozero::pbf_writer w(*out);
    WriteMessage(&w, field, message);
  }
}

void AppendList(const AttrList& list, std::string* out) {
  protozero::pbf_writer w(*out);
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [&](const std::vector<std::string>& v) {
                   for (const std::string& s : v) w.add_bytes(2, s);
                 },
                 [&](const std::vector<int64_t>& v) { w.add_packed_int64(3, v.begin(), v.end()); },
                 [&](const std::vector<float>& v) { w.add_packed_float(4, v.begin(), v.end()); },
                 [&](const std::vector<bool>& v) { w.add_packed_bool(5, v.begin(), v.end()); },
                 [&](const std::vector<DType>& v) {
                   std::vector<int32_t> numbers;
                   numbers.reserve(v.size());
                   for (DType d : v) numbers.push_back(static_cast<int32_t>(d));
                   w.add_packed_enum(6, numbers.begin(), numbers.end());
                 },
                 [&](const std::vector<Shape>& v) { AppendMessages(v, 7, out, AppendShape); },
                 [&](const std::vector<TensorValue>& v) {
                   AppendMessages(v, 8, out,
                                  [](const TensorValue& t, std::string* o) { t.AppendTo(o); });
                 },
                 [&](const std::vector<FuncValue>& v) { AppendMessages(v, 9, out, AppendFunc); },
             },
             list);
}

}  // namespace

bool Shape::fully_known() const {
  return !unknown_rank && std::ranges::all_of(dims, [](int64_t d) { return d >= 0; });
}

std::string ToString(const Shape& shape) {
  if (shape.unknown_rank) return "<unknown>";
  std::vector<std::string> dims;
  for (int64_t d : shape.dims) dims.push_back(d < 0 ? "?" : std::to_string(d));
  return fmt::format("[{}]", fmt::join(dims, ","));
}

TensorValue::TensorValue(Tensor tensor)
    : dtype_(tensor.dtype()), dims_(tensor.dims()), tensor_(std::move(tensor)) {}

Result<TensorValue> TensorValue::Parse(FileBytes wire) {
  GRAFT_ASSIGN_OR_RETURN(TensorFields t, ReadTensor(wire.view(), false));
  const int64_t count = CountElements(t.shape.dims);
  if (t.shape.unknown_rank || count < 0)
    return DataLossError("tensor of shape {}", ToString(t.shape));
  const size_t size = SizeOf(t.dtype);
  if (!t.content.empty() && size > 0 &&
      (t.content.size() % size != 0 || t.content.size() / size != static_cast<size_t>(count))) {
    return DataLossError("tensor {} with {} bytes of content", Describe(t.dtype, t.shape.dims),
                         t.content.size());
  }
  TensorValue value;
  value.dtype_ = t.dtype;
  value.dims_ = std::move(t.shape.dims);
  value.wire_ = std::move(wire);
  return value;
}

TensorValue TensorValue::String(std::string_view text) {
  std::string wire;
  protozero::pbf_writer w(wire);
  w.add_enum(1, static_cast<int32_t>(DType::kString));
  WriteMessage(&w, 2, "");
  w.add_bytes(8, text.data(), text.size());
  TensorValue value;
  value.dtype_ = DType::kString;
  value.wire_ = CopyBytes(wire);
  return value;
}

Result<Tensor> TensorValue::Decode() const {
  if (tensor_.valid()) return tensor_;
  const auto size = static_cast<int64_t>(SizeOf(dtype_));
  if (size == 0) {
    return UnsupportedError("tensor of type {} (DataType {}) cannot be decoded", Name(dtype_),
                            static_cast<int>(dtype_));
  }
  GRAFT_ASSIGN_OR_RETURN(TensorFields t, ReadTensor(wire_.view(), true));
  if (!t.content.empty()) {
    const FileBytes content = Part(wire_, t.content);
    if (reinterpret_cast<uintptr_t>(content.data.get()) % static_cast<size_t>(size) == 0)
      return Tensor(dtype_, dims_, content.data);
    GRAFT_ASSIGN_OR_RETURN(Tensor copy, Tensor::Allocate(dtype_, dims_));
    std::memcpy(copy.mutable_raw(), t.content.data(), t.content.size());
    return copy;
  }
  if (CountElements(dims_) > kMaxFillBytes / size)
    return UnsupportedError("{} filled from a few values is over 2 GiB", Describe(dtype_, dims_));
  GRAFT_ASSIGN_OR_RETURN(Tensor filled, Tensor::Allocate(dtype_, dims_));
  FillFromFields(t, &filled);
  return filled;
}

Result<std::vector<std::string>> TensorValue::DecodeStrings() const {
  if (dtype_ != DType::kString) return InvalidArgumentError("tensor of {}", Name(dtype_));
  GRAFT_ASSIGN_OR_RETURN(TensorFields t, ReadTensor(wire_.view(), true));
  const int64_t count = CountElements(dims_);
  // A short list is filled up by TensorProto's rule; more than that is no list of names.
  constexpr int64_t kMaxFilledStrings = 1 << 20;
  if (static_cast<size_t>(count) > t.strings.size() && count > kMaxFilledStrings)
    return UnsupportedError("{} filled from {} strings", Describe(dtype_, dims_), t.strings.size());
  t.strings.resize(static_cast<size_t>(count), t.strings.empty() ? "" : t.strings.back());
  return std::move(t.strings);
}

std::pair<std::string, std::string_view> TensorValue::Encoded() const {
  if (!tensor_.valid()) return {"", wire_.view()};
  std::string head;
  protozero::pbf_writer w(head);
  w.add_enum(1, static_cast<int32_t>(dtype_));
  std::string shape;
  AppendShape({.unknown_rank = false, .dims = dims_}, &shape);
  WriteMessage(&w, 2, shape);
  if (tensor_.bytes() == 0) return {head, {}};
  constexpr uint64_t kContent = 4;
  protozero::add_varint_to_buffer(
      &head, kContent << 3 | static_cast<uint64_t>(protozero::pbf_wire_type::length_delimited));
  protozero::add_varint_to_buffer(&head, tensor_.bytes());
  return {head, {reinterpret_cast<const char*>(tensor_.raw()), tensor_.bytes()}};
}

void TensorValue::AppendTo(std::string* out) const {
  const auto [head, content] = Encoded();
  out->append(head).append(content);
}

size_t TensorValue::EncodedSize() const {
  const auto [head, content] = Encoded();
  return head.size() + content.size();
}

Hash128 TensorValue::EncodedHash() const {
  const auto [head, content] = Encoded();
  return HashBytes(head, content);
}

bool TensorValue::operator==(const TensorValue& other) const {
  if (dtype_ != other.dtype_ || dims_ != other.dims_) return false;
  if (tensor_.valid() && other.tensor_.valid()) return BitwiseEqual(tensor_, other.tensor_);
  std::string a, b;
  AppendTo(&a);
  other.AppendTo(&b);
  return a == b;
}

Result<Shape> ParseShape(std::string_view wire) {
  Shape shape;
  const auto parse_dim = [&](std::string_view part) {
    int64_t size = 0;
    GRAFT_RETURN_IF_ERROR(ReadFields(part, nullptr, Field(1, &size)));
    if (shape.dims.size() == kMaxRank) return DataLossError("shape of more than 254 dimensions");
    // TensorFlow's optimisers number unknown dimensions -2, -3, … in what they note on nodes.
    shape.dims.push_back(std::max<int64_t>(size, -1));
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(
      ReadFields(wire, nullptr, Field(2, parse_dim), Field(3, &shape.unknown_rank)));
  if (shape.unknown_rank && !shape.dims.empty())
    return DataLossError("shape of unknown rank with dimensions");
  return shape;
}

Result<DType> ParseDTypeNumber(int64_t number) {
  // Numbers over 100 are references to types; those under 256 fit and stay opaque if unknown.
  if (number < 0 || number > 255) return DataLossError("DataType {}", number);
  return static_cast<DType>(number);
}

Result<AttrValue> ParseAttrValue(const FileBytes& file, std::string_view wire, int depth) {
  if (depth > kMaxNesting) return DataLossError("nested deeper than {} levels", kMaxNesting);
  AttrValue value;
  WireReader r(wire);
  while (r.Next()) {
    std::string_view part;
    int64_t number = 0;
    float real = 0;
    bool flag = false;
    switch (r.field()) {
      case 1: {
        r.Get(&part);
        GRAFT_ASSIGN_OR_RETURN(value.value, ParseList(file, part, depth));
        break;
      }
      case 2:
        r.Get(&part);
        value = std::string(part);
        break;
      case 3:
        r.Get(&number);
        value = number;
        break;
      case 4:
        r.Get(&real);
        value = real;
        break;
      case 5:
        r.Get(&flag);
        value = flag;
        break;
      case 6: {
        r.Get(&number);
        GRAFT_ASSIGN_OR_RETURN(value.value, ParseDTypeNumber(number));
        break;
      }
      case 7: {
        r.Get(&part);
        GRAFT_ASSIGN_OR_RETURN(value.value, ParseShape(part));
        break;
      }
      case 8: {
        r.Get(&part);
        GRAFT_ASSIGN_OR_RETURN(value.value, TensorValue::Parse(Part(file, part)));
        break;
      }
      case 9:
        r.Get(&part);
        value = PlaceholderValue{std::string(part)};
        break;
      case 10: {
        r.Get(&part);
        GRAFT_ASSIGN_OR_RETURN(value.value, ParseFunc(file, part, depth));
        break;
      }
      default:
        r.Skip();
    }
  }
  GRAFT_RETURN_IF_ERROR(r.status());
  return value;
}

Status ParseAttrEntry(const FileBytes& file, std::string_view wire, AttrMap* attrs, int depth) {
  GRAFT_ASSIGN_OR_RETURN(MapEntry entry, ReadMapEntry(wire));
  Result<AttrValue> value = ParseAttrValue(file, entry.value, depth);
  if (!value.ok()) return value.status().WithContext(fmt::format("attribute '{}'", entry.key));
  attrs->insert_or_assign(std::move(entry.key), std::move(value).value());
  return OkStatus();
}

void AppendShape(const Shape& shape, std::string* out) {
  protozero::pbf_writer w(*out);
  for (int64_t d : shape.dims) {
    std::string dim;  // an open submessage would be dropped when it stays empty
    if (d != 0) protozero::pbf_writer(dim).add_int64(1, d);
    WriteMessage(&w, 2, dim);
  }
  if (shape.unknown_rank) w.add_bool(3, true);
}

void AppendAttrValue(const AttrValue& attr, std::string* out) {
  protozero::pbf_writer w(*out);
  std::string message;
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [&](const std::string& v) { w.add_bytes(2, v); },
                 [&](int64_t v) { w.add_int64(3, v); },
                 [&](float v) { w.add_float(4, v); },
                 [&](bool v) { w.add_bool(5, v); },
                 [&](DType v) { w.add_enum(6, static_cast<int32_t>(v)); },
                 [&](const Shape& v) {
                   AppendShape(v, &message);
                   WriteMessage(&w, 7, message);
                 },
                 [&](const TensorValue& v) {
                   v.AppendTo(&message);
                   WriteMessage(&w, 8, message);
                 },
                 [&](const AttrList& v) {
                   AppendList(v, &message);
                   WriteMessage(&w, 1, message);
                 },
                 [&](const FuncValue& v) {
                   AppendFunc(v, &message);
                   WriteMessage(&w, 10, message);
                 },
                 [&](const PlaceholderValue& v) { w.add_bytes(9, v.name); },
             },
             attr.value);
}

void AppendAttrs(const AttrMap& attrs, uint32_t field, std::string* out) {
  for (const auto& [key, value] : attrs) {
    std::string message;
    AppendAttrValue(value, &message);
    protozero::pbf_writer w(*out);
    protozero::pbf_writer entry(w, field);
    entry.add_bytes(1, key);
    WriteMessage(&entry, 2, message);
  }
}

}  // namespace graft::tf
