#!/usr/bin/env bash
# Which folder may include which (docs/architecture.md). Fails naming every include that breaks an arrow, and checks
# itself on a deliberate one.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A allowed=(
  [kernels]="kernels"
  [format]="format"
  [engine]="engine kernels format"
  [onnx_export]="onnx_export engine kernels format"
)

# Prints forbidden includes in the files given for a folder.
forbidden() {
  local folder=$1; shift
  grep -nHoE '^#include "[^"]+"' "$@" | while IFS= read -r line; do
    local target=${line##*#include \"}; target=${target%\"}
    local room=${target%%/*}
    if [[ " ${allowed[$folder]} " != *" $room "* ]]; then echo "$line"; fi
    if [[ $target == engine/app/* ]]; then echo "$line"; fi
  done
  # Eigen and oneDNN stay in kernels/cpu.
  local outside=()
  for file in "$@"; do [[ $file == kernels/cpu/* ]] || outside+=("$file"); done
  grep -nHE '#include <(Eigen|unsupported/Eigen|dnnl|oneapi)' "${outside[@]}" || true
}

status=0
for folder in "${!allowed[@]}"; do
  mapfile -t files < <(find "$folder" -path engine/app -prune -o \( -name '*.h' -o -name '*.cpp' \) -print)
  found=$(forbidden "$folder" "${files[@]}" | sort -u)
  if [[ -n $found ]]; then echo "forbidden includes in $folder:"; echo "$found"; status=1; fi
done

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
printf '#include "engine/vit.h"\n#include <Eigen/Core>\n' >"$probe/probe.h"
if [[ $(forbidden kernels "$probe/probe.h" | wc -l) -ne 2 ]]; then echo "this test no longer sees forbidden includes"; status=1; fi
exit $status
