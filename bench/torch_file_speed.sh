#!/usr/bin/env bash
# Loading and saving `.pt` files of ViT-B/16 and ViT-L/16 beside PyTorch's torch.load (plainly and mapped) and torch.save
# with fsync, in turn in one run: medians, ratios, peak memory.
#   torch_file_speed.sh [FOLDER] [ROUNDS]     FOLDER: on a disk, with 3 GB free
# Makes its own virtual environment with PyTorch from PyPI; VITRAIL_BENCH_VENV names one that is there.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build/torch-file-bench}")
cd "$(dirname "$0")/.."
rounds=${2:-7}
venv=${VITRAIL_BENCH_VENV:-build/bench-venv}
[[ -x $venv/bin/python ]] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch' 2>/dev/null || "$venv/bin/pip" install -q torch numpy
cmake --preset release -DVITRAIL_BENCH=ON >/dev/null
cmake --build --preset release --target torch_file_speed
mkdir -p "$folder"
df -hT "$folder" | tail -1
"$venv/bin/python" bench/torch_file_peers.py build/release/bench/torch_file_speed "$folder" "$rounds"
