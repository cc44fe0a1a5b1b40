#!/usr/bin/env bash
# Highway 1.0.3 (Debian 12): hwy::SupportedTargets() is no getter. It runs CPUID at every call, which a virtual machine traps.
#
# One would guess: what the processor supports does not change, so the function detects it once and then returns a number; it is
# what a library asks to choose a kernel or to print which one it took, next to GetChosenTarget(), which is a load.
# What happens: each call executes CPUID several times. On bare metal that is a fraction of a microsecond; CPUID always leaves a
# guest, so in a virtual machine (where most inference runs) a call takes some 20 microseconds, as long as a small layer. After
# SetSupportedTargetsForTest() with the same value it takes nanoseconds, so a benchmark that forces a target never shows it.
# What follows: keep the result in a static of your own, and dispatch by HWY_DYNAMIC_DISPATCH, which detects once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -q -o APT::Sandbox::User=root libhwy-dev=1.0.3-3+deb12u1 libhwy1=1.0.3-3+deb12u1 >log 2>&1 || { cat log >&2; exit 1; }
for package in *.deb; do dpkg -x "$package" highway; done
library=$(dirname "$(find highway -name libhwy.so.1)")
echo "Highway 1.0.3-3+deb12u1, virtual machine: $(grep -qw hypervisor /proc/cpuinfo && echo yes || echo no)"

cat >calls.cc <<'CODE'
#include <hwy/targets.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>

template <class F>
double Nanoseconds(F call) {
  double best = 1e9;
  for (int turn = 0; turn < 5; ++turn) {
    constexpr int kCalls = 200;
    volatile int64_t seen = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) seen = call();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count() / kCalls);
  }
  return best;
}

int main() {
  const auto supported = [] { return static_cast<int64_t>(hwy::SupportedTargets()); };
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  const double asked = Nanoseconds(supported);
  const double chosen = Nanoseconds([] { return static_cast<int64_t>(hwy::GetChosenTarget().GetIndex()); });
  hwy::SetSupportedTargetsForTest(hwy::SupportedTargets());
  const double forced = Nanoseconds(supported);
  std::printf("SupportedTargets() %.0f ns, when forced %.0f ns; GetChosenTarget().GetIndex() %.0f ns\n", asked, forced, chosen);
  return asked > 10 * forced && asked > 10 * chosen ? 0 : 1;
}
CODE
g++ -std=c++17 -O2 -I highway/usr/include calls.cc -L "$library" -l:libhwy.so.1 -o calls
echo "CPUID in SupportedTargets: $(objdump -d --no-show-raw-insn "$library/libhwy.so.1" | awk '/>:$/ { name = $2 } /cpuid/ && name ~ /SupportedTargets/' | wc -l) places"
LD_LIBRARY_PATH=$library ./calls || { echo "later calls are cheap: that has changed"; exit 1; }
echo "as described"
