#!/usr/bin/env bash
# The operators of the reference interpreter against onnxruntime's, on random graphs of one operator each.
#   interpreter_test.sh INTERPRET FOLDER
set -euo pipefail
interpret=$1 folder=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
bash "$root/scripts/oracle-venv.sh"
check() { "$root/build/oracle-venv/bin/python" "$root/tests/oracles/check_interpreter.py" "$@"; }

rm -rf "$folder"
mkdir -p "$folder"
check write "$folder"
"$interpret" "$folder"
check compare "$folder"
