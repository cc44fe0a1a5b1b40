// Work along lines of a tensor: reductions, the positions of extremes, softmax, local response
// normalisation, cumulative sums and products. BLOCK threads, 1 or a power of two, share a line;
// with 1 a thread has a line of its own.
//
// Class: one of REDUCE, ARG_REDUCE, SOFTMAX, LRN, CUMULATIVE; T; BLOCK. REDUCE: SIDE (a block's
// threads share so many lines that lie side by side; 1: one), KEPT and REDUCED (how many of the
// axes, the last ones, are more than one long; at least 1).
#define LINE_RANK 5
#define LINE (BLOCK == 1 ? ThreadIndex() : (i64)blockIdx.x)
#define LANE (BLOCK == 1 ? 0 : (int)threadIdx.x)
#define LINES (BLOCK == 1 ? GridThreads() : (i64)gridDim.x)

// Where element `i` of some axes lies.
struct Axes {
  i64 dims[LINE_RANK];
  i64 strides[LINE_RANK];
};
// rank: axes before the last `rank` are one long.
template <int rank = LINE_RANK>
__device__ inline i64 OffsetIn(const Axes& axes, i64 i) {
  i64 offset = 0;
#pragma unroll
  for (int a = LINE_RANK - 1; a > LINE_RANK - rank; --a) {
    const i64 rest = i / axes.dims[a];
    offset += (i - rest * axes.dims[a]) * axes.strides[a];
    i = rest;
  }
  return offset + i * axes.strides[LINE_RANK - rank];
}

#if defined(REDUCE)
// KIND: 0 sum, 1 mean, 2 maximum, 3 minimum, 4 product, 5 all, 6 any.
typedef
#if KIND == 2 || KIND == 3
    Arithmetic<T>
#elif KIND >= 5
    bool
#else
    Accumulator<T>
#endif
        Acc;
struct Params {
  const T* x;
  T* y;
  i64 lines, length;
  Axes kept, reduced;
  i64 y_length, y_row;
};
__device__ inline Acc Join(Acc a, Acc v) {
#if KIND <= 1
  return a + v;
#elif KIND == 2
  return a != a ? a : v > a || v != v ? v : a;
#elif KIND == 3
  return a != a ? a : v < a || v != v ? v : a;
#elif KIND == 4
  return a * v;
#elif KIND == 5
  return a && v;
#else
  return a || v;
#endif
}
__device__ inline Acc Start() {
#if KIND <= 1 || KIND == 6
  return Acc(0);
#elif KIND == 2
  if constexpr (Traits<T>::is_float) return (Acc)-Infinity();
  else return Traits<T>::lowest();
#elif KIND == 3
  if constexpr (Traits<T>::is_float) return (Acc)Infinity();
  else return Traits<T>::max();
#else
  return Acc(1);
#endif
}
__device__ inline void Put(const Params& p, i64 line, Acc value) {
  T* const to = p.y + line / p.y_length * p.y_row + line % p.y_length;
#if KIND == 1
  if constexpr (Traits<T>::is_float) *to = T(value / Acc(p.length));
  else *to = p.length == 0 ? T(0) : T((i64)value / p.length);
#else
  *to = T(value);
#endif
}
extern "C" __global__ void __launch_bounds__(256) reduce(const __grid_constant__ Params p) {
  Begin();
  __shared__ Acc shared[BLOCK];
#if SIDE > 1
  // Threads side by side read elements side by side. Each sums every kGroups'th of a line.
  constexpr int kGroups = BLOCK / SIDE;
  const int side = threadIdx.x % SIDE, group = threadIdx.x / SIDE;
  const i64 line = (i64)blockIdx.x * SIDE + side;
  Acc value = Start();
  if (line < p.lines) {
    const T* const first = p.x + OffsetIn<KEPT>(p.kept, line);
#pragma unroll 4
    for (i64 i = group; i < p.length; i += kGroups)
      value = Join(value, Acc(Load<T>(first, OffsetIn<REDUCED>(p.reduced, i))));
  }
  shared[threadIdx.x] = value;
  __syncthreads();
  if (group != 0 || line >= p.lines) return;
  for (int g = 1; g < kGroups; ++g) value = Join(value, shared[g * SIDE + side]);
  Put(p, line, value);
#else
  for (i64 line = LINE; line < p.lines; line += LINES) {
    const i64 first = OffsetIn<KEPT>(p.kept, line);
    Acc value = Start();
#pragma unroll 4
    for (i64 i = LANE; i < p.length; i += BLOCK)
      value = Join(value, Acc(Load<T>(p.x, first + OffsetIn<REDUCED>(p.reduced, i))));
    value = JoinBlock<BLOCK>(value, shared, Join);
    if (LANE == 0) Put(p, line, value);
  }
#endif
}

#elif defined(ARG_REDUCE)
// KIND: 0 maximum, 1 minimum. I: of the result. What is not beyond the finite limits, NaN too,
// never wins; the first of equals does.
typedef Arithmetic<T> A;
struct Best {
  A value;
  i64 at;
};
struct Params {
  const T* x;
  I* y;
  i64 lines, length;
  Axes kept;
  i64 step_along;
  i64 y_length, y_row;
};
__device__ inline bool Beats(A a, A b) { return KIND == 0 ? a > b : a < b; }
__device__ inline Best Join(Best a, Best b) {
  return Beats(b.value, a.value) || (b.value == a.value && b.at < a.at) ? b : a;
}
extern "C" __global__ void __launch_bounds__(256) arg_reduce(const __grid_constant__ Params p) {
  Begin();
  __shared__ Best shared[BLOCK];
  for (i64 line = LINE; line < p.lines; line += LINES) {
    const i64 first = OffsetIn(p.kept, line);
    Best best = {A(KIND == 0 ? Traits<T>::lowest() : Traits<T>::max()), 0};
    for (i64 i = LANE; i < p.length; i += BLOCK) {
      const A value = A(Load<T>(p.x, first + i * p.step_along));
      if (Beats(value, best.value)) best.value = value, best.at = i;
    }
    best = JoinBlock<BLOCK>(best, shared, Join);
    if (LANE == 0) p.y[line / p.y_length * p.y_row + line % p.y_length] = I(best.at);
  }
}

#elif defined(SOFTMAX)
// LOG: the logarithm.
typedef Arithmetic<T> A;
struct Params {
  const T* x;
  T* y;
  i64 lines, length;
  i64 x_row, y_row;
};
__device__ inline A Larger(A a, A b) { return b > a ? b : a; }
__device__ inline A Sum(A a, A b) { return a + b; }
extern "C" __global__ void __launch_bounds__(256) softmax(const __grid_constant__ Params p) {
  Begin();
  __shared__ A shared[BLOCK];
  for (i64 line = LINE; line < p.lines; line += LINES) {
    const T* const x = p.x + line * p.x_row;
    T* const y = p.y + line * p.y_row;
    A largest = (A)-Infinity();
    for (i64 i = LANE; i < p.length; i += BLOCK) largest = Larger(largest, A(x[i]));
    largest = JoinBlock<BLOCK>(largest, shared, Larger);
    A sum = 0;
    for (i64 i = LANE; i < p.length; i += BLOCK) sum += exp(A(x[i]) - largest);
    sum = JoinBlock<BLOCK>(sum, shared, Sum);
#if LOG
    const A log_sum = log(sum);
    for (i64 i = LANE; i < p.length; i += BLOCK) y[i] = T(A(x[i]) - largest - log_sum);
#else
    for (i64 i = LANE; i < p.length; i += BLOCK) y[i] = T(exp(A(x[i]) - largest) / sum);
#endif
  }
}

#elif defined(LRN)
typedef Arithmetic<T> A;
struct Params {
  const T* x;
  T* y;
  i64 lines, length;
  i64 x_row, y_row;
  i64 radius;
  f64 bias, alpha, beta;
};
extern "C" __global__ void __launch_bounds__(256) lrn(const __grid_constant__ Params p) {
  Begin();
  for (i64 n = ThreadIndex(); n < p.lines * p.length; n += GridThreads()) {
    const i64 c = n % p.length;
    const T* const x = p.x + n / p.length * p.x_row;
    const i64 first = c - p.radius < 0 ? 0 : c - p.radius;
    const i64 last = c + p.radius >= p.length ? p.length - 1 : c + p.radius;
    A sum = 0;
    for (i64 k = first; k <= last; ++k) sum += A(x[k]) * A(x[k]);
    const A base = A(p.bias) + A(p.alpha) * sum;
    p.y[n / p.length * p.y_row + c] = T(A(x[c]) * pow(base, A(-p.beta)));
  }
}

#elif defined(CUMULATIVE)
// PRODUCT, EXCLUSIVE, REVERSE. Each thread joins a run of the line, then adds what is before it.
typedef Accumulator<T> Acc;
struct Params {
  const T* x;
  T* y;
  i64 lines, length;
  Axes x_lines, y_lines;
  i64 x_step, y_step;
};
__device__ inline Acc Join(Acc a, Acc b) { return PRODUCT ? a * b : a + b; }
extern "C" __global__ void __launch_bounds__(256) cumulative(const __grid_constant__ Params p) {
  Begin();
  __shared__ Acc shared[BLOCK];
  const Acc nothing = Acc(PRODUCT ? 1 : 0);
  for (i64 line = LINE; line < p.lines; line += LINES) {
    const i64 x_first = OffsetIn(p.x_lines, line);
    const i64 y_first = OffsetIn(p.y_lines, line);
    const i64 run = (p.length + BLOCK - 1) / BLOCK;
    const i64 begin = LANE * run;
    const i64 end = begin + run < p.length ? begin + run : p.length;
    Acc joined = nothing;
    if (BLOCK > 1) {
      for (i64 i = begin; i < end; ++i) {
        const i64 at = REVERSE ? p.length - 1 - i : i;
        joined = Join(joined, Acc(p.x[x_first + at * p.x_step]));
      }
      shared[LANE] = joined;
      __syncthreads();
      if (LANE == 0) {
        Acc before = nothing;
        for (int t = 0; t < BLOCK; ++t) {
          const Acc own = shared[t];
          shared[t] = before;
          before = Join(before, own);
        }
      }
      __syncthreads();
      joined = shared[LANE];
      __syncthreads();
    }
    for (i64 i = begin; i < end; ++i) {
      const i64 at = REVERSE ? p.length - 1 - i : i;
      const Acc before = joined;
      joined = Join(joined, Acc(p.x[x_first + at * p.x_step]));
      p.y[y_first + at * p.y_step] = T(EXCLUSIVE ? before : joined);
    }
  }
}
#endif
