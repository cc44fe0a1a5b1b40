// Ops that choose elements by their values.
#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <vector>

#include "kernels/reference/kernels.h"

namespace graft::reference {
namespace {

template <class T>
int64_t Where(const ConstArray& x, const Array& positions) {
  int64_t found = 0;
  ForEachIndex(x.dims, [&](std::span<const int64_t> index) {
    if (x.Row<T>(0)[x.Offset(index)] == T(0)) return;
    std::copy(index.begin(), index.end(), positions.Row<int64_t>(found++));
  });
  return found;
}

// Two corners in any order: [y, x, y, x]. An empty box overlaps nothing.
template <class T>
float Overlap(const T* a, const T* b) {
  struct Box {
    float top, left, bottom, right;
    explicit Box(const T* c)
        : top(std::min<float>(c[0], c[2])),
          left(std::min<float>(c[1], c[3])),
          bottom(std::max<float>(c[0], c[2])),
          right(std::max<float>(c[1], c[3])) {}
    float area() const { return (bottom - top) * (right - left); }
  };
  const Box p(a), q(b);
  if (p.area() <= 0 || q.area() <= 0) return 0;
  const float height = std::max(std::min(p.bottom, q.bottom) - std::max(p.top, q.top), 0.0f);
  const float width = std::max(std::min(p.right, q.right) - std::max(p.left, q.left), 0.0f);
  const float common = height * width;
  return common / (p.area() + q.area() - common);
}

template <class T>
int64_t NonMaxSuppression(const NonMaxSuppressionProblem& p, Inputs in, Outputs out) {
  struct Candidate {
    int32_t box;
    T score;
    size_t compared = 0;  // with so many of the chosen
  };
  const float* thresholds = in[2].Row<float>(0);
  const T iou_threshold = static_cast<T>(thresholds[0]);
  const T score_threshold = static_cast<T>(thresholds[1]);
  const T sigma = static_cast<T>(thresholds[2]);
  const bool soft = sigma > T(0);
  const T scale(soft ? T(-0.5) / sigma : T(0));
  const auto overlap = [&](int32_t a, int32_t b) -> T {
    if (p.overlaps) return in[0].Row<T>(a)[b];
    return static_cast<T>(Overlap(in[0].Row<T>(a), in[0].Row<T>(b)));
  };

  std::vector<Candidate> candidates;
  for (int32_t i = 0; i < static_cast<int32_t>(in[1].elements()); ++i) {
    if (const T score = in[1].Row<T>(0)[i]; score > score_threshold)
      candidates.push_back({i, score});
  }
  std::vector<Candidate> chosen;
  const auto limit = static_cast<size_t>(out[0].elements());
  while (chosen.size() < limit && !candidates.empty()) {
    const auto best = std::max_element(
        candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
          return a.score < b.score || (a.score == b.score && a.box > b.box);
        });
    Candidate next = *best;
    candidates.erase(best);
    const T before = next.score;
    bool dropped = false;
    // The latest first: their scores are the nearest.
    for (size_t j = chosen.size(); j-- > next.compared && !dropped;) {
      const T similarity = overlap(next.box, chosen[j].box);
      const bool weighted = soft || similarity <= iou_threshold;
      // Each operation rounds to T.
      const T exponent(static_cast<T>(scale * similarity) * similarity);
      const T weight(weighted ? std::exp(exponent) : 0);
      next.score = static_cast<T>(next.score * weight);
      dropped = !soft && similarity > iou_threshold;
      if (next.score <= score_threshold) break;
    }
    next.compared = chosen.size();
    if (dropped) continue;
    if (next.score == before) {
      chosen.push_back(next);
    } else if (next.score > score_threshold) {
      candidates.push_back(next);
    }
  }
  for (size_t i = 0; i < chosen.size(); ++i) {
    out[0].Row<int32_t>(0)[i] = chosen[i].box;
    out[1].Row<T>(0)[i] = chosen[i].score;
  }
  return static_cast<int64_t>(chosen.size());
}

template <class T>
class CombinedNonMaxSuppression {
 public:
  CombinedNonMaxSuppression(const CombinedNonMaxSuppressionProblem& p, Inputs in, Outputs out)
      : p_(p),
        boxes_(in[0]),
        scores_(in[1]),
        iou_threshold_(static_cast<T>(in[2].Row<float>(0)[0])),
        score_threshold_(static_cast<T>(in[2].Row<float>(0)[1])),
        out_(out) {}

  void Run() {
    const int64_t per_class = std::min(p_.per_class, boxes_.dims[1]);
    const int64_t classes = scores_.dims[2];
    const int64_t size = out_[1].dims[1];
    for (int64_t batch = 0; batch < boxes_.dims[0]; ++batch) {
      // Places that stay free take part in the sort: equal scores come out as it leaves them.
      std::vector<Choice> choices(per_class * classes);
      for (int64_t c = 0; c < classes; ++c) ChooseOfClass(batch, c, per_class, choices);
      std::sort(choices.begin(), choices.end(),
                [](const Choice& a, const Choice& b) { return a.score > b.score; });
      int32_t count = 0;
      for (int64_t i = 0; i < size; ++i) {
        const bool there = i < static_cast<int64_t>(choices.size()) && choices[i].box >= 0;
        Write(batch, i, there ? choices[i] : Choice{-1, T(0), 0});
        count += there;
      }
      out_[3].template Row<int32_t>(0)[batch] = count;
    }
  }

 private:
  struct Choice {
    int64_t box = -1;
    T score = -std::numeric_limits<T>::infinity();
    int64_t of_class = -1;
  };

  const T* Corners(int64_t batch, int64_t box, int64_t of_class) const {
    const int64_t index[] = {batch, box, boxes_.dims[2] > 1 ? of_class : 0, 0};
    return boxes_.Row<T>(0) + boxes_.Offset(index);
  }

  // Candidates of equal score come in the order of a binary heap, TensorFlow's.
  void ChooseOfClass(int64_t batch, int64_t of_class, int64_t limit,
                     std::vector<Choice>& choices) const {
    const auto less = [](const Choice& a, const Choice& b) { return a.score < b.score; };
    std::priority_queue<Choice, std::vector<Choice>, decltype(less)> queue(less);
    for (int64_t box = 0; box < boxes_.dims[1]; ++box) {
      const int64_t index[] = {batch, box, of_class};
      const T score = scores_.Row<T>(0)[scores_.Offset(index)];
      if (score > score_threshold_) queue.push({box, score, of_class});
    }
    int64_t chosen = 0;
    for (; chosen < limit && !queue.empty(); queue.pop()) {
      const Choice& next = queue.top();
      const auto first = choices.begin() + of_class * limit;
      const bool free = std::none_of(first, first + chosen, [&](const Choice& c) {
        return Overlap(Corners(batch, next.box, of_class), Corners(batch, c.box, of_class)) >
               iou_threshold_;
      });
      if (free) first[chosen++] = next;
    }
  }

  void Write(int64_t batch, int64_t i, const Choice& choice) const {
    const int64_t at[] = {batch, i};
    out_[1].template Row<T>(0)[out_[1].Offset(at)] = choice.score;
    out_[2].template Row<T>(0)[out_[2].Offset(at)] = static_cast<T>(choice.of_class);
    for (int64_t k = 0; k < 4; ++k) {
      T corner = choice.box < 0 ? T(0) : Corners(batch, choice.box, choice.of_class)[k];
      if (p_.clip) corner = std::max(std::min(corner, T(1)), T(0));
      const int64_t corner_at[] = {batch, i, k};
      out_[0].template Row<T>(0)[out_[0].Offset(corner_at)] = corner;
    }
  }

  const CombinedNonMaxSuppressionProblem& p_;
  const ConstArray& boxes_;
  const ConstArray& scores_;
  T iou_threshold_;
  T score_threshold_;
  Outputs out_;
};

// Element `i` in row-major order.
template <class T, class Byte>
auto& Element(const BasicArray<Byte>& array, int64_t i) {
  return array.template Row<T>(i / array.row_length())[i % array.row_length()];
}

template <class T, class Index>
int64_t Unique(const ConstArray& x, Outputs out) {
  Index* counts = out[2].Row<Index>(0);
  const int64_t size = x.dims[0] == 0 ? 0 : x.elements() / x.dims[0];  // of one row
  int64_t found = 0;
  const auto is_like = [&](int64_t row, int64_t other) {
    for (int64_t k = 0; k < size; ++k) {
      if (!(Element<T>(x, row * size + k) == Element<T>(out[0], other * size + k))) return false;
    }
    return true;
  };
  for (int64_t i = 0; i < x.dims[0]; ++i) {
    int64_t at = 0;
    while (at < found && !is_like(i, at)) ++at;
    if (at == found) {
      for (int64_t k = 0; k < size; ++k)
        Element<T>(out[0], at * size + k) = Element<T>(x, i * size + k);
      counts[found++] = 0;
    }
    out[1].Row<Index>(0)[i] = static_cast<Index>(at);
    ++counts[at];
  }
  return found;
}

Status CheckIouThreshold(float threshold) {
  if (threshold >= 0 && threshold <= 1) return OkStatus();
  return InvalidArgumentError("iou_threshold {} is not in [0, 1]", threshold);
}

}  // namespace

Status CheckData(const NonMaxSuppressionProblem& problem, Inputs in) {
  const float* thresholds = in[2].Row<float>(0);
  if (!problem.overlaps) GRAFT_RETURN_IF_ERROR(CheckIouThreshold(thresholds[0]));
  if (thresholds[2] >= 0) return OkStatus();
  return InvalidArgumentError("soft_nms_sigma {} is negative", thresholds[2]);
}

Status CheckData(const CombinedNonMaxSuppressionProblem&, Inputs in) {
  return CheckIouThreshold(in[2].Row<float>(0)[0]);
}

void Run(const WhereProblem&, Inputs in, Outputs out) {
  VisitDType(kEngineTypes, in[0].dtype,
             [&](auto type) { *out[1].Row<int64_t>(0) = Where<decltype(type)>(in[0], out[0]); });
}

void Run(const NonMaxSuppressionProblem& problem, Inputs in, Outputs out) {
  VisitDType(kFloatTypes, in[0].dtype, [&](auto type) {
    *out[2].Row<int64_t>(0) = NonMaxSuppression<decltype(type)>(problem, in, out);
  });
}

void Run(const CombinedNonMaxSuppressionProblem& problem, Inputs in, Outputs out) {
  VisitDType(kFloatTypes, in[0].dtype,
             [&](auto type) { CombinedNonMaxSuppression<decltype(type)>(problem, in, out).Run(); });
}

void Run(const UniqueProblem&, Inputs in, Outputs out) {
  VisitDType(kEngineTypes, in[0].dtype, [&](auto type) {
    const auto run = [&](auto index) {
      *out[3].Row<int64_t>(0) = Unique<decltype(type), decltype(index)>(in[0], out);
    };
    VisitDType(TypeSet<int32_t, int64_t>{}, out[1].dtype, run);
  });
}

}  // namespace graft::reference
