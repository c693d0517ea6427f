#!/usr/bin/env bash
# Compiles the CUDA kernels with nvcc for every architecture, warnings being errors, and holds what ptxas says of each
# kernel (registers, shared memory, spills) against the limits, and that tensor cores are used where a kernel's name says
# so: nothing runs, so no GPU is needed.
#   cuda-compile.sh [FOLDER [SOURCE…]]   the table goes to FOLDER/resources.txt (build/cuda by default); all .cu files
#   CUDA_ARCHITECTURES="80 90"   others than 80 90 100 120
# Ends with 77, having said so, when there is no nvcc: then nothing was compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/cuda}
sources=("${@:2}")
((${#sources[@]})) || sources=(kernels/cuda/*.cu)
architectures=${CUDA_ARCHITECTURES:-80 90 100 120}

nvcc=$(command -v nvcc || echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc")
if [[ ! -x $nvcc ]]; then
  echo "NOT RUN: there is no nvcc (looked in PATH and in \$CUDA_HOME); no kernel was compiled"
  exit 77
fi
mkdir -p "$out"

flags=(-std=c++20 -O3 --expt-relaxed-constexpr -Werror all-warnings -Xcompiler "-Wall,-Wextra,-Werror"
       -Xptxas -v -I. -Ikernels/cuda/native)
for architecture in $architectures; do
  flags+=(-gencode "arch=compute_$architecture,code=sm_$architecture")
done

# Unchanged files are not compiled again: what a file includes is in its .d.
newer_than() {  # is any of the files that OBJECT was made from newer than it?
  local object=$1 dependency
  [[ -f $object && -f $object.d && -f $object.log ]] || return 0
  for dependency in $(sed 's/^[^:]*://; s/\\$//' "$object.d"); do
    [[ $dependency -ot $object ]] || return 0
  done
  return 1
}

compile() {  # SOURCE
  local object
  object=$out/$(basename "$1").o
  newer_than "$object" || return 0
  echo "nvcc $1"
  rm -rf "$object" "$object.keep"
  mkdir "$object.keep"
  if ! "$nvcc" "${flags[@]}" --keep --keep-dir "$object.keep" -MD -MF "$object.d" -c "$1" -o "$object" >"$object.log" 2>&1
  then
    cat "$object.log"
    rm -rf "$object.log" "$object.keep"
    return 1
  fi
  cat "$object.keep"/*.ptx >"$object.ptx"
  rm -r "$object.keep"
}

under_way=()
for source in "${sources[@]}"; do
  (($(jobs -rp | wc -l) < $(nproc))) || wait -n
  compile "$source" &
  under_way+=($!)
done
for job in "${under_way[@]}"; do
  wait "$job"
done
objects=("${sources[@]##*/}")
objects=("${objects[@]/%/.o}")
objects=("${objects[@]/#/$out/}")
cat "${objects[@]/%/.log}" | awk -f scripts/cuda-resources.awk >"$out/resources.txt"
bash scripts/cuda-resources.sh "$out/resources.txt"
awk -f scripts/cuda-tensor-cores.awk "${objects[@]/%/.ptx}"
