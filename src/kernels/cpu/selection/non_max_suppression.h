// Choosing boxes by their scores and overlaps.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/cpu/parallel.h"

namespace graft::cpu {

// [boxes[count, 4] or overlaps[count, count], scores[count], thresholds f32[3]] → [chosen
// i32[limit], their scores[limit], number of chosen i64]. A box is two corners in any order, [y, x,
// y, x]. Overlaps are computed in f32, and like scores rounded to the dtype. The thresholds are
// those of the overlap and of the score, and sigma: above 0, overlaps lower scores instead of
// dropping boxes.
struct NonMaxSuppressionProblem {
  DType dtype = DType::kFloat32;  // or kFloat16
  int64_t count = 0;
  int64_t limit = 0;
  bool overlaps = false;
};

class NonMaxSuppressionOperation {
 public:
  static Result<NonMaxSuppressionOperation> Make(const NonMaxSuppressionProblem& problem);
  static bool Supports(DType dtype);

  size_t scratch_bytes(int) const;
  Status Run(const Buffers& buffers, Executor& executor) const;

 private:
  template <class T>
  void RunAs(const Buffers& buffers) const;

  NonMaxSuppressionProblem problem_;
};

// [boxes f32[batch, count, groups, 4], scores f32[batch, count, classes], thresholds f32[2]] →
// [boxes f32[batch, size, 4], scores f32[batch, size], classes f32[batch, size], number
// i32[batch]]; groups is 1 or classes. The thresholds are those of the overlap and of the score.
struct CombinedNonMaxSuppressionProblem {
  int64_t batch = 0;
  int64_t count = 0;
  int64_t groups = 1;
  int64_t classes = 0;
  int64_t per_class = 0;
  int64_t size = 0;
  bool clip = true;
};

class CombinedNonMaxSuppressionOperation {
 public:
  static Result<CombinedNonMaxSuppressionOperation> Make(
      const CombinedNonMaxSuppressionProblem& problem);

  size_t scratch_bytes(int width) const;
  Status Run(const Buffers& buffers, Executor& executor) const;

 private:
  struct Choice {
    float score;
    int32_t box;  // -1: none
    int32_t of_class;
  };
  size_t choice_bytes() const;
  size_t heap_bytes() const;
  void ChooseOfClass(const Buffers& buffers, int64_t batch, int64_t of_class, Choice* heap,
                     Choice* choices) const;
  void Write(const Buffers& buffers, int64_t batch, const Choice* choices) const;

  CombinedNonMaxSuppressionProblem problem_;
};

}  // namespace graft::cpu
