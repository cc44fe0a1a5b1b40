#include "npy.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/file.h"

namespace graft {
namespace {

struct DTypeRow {
  std::string_view descr;
  DType dtype;
};
constexpr DTypeRow kDTypes[] = {
    {"<f4", DType::kFloat32},  {"<f8", DType::kFloat64}, {"<f2", DType::kFloat16},
    {"<i4", DType::kInt32},    {"<i8", DType::kInt64},   {"<i2", DType::kInt16},
    {"|i1", DType::kInt8},     {"|u1", DType::kUint8},   {"<u2", DType::kUint16},
    {"<u4", DType::kUint32},   {"<u8", DType::kUint64},  {"|b1", DType::kBool},
    {"<V2", DType::kBFloat16},  // what NumPy writes of the package ml_dtypes' bfloat16
};
constexpr std::string_view kMagic = "\x93NUMPY";

// The text after "'key':" in the header's dictionary, blanks skipped.
std::string_view Field(std::string_view header, std::string_view key) {
  const size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return {};
  std::string_view rest = header.substr(at + key.size() + 3);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return rest;
}

Result<Dims> ParseShape(const std::string& path, std::string_view text) {
  Dims dims;
  if (text.empty() || text[0] != '(') return DataLossError("{}: no shape in the header", path);
  text.remove_prefix(1);
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(", "), text.size()));
    if (text.starts_with(')')) return dims;
    int64_t d = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), d);
    if (error != std::errc() || d < 0 || dims.size() == 32)
      return DataLossError("{}: bad shape in the header", path);
    dims.push_back(d);
    text.remove_prefix(end - text.data());
  }
}

}  // namespace

Result<Tensor> ReadNpy(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const FileBytes file, ReadFile(path));
  GRAFT_ASSIGN_OR_RETURN(const Tensor found, FindArray(file, path));
  GRAFT_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(found.dtype(), found.dims()));
  std::memcpy(tensor.mutable_raw(), found.raw(), tensor.bytes());
  return tensor;
}

Result<Tensor> FindArray(const FileBytes& file, const std::string& path) {
  const std::string_view bytes = file.view();
  if (!bytes.starts_with(kMagic) || bytes.size() < 12)
    return DataLossError("{}: not a .npy file", path);
  const int major = static_cast<unsigned char>(bytes[6]);
  const size_t length_size = major == 1 ? 2 : 4;
  if (major < 1 || major > 3) return UnsupportedError("{}: .npy version {}", path, major);
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_size);
  const size_t start = 8 + length_size + length;
  if (start > bytes.size()) return DataLossError("{}: the header is cut off", path);
  const std::string_view header = bytes.substr(8 + length_size, length);
  if (!Field(header, "fortran_order").starts_with("False"))
    return UnsupportedError("{}: not in C order", path);
  const std::string_view descr = Field(header, "descr");
  GRAFT_ASSIGN_OR_RETURN(Dims dims, ParseShape(path, Field(header, "shape")));
  for (const DTypeRow& row : kDTypes) {
    if (descr.size() < row.descr.size() + 2 || descr.substr(1, row.descr.size()) != row.descr)
      continue;
    const int64_t count = CountElements(dims);
    const size_t size = SizeOf(row.dtype);
    if (count < 0 || static_cast<uint64_t>(count) > (bytes.size() - start) / size) {
      return DataLossError("{}: too short for {}", path, Describe(row.dtype, dims));
    }
    return Tensor(row.dtype, std::move(dims), {file.data, file.data.get() + start});
  }
  return UnsupportedError("{}: dtype {}", path, descr.substr(0, descr.find(',')));
}

Status WriteNpy(const std::string& path, const Tensor& tensor) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype != StorageOf(tensor.dtype())) continue;
    std::string shape;
    for (int64_t d : tensor.dims()) shape += fmt::format("{},", d);
    if (tensor.rank() > 1) shape.pop_back();
    std::string header =
        fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", row.descr, shape);
    // The data begins at a multiple of 64 bytes.
    header.append(63 - (10 + header.size()) % 64, ' ');
    header += '\n';
    const uint16_t length = static_cast<uint16_t>(header.size());
    std::string bytes(kMagic);
    bytes += std::string_view("\x01\x00", 2);
    bytes.append(reinterpret_cast<const char*>(&length), 2);
    bytes += header;
    bytes.append(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes());
    return WriteFileAtomically(path, bytes);
  }
  return UnsupportedError("{}: .npy has no dtype {}", path, Name(tensor.dtype()));
}

}  // namespace graft
