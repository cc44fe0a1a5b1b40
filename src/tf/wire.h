// Protobuf wire format. The bytes are somebody else's: whatever is wrong with them ends the walk
// and shows in status(); no exception of protozero leaves this file, and no getter reads a field
// under another wire type than its own.
#pragma once

#include <cstdint>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace graft::tf {

// A part of `whole`, which stays alive (mapped) as long as the part does.
inline FileBytes Part(const FileBytes& whole, std::string_view part) {
  return {
      std::shared_ptr<const std::byte>(whole.data, reinterpret_cast<const std::byte*>(part.data())),
      part.size()};
}
// Bytes that own a copy of the text.
inline FileBytes CopyBytes(std::string_view text) {
  auto copy = std::make_shared<std::string>(text);
  const auto* data = reinterpret_cast<const std::byte*>(copy->data());
  return {std::shared_ptr<const std::byte>(std::move(copy), data), text.size()};
}

// Walks the fields of one message, where ReadFields is not enough. After the first malformed field
// Next() is false, getters leave their targets alone, and status() is kDataLoss.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : reader_(bytes.data(), bytes.size()) {}

  bool Next() {
    if (!error_.empty()) return false;
    start_ = reader_.data().data();
    bool more = false;
    Try([&] { more = reader_.next(); });
    return more;
  }
  uint32_t field() const { return reader_.tag(); }
  Status status() const {
    return error_.empty() ? OkStatus() : Status(StatusCode::kDataLoss, error_);
  }

  void Get(std::string_view* value) {
    TryAs(protozero::pbf_wire_type::length_delimited, [&] {
      const auto view = reader_.get_view();
      *value = {view.data(), view.size()};
    });
  }
  void Get(std::string* value) {
    std::string_view view;
    Get(&view);
    *value = view;
  }
  void Get(int64_t* value) {
    TryAs(protozero::pbf_wire_type::varint, [&] { *value = reader_.get_int64(); });
  }
  void Get(uint64_t* value) {
    TryAs(protozero::pbf_wire_type::varint, [&] { *value = reader_.get_uint64(); });
  }
  // Out of an int32 field: protobuf keeps the low 32 bits of what it reads.
  void Get(int32_t* value) {
    int64_t wide = *value;
    Get(&wide);
    *value = static_cast<int32_t>(wide);
  }
  void Get(bool* value) {
    uint64_t wide = *value;
    Get(&wide);
    *value = wide != 0;
  }
  void Get(float* value) {
    TryAs(protozero::pbf_wire_type::fixed32, [&] { *value = reader_.get_float(); });
  }
  void Get(uint32_t* value) {  // a fixed32
    TryAs(protozero::pbf_wire_type::fixed32, [&] { *value = reader_.get_fixed32(); });
  }

  // Repeated scalars come packed or one by one; both append.
  void Append(std::vector<int64_t>* values) {
    AppendAs(
        values, protozero::pbf_wire_type::varint, [&] { return reader_.get_int64(); },
        [&] { return reader_.get_packed_int64(); });
  }
  void Append(std::vector<float>* values) {
    AppendAs(
        values, protozero::pbf_wire_type::fixed32, [&] { return reader_.get_float(); },
        [&] { return reader_.get_packed_float(); });
  }
  void Append(std::vector<double>* values) {
    AppendAs(
        values, protozero::pbf_wire_type::fixed64, [&] { return reader_.get_double(); },
        [&] { return reader_.get_packed_double(); });
  }
  void Append(std::vector<std::string>* values) {
    std::string_view view;
    Get(&view);
    if (error_.empty()) values->emplace_back(view);
  }

  void Skip() {
    Try([&] { reader_.skip(); });
  }
  // Skips the field and appends its bytes, tag included, to `other`: fields that nobody here reads
  // survive a round trip so.
  void Keep(std::string* other) {
    Skip();
    if (error_.empty()) other->append(start_, reader_.data().data());
  }

 private:
  template <class F>
  void Try(F&& f) {
    if (!error_.empty()) return;
    try {
      f();
    } catch (const protozero::exception& e) {
      error_ = fmt::format("malformed protobuf ({})", e.what());
    }
  }
  template <class F>
  void TryAs(protozero::pbf_wire_type type, F&& f) {
    if (!error_.empty()) return;
    if (!reader_.has_wire_type(type)) {
      error_ = fmt::format("malformed protobuf (field {} has wire type {})", reader_.tag(),
                           static_cast<int>(reader_.wire_type()));
      return;
    }
    Try(f);
  }
  template <class T, class One, class Packed>
  void AppendAs(std::vector<T>* values, protozero::pbf_wire_type type, One one, Packed packed) {
    if (reader_.has_wire_type(type)) {
      Try([&] { values->push_back(one()); });
      return;
    }
    TryAs(protozero::pbf_wire_type::length_delimited, [&] {
      const auto range = packed();
      values->reserve(values->size() + static_cast<size_t>(range.size()));
      for (auto it = range.begin(); it != range.end(); ++it) values->push_back(*it);
    });
  }

  protozero::pbf_reader reader_;
  const char* start_ = nullptr;
  std::string error_;
};

// A field of a message and where it goes: a pointer to a scalar or a string, which the last one of
// several decides; a pointer to a vector, to which all are appended; or a function of the field's
// bytes that gives a Status. A null pointer skips the field.
template <class To>
struct Field {
  Field(uint32_t field_number, To target) : number(field_number), to(std::move(target)) {}
  Status Read(WireReader* r) const {
    if constexpr (std::is_pointer_v<To>) {
      if (to == nullptr) {
        r->Skip();
      } else if constexpr (requires { r->Append(to); }) {
        r->Append(to);
      } else {
        r->Get(to);
      }
      return r->status();
    } else {
      std::string_view bytes;
      r->Get(&bytes);
      GRAFT_RETURN_IF_ERROR(r->status());
      return to(bytes);
    }
  }
  uint32_t number;
  To to;
};

// Reads one message. The bytes of fields that are not listed, tags included, go to `other`, or
// nowhere where that is null.
template <class... To>
Status ReadFields(std::string_view message, std::string* other, const Field<To>&... fields) {
  WireReader r(message);
  while (r.Next()) {
    Status status;
    const bool known = (... || (r.field() == fields.number && (status = fields.Read(&r), true)));
    GRAFT_RETURN_IF_ERROR(status);
    if (known) continue;
    other != nullptr ? r.Keep(other) : r.Skip();
  }
  return r.status();
}

// What functions of a field's bytes end with: its value goes to the target, or to the list's end.
template <class T, class To>
Status Store(Result<T> value, To* to) {
  GRAFT_RETURN_IF_ERROR(value.status());
  if constexpr (requires { to->push_back(std::move(value).value()); }) {
    to->push_back(std::move(value).value());
  } else {
    *to = std::move(value).value();
  }
  return OkStatus();
}

// One entry of a map<string, message> field.
struct MapEntry {
  std::string key;
  std::string_view value;
};
inline Result<MapEntry> ReadMapEntry(std::string_view bytes) {
  MapEntry entry;
  GRAFT_RETURN_IF_ERROR(ReadFields(bytes, nullptr, Field(1, &entry.key), Field(2, &entry.value)));
  return entry;
}

// proto3 leaves out a string field that is empty.
inline void WriteString(protozero::pbf_writer* w, uint32_t field, std::string_view value) {
  if (!value.empty()) w->add_bytes(field, value.data(), value.size());
}
inline void WriteMessage(protozero::pbf_writer* w, uint32_t field, std::string_view bytes) {
  w->add_message(field, bytes.data(), bytes.size());
}
// Appends fields that are encoded already (see WireReader::Keep).
inline void WriteEncoded(std::string* out, std::string_view fields) { out->append(fields); }

}  // namespace graft::tf
