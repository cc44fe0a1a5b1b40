// Eight neighbouring elements of a row at a time, or as many as a class says with VECTOR: four, or
// two of 16 bits.
#pragma once
#ifndef VECTOR
#define VECTOR 8
#endif

// How an operand is read along a row: element by element wherever it lies, eight neighbours, or one
// element for all. Some kernels tell neighbours that are the same in every row apart.
enum Along { kAnywhere = 0, kNeighbours = 1, kOne = 2, kColumns = 3 };

// The elements as words. Not a union, which would lie in memory.
template <class T>
struct Packed {
  static constexpr int kWords = VECTOR * sizeof(T) / 4;
  u32 words[kWords];

  __device__ T Get(int j) const {
    T element;
    if constexpr (sizeof(T) == 8) {
      const u64 bits = (u64)words[2 * j + 1] << 32 | words[2 * j];
      memcpy(&element, &bits, 8);
    } else if constexpr (sizeof(T) == 4) {
      memcpy(&element, &words[j], 4);
    } else if constexpr (sizeof(T) == 2) {
      const u16 bits = (u16)(words[j / 2] >> j % 2 * 16);
      memcpy(&element, &bits, 2);
    } else {
      const u8 bits = (u8)(words[j / 4] >> j % 4 * 8);
      memcpy(&element, &bits, 1);
    }
    return element;
  }
  // On words that were zero.
  __device__ void Put(int j, T element) {
    if constexpr (sizeof(T) == 8) {
      u64 bits;
      memcpy(&bits, &element, 8);
      words[2 * j] = (u32)bits;
      words[2 * j + 1] = (u32)(bits >> 32);
    } else if constexpr (sizeof(T) == 4) {
      memcpy(&words[j], &element, 4);
    } else if constexpr (sizeof(T) == 2) {
      u16 bits;
      memcpy(&bits, &element, 2);
      words[j / 2] |= (u32)bits << j % 2 * 16;
    } else {
      u8 bits;
      memcpy(&bits, &element, 1);
      words[j / 4] |= (u32)bits << j % 4 * 8;
    }
  }
};

// What eight elements of type T are moved in: words of up to 16 bytes, at multiples of as many.
template <class T>
constexpr u64 kWordBytes = VECTOR * sizeof(T) < 16 ? VECTOR * sizeof(T) : 16;
template <class T>
__device__ inline bool IsAligned(const void* at) {
  return (u64)at % kWordBytes<T> == 0;
}

// Eight elements that lie so, or zeros; without a branch, so that many loads are under way. Nobody
// writes what is read here while the kernel runs.
template <class T>
__device__ inline Packed<T> LoadWords(const T* from, bool inside = true) {
  Packed<T> packed;
  if constexpr (Packed<T>::kWords == 1) {
    packed.words[0] = 0;
    if (inside) packed.words[0] = __ldg((const u32*)from);
  } else if constexpr (Packed<T>::kWords == 2) {
    uint2 two = make_uint2(0, 0);
    if (inside) two = __ldg((const uint2*)from);
    packed.words[0] = two.x, packed.words[1] = two.y;
  } else {
#pragma unroll
    for (int i = 0; i < Packed<T>::kWords / 4; ++i) {
      uint4 four = make_uint4(0, 0, 0, 0);
      if (inside) four = __ldg((const uint4*)from + i);
      packed.words[4 * i] = four.x, packed.words[4 * i + 1] = four.y;
      packed.words[4 * i + 2] = four.z, packed.words[4 * i + 3] = four.w;
    }
  }
  return packed;
}
template <class T>
__device__ inline void StoreWords(const Packed<T>& packed, T* to) {
  if constexpr (Packed<T>::kWords == 1) {
    *(u32*)to = packed.words[0];
  } else if constexpr (Packed<T>::kWords == 2) {
    *(uint2*)to = make_uint2(packed.words[0], packed.words[1]);
  } else {
#pragma unroll
    for (int i = 0; i < Packed<T>::kWords / 4; ++i)
      ((uint4*)to)[i] = make_uint4(packed.words[4 * i], packed.words[4 * i + 1],
                                   packed.words[4 * i + 2], packed.words[4 * i + 3]);
  }
}

// Places past `count` get the first element again, so that no operation sees what is not there.
template <class T>
__device__ inline void LoadNeighbours(const T* from, int count, T* to) {
  if (count == VECTOR && IsAligned<T>(from)) {
    const Packed<T> packed = LoadWords(from);
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) to[j] = packed.Get(j);
  } else {
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) to[j] = from[j < count ? j : 0];
  }
}

template <class T>
__device__ inline void StoreNeighbours(const T* from, int count, T* to) {
  if (count == VECTOR && IsAligned<T>(to)) {
    Packed<T> packed = {};
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) packed.Put(j, from[j]);
    StoreWords(packed, to);
  } else {
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) {
      if (j < count) to[j] = from[j];
    }
  }
}

// Eight elements of an epilogue's operand from the result's row and column on.
template <class T, int along>
__device__ inline void LoadOperand(const EpilogueOperand& e, const i64* dims, i64 row, i64 column,
                                   int count, T* to) {
  if constexpr ((along == kNeighbours || along == kColumns) && !Same<T, bool>::value) {
    LoadNeighbours((const T*)e.data + row * e.row_stride + column, count, to);
  } else if constexpr (along == kOne) {
    const T one = Load<T>(e.data, row * e.row_stride);
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) to[j] = one;
  } else {
#pragma unroll
    for (int j = 0; j < VECTOR; ++j)
      to[j] = Load<T>(e.data, EpilogueOffset(e, dims, row, column + (j < count ? j : 0)));
  }
}

// Eight elements of an operand, fetched without a branch, so that those of several rows are under
// way together. For operands of which IsFetched says that they lie so.
template <class T, int along>
struct Fetched {
  Packed<T> packed;
  __device__ void Fetch(const EpilogueOperand& e, i64 row, i64 column, bool inside) {
    packed = LoadWords((const T*)e.data + row * e.row_stride + column, inside);
  }
  __device__ T Get(int j) const { return packed.Get(j); }
};
template <class T>
struct Fetched<T, kOne> {
  T one;
  __device__ void Fetch(const EpilogueOperand& e, i64 row, i64, bool inside) {
    one = Load<T>(e.data, inside ? row * e.row_stride : 0);
  }
  __device__ T Get(int) const { return one; }
};
template <class T>
struct Fetched<T, kAnywhere> {
  __device__ void Fetch(const EpilogueOperand&, i64, i64, bool) {}
  __device__ T Get(int) const { return T(0); }
};
template <class T>
struct Fetched<T, kColumns> : Fetched<T, kNeighbours> {};
template <class T, int along>
__device__ inline bool IsFetched(const EpilogueOperand& e) {
  if (along == kOne) return true;
  if (along == kAnywhere || Same<T, bool>::value) return false;
  return IsAligned<T>(e.data) && e.row_stride * sizeof(T) % kWordBytes<T> == 0;
}

// The epilogue of eight results of a row and their store; the element-wise kernels' as well.
// FIRST(j): register 0 of element j. EACH_OPERAND(X): X(number, type, how it is read) for each.
#define GRAFT_DECLARE(o, Type, along)                                                   \
  Type operand##o[VECTOR];                                                              \
  LoadOperand<Type, along>(operands[o], dims, row, column, count, operand##o);
