#!/usr/bin/env bash
# Dependencies, build, every test: g++ with oneDNN and all oracles, and the cuda device on its host emulation where there
# are a CUDA toolkit's headers; clang with address and undefined-behaviour sanitizers and Eigen's products; g++ with the
# thread sanitizer; the CUDA kernels by nvcc where there is one.
#   test.sh         everything
#   test.sh quick   the first of them
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

# Everything is built once: a folder as one file takes a third of the time, unless a compiler cache knows the single files.
unity=-DCMAKE_UNITY_BUILD=ON
[[ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ]] || unity=-DCMAKE_UNITY_BUILD=OFF

step "Debian packages"
bash scripts/install-deps.sh --test
step "Formatting"
bash scripts/check-format.sh
step "Python packages for the oracles"
bash scripts/oracle-venv.sh
step "Build: release, g++, oneDNN"
cuda=TESTS
[[ -f ${CUDA_HOME:-/usr/local/cuda}/include/cublasLt.h ]] || cuda=OFF
cmake --preset release -DVITRAIL_CUDA=$cuda $unity >/dev/null
cmake --build --preset release
step "Tests: release"
ctest --preset release
if [[ "${1:-}" == "quick" ]]; then exit 0; fi

step "Build: address and undefined-behaviour sanitizers, clang, Eigen"
cmake --preset asan $unity >/dev/null
cmake --build --preset asan --target kernels_tests format_tests engine_tests onnx_export_tests
step "Tests: asan"
ctest --preset asan -R '^(kernels|format|engine|onnx_export)$'
step "Fuzzers: 30 seconds, clang"
bash scripts/fuzz.sh 30
step "Build: thread sanitizer, g++"
cmake --preset tsan $unity >/dev/null
cmake --build --preset tsan --target threaded_tests
step "Tests: tsan"
ctest --preset tsan -L threaded
all="All"
if [[ $cuda == OFF ]]; then
  step "NOT RUN: the cuda device; its emulation needs the headers of a CUDA toolkit (CUDA_HOME or /usr/local/cuda)"
  all="All other"
fi
step "CUDA kernels by nvcc, four architectures"
bash scripts/cuda-compile.sh || { [[ $? == 77 ]]; all="All other"; }
step "$all tests passed"
