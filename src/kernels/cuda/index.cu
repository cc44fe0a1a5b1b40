// Results whose elements come from where data or a rule say: gather, gather_nd, pad, iota and dims.
// A thread moves one element.
//
// Class: T (a type of the element's size; iota, dims and pad: the dtype's own), I (of the indices),
// RANK (pad).
#define MAX_DEPTH 8

#if defined(GATHER)
// params [batch, outer, n, inner], indices [batch, own] → y [batch, outer, own, inner]
struct Params {
  const T* params;
  const I* indices;
  T* y;
  i64 batch, outer, n, inner, own;
  i64 x_length, x_row, y_length, y_row;  // of the innermost axis, and between its rows
  ErrorRecord* error;
  i64 step;
};
extern "C" __global__ void __launch_bounds__(256) gather(const __grid_constant__ Params p) {
  Begin();
  const i64 count = p.batch * p.outer * p.own * p.inner;
  for (i64 n = ThreadIndex(); n < count; n += GridThreads()) {
    const i64 inner = n % p.inner;
    i64 rest = n / p.inner;
    const i64 own = rest % p.own;
    rest /= p.own;  // of [batch, outer]
    i64 row = (i64)p.indices[rest / p.outer * p.own + own];
    if (row < 0 || row >= p.n) {
      Report(p.error, kIndexOutOfRange, p.step, row, p.n);
      row = 0;
    }
    const i64 from = (rest * p.n + row) * p.inner + inner;
    const i64 x_at = from / p.x_length * p.x_row + from % p.x_length;
    p.y[n / p.y_length * p.y_row + n % p.y_length] = p.n == 0 ? T() : p.params[x_at];
  }
}
#elif defined(GATHER_ND)
// params [batch, dims…, inner], indices [batch, own, depth] → y [batch, own, inner]
struct Params {
  const T* params;
  const I* indices;
  T* y;
  i64 batch, own, inner, depth;
  i64 dims[MAX_DEPTH];
  i64 x_length, x_row, y_length, y_row;
  ErrorRecord* error;
  i64 step;
};
extern "C" __global__ void __launch_bounds__(256) gather_nd(const __grid_constant__ Params p) {
  Begin();
  const i64 count = p.batch * p.own * p.inner;
  for (i64 n = ThreadIndex(); n < count; n += GridThreads()) {
    const i64 inner = n % p.inner;
    const i64 tuple = n / p.inner;
    i64 slice = tuple / p.own;
    bool inside = true;
    for (int i = 0; i < (int)p.depth; ++i) {
      i64 at = (i64)p.indices[tuple * p.depth + i];
      if (at < 0 || at >= p.dims[i]) {
        Report(p.error, kIndexOutOfRange, p.step, at, p.dims[i]);
        inside = false;
      }
      slice = slice * p.dims[i] + at;
    }
    T value = T();
    if (inside) {
      const i64 from = slice * p.inner + inner;
      value = p.params[from / p.x_length * p.x_row + from % p.x_length];
    }
    p.y[n / p.y_length * p.y_row + n % p.y_length] = value;
  }
}
#elif defined(PAD)
// MODE: 0 constant, 1 reflect, 2 symmetric.
struct Params {
  const T* x;
  T* y;
  i64 count;
  i64 y_dims[RANK], x_dims[RANK], x_strides[RANK], y_strides[RANK], before[RANK];
  f64 value;
};
extern "C" __global__ void __launch_bounds__(256) pad(const __grid_constant__ Params p) {
  Begin();
  for (i64 n = ThreadIndex(); n < p.count; n += GridThreads()) {
    i64 rest = n, from = 0, to = 0;
    bool inside = true;
#pragma unroll
    for (int i = RANK - 1; i >= 0; --i) {
      const i64 index = rest % p.y_dims[i];
      rest /= p.y_dims[i];
      to += index * p.y_strides[i];
      i64 at = index - p.before[i];
      const i64 size = p.x_dims[i];
      if (at < 0 || at >= size) {
        if (MODE == 0) inside = false;
        if (MODE == 1) at = at < 0 ? -at : 2 * size - 2 - at;
        if (MODE == 2) at = at < 0 ? -at - 1 : 2 * size - 1 - at;
      }
      from += at * p.x_strides[i];
    }
    Store<T>(p.y, to, inside ? Load<T>(p.x, from) : T(p.value));
  }
}
#elif defined(SEQUENCE)
// y[first + i] = values[i], or first + i where `counted`.
#define MAX_VALUES 256
struct Params {
  T* y;
  i64 first, count, counted;
  i64 values[MAX_VALUES];
};
extern "C" __global__ void __launch_bounds__(256) sequence(const __grid_constant__ Params p) {
  Begin();
  for (i64 n = ThreadIndex(); n < p.count; n += GridThreads())
    p.y[p.first + n] = T(p.counted ? p.first + n : p.values[n]);
}
#endif
