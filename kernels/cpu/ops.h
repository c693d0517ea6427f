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

void execute(Context& context, const PatchEmbedForward& op);
void execute(Context& context, const PatchEmbedBackward& op);
void execute(Context& context, const EmbedTokensForward& op);
void execute(Context& context, const EmbedTokensBackward& op);
void execute(Context& context, const SliceTokensForward& op);
void execute(Context& context, const SliceTokensBackward& op);
void execute(Context& context, const MeanTokensForward& op);
void execute(Context& context, const MeanTokensBackward& op);
void execute(Context& context, const LinearForward& op);
void execute(Context& context, const LinearBackward& op);
void execute(Context& context, const LinearGeluForward& op);
void execute(Context& context, const GeluForward& op);
void execute(Context& context, const LinearResidualForward& op);
void execute(Context& context, const LinearResidualBackward& op);
void execute(Context& context, const LayerNormForward& op);
void execute(Context& context, const LayerNormBackward& op);
void execute(Context& context, const AttentionForward& op);
void execute(Context& context, const AttentionBackward& op);
void execute(Context& context, const CrossEntropy& op);
void execute(Context& context, const ApplyDropout& op);
void execute(Context& context, const Combine& op);
void execute(Context& context, const Cast& op);
void execute(Context& context, const AdamStep& op);
void execute(Context& context, const GradNorm& op);
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

using OpTable =
    OpTableOf<PatchEmbedForward, PatchEmbedBackward, EmbedTokensForward, EmbedTokensBackward,
              SliceTokensForward, SliceTokensBackward, MeanTokensForward, MeanTokensBackward, LinearForward,
              LinearBackward, LinearGeluForward, GeluForward, LinearResidualForward, LinearResidualBackward,
              LayerNormForward, LayerNormBackward, AttentionForward, AttentionBackward, CrossEntropy,
              ApplyDropout, Combine, Cast, AdamStep, GradNorm, PeakLoop>;

}  // namespace vitrail::cpu
