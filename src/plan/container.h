// The outer form of a plan file: a header, a table of sections, the sections at 64-byte boundaries.
// All integers are little-endian.
//
//   0   char[8]  magic "GRAFTPLN"
//   8   u32      version
//   12  u32      number of sections
//   16  u64      size of the file
//   24  u64      hash of the header so far and the table: XXH3-128's low half
//   32  table    for each section: u32 kind, u32 zero, u64 offset, u64 size, u64 hash
//
// The weights section has no hash of its own (0): each weight has one in the metadata, so a large
// file is not read when it is opened. Those of the prepared and the packed section are there and
// not compared: their entries have hashes in the metadata, and a damaged one costs a tactic, or the
// time to pack, and not the plan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace graft {

inline constexpr std::string_view kPlanMagic = "GRAFTPLN";
inline constexpr uint32_t kPlanVersion = 1;

enum class SectionKind : uint32_t { kMetadata = 1, kWeights = 2, kPrepared = 3, kPacked = 4 };

struct Section {
  SectionKind kind;
  std::string_view bytes;
};

// A section to write: pieces at ascending offsets, zeros between. The pieces are copied once, into
// the file's bytes: a section of weights is as large as the model.
struct NewSection {
  struct Piece {
    size_t offset;
    std::string_view bytes;
  };
  SectionKind kind;
  std::vector<Piece> pieces;
  size_t size() const {
    return pieces.empty() ? 0 : pieces.back().offset + pieces.back().bytes.size();
  }
};

// A file's bytes in order, without a copy of the pieces, which must outlive it: a section of
// weights is as large as the model.
struct FileParts {
  std::string head;
  std::vector<std::string_view> rest;
  std::string Joined() const;
};
FileParts WriteContainer(std::span<const NewSection> sections);

// The sections, verified: their place in the file, their order and hashes. Sections of a kind that
// is not known are left out.
Result<std::vector<Section>> ReadContainer(const FileBytes& bytes);

}  // namespace graft
