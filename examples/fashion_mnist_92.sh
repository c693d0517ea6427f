#!/usr/bin/env bash
# A longer recipe than quickstart's for Fashion-MNIST: smaller patches, more epochs, shifts, erasing and an average of the
# weights. It can be stopped with Ctrl-C and continued with `vitrail resume runs/fashion-mnist-92`.
#   fashion_mnist_92.sh [key=value …]
set -euo pipefail
cd "$(dirname "$0")/.."

build/release/vitrail train data=fashion-mnist out=runs/fashion-mnist-92 \
  model.patch_size=4 model.dim=96 model.depth=6 model.heads=3 model.mlp_dim=192 model.weight_init=jax \
  batch=64 epochs=36 opt.lr=1e-3 opt.weight_decay=0.05 label_smoothing=0.05 ema.decay=0.999 \
  augment.shift=1 augment.flip=0.5 augment.erase=0.1 "$@"
