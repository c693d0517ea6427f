// The ops around matrix products at the shapes of ViTs, on one thread: f32 (as gemm=auto has it), bf16 by the
// same, and bf16 by oneDNN, interleaved in one run. CPU time, the median of several rounds; GF/s count the
// products alone.
//   kernel_products [rounds [PART-OF-A-NAME]]

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/check.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace vitrail {
namespace {

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

constexpr int kTurns = 1 << 18, kChains = 24;

#if defined(__x86_64__)
// Nothing but f32 multiplications and additions, or bf16 dot products: the most a core can do.
__attribute__((target("avx512f"))) double peak_f32() {
  __m512 sum[kChains];
  for (__m512& each : sum)
    each = _mm512_setzero_ps();
  __m512 factor = _mm512_set1_ps(0.5F);
  const double start = cpu_seconds();
  for (int turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+x"(factor));
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i)
      sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
  }
  for (const __m512& each : sum)
    asm volatile("" ::"x"(each));
  return 2.0 * 16 * kChains * kTurns / (cpu_seconds() - start);
}

__attribute__((target("avx512f,avx512bf16"))) double peak_bf16() {
  __m512 sum[kChains];
  for (__m512& each : sum)
    each = _mm512_setzero_ps();
  __m512i pairs = _mm512_set1_epi32(0x3f003f00);
  const double start = cpu_seconds();
  for (int turn = 0; turn < kTurns; ++turn) {
    asm volatile("" : "+x"(pairs));
#pragma GCC unroll 24
    for (int i = 0; i < kChains; ++i)
      sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)pairs, (__m512bh)pairs);
  }
  for (const __m512& each : sum)
    asm volatile("" ::"x"(each));
  return 4.0 * 16 * kChains * kTurns / (cpu_seconds() - start);
}

double peak_of(DType dtype) {
  if (!__builtin_cpu_supports("avx512f")) return 0;
  if (dtype == DType::f32) return peak_f32();
  return __builtin_cpu_supports("avx512bf16") ? peak_bf16() : 0;
}
#else
double peak_of(DType) {
  return 0;
}
#endif

// One way to compute: a backend and a dtype, with the tensors of the op that is timed.
class Way {
 public:
  Way(std::string name, const std::string& gemm, DType dtype)
      : name_(std::move(name)), dtype_(dtype), backend_(make_backend("cpu", {.threads = 1, .gemm = gemm})) {}

  const std::string& name() const { return name_; }
  Backend& backend() { return *backend_; }
  void forget() { buffers_.clear(); }

  Out data(const Shape& shape) { return tensor(shape, dtype_); }
  Out wide(const Shape& shape) { return tensor(shape, statistics_dtype(dtype_)); }

 private:
  Out tensor(const Shape& shape, DType dtype) {
    const auto count = static_cast<std::size_t>(shape.elements());
    buffers_.emplace_back(*backend_, count * size_of(dtype));
    const Out out{buffers_.back().data(), dtype, shape};
    std::vector<float> values(count);
    std::uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525 + 1013904223;
      value = static_cast<float>(state >> 8) * 0x1p-23F - 1;
    }
    if (dtype == DType::f32) {
      backend_->upload(out, values.data(), count * 4);
    } else {
      Buffer wide(*backend_, count * 4);
      const Out from{wide.data(), DType::f32, shape};
      backend_->upload(from, values.data(), count * 4);
      backend_->run(Cast{.y = out, .x = from});
    }
    return out;
  }

  std::string name_;
  DType dtype_;
  std::unique_ptr<Backend> backend_;
  std::vector<Buffer> buffers_;
};

std::string wanted;  // part of the names of the lines to print

using Prepare = std::function<std::function<void()>(Way&)>;  // allocates, then gives what is timed

// A line of the table: GF/s of each way, the share of its peak, and the gain over the first way.
void compare(const char* title, double flops, int rounds, std::vector<std::unique_ptr<Way>>& ways,
             const Prepare& prepare, const std::vector<double>& peaks) {
  if (std::string(title).find(wanted) == std::string::npos) return;
  std::vector<std::function<void()>> runs;
  for (auto& way : ways) {
    runs.push_back(prepare(*way));
    runs.back()();
  }
  std::vector<std::vector<double>> seconds(ways.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const double start = cpu_seconds();
      runs[i]();
      seconds[i].push_back(cpu_seconds() - start);
    }
  }
  std::printf("%-26s", title);
  const double first = median(seconds[0]);
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const double time = median(seconds[i]), speed = flops / time;
    std::printf("  %7.1f %5.1f %% %5.2f×", speed * 1e-9, peaks[i] > 0 ? 100 * speed / peaks[i] : 0,
                first / time);
    ways[i]->forget();
  }
  std::printf("\n");
  std::fflush(stdout);
}

struct Layer {
  const char* name;
  std::int64_t samples, in, out;
};

std::function<void()> linear_forward(Way& way, const Shape& xs, const Shape& ys) {
  const LinearForward op{
      .y = way.data(ys), .x = way.data(xs), .weight = way.data({ys[2], xs[2]}), .bias = way.wide({ys[2]})};
  return [op, &way] { way.backend().run(op); };
}

std::function<void()> gelu_forward(Way& way, const Shape& xs, const Shape& ys) {
  const LinearGeluForward op{.y = way.data(ys),
                             .pre = way.data(ys),
                             .x = way.data(xs),
                             .weight = way.data({ys[2], xs[2]}),
                             .bias = way.wide({ys[2]}),
                             .gelu = GeluKind::erf,
                             .dropout = {}};
  return [op, &way] { way.backend().run(op); };
}

std::function<void()> linear_backward(Way& way, const Shape& xs, const Shape& ys, bool with_dx) {
  const LinearBackward op{.dx = with_dx ? way.data(xs) : Out{},
                          .dweight_acc = way.wide({ys[2], xs[2]}),
                          .dbias_acc = {},
                          .dy = way.data(ys),
                          .x = way.data(xs),
                          .weight = way.data({ys[2], xs[2]})};
  return [op, &way] { way.backend().run(op); };
}

struct Heads {
  const char* name;
  std::int64_t samples, tokens, heads, head_dim;
};

std::function<void()> attention(Way& way, const Heads& s, bool backward) {
  const std::int64_t dim = s.heads * s.head_dim;
  const Shape narrow = {s.samples, s.tokens, dim}, wide = {s.samples, s.tokens, 3 * dim};
  const AttentionForward forward{.y = way.data(narrow),
                                 .lse = way.wide({s.samples, s.heads, s.tokens}),
                                 .qkv = way.data(wide),
                                 .heads = s.heads,
                                 .dropout = {}};
  if (!backward) return [forward, &way] { way.backend().run(forward); };
  way.backend().run(forward);
  const AttentionBackward op{.dqkv = way.data(wide),
                             .dy = way.data(narrow),
                             .y = forward.y,
                             .qkv = forward.qkv,
                             .lse = forward.lse,
                             .heads = s.heads,
                             .dropout = {}};
  return [op, &way] { way.backend().run(op); };
}

void run(int rounds) {
  std::vector<std::unique_ptr<Way>> ways;
  ways.push_back(std::make_unique<Way>("f32", "auto", DType::f32));
  ways.push_back(std::make_unique<Way>("bf16", "auto", DType::bf16));
  try {
    ways.push_back(std::make_unique<Way>("bf16 by oneDNN", "onednn", DType::bf16));
  } catch (const std::exception& error) {
    std::printf("without oneDNN: %s\n", error.what());
  }
  std::vector<double> f32, bf16, peaks;
  for (int i = 0; i < 9; ++i) {
    f32.push_back(peak_of(DType::f32));
    bf16.push_back(peak_of(DType::bf16));
  }
  const BackendInfo info = ways[0]->backend().info();
  std::printf(
      "%s, %s, one thread; f32 by %s, bf16 by %s; peak of a core: f32 %.1f, bf16 dot products %.1f GF/s\n",
      info.name.c_str(), info.isa.c_str(), info.gemm.c_str(), info.bf16.c_str(), median(f32) * 1e-9,
      median(bf16) * 1e-9);
  std::printf("%-26s", "GF/s, share of peak, gain");
  for (const auto& way : ways) {
    std::printf("  %-22s", way->name().c_str());
    peaks.push_back(median(way->name() == "f32" ? f32 : bf16));
  }
  std::printf("\n");
  const Layer layers[] = {{"Ti qkv", 16, 192, 576}, {"Ti fc1", 16, 192, 768}, {"Ti fc2", 16, 768, 192},
                          {"S fc1", 8, 384, 1536},  {"B qkv", 4, 768, 2304},  {"B fc1", 4, 768, 3072},
                          {"B fc2", 4, 3072, 768}};
  for (const Layer& layer : layers) {
    const Shape xs = {layer.samples, 197, layer.in}, ys = {layer.samples, 197, layer.out};
    const double flops = 2.0 * static_cast<double>(xs.elements()) * static_cast<double>(layer.out);
    const std::string name = layer.name;
    compare((name + " y").c_str(), flops, rounds, ways, [&](Way& way) { return linear_forward(way, xs, ys); },
            peaks);
    if (name.ends_with("fc1")) {
      compare((name + " y, gelu").c_str(), flops, rounds, ways,
              [&](Way& way) { return gelu_forward(way, xs, ys); }, peaks);
    }
    compare((name + " dW").c_str(), flops, rounds, ways,
            [&](Way& way) { return linear_backward(way, xs, ys, false); }, peaks);
    compare((name + " dx, dW").c_str(), 2 * flops, rounds, ways,
            [&](Way& way) { return linear_backward(way, xs, ys, true); }, peaks);
  }
  const Heads all_heads[] = {{"Ti attention", 4, 197, 3, 64},
                             {"B attention", 1, 197, 12, 64},
                             {"grey28 attention", 16, 50, 4, 32},
                             {"1024 tokens attention", 1, 1024, 2, 64}};
  for (const Heads& s : all_heads) {
    const auto scores = static_cast<double>(s.samples * s.heads * s.tokens * s.tokens * s.head_dim);
    const std::string name = s.name;
    compare((name + " y").c_str(), 4 * scores, rounds, ways,
            [&](Way& way) { return attention(way, s, false); }, peaks);
    compare((name + " dqkv").c_str(), 10 * scores, rounds, ways,
            [&](Way& way) { return attention(way, s, true); }, peaks);
  }
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) {
  if (argc > 2) vitrail::wanted = argv[2];
  vitrail::run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 9);
}
