#!/usr/bin/env bash
# Makes build/oracle-venv, the virtual environment of the tests that compare with PyPI's onnxruntime and of those of
# format/python; one that is complete already is kept.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/oracle-venv
packages=(numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow xxhash==4.1.0 safetensors==0.8.0)
if "$venv/bin/python" -c 'import numpy, onnx, onnxruntime, PIL, safetensors, xxhash' 2>/dev/null; then exit 0; fi
rm -rf "$venv"
/usr/bin/python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
