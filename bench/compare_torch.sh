#!/usr/bin/env bash
# A training step beside PyTorch's eager fp32, interleaved in one run: medians and ratios.
#   compare_torch.sh [ROUNDS]      makes its own virtual environment with PyTorch from PyPI
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
venv=build/bench-venv
if [[ ! -x $venv/bin/python ]]; then
  /usr/bin/python3 -m venv "$venv"
  "$venv/bin/pip" install -q torch numpy
fi
cmake --preset release -DVITRAIL_BENCH=ON >/dev/null
cmake --build --preset release --target train_step
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for ((round = 0; round < rounds; ++round)); do
  while read -r model batch steps; do
    build/release/bench/train_step "$model" "$batch" "$steps" >>"$lines"
    "$venv/bin/python" bench/torch_step.py "$model" "$batch" "$steps" >>"$lines"
  done <<'MODELS'
grey28 128 10
vit_tiny_patch16_224 32 6
vit_small_patch16_224 16 5
vit_base_patch16_224 8 3
MODELS
done
"$venv/bin/python" bench/report.py "$lines"
