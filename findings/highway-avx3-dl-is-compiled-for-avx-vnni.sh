#!/usr/bin/env bash
# Highway 1.0.3 (Debian 12): code for the target AVX3_DL is compiled for AVX-VNNI, which it does not ask the processor for,
# and not for AVX-512 VNNI, which it does.
#
# One would guess: AVX3_DL (Ice Lake's AVX-512: VNNI, VBMI2, …) tells the compiler avx512vnni, so that _mm512_dpbusd_epi32
# compiles there, and that what is chosen at run time has every instruction that was compiled.
# What happens: the target's string holds "avxvnni", the later VEX form that came with Alder Lake, in place of "avx512vnni".
# The AVX-512 intrinsic is refused (a "target specific option mismatch"), while a plain loop over u8 · s8 in the same
# namespace is vectorised with "{vex} vpdpbusd".
# What follows: Ice Lake, Tiger Lake and Zen 4 have all that Highway asks for before it calls this code, and not AVX-VNNI:
# such a loop is an illegal instruction there, and fine on Sapphire Rapids and Zen 5, where it was perhaps tested. Who opts
# in with HWY_WANT_AVX3_DL should look for VEX forms in the disassembly; who wants AVX-512 VNNI needs assembler or a target
# attribute of their own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q -o APT::Sandbox::User=root libhwy-dev=1.0.3-3+deb12u1 >log 2>&1 || { cat log >&2; exit 1; }
dpkg -x libhwy-dev_*.deb highway
echo "Highway 1.0.3-3+deb12u1, $(g++ --version | head -1)"

cat >loop.cc <<'CODE'
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "loop.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace HWY_NAMESPACE {
#ifdef INTRINSIC
void Products(const void* a, const void* b, void* sums) {
#if HWY_TARGET == HWY_AVX3_DL
  _mm512_storeu_si512(sums, _mm512_dpbusd_epi32(_mm512_loadu_si512(sums), _mm512_loadu_si512(a), _mm512_loadu_si512(b)));
#endif
}
#else
int Dot(const unsigned char* a, const signed char* b, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}
#endif
}  // namespace HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
CODE
compile() { g++ -std=c++17 -O3 -I highway/usr/include -I . -DHWY_BASELINE_TARGETS=HWY_AVX2 -c loop.cc -o loop.o "$@"; }

if compile -DINTRINSIC 2>errors; then
  echo "the intrinsic compiles: Highway or the compiler has changed"
  exit 1
fi
grep -m1 -o "inlining failed.*_mm512_dpbusd_epi32.*" errors | cut -c1-100
grep -q "target specific option mismatch" errors || { cat errors; exit 1; }

compile
objdump -d --no-show-raw-insn loop.o >code
awk '/>:$/ { name = $2 } /vpdpbusd/ { print name, $0 }' code | tee found
grep -q "AVX3_DL.*{vex} vpdpbusd" found || { echo "no VEX form is there: that has changed"; exit 1; }
echo "as described"
