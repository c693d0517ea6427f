#!/usr/bin/env bash
# A durable save of ViT-B/16 with AdamW's state beside the bare disk, torch.save and safetensors (both with fsync),
# interleaved in one run; verifying beside the bare disk; opening at three sizes.
#   compare_checkpoints.sh [FOLDER] [ROUNDS]     FOLDER: on a disk, with 3 GB free
# Makes its own virtual environment with PyTorch and safetensors from PyPI; VITRAIL_BENCH_VENV names one that is there.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build/checkpoint-bench}")
cd "$(dirname "$0")/.."
rounds=${2:-5}
venv=${VITRAIL_BENCH_VENV:-build/bench-venv}
[[ -x $venv/bin/python ]] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, safetensors.torch' 2>/dev/null || "$venv/bin/pip" install -q torch numpy safetensors
cmake --preset release -DVITRAIL_BENCH=ON >/dev/null
cmake --build --preset release --target checkpoint_io
mkdir -p "$folder"
trap 'rm -f "$folder/peer"' EXIT
df -hT "$folder" | tail -1
"$venv/bin/python" bench/checkpoint_peers.py build/release/bench/checkpoint_io "$folder" "$rounds"
