#!/bin/sh
# Usage: isa_symbols_test.sh NM ISA OBJECT...
# Objects compiled for one instruction set must not define a symbol that another object may share (weak, unique):
# the linker keeps one copy of those, and could keep the AVX-512 one for a machine without AVX-512. Such a symbol is
# allowed only when its name contains that of the instruction set.
# DW.ref.* are the compiler's pointers to its exception routine, the same in every object.
set -eu
nm=$1
isa=$2
shift 2
shared=$("$nm" -C --defined-only "$@" | grep -E '^[0-9a-f]+ [WVu] ' | grep -v -w -E "(Eigen_)?$isa|DW\.ref\.\w+" | sort -u || true)
if [ -n "$shared" ]; then
  echo "Symbols with external linkage that do not belong to $isa; put their code into the namespace of the"
  echo "instruction set or an unnamed one, or keep the template from being instantiated there:"
  echo "$shared"
  exit 1
fi
