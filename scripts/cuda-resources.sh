#!/usr/bin/env bash
# Fails when the table of scripts/cuda-compile.sh has a kernel that spills registers, uses a stack, or needs more than a
# block may have: 255 registers a thread, 48 KiB of static shared memory (of dynamic shared memory a block may have 163 KiB on sm_80,
# 227 on sm_90 and sm_100, 99 on sm_120; kernels that use more than 48 assert the least of these). Prints the table's
# widest rows.
set -euo pipefail
table=$1
[[ -s $table ]] || { echo "the table $table has no kernels"; exit 1; }
bad=$(awk '$2 > 255 || $3 > 49152 || $4 > 0 || $5 > 0' "$table")
if [[ -n $bad ]]; then
  echo "kernels beyond the limits (architecture, registers, shared bytes, spilled bytes, stack bytes, kernel):"
  echo "$bad"
  exit 1
fi
echo "$(wc -l <"$table") compiled kernels, none spills; the most registers:"
sort -k2,2nr "$table" | awk 'NR <= 8' | c++filt  # head would end sort early, which pipefail takes for a failure
