#!/usr/bin/env bash
# runtime.sh BUILD GRAPH: on a machine with an NVIDIA card, what the runtime and the package do with a graph whose inputs are
# floats: runtime_check.cc, arrays.py (where BUILD/python is built for this machine's Python), and a plan made as on a machine
# without a card. Exits with 1 when something failed.
set -uo pipefail
build=$1
graph=$2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
failed=0
fail() {
  failed=1
  echo "FAILED: $*"
}
graft() { "$build/bin/graft" "$@" >"$out/log" 2>&1 || { fail "graft $*" && tail -3 "$out/log"; }; }
queued() { "$build/bin/graft" bench "$1" --device cuda:0 --on-device --duration 1 2>/dev/null | sed -n 's/^Queued.*: \([^ ]*\) ms.*/\1/p'; }

graft convert "$graph" --plan "$out/here.plan" --device cuda:0 --precision fp16
"$build/bin/cuda_runtime_check" "$out/here.plan" || fail cuda_runtime_check
if [ -d "$build/python/graft" ]; then
  PYTHONPATH="$build/python" python3 "$(dirname "$0")/arrays.py" "$out/here.plan" || fail arrays.py
fi

# For this kind of card, and for another one, whose kernels are compiled here.
kind=sm_$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
other=sm_86
[ "$kind" = sm_86 ] && other=sm_89
for card in "$kind" $other; do
  graft convert "$graph" --plan "$out/$card.plan" --device "cuda:$card" --precision fp16
  graft compare "$graph" "$out/$card.plan" --device cuda:0 --tolerance 3e-2
  printf '%-58s %10s ms\n' "made for $card without a card, queued" "$(queued "$out/$card.plan")"
done
graft plan tune "$out/$kind.plan" --output "$out/tuned.plan" --device cuda:0
printf '%-58s %10s ms\n' "  tuned here" "$(queued "$out/tuned.plan")"
printf '%-58s %10s ms\n' "made here, queued" "$(queued "$out/here.plan")"
exit $failed
