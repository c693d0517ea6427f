// Loops that do nothing but keep the processor's multipliers, or its memory, busy.

#include "kernels/cpu/ops.h"
#include "kernels/cpu/vec.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kTurns = 1 << 16;                   // of the arithmetic loops
constexpr std::int64_t kTasksPerThread = 4;                // so that a thread that comes late does less
constexpr std::int64_t kReadChunk = 1 << 18;               // elements of one task
constexpr int kChains = kVectorRegisters == 32 ? 24 : 12;  // hide the latency, and fit into the registers

// Returns the FLOPs done. The result goes to `to`, so that the loop cannot be left out.
template <class T>
double multiply_add(T* to) {
  Vec<T> sum[kChains];
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i)
    sum[i] = splat(T(i));
  Vec<T> factor = splat(T(0.5)), added = splat(T(0.25));
  for (std::int64_t turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+x"(factor), "+x"(added));  // else constants would let the compiler compute ahead
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i)
      sum[i] = sum[i] * factor + added;
  }
  for (int i = 1; i < kChains; ++i)
    sum[0] += sum[i];
  store<T>(to, sum[0]);
  return 2.0 * kChains * double(kLanes<T>) * double(kTurns);
}

#ifdef __AVX512BF16__
double multiply_add_bf16(float* to) {
  __m512 sum[kChains];
#pragma GCC unroll 24
  for (int i = 0; i < kChains; ++i)
    sum[i] = _mm512_set1_ps(float(i));
  Vec<float> bits = {};
  for (std::int64_t turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+x"(bits));
    const __m512bh factor = reinterpret_cast<__m512bh>(bits);
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i)
      sum[i] = _mm512_dpbf16_ps(sum[i], factor, factor);
  }
  for (int i = 1; i < kChains; ++i)
    sum[0] = _mm512_add_ps(sum[0], sum[i]);
  _mm512_storeu_ps(to, sum[0]);
  return 4.0 * kChains * double(kLanes<float>) * double(kTurns);
}
#endif

double arithmetic(PeakLoop::Kind kind, void* to) {
  if (kind == PeakLoop::Kind::f64) return multiply_add(static_cast<double*>(to));
#ifdef __AVX512BF16__
  if (kind == PeakLoop::Kind::bf16) return multiply_add_bf16(static_cast<float*>(to));
#endif
  return kind == PeakLoop::Kind::f32 ? multiply_add(static_cast<float*>(to)) : 0;
}

// from[begin, end), a whole number of eight vectors
void read(const float* from, std::int64_t begin, std::int64_t end, float* to) {
  Vec<float> sum[8] = {};
  for (std::int64_t i = begin; i < end; i += 8 * kLanes<float>) {
#pragma GCC unroll 8
    for (int v = 0; v < 8; ++v)
      sum[v] += load(from + i + v * kLanes<float>);
  }
  for (int v = 1; v < 8; ++v)
    sum[0] += sum[v];
  store<float>(to, sum[0]);
}

void update(float* data, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; i += kLanes<float>)
    store<float>(data + i, load(data + i) * 0.5f);
}

}  // namespace

void execute(Context& context, const PeakLoop& op) {
  const auto scratch = [&](int worker) {
    return reinterpret_cast<float*>(context.scratch(worker, kVectorBytes));
  };
  if (op.kind == PeakLoop::Kind::read || op.kind == PeakLoop::Kind::update) {
    const bool reads = op.kind == PeakLoop::Kind::read;
    const std::int64_t whole = op.elements / kReadChunk * kReadChunk;
    context.pool().parallel_for(whole / kReadChunk, [&](std::int64_t index, int worker) {
      const std::int64_t begin = index * kReadChunk, end = begin + kReadChunk;
      reads ? read(op.memory, begin, end, scratch(worker)) : update(op.memory, begin, end);
    });
    *op.done = double(whole) * sizeof(float) * (reads ? 1 : 2);
    return;
  }
  const std::int64_t tasks = kTasksPerThread * context.threads();
  double* each =
      reinterpret_cast<double*>(context.shared_scratch(static_cast<std::size_t>(tasks) * sizeof(double)));
  context.pool().parallel_for(
      tasks, [&](std::int64_t task, int worker) { each[task] = arithmetic(op.kind, scratch(worker)); });
  *op.done = 0;
  for (std::int64_t task = 0; task < tasks; ++task)
    *op.done += each[task];
}

}  // namespace vitrail::cpu::VITRAIL_ISA
