#!/usr/bin/env bash
# run.sh BUILD [MODELS]: on a machine with an NVIDIA card, the tests that need one, then every model of
# the folder MODELS (NAME.pb and NAME/ with its stored inputs and outputs) on the first card. BUILD is a
# build folder with bin/. Prints a table; exits with 1 when something failed.
set -uo pipefail
build=$1
models=${2:-}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
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
printf '%-28s %-8s %-24s %s\n' model result "worst error of largest" "latency"
for graph in "$models"/*.pb; do
  name=$(basename "$graph" .pb)
  [ -d "$models/$name" ] || continue
  if ! "$build/bin/graft" convert "$graph" --plan "$out/plan" --device cuda:0 >"$out/log" 2>&1; then
    printf '%-28s %-8s %s\n' "$name" FAILED "$(tail -1 "$out/log")"
    failed=1
    continue
  fi
  result=passed
  "$build/bin/graft" compare "$out/plan" --reference "$models/$name" --device cuda:0 >"$out/compare" 2>&1 || {
    result=FAILED
    failed=1
  }
  worst=$(sed -n 's/.*of largest \([^ ]*\).*/\1/p' "$out/compare" | sort -g | tail -1)
  latency=$("$build/bin/graft" bench "$out/plan" --device cuda:0 2>/dev/null | sed -n 's/.*median = \([^,]*\).*/\1/p' | head -1)
  printf '%-28s %-8s %-24s %s\n' "$name" "$result" "$worst" "$latency"
done
exit $failed
