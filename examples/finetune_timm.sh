#!/usr/bin/env bash
# From a timm checkpoint through Vitrail and back to PyTorch.
#   finetune_timm.sh [WEIGHTS [DATA [WORK]]]
# WEIGHTS: a checkpoint of timm's vit_tiny_patch16_224, .safetensors or .pt; without it, random weights are made: the way
# is the same, and no network is needed. DATA: a folder of class folders; without it, small pictures are drawn. WORK:
# where files go (finetune_timm). PYTHON: an interpreter with torch, and with timm where timm's own model is to check
# the result.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
vitrail=${VITRAIL:-$here/../build/release/vitrail}
python=${PYTHON:-python3}
weights=${1:-} data=${2:-} work=${3:-finetune_timm}
mkdir -p "$work"

if [[ -z $weights ]]; then
  weights=$work/timm.pt
  "$python" "$here/finetune_timm.py" weights "$weights"
fi
if [[ -z $data ]]; then
  data=$work/pictures
  "$python" "$here/finetune_timm.py" pictures "$data"
fi

echo "== What is in the file"
"$vitrail" info "$weights" || true

echo "== Fine-tuning: network from the file, head for the data's classes, settings of the recipe"
rm -rf "$work/run"
"$vitrail" train init="$weights" model=vit_tiny_patch16_224 init.normalization=half data="$data" out="$work/run" \
  epochs="${EPOCHS:-1}" batch="${BATCH:-16}"
"$vitrail" eval "$work/run"

echo "== Back to PyTorch: the weights, and a checkpoint that torch.optim.AdamW goes on with"
"$vitrail" export "$work/run" --to pt -o "$work/tuned.pt"
"$vitrail" export "$work/run" --to pt --with-optimizer -o "$work/checkpoint.pt"
picture=$(find "$data" -name '*.png' -o -name '*.jpg' -o -name '*.jpeg' | sort | head -n 1)
"$vitrail" predict "$work/tuned.pt" "$picture" model=vit_tiny_patch16_224 init.normalization=half --json \
  > "$work/prediction.json"
"$python" "$here/finetune_timm.py" check "$work/tuned.pt" "$work/checkpoint.pt" "$work/prediction.json"
