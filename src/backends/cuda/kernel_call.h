// A bound node as the kernels that compute it: their classes, their one parameter each, and where
// pointers go in it. Made without a device, so that everything is compiled and looked at without
// one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend_api/backend.h"
#include "backends/cuda/compiler.h"

namespace graft::cuda {

// How the copy engine (from 9.0 on) sees numbers of 8 or 16 bits in memory: as boxes of an array of
// up to three axes, or as the windows of a convolution over an image [channels, w, h, n], one tap
// of all windows a pixel each. Innermost axis first.
struct TensorMap {
  static constexpr size_t kWords = 16;

  int input = 0;  // of the node's: where it lies
  DType dtype = DType::kFloat16;
  std::vector<uint64_t> dims;
  std::vector<uint64_t> strides;  // bytes, of all axes but the first
  // Of an array: the box. Of windows: channels and pixels that one copy brings.
  std::vector<uint32_t> box;
  // Of windows (w, h): the first pixel of the first and of the last one, the latter counted from
  // the image's last pixel, and the distance between windows.
  std::vector<int> first, last;
  std::vector<uint32_t> distance;
  int swizzle = 128;  // bytes of the box's innermost axis, whose chunks are permuted
};

// A kernel's parameter, a struct of 8-byte fields in order.
class Parameter {
 public:
  enum class Source : uint8_t { kInput, kOutput, kWorkspace, kError };
  struct Pointer {
    Source source;
    int32_t word;    // in words
    int32_t index;   // of the input or output
    int64_t offset;  // bytes
  };

  Parameter() { words_.reserve(kUsualWords); }

  Parameter& Int(int64_t value);
  // Exactly `count` words: the values, then `fill`.
  Parameter& Ints(std::span<const int64_t> values, size_t count, int64_t fill = 0);
  Parameter& Float(double value);
  Parameter& Input(int index, int64_t offset = 0) { return Add(Source::kInput, index, offset); }
  Parameter& Output(int index, int64_t offset = 0) { return Add(Source::kOutput, index, offset); }
  Parameter& Workspace(int64_t offset) { return Add(Source::kWorkspace, 0, offset); }
  // Where a run's error is recorded, and which step it is: two words.
  Parameter& Error();
  Parameter& Null() { return Int(0); }
  // Encoded when the kernel is queued. The input is at a multiple of 16 bytes.
  Parameter& Map(TensorMap map);

  std::span<const int64_t> words() const { return words_; }
  std::span<const Pointer> pointers() const { return pointers_; }
  // Each with its first word.
  std::span<const std::pair<int32_t, TensorMap>> maps() const { return maps_; }
  // The word that takes the step's number; -1 for none.
  int step_word() const { return step_word_; }

 private:
  static constexpr size_t kUsualWords = 160;  // of a product with two operands in its epilogue

  Parameter& Add(Source source, int index, int64_t offset);

  std::vector<int64_t> words_;
  std::vector<Pointer> pointers_;
  std::vector<std::pair<int32_t, TensorMap>> maps_;
  int step_word_ = -1;
};

struct Launch {
  KernelClass kernel;
  std::string entry;
  int64_t grid[3] = {1, 1, 1};
  int block = 256;
  int shared_bytes = 0;  // beyond what the kernel itself declares
  int cluster = 1;       // blocks along the grid's last axis that form one, on cards that have them
  bool without_clusters = false;  // only for cards that have none
  Parameter parameter;
};

struct StepProgram;
using PlanFunction = Result<StepProgram>(const BoundNode& node);

// Nothing to launch: an empty result.
struct StepProgram {
  std::vector<Launch> launches;
  // Plans what is launched instead where an operand or a result is not at a multiple of 16 bytes,
  // in no more workspace; null: these take any.
  PlanFunction* unaligned = nullptr;
  size_t workspace_bytes = 0;

  // Room in the workspace; gives its offset.
  int64_t Reserve(size_t bytes);
};

// Blocks of 256 threads for so many elements, some elements a thread where there are many.
int64_t BlocksFor(int64_t elements);

// The type of indices below the number: "typedef u32 Index;".
std::string IndexText(int64_t count);
// The launch's blocks for so many threads: small ones where there are too few to fill a card.
inline constexpr int64_t kFullCard = int64_t{256} * 256;
void SpreadOver(int64_t threads, Launch* launch);

// The name of the dtype's type in kernels: "f32".
std::string_view TypeOf(DType dtype);
// A type of so many bytes, for kernels that only move elements.
std::string_view TypeOfSize(size_t bytes);
// What sums of the dtype accumulate in.
std::string_view AccumulatorOf(DType dtype);

// Strides in elements of a value's axes, as it lies.
std::vector<int64_t> StridesOf(const BoundValue& value);
int64_t LengthOf(const BoundValue& value);  // of the last axis; 1 for a scalar

}  // namespace graft::cuda
