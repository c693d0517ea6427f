#!/usr/bin/env bash
# Export of ViT-B/16 and L/16 beside a plain durable write of the same bytes and beside torch.onnx.export of the newest
# PyTorch; then the latency of all files in onnxruntime.
#   compare_onnx.sh [FOLDER] [MODEL...]   makes its own virtual environment with packages from PyPI
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/bench-onnx}
shift || true
models=("$@")
if ((${#models[@]} == 0)); then models=(vit_base_patch16_224 vit_large_patch16_224); fi
python=${BENCH_PYTHON:-build/bench-onnx-venv/bin/python}
if [[ ! -x $python ]]; then
  /usr/bin/python3 -m venv build/bench-onnx-venv
  build/bench-onnx-venv/bin/pip install -q torch numpy onnx onnxscript onnxruntime
fi
cmake --preset release -DVITRAIL_BENCH=ON >/dev/null
cmake --build --preset release --target onnx_export_speed
mkdir -p "$folder"
for model in "${models[@]}"; do
  build/release/bench/onnx_export_speed "$model" "$folder"
  "$python" bench/onnx_peers.py export "$model" "$folder" 2>"$folder/$model-torch.log"
  "$python" bench/onnx_peers.py latency "$model" "$folder"
done
