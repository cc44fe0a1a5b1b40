#!/usr/bin/env bash
# gpu_networks.sh BUILD [FOLDER]: on a machine with an NVIDIA card, the networks of networks.py in FP16:
# time of a run, many queued, with inputs and outputs on the card, tuned at the batch that is timed; how
# far the probabilities are from those in FP32; seconds to build, without a timing cache and with one.
# The slowest steps are written to FOLDER/NETWORK-BATCH.layers.
# NETWORKS and BATCHES choose some: NETWORKS="resnet50" BATCHES="1 128".
set -uo pipefail
build=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
out=${2:-$(mktemp -d)}
mkdir -p "$out"
graft=$build/bin/graft
nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader
printf '%-14s %-6s %-11s %-8s %-9s %-9s %s\n' network batch "queued, ms" "load, ms" "built, s" "again, s" "off FP32"
for name in ${NETWORKS:-resnet50 mobilenet_v2 vgg16 inception_v3 nasnet_mobile}; do
  [ -f "$out/$name.pb" ] || python3 "$here/networks.py" "$out" "$name"
  size=$(python3 "$here/networks.py" --size "$name")
  for batch in ${BATCHES:-1 8 128}; do
    base=$out/$name-$batch
    seconds=()
    rm -f "$base.cache"
    for round in cold warm; do
      start=$(date +%s.%N)
      if ! "$graft" convert "$out/$name.pb" --plan "$base.plan" --device cuda:0 --precision fp16 \
        --shapes "${batch}x${size}x${size}x3" --timing-cache "$base.cache" >"$base.log" 2>&1; then
        echo "$name $batch: $(tail -1 "$base.log")"
        continue 2
      fi
      seconds+=("$(echo "$start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')")
    done
    "$graft" bench "$base.plan" --device cuda:0 --on-device --batch "$batch" --duration 1 --layers >"$base.layers" 2>&1
    queued=$(sed -n 's/^Queued.*: \([^ ]*\) ms.*/\1/p' "$base.layers")
    load=$(sed -n "s/^load \([^ ]*\) ms.*/\1/p" "$base.layers" | head -1)
    off=
    if [ "$batch" = 1 ]; then
      "$graft" convert "$out/$name.pb" --plan "$base.fp32" --device cuda:0 --opt-level 0 --timing-cache "$base.cache" >"$base.log" 2>&1 &&
        "$graft" run "$base.fp32" --random 1 --shapes "1x${size}x${size}x3" --output "$base.a" >>"$base.log" 2>&1 &&
        "$graft" run "$base.plan" --random 1 --shapes "1x${size}x${size}x3" --output "$base.b" >>"$base.log" 2>&1
      off=$(python3 - "$base.a" "$base.b" <<'P'
import pathlib, sys
import numpy as np
a, b = (np.load(next(pathlib.Path(f).glob("*.npy"))) for f in sys.argv[1:])
print(f"{np.abs(a - b).max() / np.abs(a).max():.1e}")
P
      )
    fi
    printf '%-14s %-6s %-11s %-8s %-9s %-9s %s\n' "$name" "$batch" "$queued" "$load" "${seconds[0]}" "${seconds[1]}" "$off"
  done
done
