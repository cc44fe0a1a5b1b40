// Fragments of matrices of 16-bit floats for the tensor cores of 8.0 on (mma.sync), and where they lie
// in shared memory. BFLOAT (1: they are bf16).
#pragma once

// Where chunk `chunk` (eight elements) of a row lies: chunks of one column are in different banks.
template <int kChunks>
__device__ inline int Place(int row, int chunk) {
  return row * kChunks + (kChunks >= 8 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3));
}

__device__ inline void LoadMatrices(u32 address, u32* r) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
__device__ inline void LoadMatricesTransposed(u32 address, u32* r) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
__device__ inline void Multiply(float* sums, const u32* a, u32 b0, u32 b1) {
#if BFLOAT
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
  asm(MMA " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
