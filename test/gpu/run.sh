#!/usr/bin/env bash
# run.sh BUILD [MODELS]: on a machine with an NVIDIA card, the tests that need one, then every model of
# the folder MODELS (NAME.pb and NAME/ with its stored inputs and outputs) on the first card, in FP32 and
# in FP16. In FP16 an output may be off by 1.5 times what the reference backend is off with the same values
# rounded to halves; in FP32 by 1e-4. BUILD is a build folder with bin/, and with
# python/ where the package is built for this machine's Python. Prints a table; exits with 1 when something failed.
set -uo pipefail
build=$1
models=${2:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export GRAFT_CACHE=$out/cache
failed=0

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader
for test in backend_cuda_test conformance_test; do
  if GRAFT_TEST_BACKEND=cuda "$build/bin/$test" >"$out/$test" 2>&1; then
    echo "$test passed"
  else
    echo "$test FAILED"
    grep -E "^\[  FAILED|instead of" "$out/$test" | sort -u | head -20
    failed=1
  fi
done
grep -E "^cuda\.|not tested" "$out/conformance_test"

[ -n "$models" ] || exit $failed
# Of the comparison's output: the largest error, as a share of the largest element.
worst() { sed -n 's/.*of largest \([^ ]*\).*/\1/p' "$1" | sort -g | tail -1; }

for graph in "$models"/mobilenet_v2_moderation.pb "$models"/*.pb; do
  [ -f "$graph" ] && break
done
bash "$(dirname "$0")/runtime.sh" "$build" "$graph" || failed=1

# The reference is slow: all models at once.
for graph in "$models"/*.pb; do
  name=$(basename "$graph" .pb)
  [ -d "$models/$name" ] || continue
  (
    "$build/bin/graft" convert "$graph" --plan "$out/$name.halves" --backend reference --precision fp16 --opt-level 0 &&
      "$build/bin/graft" compare "$out/$name.halves" --reference "$models/$name" --tolerance 1
  ) >"$out/$name.allowed" 2>&1 &
done

printf '%-26s %-5s %-8s %-10s %-10s %-9s %-10s %s\n' model mode result "of largest" allowed "build, s" "latency" "queued, ms"
for mode in fp32 fp16; do
  [ $mode = fp32 ] || wait
  for graph in "$models"/*.pb; do
    name=$(basename "$graph" .pb)
    [ -d "$models/$name" ] || continue
    start=$(date +%s.%N)
    if ! "$build/bin/graft" convert "$graph" --plan "$out/plan" --device cuda:0 --precision $mode >"$out/log" 2>&1; then
      printf '%-26s %-5s %-8s %s\n' "$name" $mode FAILED "$(tail -1 "$out/log")"
      failed=1
      continue
    fi
    seconds=$(echo "$start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
    allowed=1e-4
    [ $mode = fp32 ] || allowed=$(worst "$out/$name.allowed" | awk '{ print 1.5 * $1 }')
    result=passed
    "$build/bin/graft" compare "$out/plan" --reference "$models/$name" --device cuda:0 --tolerance "${allowed:-0}" >"$out/compare" 2>&1 || {
      result=FAILED
      failed=1
    }
    "$build/bin/graft" bench "$out/plan" --device cuda:0 --on-device --duration 1 >"$out/bench" 2>&1
    latency=$(sed -n 's/.*median = \([^,]*\).*/\1/p' "$out/bench" | head -1)
    queued=$(sed -n 's/^Queued.*: \([^ ]*\) ms.*/\1/p' "$out/bench")
    printf '%-26s %-5s %-8s %-10s %-10s %-9s %-10s %s\n' "$name" $mode "$result" "$(worst "$out/compare")" "$allowed" "$seconds" "$latency" "$queued"
  done
done
exit $failed
