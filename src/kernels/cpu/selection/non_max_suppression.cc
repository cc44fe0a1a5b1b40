#include "kernels/cpu/selection/non_max_suppression.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/aligned_buffer.h"
#include "base/half.h"

namespace graft::cpu {
namespace {

struct Box {
  float top, left, bottom, right, area;

  Box() = default;
  template <class T>
  explicit Box(const T* c)
      : top(std::min<float>(c[0], c[2])),
        left(std::min<float>(c[1], c[3])),
        bottom(std::max<float>(c[0], c[2])),
        right(std::max<float>(c[1], c[3])),
        area((bottom - top) * (right - left)) {}
};

// An empty box overlaps nothing.
float Overlap(const Box& a, const Box& b) {
  if (a.area <= 0 || b.area <= 0) return 0;
  const float height = std::max(std::min(a.bottom, b.bottom) - std::max(a.top, b.top), 0.0f);
  const float width = std::max(std::min(a.right, b.right) - std::max(a.left, b.left), 0.0f);
  const float common = height * width;
  return common / (a.area + b.area - common);
}

struct Candidate {
  float score;
  int32_t box;
  int32_t compared;  // with so many of the chosen
};

// The best at the top of a heap: the highest score, of equal ones the lowest index.
bool Worse(const Candidate& a, const Candidate& b) {
  return a.score < b.score || (a.score == b.score && a.box > b.box);
}

// A float as T holds it.
template <class T>
float Round(float x) {
  return static_cast<T>(x);
}

// Scores of T, held as floats. `similar(box, j)` is the overlap of a box with chosen number j.
template <class T, class Similar, class Choose>
int64_t Suppress(const NonMaxSuppressionProblem& p, const T* scores, const float* thresholds,
                 Candidate* heap, Similar similar, Choose choose) {
  const float iou_threshold = Round<T>(thresholds[0]);
  const float score_threshold = Round<T>(thresholds[1]);
  const float sigma = Round<T>(thresholds[2]);
  Candidate* end = heap;
  for (int32_t i = 0; i < p.count; ++i) {
    if (scores[i] > score_threshold) *end++ = {scores[i], i, 0};
  }
  std::make_heap(heap, end, Worse);
  const bool soft = sigma > 0;
  const float scale = soft ? Round<T>(-0.5f / sigma) : 0;
  int32_t chosen = 0;
  while (chosen < p.limit && heap != end) {
    std::pop_heap(heap, end, Worse);
    Candidate next = *--end;
    const float before = next.score;
    bool dropped = false;
    // The latest first: their scores are the nearest, and such boxes overlap most.
    for (int32_t j = chosen - 1; j >= next.compared && !dropped; --j) {
      const float overlap = Round<T>(similar(next.box, j));
      if (soft || !std::isfinite(overlap)) {
        const bool weighted = soft || overlap <= iou_threshold;
        const float exponent = Round<T>(Round<T>(scale * overlap) * overlap);
        next.score = Round<T>(next.score * (weighted ? Round<T>(std::exp(exponent)) : 0.0f));
      }
      dropped = !soft && overlap > iou_threshold;
      if (next.score <= score_threshold) break;
    }
    next.compared = chosen;
    if (dropped) continue;
    if (next.score == before) {
      choose(chosen++, next);
    } else if (next.score > score_threshold) {
      *end++ = next;
      std::push_heap(heap, end, Worse);
    }
  }
  return chosen;
}

Status CheckIouThreshold(float threshold) {
  if (threshold >= 0 && threshold <= 1) return OkStatus();
  return InvalidArgumentError("iou_threshold {} is not in [0, 1]", threshold);
}

}  // namespace

bool NonMaxSuppressionOperation::Supports(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat16;
}

Result<NonMaxSuppressionOperation> NonMaxSuppressionOperation::Make(
    const NonMaxSuppressionProblem& problem) {
  if (!Supports(problem.dtype))
    return UnsupportedError("non_max_suppression of {}", Name(problem.dtype));
  if (problem.count > std::numeric_limits<int32_t>::max())
    return InvalidArgumentError("{} boxes do not fit int32 indices", problem.count);
  NonMaxSuppressionOperation operation;
  operation.problem_ = problem;
  return operation;
}

size_t NonMaxSuppressionOperation::scratch_bytes(int) const {
  return AlignUp(problem_.count * sizeof(Candidate)) + problem_.limit * sizeof(Box);
}

Status NonMaxSuppressionOperation::Run(const Buffers& buffers, Executor&) const {
  const auto* thresholds = static_cast<const float*>(buffers.inputs[2]);
  if (!problem_.overlaps) GRAFT_RETURN_IF_ERROR(CheckIouThreshold(thresholds[0]));
  if (!(thresholds[2] >= 0))
    return InvalidArgumentError("soft_nms_sigma {} is negative", thresholds[2]);
  problem_.dtype == DType::kFloat32 ? RunAs<float>(buffers) : RunAs<Float16>(buffers);
  return OkStatus();
}

template <class T>
void NonMaxSuppressionOperation::RunAs(const Buffers& buffers) const {
  const auto* boxes = static_cast<const T*>(buffers.inputs[0]);
  const auto* scores = static_cast<const T*>(buffers.inputs[1]);
  const auto* thresholds = static_cast<const float*>(buffers.inputs[2]);
  auto* chosen = static_cast<int32_t*>(buffers.outputs[0]);
  auto* chosen_scores = static_cast<T*>(buffers.outputs[1]);
  auto* heap = reinterpret_cast<Candidate*>(buffers.scratch);
  auto* chosen_boxes =
      reinterpret_cast<Box*>(buffers.scratch + AlignUp(problem_.count * sizeof(Candidate)));
  const auto choose = [&](int32_t i, const Candidate& c) {
    chosen[i] = c.box;
    chosen_scores[i] = static_cast<T>(c.score);
    if (!problem_.overlaps) chosen_boxes[i] = Box(boxes + int64_t{4} * c.box);
  };
  int64_t count = 0;
  if (problem_.overlaps) {
    const auto similar = [&](int32_t box, int32_t j) -> float {
      return boxes[box * problem_.count + chosen[j]];
    };
    count = Suppress(problem_, scores, thresholds, heap, similar, choose);
  } else {
    const auto similar = [&](int32_t box, int32_t j) {
      return Overlap(Box(boxes + int64_t{4} * box), chosen_boxes[j]);
    };
    count = Suppress(problem_, scores, thresholds, heap, similar, choose);
  }
  *static_cast<int64_t*>(buffers.outputs[2]) = count;
}

Result<CombinedNonMaxSuppressionOperation> CombinedNonMaxSuppressionOperation::Make(
    const CombinedNonMaxSuppressionProblem& problem) {
  if (problem.count > std::numeric_limits<int32_t>::max())
    return InvalidArgumentError("{} boxes do not fit int32 indices", problem.count);
  CombinedNonMaxSuppressionOperation operation;
  operation.problem_ = problem;
  operation.problem_.per_class = std::min(problem.per_class, problem.count);
  return operation;
}

// Of one batch.
size_t CombinedNonMaxSuppressionOperation::choice_bytes() const {
  return AlignUp(problem_.classes * problem_.per_class * sizeof(Choice));
}
// Of one worker.
size_t CombinedNonMaxSuppressionOperation::heap_bytes() const {
  return AlignUp(problem_.count * sizeof(Choice));
}

size_t CombinedNonMaxSuppressionOperation::scratch_bytes(int width) const {
  return problem_.batch * choice_bytes() + width * heap_bytes();
}

Status CombinedNonMaxSuppressionOperation::Run(const Buffers& buffers, Executor& executor) const {
  const CombinedNonMaxSuppressionProblem& p = problem_;
  GRAFT_RETURN_IF_ERROR(CheckIouThreshold(static_cast<const float*>(buffers.inputs[2])[0]));
  std::byte* heaps = buffers.scratch + p.batch * choice_bytes();
  const auto choices = [&](int64_t batch) {
    return reinterpret_cast<Choice*>(buffers.scratch + batch * choice_bytes());
  };
  const int64_t units = p.batch * p.classes;
  if (units > 0) {
    const int64_t tasks = std::min(units, TaskCount(10 * units * p.count, executor));
    executor.ParallelFor(tasks, [&](int64_t task, int worker) {
      const Range range = Part(units, tasks, task);
      for (int64_t unit = range.begin; unit < range.end; ++unit) {
        const int64_t batch = unit / p.classes;
        const int64_t of_class = unit % p.classes;
        ChooseOfClass(buffers, batch, of_class,
                      reinterpret_cast<Choice*>(heaps + worker * heap_bytes()),
                      choices(batch) + of_class * p.per_class);
      }
    });
  }
  for (int64_t batch = 0; batch < p.batch; ++batch) {
    // Places that stayed free take part: TensorFlow's order of equal scores is what its sort, the
    // standard library's, makes of all of them.
    std::sort(choices(batch), choices(batch) + p.classes * p.per_class,
              [](const Choice& a, const Choice& b) { return a.score > b.score; });
    Write(buffers, batch, choices(batch));
  }
  return OkStatus();
}

// Candidates of equal score come in the order of a heap that takes them one by one, TensorFlow's.
void CombinedNonMaxSuppressionOperation::ChooseOfClass(const Buffers& buffers, int64_t batch,
                                                       int64_t of_class, Choice* heap,
                                                       Choice* choices) const {
  const CombinedNonMaxSuppressionProblem& p = problem_;
  const float* scores =
      static_cast<const float*>(buffers.inputs[1]) + batch * p.count * p.classes + of_class;
  const float* boxes = static_cast<const float*>(buffers.inputs[0]) +
                       (batch * p.count * p.groups + (p.groups > 1 ? of_class : 0)) * 4;
  const auto* thresholds = static_cast<const float*>(buffers.inputs[2]);
  const auto box_of = [&](const Choice& c) { return Box(boxes + c.box * p.groups * 4); };
  const auto worse = [](const Choice& a, const Choice& b) { return a.score < b.score; };
  std::fill_n(choices, p.per_class, Choice{-std::numeric_limits<float>::infinity(), -1, -1});
  Choice* end = heap;
  for (int32_t i = 0; i < p.count; ++i) {
    const float score = scores[i * p.classes];
    if (!(score > thresholds[1])) continue;
    *end++ = {score, i, static_cast<int32_t>(of_class)};
    std::push_heap(heap, end, worse);
  }
  Choice* chosen = choices;
  while (chosen != choices + p.per_class && heap != end) {
    std::pop_heap(heap, end, worse);
    const Choice next = *--end;
    const Box box = box_of(next);
    // The latest first, which overlap most.
    const bool free =
        std::none_of(std::make_reverse_iterator(chosen), std::make_reverse_iterator(choices),
                     [&](const Choice& c) { return Overlap(box, box_of(c)) > thresholds[0]; });
    if (free) *chosen++ = next;
  }
}

void CombinedNonMaxSuppressionOperation::Write(const Buffers& buffers, int64_t batch,
                                               const Choice* choices) const {
  const CombinedNonMaxSuppressionProblem& p = problem_;
  float* boxes = static_cast<float*>(buffers.outputs[0]) + batch * p.size * 4;
  float* scores = static_cast<float*>(buffers.outputs[1]) + batch * p.size;
  float* classes = static_cast<float*>(buffers.outputs[2]) + batch * p.size;
  const int64_t most = std::min(p.size, p.classes * p.per_class);
  int32_t count = 0;
  for (; count < most && choices[count].box >= 0; ++count) {
    const Choice& c = choices[count];
    const float* box = static_cast<const float*>(buffers.inputs[0]) +
                       ((batch * p.count + c.box) * p.groups + (p.groups > 1 ? c.of_class : 0)) * 4;
    for (int k = 0; k < 4; ++k)
      boxes[4 * count + k] = p.clip ? std::max(std::min(box[k], 1.0f), 0.0f) : box[k];
    scores[count] = c.score;
    classes[count] = static_cast<float>(c.of_class);
  }
  std::fill(boxes + int64_t{4} * count, boxes + 4 * p.size, 0.0f);
  std::fill(scores + count, scores + p.size, 0.0f);
  std::fill(classes + count, classes + p.size, 0.0f);
  static_cast<int32_t*>(buffers.outputs[3])[batch] = count;
}

}  // namespace graft::cpu
