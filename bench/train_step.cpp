// Times one training step (forward, cross-entropy, backward, clip, AdamW) and prints one JSON line a model.
//   train_step MODEL BATCH STEPS [threads]      MODEL: a timm name, or "grey28"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/micro_batch.h"
#include "engine/optimizer.h"
#include "engine/vit.h"

namespace vitrail {
namespace {

// 28×28 grey, patch 4, D 128, 6 blocks, 4 heads.
VitConfig grey28() {
  VitConfig config;
  config.name = "grey28";
  config.img_size = 28;
  config.patch_size = 4;
  config.in_chans = 1;
  config.num_classes = 10;
  config.embed_dim = 128;
  config.depth = 6;
  config.num_heads = 4;
  config.mlp_dim = 512;
  return config;
}

struct Step {
  Step(Backend& backend_in, const VitConfig& config, std::int64_t batch)
      : backend(backend_in),
        weights(backend, config, DType::f32),
        grads(backend, config, DType::f32),
        optimizer(backend, config, {}, weights),
        vit(backend, config, DType::f32, batch, VitMode::training),
        micro(backend, config, DType::f32, batch) {
    init_params(backend, config, weights, 1);
    fill(micro.images);
    std::vector<float> hot(static_cast<std::size_t>(micro.targets.shape.elements()));
    for (std::int64_t i = 0; i < batch; ++i) {
      hot[static_cast<std::size_t>(i * config.num_classes + i % config.num_classes)] = 1;
    }
    backend.upload(micro.targets, hot.data(), hot.size() * 4);
  }

  void fill(Out view) {
    std::vector<float> values(static_cast<std::size_t>(view.shape.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(
          2 * uniform(random4({1, Purpose::init}, 1, static_cast<std::uint32_t>(i))[0]) - 1);
    }
    backend.upload(view, values.data(), values.size() * 4);
  }

  void run(std::int64_t step) {
    backend.zero(grads.flat());
    const In logits = vit.forward(weights.views(), micro.images);
    backend.run(CrossEntropy{.losses = micro.losses,
                             .dlogits = micro.dlogits,
                             .logits = logits,
                             .targets = micro.targets,
                             .scale = 1.0 / double(micro.images.shape[0])});
    vit.backward(weights.views(), grads.views(), micro.dlogits, {});
    optimizer.grad_norm(grads);
    optimizer.step(weights, grads, nullptr, step, 1e-4, 0);
  }

  Backend& backend;
  ParamSet weights, grads;
  Optimizer optimizer;
  Vit vit;
  MicroBatch micro;
};

double seconds(const std::chrono::steady_clock::time_point& since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

void measure(const std::string& name, std::int64_t batch, int steps, int threads) {
  const VitConfig config = name == "grey28" ? grey28() : vit_config(name);
  const auto backend = make_backend("cpu", {.threads = threads});
  Step step(*backend, config, batch);
  step.run(1);
  backend->set_profiling(true);
  std::vector<double> times;
  for (int i = 0; i < steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step.run(i + 2);
    times.push_back(seconds(start));
  }
  double total = 0;
  for (double time : times)
    total += time;
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf(
      R"({"engine":"vitrail","model":"%s","batch":%ld,"seconds":%.6f,"images_per_second":%.2f,"gflops":%.1f,"peak_rss_mib":%ld,"share":{)",
      name.c_str(), static_cast<long>(batch), median, double(batch) / median,
      3e-9 * double(forward_flops(config)) * double(batch) / median, usage.ru_maxrss / 1024);
  const char* comma = "";
  for (const auto& [op, time] : backend->profile()) {
    std::printf(R"(%s"%s":%.3f)", comma, op.c_str(), time.seconds / total);
    comma = ",";
  }
  std::printf("}}\n");
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc < 4) {
    std::fprintf(stderr, "usage: train_step MODEL BATCH STEPS [threads]\n");
    return 2;
  }
  vitrail::measure(argv[1], std::atol(argv[2]), std::atoi(argv[3]), argc > 4 ? std::atoi(argv[4]) : 0);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
