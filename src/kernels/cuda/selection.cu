// Ops that choose elements by their values, and scatters. Most are several kernels, one after the
// other on the stream, with what they share in the workspace.
//
// Class: one of TOP_K, COMPACT, UNIQUE, NMS, COMBINED_NMS, SCATTER, and the types below.
#define BLOCK 256

#if defined(TOP_K)
// The place of an element is the number of those before it: larger, or equal with a lower index.
struct Params {
  const T* x;
  T* values;
  i32* indices;
  i64 lines, length, k;
  i64 x_row, y_row;
};
extern "C" __global__ void __launch_bounds__(BLOCK) top_k(const __grid_constant__ Params p) {
  Begin();
  typedef Arithmetic<T> A;
  __shared__ A tile[BLOCK];
  const i64 line = blockIdx.x;
  const T* const x = p.x + line * p.x_row;
  const i64 own = (i64)blockIdx.y * BLOCK + threadIdx.x;
  const A value = own < p.length ? A(x[own]) : A(0);
  i64 place = 0;
  for (i64 first = 0; first < p.length; first += BLOCK) {
    __syncthreads();
    if (first + threadIdx.x < p.length) tile[threadIdx.x] = A(x[first + threadIdx.x]);
    __syncthreads();
    const int n = p.length - first < BLOCK ? (int)(p.length - first) : BLOCK;
    for (int i = 0; i < n; ++i)
      place += tile[i] > value || (tile[i] == value && first + i < own) ? 1 : 0;
  }
  if (own >= p.length || place >= p.k) return;
  p.values[line * p.y_row + place] = x[own];
  p.indices[line * p.k + place] = (i32)own;
}

#elif defined(COMPACT)
// The positions of what is not zero, in order. Blocks count their part, one block adds the counts
// up, blocks write.
#define PART (BLOCK * 8)
#define MAX_RANK 8
struct Params {
  const T* x;
  i64* positions;
  i64* count;
  i64* before;  // a part's first position; workspace
  i64 elements, parts;
  i64 x_length, x_row;
  i64 rank;
  i64 dims[MAX_RANK];
};
__device__ inline bool IsThere(const Params& p, i64 n) {
  if (n >= p.elements) return false;
  const i64 at = n / p.x_length * p.x_row + n % p.x_length;
  const T value = Load<T>(p.x, at);
  if constexpr (Traits<T>::is_half) return !((float)value == 0);
  else return !(value == T(0));
}
extern "C" __global__ void __launch_bounds__(BLOCK) compact_count(const __grid_constant__ Params p) {
  Begin();
  __shared__ i64 shared[BLOCK];
  i64 found = 0;
  for (int i = 0; i < PART / BLOCK; ++i)
    found += IsThere(p, (i64)blockIdx.x * PART + i * BLOCK + threadIdx.x);
  i64 total;
  ScanBlock<BLOCK>(found, shared, &total);
  if (threadIdx.x == 0) p.before[blockIdx.x] = total;
}
extern "C" __global__ void __launch_bounds__(BLOCK) compact_scan(const __grid_constant__ Params p) {
  Begin();
  __shared__ i64 shared[BLOCK];
  i64 sum = 0;
  for (i64 first = 0; first < p.parts; first += BLOCK) {
    const i64 part = first + threadIdx.x;
    i64 total;
    const i64 own = part < p.parts ? p.before[part] : 0;
    const i64 before = ScanBlock<BLOCK>(own, shared, &total);
    if (part < p.parts) p.before[part] = sum + before;
    sum += total;
  }
  if (threadIdx.x == 0) *p.count = sum;
}
extern "C" __global__ void __launch_bounds__(BLOCK) compact_write(const __grid_constant__ Params p) {
  Begin();
  __shared__ i64 shared[BLOCK];
  i64 base = p.before[blockIdx.x];
  for (int i = 0; i < PART / BLOCK; ++i) {
    const i64 n = (i64)blockIdx.x * PART + i * BLOCK + threadIdx.x;
    const bool there = IsThere(p, n);
    i64 total;
    const i64 at = base + ScanBlock<BLOCK>((i64)there, shared, &total);
    base += total;
    if (!there) continue;
    i64 rest = n;
    for (int a = (int)p.rank - 1; a >= 0; --a) {
      p.positions[at * p.rank + a] = rest % p.dims[a];
      rest /= p.dims[a];
    }
  }
}

#elif defined(UNIQUE)
// A row's like is the first row equal to it; those that are their own like are numbered in order.
// I: of positions and counts.
struct Params {
  const T* x;
  T* rows;
  I* positions;
  I* counts;
  i64* found;
  i64* like;  // workspace: for each row its first like
  i64* number;  // workspace: of each row that is its own like
  i64 n, size;
  i64 x_length, x_row, y_length, y_row;
};
__device__ inline T At(const Params& p, i64 i) {
  return Load<T>(p.x, i / p.x_length * p.x_row + i % p.x_length);
}
__device__ inline bool Equal(T a, T b) {
  if constexpr (Traits<T>::is_half) return (float)a == (float)b;
  else return a == b;
}
extern "C" __global__ void __launch_bounds__(BLOCK) unique_like(const __grid_constant__ Params p) {
  Begin();
  for (i64 row = ThreadIndex(); row < p.n; row += GridThreads()) {
    i64 like = 0;
    for (; like < row; ++like) {
      bool same = true;
      for (i64 k = 0; k < p.size && same; ++k)
        same = Equal(At(p, row * p.size + k), At(p, like * p.size + k));
      if (same) break;
    }
    p.like[row] = like;
  }
}
extern "C" __global__ void __launch_bounds__(BLOCK) unique_number(const __grid_constant__ Params p) {
  Begin();
  __shared__ i64 shared[BLOCK];
  i64 sum = 0;
  for (i64 first = 0; first < p.n; first += BLOCK) {
    const i64 row = first + threadIdx.x;
    const bool own = row < p.n && p.like[row] == row;
    i64 total;
    const i64 before = ScanBlock<BLOCK>((i64)own, shared, &total);
    if (own) {
      p.number[row] = sum + before;
      p.counts[sum + before] = I(0);
    }
    sum += total;
  }
  if (threadIdx.x == 0) *p.found = sum;
}
__device__ inline void AddOne(i32* count) { atomicAdd(count, 1); }
__device__ inline void AddOne(i64* count) { atomicAdd((u64*)count, 1ull); }
extern "C" __global__ void __launch_bounds__(BLOCK) unique_write(const __grid_constant__ Params p) {
  Begin();
  for (i64 row = ThreadIndex(); row < p.n; row += GridThreads()) {
    const i64 number = p.number[p.like[row]];
    p.positions[row] = I(number);
    AddOne(p.counts + number);
    if (p.like[row] != row) continue;
    for (i64 k = 0; k < p.size; ++k) {
      const i64 to = number * p.size + k;
      Store<T>(p.rows, to / p.y_length * p.y_row + to % p.y_length, At(p, row * p.size + k));
    }
  }
}

#elif defined(NMS) || defined(COMBINED_NMS)
// Two corners in any order: [y, x, y, x]. An empty box overlaps nothing.
__device__ inline float Smaller(float a, float b) { return b < a ? b : a; }
__device__ inline float Larger(float a, float b) { return a < b ? b : a; }
__device__ inline float Overlap(const T* a, const T* b) {
  const float a_top = Smaller(a[0], a[2]), a_left = Smaller(a[1], a[3]);
  const float a_bottom = Larger(a[0], a[2]), a_right = Larger(a[1], a[3]);
  const float b_top = Smaller(b[0], b[2]), b_left = Smaller(b[1], b[3]);
  const float b_bottom = Larger(b[0], b[2]), b_right = Larger(b[1], b[3]);
  const float a_area = (a_bottom - a_top) * (a_right - a_left);
  const float b_area = (b_bottom - b_top) * (b_right - b_left);
  if (a_area <= 0 || b_area <= 0) return 0;
  const float height = Larger(Smaller(a_bottom, b_bottom) - Larger(a_top, b_top), 0.0f);
  const float width = Larger(Smaller(a_right, b_right) - Larger(a_left, b_left), 0.0f);
  const float common = height * width;
  return common / (a_area + b_area - common);
}

#if defined(NMS)
// OVERLAPS: boxes are their overlaps. One block: the best candidate is found by all threads, and is
// compared with those chosen, the latest first, until its score falls to the threshold. A candidate
// whose score fell is met again later.
struct Params {
  const T* boxes;
  const T* scores;
  const float* thresholds;
  i32* chosen;
  T* chosen_scores;
  i64* count;
  T* score;      // workspace [n]: as lowered so far
  i64* compared;  // workspace [n]: with so many of the chosen; -1: no candidate
  i64 n, limit;
  i64 box_row;
  ErrorRecord* error;
  i64 step;
};
struct Best {
  float value;
  f64 wide;
  i64 at;
};
__device__ inline Best Join(Best a, Best b) {
  if (b.at < 0) return a;
  if (a.at < 0) return b;
  return b.wide > a.wide || (b.wide == a.wide && b.at < a.at) ? b : a;
}
extern "C" __global__ void __launch_bounds__(BLOCK) nms(const __grid_constant__ Params p) {
  Begin();
  typedef Arithmetic<T> A;
  __shared__ Best shared[BLOCK];
  __shared__ T weights[BLOCK];
  __shared__ bool drops[BLOCK];
  __shared__ i64 chosen;
  __shared__ int state;  // 0 compare on, 1 done
  __shared__ T current;
  __shared__ bool dropped;
  const T iou_threshold = T(p.thresholds[0]);
  const T score_threshold = T(p.thresholds[1]);
  const T sigma = T(p.thresholds[2]);
  if (!OVERLAPS && !(p.thresholds[0] >= 0 && p.thresholds[0] <= 1)) {
    if (threadIdx.x == 0) {
      Report(p.error, kBadThreshold, p.step, __float_as_int(p.thresholds[0]), 0);
      *p.count = 0;
    }
    return;
  }
  if (!(p.thresholds[2] >= 0)) {
    if (threadIdx.x == 0) {
      Report(p.error, kBadSigma, p.step, __float_as_int(p.thresholds[2]), 0);
      *p.count = 0;
    }
    return;
  }
  const bool soft = A(sigma) > A(0);
  const T scale = T(soft ? A(T(-0.5)) / A(sigma) : A(0));
  for (i64 i = threadIdx.x; i < p.n; i += BLOCK) {
    p.score[i] = p.scores[i];
    p.compared[i] = A(p.scores[i]) > A(score_threshold) ? 0 : -1;
  }
  if (threadIdx.x == 0) chosen = 0;
  __syncthreads();
  while (chosen < p.limit) {
    Best best = {0, 0, -1};
    for (i64 i = threadIdx.x; i < p.n; i += BLOCK) {
      if (p.compared[i] >= 0) best = Join(best, Best{0, (f64)(A)p.score[i], i});
    }
    best = JoinBlock<BLOCK>(best, shared, Join);
    if (best.at < 0) break;
    const i64 box = best.at;
    const T before = p.score[box];
    const i64 compared = p.compared[box];
    const i64 now = chosen;
    if (threadIdx.x == 0) current = before, dropped = false, state = 0;
    __syncthreads();
    for (i64 last = now; last > compared; last -= BLOCK) {
      const i64 j = last - 1 - threadIdx.x;
      if (j >= compared) {
        const i64 other = p.chosen[j];
        const T similarity =
            OVERLAPS ? p.boxes[box * p.box_row + other]
                     : T(Overlap(p.boxes + box * p.box_row, p.boxes + other * p.box_row));
        const bool weighted = soft || A(similarity) <= A(iou_threshold);
        const T exponent = T(A(T(A(scale) * A(similarity))) * A(similarity));
        // In double: rounded as a host's single precision exponential is, since nothing may differ.
        weights[threadIdx.x] = T(weighted ? (A)exp((f64)(A)exponent) : A(0));
        drops[threadIdx.x] = !soft && A(similarity) > A(iou_threshold);
      }
      __syncthreads();
      if (threadIdx.x == 0) {
        const i64 n = last - compared < BLOCK ? last - compared : BLOCK;
        for (i64 t = 0; t < n && state == 0; ++t) {
          current = T(A(current) * A(weights[t]));
          dropped = drops[t];
          if (A(current) <= A(score_threshold) || dropped) state = 1;
        }
      }
      __syncthreads();
      if (state != 0) break;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      p.compared[box] = -1;
      if (!dropped) {
        if (A(current) == A(before)) {
          p.chosen[chosen] = (i32)box;
          p.chosen_scores[chosen] = current;
          ++chosen;
        } else if (A(current) > A(score_threshold)) {
          p.score[box] = current;
          p.compared[box] = now;
        }
      }
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *p.count = chosen;
}

#else
// Candidates of equal score come in the order in which TensorFlow's binary heap gives them, and the
// choices of all classes in the order in which a sort that is not stable leaves them: both are
// followed step by step, by one thread each.
struct Choice {
  T score;
  i32 box;
  i32 of_class;
};
struct Params {
  const T* boxes;   // [batch, n, groups, 4]
  const T* scores;  // [batch, n, classes]
  const float* thresholds;
  T* out_boxes;
  T* out_scores;
  T* out_classes;
  i32* counts;
  Choice* heap;     // workspace [batch, classes, n]
  Choice* choices;  // workspace [batch, classes, limit]
  i64 batch, n, groups, classes, limit, size, clip;
  i64 box_row;
  i64 out_row;
  ErrorRecord* error;
  i64 step;
};
typedef Arithmetic<T> A;
__device__ inline bool Before(const Choice& a, const Choice& b) { return A(a.score) > A(b.score); }

// A heap whose first element is greatest by the order `less`.
struct ByScore {
  __device__ bool operator()(const Choice& a, const Choice& b) const {
    return A(a.score) < A(b.score);
  }
};
struct ByPlace {
  __device__ bool operator()(const Choice& a, const Choice& b) const { return Before(a, b); }
};
template <class Less>
__device__ inline void SiftUp(Choice* heap, i64 hole, i64 top, Choice value, Less less) {
  while (hole > top && less(heap[(hole - 1) / 2], value)) {
    heap[hole] = heap[(hole - 1) / 2];
    hole = (hole - 1) / 2;
  }
  heap[hole] = value;
}
// To the bottom along the greater children, then up again.
template <class Less>
__device__ inline void SiftDown(Choice* heap, i64 hole, i64 n, Choice value, Less less) {
  const i64 top = hole;
  i64 child = hole;
  while (child < (n - 1) / 2) {
    child = 2 * (child + 1);
    if (less(heap[child], heap[child - 1])) --child;
    heap[hole] = heap[child];
    hole = child;
  }
  if (n % 2 == 0 && child == (n - 2) / 2) {
    child = 2 * child + 1;
    heap[hole] = heap[child];
    hole = child;
  }
  SiftUp(heap, hole, top, value, less);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
    combined_choose(const __grid_constant__ Params p) {
  Begin();
  const i64 lists = p.batch * p.classes;
  const i64 list = blockIdx.x;
  if (list >= lists) return;
  const i64 batch = list / p.classes, of_class = list % p.classes;
  const float iou = p.thresholds[0];
  if (!(iou >= 0 && iou <= 1)) {
    if (threadIdx.x == 0) Report(p.error, kBadThreshold, p.step, __float_as_int(iou), 0);
    return;
  }
  const A iou_threshold = A(T(iou));
  const A score_threshold = A(T(p.thresholds[1]));
  Choice* const heap = p.heap + list * p.n;
  Choice* const first = p.choices + list * p.limit;
  const i64 group = p.groups > 1 ? of_class : 0;
  const T* const boxes = p.boxes + (batch * p.n * p.groups + group) * p.box_row;
  const i64 box_step = p.groups * p.box_row;
  __shared__ i64 waiting, chosen;
  __shared__ Choice next;
  __shared__ int taken;
  if (threadIdx.x == 0) {
    i64 n = 0;
    for (i64 box = 0; box < p.n; ++box) {
      const T score = p.scores[(batch * p.n + box) * p.classes + of_class];
      if (!(A(score) > score_threshold)) continue;
      SiftUp(heap, n, 0, Choice{score, (i32)box, (i32)of_class}, ByScore());
      ++n;
    }
    waiting = n;
    chosen = 0;
  }
  __syncthreads();
  while (chosen < p.limit && waiting > 0) {
    if (threadIdx.x == 0) next = heap[0], taken = 0;
    __syncthreads();
    for (i64 j = threadIdx.x; j < chosen; j += BLOCK) {
      if (Overlap(boxes + next.box * box_step, boxes + first[j].box * box_step) > iou_threshold)
        taken = 1;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      if (!taken) first[chosen++] = next;
      --waiting;
      if (waiting > 0) {
        const Choice last = heap[waiting];
        SiftDown(heap, 0, waiting, last, ByScore());
      }
    }
    __syncthreads();
  }
  for (i64 j = chosen + threadIdx.x; j < p.limit; j += BLOCK)
    first[j] = Choice{T((A)-Infinity()), -1, -1};
}

// Quicksort with the median of three, whose runs of up to 16 a final insertion sort puts in place.
__device__ inline void Swap(Choice& a, Choice& b) {
  const Choice c = a;
  a = b;
  b = c;
}
__device__ inline void HeapSort(Choice* x, i64 n) {
  if (n < 2) return;
  for (i64 parent = (n - 2) / 2; parent >= 0; --parent) {
    const Choice value = x[parent];
    SiftDown(x, parent, n, value, ByPlace());
  }
  while (n > 1) {
    --n;
    const Choice value = x[n];
    x[n] = x[0];
    SiftDown(x, 0, n, value, ByPlace());
  }
}
__device__ inline i64 Partition(Choice* x, i64 first, i64 last) {
  const i64 middle = first + (last - first) / 2;
  Choice &a = x[first + 1], &b = x[middle], &c = x[last - 1];
  Choice& median = Before(a, b) ? (Before(b, c) ? b : Before(a, c) ? c : a)
                                : (Before(a, c) ? a : Before(b, c) ? c : b);
  Swap(x[first], median);
  const Choice pivot = x[first];
  i64 left = first + 1, right = last;
  while (true) {
    while (Before(x[left], pivot)) ++left;
    --right;
    while (Before(pivot, x[right])) --right;
    if (!(left < right)) return left;
    Swap(x[left], x[right]);
    ++left;
  }
}
__device__ inline void Sort(Choice* x, i64 n) {
  if (n < 2) return;
  int depth = 0;
  for (i64 size = n; size > 1; size /= 2) ++depth;
  depth *= 2;
  i64 stack_first[64], stack_last[64];
  int stack_depth[64];
  int top = 0;
  stack_first[0] = 0, stack_last[0] = n, stack_depth[0] = depth, top = 1;
  while (top > 0) {
    --top;
    const i64 first = stack_first[top];
    i64 last = stack_last[top];
    int left = stack_depth[top];
    while (last - first > 16) {
      if (left == 0) {
        HeapSort(x + first, last - first);
        break;
      }
      --left;
      const i64 cut = Partition(x, first, last);
      // The order among disjoint runs does not matter.
      if (top < 64) stack_first[top] = cut, stack_last[top] = last, stack_depth[top] = left, ++top;
      last = cut;
    }
  }
  for (i64 i = 1; i < n; ++i) {
    const Choice value = x[i];
    i64 hole = i;
    while (hole > 0 && Before(value, x[hole - 1])) x[hole] = x[hole - 1], --hole;
    x[hole] = value;
  }
}

extern "C" __global__ void __launch_bounds__(32) combined_write(const __grid_constant__ Params p) {
  Begin();
  const i64 batch = blockIdx.x;
  const i64 total = p.limit * p.classes;
  Choice* const choices = p.choices + batch * total;
  if (threadIdx.x != 0) return;
  Sort(choices, total);
  i32 count = 0;
  for (i64 i = 0; i < p.size; ++i) {
    const bool there = i < total && choices[i].box >= 0;
    const Choice choice = there ? choices[i] : Choice{T(0), -1, 0};
    const i64 at = batch * p.size + i;
    p.out_scores[at] = choice.score;
    p.out_classes[at] = T((A)choice.of_class);
    for (int k = 0; k < 4; ++k) {
      A corner = A(0);
      if (there) {
        const i64 group = p.groups > 1 ? choice.of_class : 0;
        corner = A(p.boxes[((batch * p.n + choice.box) * p.groups + group) * p.box_row + k]);
      }
      if (p.clip) {
        corner = A(1) < corner ? A(1) : corner;
        corner = corner < A(0) ? A(0) : corner;
      }
      p.out_boxes[at * p.out_row + k] = T(corner);
    }
    count += there;
  }
  p.counts[batch] = count;
}
#endif

#elif defined(SCATTER)
// KIND: 0 update, 1 add, 2 sub, 3 min, 4 max. I: of the indices. Targets are found first; then each
// element of the result takes its updates in their order, so that the bits are the same every run.
#define MAX_DEPTH 8
struct Params {
  const T* x;
  const I* indices;
  const T* updates;
  T* y;
  i64* targets;  // workspace: the slice that an update names, -1 for none
  i64 slices, slice, count, depth;
  i64 dims[MAX_DEPTH];
  i64 x_length, x_row, y_length, y_row;
  ErrorRecord* error;
  i64 step;
};
extern "C" __global__ void __launch_bounds__(BLOCK)
    scatter_targets(const __grid_constant__ Params p) {
  Begin();
  for (i64 u = ThreadIndex(); u < p.count; u += GridThreads()) {
    i64 target = 0;
    for (int i = 0; i < (int)p.depth; ++i) {
      const i64 at = (i64)p.indices[u * p.depth + i];
      if (at < 0 || at >= p.dims[i]) {
        Report(p.error, kIndexOutOfRange, p.step, at, p.dims[i]);
        target = -1;
        break;
      }
      target = target * p.dims[i] + at;
    }
    p.targets[u] = target;
  }
}
__device__ inline T Join(T x, T update) {
  typedef Arithmetic<T> A;
#if KIND == 0
  return update;
#elif KIND == 1
  if constexpr (Traits<T>::is_float) return T(A(x) + A(update));
  else return T((u64)x + (u64)update);
#elif KIND == 2
  if constexpr (Traits<T>::is_float) return T(A(x) - A(update));
  else return T((u64)x - (u64)update);
#elif KIND == 3
  return A(update) < A(x) ? update : x;
#else
  return A(x) < A(update) ? update : x;
#endif
}
extern "C" __global__ void __launch_bounds__(BLOCK) scatter(const __grid_constant__ Params p) {
  Begin();
  const i64 elements = p.slices * p.slice;
  for (i64 n = ThreadIndex(); n < elements; n += GridThreads()) {
    const i64 slice = n / p.slice, within = n % p.slice;
    T value = Load<T>(p.x, n / p.x_length * p.x_row + n % p.x_length);
    for (i64 u = 0; u < p.count; ++u) {
      if (p.targets[u] == slice) value = Join(value, Load<T>(p.updates, u * p.slice + within));
    }
    Store<T>(p.y, n / p.y_length * p.y_row + n % p.y_length, value);
  }
}
#endif
