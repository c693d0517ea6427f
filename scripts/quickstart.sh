#!/usr/bin/env bash
# Dependencies, build, then the main job: a Vision Transformer trained on Fashion-MNIST, evaluated, used for a
# prediction and exported to ONNX.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install-deps.sh
# A folder as one file: a third of the time for what is built once.
cmake --preset release -DVITRAIL_TESTS=OFF -DVITRAIL_BENCH=OFF -DCMAKE_UNITY_BUILD=ON >/dev/null
cmake --build --preset release --target vitrail
vitrail=build/release/vitrail

run=runs/quickstart
rm -rf "$run"
"$vitrail" train data=fashion-mnist out="$run"
"$vitrail" eval "$run"
"$vitrail" export "$run" --to onnx

echo
echo "Files:"
ls -l "$run" | tail -n +2 | awk '{printf "  %12d  %s\n", $5, $9}'
cat <<NEXT

What to type next:
  $vitrail info $run
  $vitrail resume $run epochs=+5
  $vitrail predict $run IMAGE.png
  $vitrail train data=FOLDER            # your own images: FOLDER/train/CLASS/*.jpg, FOLDER/val/CLASS/*.jpg
  bash examples/fashion_mnist_92.sh     # a longer recipe
NEXT
