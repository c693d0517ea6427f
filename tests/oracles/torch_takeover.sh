#!/usr/bin/env bash
# Five steps here and five in PyTorch, both ways, against ten in PyTorch.
#   torch_takeover.sh PROGRAM PYTHON FOLDER      PROGRAM: torch_takeover; FOLDER is emptied
set -euo pipefail
program=$1 python=$2 folder=$3
check=$(dirname "${BASH_SOURCE[0]}")/check_torch_takeover.py
rm -rf "$folder"
mkdir -p "$folder"
"$program" begin "$folder"
"$python" "$check" first "$folder"
"$program" continue "$folder"
"$python" "$check" second "$folder"
