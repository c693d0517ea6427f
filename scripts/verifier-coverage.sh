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
files=(format/verify.cpp format/verify_directory.cpp format/verify_sections.cpp format/message_verify.cpp
  format/prologue.cpp format/rules.h format/utf8.cpp)
for file in "${files[@]}"; do [[ -e $file ]] && present+=("$file"); done
cov=(llvm-cov-14)
"${cov[@]}" report build/coverage/tests/format_tests -instr-profile=build/coverage/merged.profdata \
  --show-branch-summary "${present[@]}"
echo
echo "Branches never taken:"
"${cov[@]}" show build/coverage/tests/format_tests -instr-profile=build/coverage/merged.profdata --show-branches=count \
  "${present[@]}" | grep -E "^\S+\.(cpp|h):$|Branch .*(True: 0,|False: 0\])" | grep -B1 "Branch" | grep -v '^--' || echo "  none"
