#include "kernels/cpu/measure_peak.h"

#include <algorithm>
#include <chrono>
#include <memory>

namespace vitrail::cpu {
namespace {

constexpr int kArithmeticRounds = 6;
constexpr int kMemoryRounds = 3;
constexpr std::int64_t kMemoryElements = 32 << 20;  // 128 MiB: more than the caches of most processors

// The best rate of several rounds: whatever else runs on the machine only takes away from it.
double best_rate(Context& context, const OpTable& ops, PeakLoop loop, int rounds) {
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    double done = 0;
    loop.done = &done;
    const auto start = std::chrono::steady_clock::now();
    ops.execute(context, loop);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::max(best, done / time.count());
  }
  return best;
}

}  // namespace

DevicePeak measure_peak(Context& context, const OpTable& ops, bool bf16_dot_products) {
  using Kind = PeakLoop::Kind;
  const auto arithmetic = [&](Kind kind) {
    return best_rate(context, ops, {.kind = kind}, kArithmeticRounds);
  };
  const auto memory = std::make_unique<float[]>(kMemoryElements);
  const auto memory_rate = [&](Kind kind) {
    return best_rate(context, ops, {.kind = kind, .memory = memory.get(), .elements = kMemoryElements},
                     kMemoryRounds);
  };
  return {.f32_flops = arithmetic(Kind::f32),
          .f64_flops = arithmetic(Kind::f64),
          .bf16_flops = bf16_dot_products ? arithmetic(Kind::bf16) : 0,
          .memory_bytes = std::max(memory_rate(Kind::update), memory_rate(Kind::read))};
}

}  // namespace vitrail::cpu
