#!/usr/bin/env bash
# Installs what Vitrail needs on a bare Debian 12.
#   install-deps.sh         to build and run
#   install-deps.sh --test  and what the tests need: a second compiler, PyTorch as an oracle
set -euo pipefail

packages=(
  g++ cmake ninja-build
  libeigen3-dev libdnnl-dev                                 # tensor maths, matrix products
  libprotobuf-dev protobuf-compiler libonnx-dev             # ONNX messages and checker
  libxxhash-dev liburing-dev                                # hashes, writes past the page cache
  zlib1g-dev libspng-dev libturbojpeg0-dev                  # IDX.gz, PNG, JPEG
  libdeflate-dev                                            # zip entries: CRC-32, deflate
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libfmt-dev
  doctest-dev libbenchmark-dev
  dataset-fashion-mnist                                     # the built-in default data
)
test_packages=(
  clang-14 libclang-rt-14-dev clang-format-14 binutils
  libboost-context-dev                                      # threads of the host emulation of CUDA
  python3 python3-venv python3-torch python3-numpy          # oracles, tests only
)
if [[ "${1:-}" == "--test" ]]; then packages+=("${test_packages[@]}"); fi

missing=()
for package in "${packages[@]}"; do
  [[ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" == "install ok installed" ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then exit 0; fi

sudo=()
if ((EUID != 0)); then sudo=(sudo); fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
