#!/usr/bin/env bash
# Weights of ViT-B/16 and L/16 saved (with fsync) and loaded beside the safetensors package, interleaved in one run.
#   safetensors_speed.sh [FOLDER] [ROUNDS] [MODEL ...]     FOLDER: on a disk, with 3 GB free
# Makes its own virtual environment with PyTorch and safetensors from PyPI; VITRAIL_BENCH_VENV names one that is there.
set -euo pipefail
folder=$(realpath -m "${1:-$(dirname "$0")/../build/safetensors-bench}")
cd "$(dirname "$0")/.."
rounds=${2:-5}
venv=${VITRAIL_BENCH_VENV:-build/bench-venv}
[[ -x $venv/bin/python ]] || /usr/bin/python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, safetensors.torch' 2>/dev/null || "$venv/bin/pip" install -q torch numpy safetensors
cmake --preset release -DVITRAIL_BENCH=ON >/dev/null
cmake --build --preset release --target safetensors_speed
mkdir -p "$folder"
df -hT "$folder" | tail -1
"$venv/bin/python" bench/safetensors_speed.py build/release/bench/safetensors_speed "$folder" "$rounds" "${@:3}"
