#!/usr/bin/env bash
# Builds the fuzzers of what reads files, and runs each of them for a share of the given time.
#   fuzz.sh SECONDS          together, for all fuzzers, or for those that FUZZERS names
#   fuzz.sh SECONDS record   and adds the numbers to tests/format/fuzz_runs.csv
# Fails when one of them finds something; the input that does it stays in build/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz.sh SECONDS [record]}
read -ra fuzzers <<<"${FUZZERS:-verifier message container sections safetensors npz json zip pickle onnx}"

how=-DCMAKE_UNITY_BUILD=ON
[[ -z "${FUZZ_LAUNCHER:-}" ]] || how=-DCMAKE_CXX_COMPILER_LAUNCHER=$FUZZ_LAUNCHER
cmake -S . -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=Debug -DVITRAIL_FUZZ=ON -DVITRAIL_ONEDNN=OFF \
  -DCMAKE_CXX_COMPILER="${FUZZ_CXX:-clang++-14}" "$how" >/dev/null
ninja -C build/fuzz -j "${FUZZ_JOBS:-2}" fuzzers | tail -1

mkdir -p build/fuzz/findings
for fuzzer in "${fuzzers[@]}"; do
  found=build/fuzz/corpus-$fuzzer log=build/fuzz/$fuzzer.log
  mkdir -p "$found"
  case $fuzzer in
    zip | pickle) seeds=(tests/corpus_torch) ;;
    onnx) seeds=(tests/onnx_export/seeds) ;;
    *) seeds=(tests/corpus tests/museum tests/foreign) ;;
  esac
  # New inputs go to the first folder and stay from run to run; the seeds are only read.
  if ! "build/fuzz/fuzz_$fuzzer" -max_total_time=$((seconds / ${#fuzzers[@]} + 1)) -max_len=24576 -timeout=10 \
    -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix=build/fuzz/findings/ "$found" "${seeds[@]}" \
    >"$log" 2>&1; then
    tail -40 "$log"
    echo "fuzz_$fuzzer found something: build/fuzz/findings, $log" >&2
    exit 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  covered=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | grep -o '[0-9]*')
  echo "fuzz_$fuzzer: $runs executions, $covered edges covered, nothing found"
  if [[ "${2:-}" == record ]]; then
    echo "$(date -u +%F),$fuzzer,$((seconds / ${#fuzzers[@]} + 1)),$runs,$covered" >>tests/format/fuzz_runs.csv
  fi
done
