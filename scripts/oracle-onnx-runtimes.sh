#!/usr/bin/env bash
# Beside CI: exported files in OpenVINO and onnxruntime of the newest release, and a learnt model's accuracy on all
# validation images, counted in onnxruntime and by `vitrail eval`.
#   oracle-onnx-runtimes.sh RUN [DATA]   DATA: fashion-mnist unless given; its run must have been trained on it
# ORACLE_PYTHON: an interpreter with numpy, onnx, onnxruntime, openvino; else a virtual environment is made.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:?usage: oracle-onnx-runtimes.sh RUN [DATA]} data=${2:-fashion-mnist}
python=${ORACLE_PYTHON:-build/runtimes-venv/bin/python}
if [[ ! -x $python ]]; then
  /usr/bin/python3 -m venv build/runtimes-venv
  build/runtimes-venv/bin/pip install -q numpy onnx onnxruntime openvino
fi
vitrail=build/release/vitrail folder=build/onnx-runtimes
rm -rf "$folder"
mkdir -p "$folder"
for profile in portable static ort modern; do
  "$vitrail" export "$run" --to onnx --profile "$profile" -o "$folder/$profile-fp32.onnx" >/dev/null
done
for dtype in fp16 int8-dynamic int8-weights; do
  "$vitrail" export "$run" --to onnx --dtype "$dtype" -o "$folder/portable-$dtype.onnx" >/dev/null
done
"$vitrail" export "$run" --to onnx --dtype int8-static "data=$data" -o "$folder/portable-int8-static.onnx" >/dev/null
"$vitrail" export "$run" --to onnx --input uint8 -o "$folder/portable-uint8.onnx" >/dev/null
"$vitrail" eval "$run" "data=$data" --json >"$folder/eval.json"
"$python" tests/oracles/onnx_runtimes.py "$folder" "$data"
