#!/usr/bin/env bash
# The oracle checks under the newest torch, timm and transformers of PyPI, beside those of CI under Debian's torch:
# weights are made by those libraries from random seeds (nothing else is downloaded), read, run and written back.
#   oracle-newest-pytorch.sh
# The virtual environment is made in build/newest-venv on the first run (some gigabytes); NEWEST_VENV=FOLDER names another.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${NEWEST_VENV:-build/newest-venv}
if ! "$venv/bin/python" -c 'import safetensors, timm, torch, transformers' 2>/dev/null; then
  /usr/bin/python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check torch timm transformers safetensors numpy
fi
cmake --preset release >/dev/null
cmake --build --preset release --target import_parity torch_files torch_parity torch_takeover
programs=build/release/tests cases=build/newest-cases
rm -rf "$cases"
mkdir -p "$cases"

# A check is a line here: what it is, then its command.
check() {
  printf '\n== %s\n' "$1"
  PYTHONPATH=tests/oracles "$venv/bin/python" "${@:2}"
}
"$programs/torch_parity" "$cases" && check "training steps" tests/oracles/check_torch.py "$cases"
check ".pt files" tests/oracles/check_torch_files.py "$cases/pt" "$programs/torch_files"
check "families, by hand" tests/oracles/check_import.py "$programs/import_parity" "$cases/import"
check "families of timm and transformers" tests/oracles/check_newest.py "$programs/import_parity" "$cases/newest"
printf '\n== trainings that begin here and end in PyTorch, and the other way round\n'
bash tests/oracles/torch_takeover.sh "$programs/torch_takeover" "$venv/bin/python" "$cases/takeover"
printf '\nAll checks under the newest PyTorch passed\n'
