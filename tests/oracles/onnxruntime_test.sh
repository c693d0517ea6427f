#!/usr/bin/env bash
# onnxruntime against the engine: networks with random weights in every profile and in all numbers, then a network
# trained, exported and asked by the driver.
#   onnxruntime_test.sh ONNX_PARITY VITRAIL FOLDER
set -euo pipefail
parity=$1 vitrail=$2 folder=$3
root=$(cd "$(dirname "$0")/../.." && pwd)
bash "$root/scripts/oracle-venv.sh"
python=$root/build/oracle-venv/bin/python
check() { "$python" "$root/tests/oracles/check_onnx.py" "$@"; }

rm -rf "$folder"
mkdir -p "$folder"
"$parity" "$folder/parity"
"$python" "$root/tests/oracles/check_onnx_grid.py" "$folder/parity"

check images "$folder/data"
"$vitrail" train data="$folder/data" out="$folder/run" steps=2 batch=9 opt.lr=0.02 schedule.warmup_steps=0 \
  model=vit_tiny_patch16_224 model.img_size=32 model.patch_size=8 model.depth=3 input.crop_pct=0.8 >"$folder/train.txt"
"$vitrail" export "$folder/run" --to onnx -o "$folder/model.onnx"
"$vitrail" predict "$folder/run" "$folder"/data/val/*/*.png --json >"$folder/predictions.json"
check predict "$folder/model.onnx" "$folder/predictions.json" "$folder"/data/val/*/*.png

# The files prove themselves too, in the reference interpreter and in onnxruntime by its C API.
library=("$root"/build/oracle-venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*)
files=("$folder/model.onnx" "$folder"/parity/real/*/portable.onnx "$folder"/parity/raw/*/model.onnx)
"$vitrail" verify "${files[@]}" "$folder"/parity/tiny/*/*.onnx >"$folder/verified.txt"
"$vitrail" verify "${files[@]}" --runtime onnxruntime --runtime-library "${library[0]}" \
  >"$folder/verified_by_onnxruntime.txt"

# Of every profile, kind of numbers, input and output.
mkdir "$folder/grid"
save() { "$vitrail" export "$folder/run" --to onnx -o "$folder/grid/$(tr '/ ' '__' <<<"$*").onnx" "$@" >/dev/null; }
for profile in portable static ort modern; do
  for dtype in fp32 fp16 int8-dynamic int8-weights; do save --profile $profile --dtype $dtype; done
done
for output in probabilities features topk attention; do save --output $output; done
save --dtype int8-static data="$folder/data"
save --input uint8
save --input uint8 --profile modern --any-size
save --external-data
"$vitrail" verify "$folder"/grid/*.onnx
"$vitrail" verify "$folder"/grid/*.onnx --runtime onnxruntime --runtime-library "${library[0]}"

# Photographs of odd sizes, held in every way.
photos() { "$root/build/oracle-venv/bin/python" "$root/tests/oracles/check_preprocessing.py" "$@"; }
photos images "$folder/photos"
"$vitrail" predict "$folder/run" "$folder"/photos/* --json >"$folder/photos.json"
photos compare "$folder/model.onnx" "$folder/photos.json" "$folder/photos"
