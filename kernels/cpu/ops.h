#pragma once
// The CPU's ops. The files of this folder that do arithmetic are compiled once for each instruction set, in a
// namespace of its own (VITRAIL_ISA: avx2, avx512, generic), and chosen at run time through a table.
// They keep to views and plain loops: nothing with external linkage from outside that namespace may be
// instantiated in them, or the linker could pick an AVX-512 copy for a machine without it (a test looks).

#include "kernels/backend.h"
#include "kernels/cpu/context.h"

namespace vitrail::cpu {

// Work of a known size that keeps the multipliers or the memory of all threads busy, for measuring their
// peak.
struct PeakLoop {
  enum class Kind : std::uint8_t { f32, f64, bf16, read, update };
  Kind kind;
  float* memory = nullptr;  // (elements) of read and update
  std::int64_t elements = 0;
  double* done = nullptr;  // FLOPs, or bytes that were read and written; 0: these instructions are not there
};

}  // namespace vitrail::cpu

#ifdef VITRAIL_ISA
namespace vitrail::cpu::VITRAIL_ISA {

#define VITRAIL_OP(Op) void execute(Context& context, const Op& op);
VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP
void execute(Context& context, const PeakLoop& op);

}  // namespace vitrail::cpu::VITRAIL_ISA
#endif

namespace vitrail::cpu {

template <class Op>
struct OpEntry {
  void (*function)(Context&, const Op&);
};

// One instruction set's ops.
template <class... Ops>
struct OpTableOf : OpEntry<Ops>... {
  template <class Op>
  void execute(Context& context, const Op& op) const {
    OpEntry<Op>::function(context, op);
  }
};

#define VITRAIL_OP(Op) Op,
using OpTable = OpTableOf<VITRAIL_EACH_OP(VITRAIL_OP) PeakLoop>;
#undef VITRAIL_OP

}  // namespace vitrail::cpu
