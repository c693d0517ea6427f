// Times the ops of a ViT-B/16 on the cuda device in f32 and holds them against their floors: the larger of
// FLOPs at the device's f32 rate and bytes at its bandwidth. Markdown rows.
//   cuda_kernels BATCH REPEATS TFLOPS GB_PER_SECOND

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <vector>

#include "kernels/backend.h"
#include "kernels/random.h"

namespace vitrail {
namespace {

constexpr std::int64_t kTokens = 197, kDim = 768, kHeads = 12, kMlp = 3072, kWeights = 86567656;

class Bench {
 public:
  Bench(Backend& backend, std::int64_t batch, int repeats, double tflops, double bandwidth)
      : backend_(backend), batch_(batch), repeats_(repeats), tflops_(tflops), bandwidth_(bandwidth) {}

  Out rows(std::int64_t width) { return tensor({batch_, kTokens, width}); }
  Out tensor(const Shape& shape, DType dtype = DType::f32) {
    const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
    buffers_.emplace_back(backend_, bytes);
    const Out view{buffers_.back().data(), dtype, shape};
    if (dtype == DType::f32) fill(view);
    return view;
  }
  void forget() { buffers_.clear(); }

  // Of one run: FLOPs and bytes that it cannot do without.
  template <class Op>
  void time(const char* name, const Op& op, double flops, double bytes) {
    backend_.run(op);
    wait();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats_; ++i)
      backend_.run(op);
    wait();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repeats_;
    const double floor = std::max(flops / (tflops_ * 1e12), bytes / (bandwidth_ * 1e9));
    std::printf("| %s | %.3f | %.2f | %.0f | %.3f | %.0f %% |\n", name, 1e3 * seconds,
                1e-12 * flops / seconds, 1e-9 * bytes / seconds, 1e3 * floor, 100 * floor / seconds);
  }

  double numbers(std::int64_t width) const { return static_cast<double>(batch_ * kTokens * width); }
  std::int64_t batch() const { return batch_; }

 private:
  void fill(Out view) {
    std::vector<float> values(std::size_t{1} << 16);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(
          uniform(random4({1, Purpose::init}, 1, static_cast<std::uint32_t>(i))[0]) * 0.1 + 0.01);
    }
    const std::int64_t all = view.shape.elements();
    for (std::int64_t at = 0; at < all; at += static_cast<std::int64_t>(values.size())) {
      const std::int64_t count = std::min(all - at, static_cast<std::int64_t>(values.size()));
      backend_.upload({view.as<float>() + at, DType::f32, {count}}, values.data(),
                      static_cast<std::size_t>(count) * sizeof(float));
    }
  }
  void wait() {  // a download comes after everything that was asked for
    float value = 0;
    backend_.download(&value, {buffers_.front().data(), DType::f32, {1}}, sizeof(value));
  }

  Backend& backend_;
  std::int64_t batch_;
  int repeats_;
  double tflops_, bandwidth_;
  std::deque<Buffer> buffers_;
};

void layernorm(Bench& bench) {
  const Out x = bench.rows(kDim), y = bench.rows(kDim), weight = bench.tensor({kDim}),
            bias = bench.tensor({kDim});
  const Out mean = bench.tensor({bench.batch(), kTokens}), rstd = bench.tensor({bench.batch(), kTokens});
  const double n = bench.numbers(kDim);
  bench.time("LayerNorm",
             LayerNormForward{.y = y, .mean = mean, .rstd = rstd, .x = x, .weight = weight, .bias = bias}, 0,
             8 * n);
  bench.time("LayerNorm, gradients",
             LayerNormBackward{.dx_acc = bench.rows(kDim),
                               .dweight_acc = bench.tensor({kDim}),
                               .dbias_acc = bench.tensor({kDim}),
                               .dy = y,
                               .x = x,
                               .weight = weight,
                               .mean = mean,
                               .rstd = rstd},
             0, 16 * n);
  bench.forget();
}

void linear(Bench& bench) {
  const Out x = bench.rows(kDim), y = bench.rows(3 * kDim);
  const Out weight = bench.tensor({3 * kDim, kDim}), bias = bench.tensor({3 * kDim});
  const double flops = 2 * bench.numbers(kDim) * 3 * kDim, bytes = 4 * bench.numbers(4 * kDim);
  bench.time("qkv", LinearForward{.y = y, .x = x, .weight = weight, .bias = bias}, flops, bytes);
  bench.time("qkv, gradients",
             LinearBackward{.dx = bench.rows(kDim),
                            .dweight_acc = bench.tensor({3 * kDim, kDim}),
                            .dbias_acc = bench.tensor({3 * kDim}),
                            .dy = y,
                            .x = x,
                            .weight = weight},
             2 * flops, 2 * bytes);
  bench.forget();
}

void mlp(Bench& bench) {
  const Out x = bench.rows(kDim), hidden = bench.rows(kMlp), pre = bench.rows(kMlp);
  const Out weight1 = bench.tensor({kMlp, kDim}), weight2 = bench.tensor({kDim, kMlp});
  const Out bias1 = bench.tensor({kMlp}), bias2 = bench.tensor({kDim});
  const double flops = 2 * bench.numbers(kDim) * kMlp;
  const double narrow = 4 * bench.numbers(kDim), wide = 4 * bench.numbers(kMlp);
  for (const auto& [name, gelu] :
       {std::pair{"fc1, GELU by erf", GeluKind::erf}, {"fc1, GELU by tanh", GeluKind::tanh}}) {
    bench.time(
        name,
        LinearGeluForward{
            .y = hidden, .pre = pre, .x = x, .weight = weight1, .bias = bias1, .gelu = gelu, .dropout = {}},
        flops, narrow + 2 * wide);
  }
  const Out y = bench.rows(kDim);
  bench.time("fc2, residual",
             LinearResidualForward{.y = y,
                                   .branch = {},
                                   .residual = x,
                                   .x = hidden,
                                   .weight = weight2,
                                   .bias = bias2,
                                   .gamma = {},
                                   .dropout = {},
                                   .drop_path = {}},
             flops, 2 * narrow + wide);
  bench.time("fc2, gradients through GELU",
             LinearResidualBackward{.dx = bench.rows(kMlp),
                                    .dbranch = bench.rows(kDim),
                                    .dweight_acc = bench.tensor({kDim, kMlp}),
                                    .dbias_acc = bench.tensor({kDim}),
                                    .dgamma_acc = {},
                                    .dy = y,
                                    .branch = {},
                                    .x = hidden,
                                    .weight = weight2,
                                    .gamma = {},
                                    .dropout = {},
                                    .drop_path = {},
                                    .gelu_pre = pre,
                                    .gelu_dropout = {}},
             2 * flops, 2 * narrow + 3 * wide);
  bench.forget();
}

void attention(Bench& bench) {
  const Out qkv = bench.rows(3 * kDim), y = bench.rows(kDim),
            lse = bench.tensor({bench.batch(), kHeads, kTokens});
  const double square = bench.numbers(kDim) * kTokens, n = bench.numbers(kDim);
  bench.time("attention", AttentionForward{.y = y, .lse = lse, .qkv = qkv, .heads = kHeads, .dropout = {}},
             4 * square, 16 * n);
  bench.time("attention, gradients",
             AttentionBackward{.dqkv = bench.rows(3 * kDim),
                               .dy = bench.rows(kDim),
                               .y = y,
                               .qkv = qkv,
                               .lse = lse,
                               .heads = kHeads,
                               .dropout = {}},
             14 * square, 40 * n);
  bench.forget();
}

void optimizer(Bench& bench, std::int64_t count) {
  const Out grad = bench.tensor({count}), norm = bench.tensor({1}, DType::f64);
  const auto n = static_cast<double>(count);
  bench.time("gradients' norm", GradNorm{.norm = norm, .grad = grad}, 0, 4 * n);
  const AdamSegment whole{.begin = 0, .end = count, .weight_decay = 0.05};
  bench.time("AdamW",
             AdamStep{.weight = bench.tensor({count}),
                      .first_moment = bench.tensor({count}),
                      .second_moment = bench.tensor({count}),
                      .ema = {},
                      .grad = grad,
                      .grad_norm = norm,
                      .segments = {&whole, 1},
                      .max_norm = 1},
             0, 28 * n);
  bench.forget();
}

void run(std::int64_t batch, int repeats, double tflops, double bandwidth) {
  const std::unique_ptr<Backend> backend = make_backend("cuda");
  Bench bench(*backend, batch, repeats, tflops, bandwidth);
  std::printf("| op, batch %ld on %s | ms | TFLOP/s | GB/s | floor, ms | of the floor's speed |\n",
              static_cast<long>(batch), backend->info().name.c_str());
  std::printf("|---|--:|--:|--:|--:|--:|\n");
  layernorm(bench);
  linear(bench);
  mlp(bench);
  attention(bench);
  optimizer(bench, batch >= 16 ? kWeights : kWeights / 64);
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::fprintf(stderr, "usage: cuda_kernels BATCH REPEATS TFLOPS GB_PER_SECOND\n");
    return 2;
  }
  vitrail::run(std::atol(argv[1]), std::atoi(argv[2]), std::atof(argv[3]), std::atof(argv[4]));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
