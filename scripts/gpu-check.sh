#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds for it, runs every test of the cuda device, compute-sanitizer's four tools and
# the benchmarks, and writes one report.
#   gpu-check.sh               ends with 77, having said so, when there is no GPU: then nothing ran
#   gpu-check.sh --emulated    the same steps on the host emulation, as far as they go: no time in it means anything
# The report is build/gpu-check/report.md; a step that fails is in it, and ends the script with 1 after all others.
set -uo pipefail
cd "$(dirname "$0")/.."
emulated=0
if [[ "${1:-}" == "--emulated" ]]; then emulated=1; fi
out=build/gpu-check
report=$out/report.md
failures=0

fail_early() { echo "$1"; exit 77; }
say() { printf '%s\n' "$@" >>"$report"; }
step() { printf '== %s (%d s)\n' "$1" "$SECONDS"; say "" "## $1" ""; }

# Runs a command: its output goes to a file of this name, its verdict and the last lines to the report.
check() {
  local name=$1 log=$out/$1.log begin=$SECONDS verdict=passed
  shift
  printf '   %s\n' "$name"
  if ! "$@" >"$log" 2>&1; then
    verdict=FAILED
    failures=$((failures + 1))
    echo "   FAILED: see $log"
  fi
  say "- **$name**: $verdict in $((SECONDS - begin)) s (\`$*\`)"
  if [[ $verdict == FAILED ]]; then say "" '```' "$(tail -20 "$log")" '```' ""; fi
}
not_run() { printf '   %s: NOT RUN, %s\n' "$1" "$2"; say "- **$1**: NOT RUN, $2"; }

mkdir -p "$out"
: >"$report"
if ((emulated)); then
  build=build/cuda-emulated
  say "# The cuda device under host emulation" "" "**No GPU ran. This exercises the script; no time in it means anything.**"
else
  [[ -n "$(nvidia-smi -L 2>/dev/null)" ]] || fail_early "NOT RUN: nvidia-smi finds no GPU here; nothing was built or tested. (--emulated exercises the script without one.)"
  command -v nvcc >/dev/null || fail_early "NOT RUN: there is no nvcc in PATH; nothing was built or tested"
  build=build/gpu
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d ' .')
  gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader -i 0)
  say "# The cuda device on $gpu" "" '```' "$(nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm --format=csv)" "$(nvcc --version | tail -1)" '```'
fi
say "" "Commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $(date -u +%F)."

# Peaks by the name of the GPU: TF/s of f32 without tensor cores, GB/s, TF/s of dense bf16 (data sheets). 0: not known.
case "${gpu:-}" in
  *A100*80*) peaks=(19.5 2039 312) ;;
  *A100*) peaks=(19.5 1555 312) ;;
  *H200*) peaks=(66.9 4800 989.4) ;;
  *H100*PCIe*) peaks=(51.2 2000 756) ;;
  *H100*) peaks=(66.9 3352 989.4) ;;
  *) peaks=(0 0 0) ;;
esac
say "" "Peaks that ratios are of: f32 ${peaks[0]} TF/s, ${peaks[1]} GB/s, bf16 ${peaks[2]} TF/s (0: not known here)."

step "Build"
targets=(vitrail kernels_tests cuda_tests cuda_kernels)
if ((emulated)); then
  check configure cmake --preset release -B $build -DVITRAIL_CUDA=EMULATED
  targets+=(cuda_emulation_tests cuda_faults_tests)
else
  check configure cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release -DVITRAIL_CUDA=ON \
    "-DCMAKE_CUDA_ARCHITECTURES=$architecture"
fi
check build cmake --build $build --target "${targets[@]}"

step "Tests"
check kernels $build/tests/kernels_tests
check cuda $build/tests/cuda_tests
if ((emulated)); then
  check cuda_emulation $build/tests/cuda_emulation_tests
  check cuda_faults $build/tests/cuda_faults_tests
fi
if command -v nvcc >/dev/null; then
  check cuda_compile bash scripts/cuda-compile.sh $build/cuda
else
  not_run cuda_compile "there is no nvcc in PATH"
fi

step "compute-sanitizer"
for tool in memcheck racecheck initcheck synccheck; do
  if ((emulated)); then
    not_run $tool "it needs a GPU"
  elif ! command -v compute-sanitizer >/dev/null; then
    not_run $tool "there is no compute-sanitizer in PATH"
    failures=$((failures + 1))
  else
    check $tool compute-sanitizer --tool $tool --error-exitcode 1 $build/tests/cuda_tests
    check ${tool}_kernels compute-sanitizer --tool $tool --error-exitcode 1 $build/tests/kernels_tests
  fi
done

step "Ops against their floors"
batches=(64 256)
repeats=20
if ((emulated)); then batches=(1) repeats=1; fi
for batch in "${batches[@]}"; do
  check "floors_$batch" $build/bench/cuda_kernels "$batch" $repeats "${peaks[0]/#0/1}" "${peaks[1]/#0/1000}"
  say "" "$(cat "$out/floors_$batch.log")" ""
done

step "Training"
python=$(command -v python3)
models=(vit_tiny_patch16_224 vit_small_patch16_224 vit_base_patch16_224 vit_large_patch16_224)
batches=(32 128 256)
steps=10
dtypes=(f32 bf16)
if ((emulated)); then models=(custom) batches=(2) steps=1; fi
lines=$out/training.jsonl
: >"$lines"
for model in "${models[@]}"; do
  for batch in "${batches[@]}"; do
    for dtype in "${dtypes[@]}"; do
      settings=("batch=$batch" "steps=$steps" "dtype=$dtype" device=cuda)
      if ((emulated)); then settings+=(model.img_size=16 model.patch_size=8 model.dim=32 model.depth=1 model.heads=2 model.num_classes=10); fi
      name=train_${model}_${batch}_$dtype
      check "$name" $build/vitrail bench "$model" "${settings[@]}" --json
      cat "$out/$name.log" >>"$lines"
      if ((!emulated)) && "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
        for mode in eager compile; do
          check "torch_${model}_${batch}_${dtype}_$mode" "$python" bench/torch_step.py "$model" "$batch" $steps cuda $mode "${dtype/#f32/fp32}"
          tail -1 "$out/torch_${model}_${batch}_${dtype}_$mode.log" >>"$lines"
        done
      fi
    done
  done
done
if ((emulated)); then
  not_run "PyTorch beside it" "it needs a GPU"
elif ! "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  not_run "PyTorch beside it" "there is no PyTorch with CUDA here"
fi
say "" "$("$python" bench/gpu_report.py "$lines" "${peaks[0]}" "${peaks[2]}")"

say "" "$failures steps failed."
echo "$failures steps failed; the report is $report"
((failures == 0))
