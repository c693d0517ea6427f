#!/usr/bin/env bash
# Training and inference beside PyTorch (eager and compile, f32 and bf16 autocast) and, for inference, onnxruntime (f32
# and dynamic int8): in turn in one run, medians, ratios and peak memory as tables.
#   compare_torch.sh [--models grey28,tiny,small,base] [--infer] [--rounds N] [--without compile,bf16]
# makes its own virtual environment from PyPI, or takes the python that BENCH_PYTHON names. The first round also compiles
# what torch.compile wants: about a minute each time.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${BENCH_PYTHON:-build/bench-venv/bin/python}
if [[ ! -x $python ]]; then
  /usr/bin/python3 -m venv build/bench-venv
  build/bench-venv/bin/pip install -q torch numpy onnx onnxscript onnxruntime
fi
cmake --preset release >/dev/null
cmake --build --preset release --target vitrail
export TORCHINDUCTOR_CACHE_DIR=$PWD/build/bench/inductor
exec "$python" bench/compare.py "$@"
