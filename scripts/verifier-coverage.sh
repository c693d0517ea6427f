#!/usr/bin/env bash
# How much of the container's verifier the tests of format/ execute: lines and branches of each of its files, and the
# branches that are never taken. Not part of the tests: it reports.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/install-deps.sh --test
command -v llvm-cov-14 >/dev/null || { echo "expected llvm-cov-14: apt-get install llvm-14" >&2; exit 1; }

cmake -S . -B build/coverage -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=clang++-14 -DVITRAIL_ONEDNN=OFF \
  -DVITRAIL_CPU_ISAS=avx2 -DVITRAIL_BENCH=OFF -DCMAKE_CXX_FLAGS="-fprofile-instr-generate -fcoverage-mapping" >/dev/null
ninja -C build/coverage format_tests | tail -1
rm -f build/coverage/profiles/*
# Tests that fork and kill write no profile of the killed.
LLVM_PROFILE_FILE=build/coverage/profiles/%p.profraw build/coverage/tests/format_tests -tce="*power*,*killed*" | tail -3
llvm-profdata-14 merge -sparse build/coverage/profiles/*.profraw -o build/coverage/merged.profdata
files=("$PWD"/format/{verify,verify_directory,verify_sections,message_verify,prologue}.cpp "$PWD/format/utf8.h")
from=(build/coverage/tests/format_tests -instr-profile=build/coverage/merged.profdata)
llvm-cov-14 report "${from[@]}" --show-branch-summary "${files[@]}"
echo
echo "Branches never taken (line:column, times true, times false):"
llvm-cov-14 show "${from[@]}" --show-branches=count "${files[@]}" |
  grep -E '^/|Branch .*(True: 0,|False: 0\])' || true
