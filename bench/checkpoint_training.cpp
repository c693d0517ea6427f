// What checkpoints cost training: windows of equal numbers of steps with a save in each and without any take
// turns in one run. One JSON line tells how many seconds longer a window with a save took (median and
// quartiles over the pairs), how long the save held training up, and what share of training that is with a
// save every EVERY steps: the seconds longer over those of EVERY steps. Only the save's own cost is measured,
// so that windows may be much shorter than EVERY steps; each must be longer than its save ("unfinished"
// counts the saves that were not).
//   checkpoint_training MODEL BATCH STEPS REPEATS FOLDER [staged|barrier|sync] [threads] [EVERY, 50]
// In 3 to 4 minutes on two cores: checkpoint_training vit_base_patch16_224 4 4 16 FOLDER,
// or vit_small_patch16_224 4 10 24.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/app/random_images.h"
#include "engine/keys.h"
#include "engine/trainer.h"

namespace vitrail {
namespace {

struct Options {
  std::string model, mode = "staged";
  std::int64_t batch = 1, steps = 50, repeats = 5;
  std::int64_t every = 50;
  std::filesystem::path folder;
  int threads = 0;
};

struct Saves {
  std::vector<double> blocked, written;  // seconds, one a save
  std::uint64_t bytes = 0;
  int unfinished = 0;  // when its window ended
};

// With share 0.5 the median.
double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

class Bench {
 public:
  Bench(Backend& backend, const TrainConfig& config, const Options& options)
      : options_(options), trainer_(backend, config, app::random_images(config.model, config.batch * 4), 1) {}

  // Seconds of `steps` steps, with a save that begins before the first of them where `saves` is there.
  double window(Saves* saves) {
    const auto start = std::chrono::steady_clock::now();
    const double before = trainer_.seconds_blocked();
    if (saves != nullptr) trainer_.begin_save(options_.folder / "bench.vitrail");
    std::optional<SaveOutcome> outcome;
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      while (!trainer_.advance()) {
      }
      if (!outcome) outcome = trainer_.poll_save();
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (saves == nullptr) return elapsed.count();
    if (!outcome) {
      ++saves->unfinished;
      outcome = trainer_.await_save();
    }
    if (outcome->error) std::rethrow_exception(outcome->error);
    saves->blocked.push_back(trainer_.seconds_blocked() - before);
    saves->written.push_back(outcome->seconds);
    saves->bytes = outcome->result.file_bytes;
    return elapsed.count();
  }

 private:
  const Options& options_;
  Trainer trainer_;
};

void measure(const Options& options) {
  TrainConfig config;
  config.model = vit_config(options.model);
  config.input.size = config.model.img_size;
  config.input.crop_pct = 1;
  config.augment.flip = 0;
  config.batch = options.batch;
  config.steps = options.steps * (options.repeats + 1) * 2;
  set_key(config, "save.mode", options.mode);
  const auto backend = make_backend("cpu", {.threads = options.threads});
  Bench bench(*backend, config, options);
  Saves saves, first;
  (void)bench.window(&first);  // touches all memory
  (void)bench.window(nullptr);
  std::vector<double> plain, longer;
  for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    double with = 0;
    if (repeat % 2 == 0) with = bench.window(&saves);
    plain.push_back(bench.window(nullptr));
    if (repeat % 2 == 1) with = bench.window(&saves);
    longer.push_back(with - plain.back());
  }
  std::filesystem::remove(options.folder / "bench.vitrail");
  const double step = median(plain) / double(options.steps), gigabytes = double(saves.bytes) / 1e9;
  std::printf(R"({"model":"%s","mode":"%s","batch":%ld,"threads":%d,"step_seconds":%.4f,"file_bytes":%lu,)"
              R"("longer_seconds":%.4f,"longer_quartiles":[%.4f,%.4f],"every":%ld,"throughput_loss":%.4f,)"
              R"("blocked_seconds_per_gb":%.4f,"write_seconds":%.3f,"saves":%zu,"unfinished":%d})"
              "\n",
              options.model.c_str(), options.mode.c_str(), static_cast<long>(options.batch),
              backend->info().threads, step, static_cast<unsigned long>(saves.bytes), median(longer),
              quantile(longer, 0.25), quantile(longer, 0.75), static_cast<long>(options.every),
              median(longer) / (step * double(options.every)), median(saves.blocked) / gigabytes,
              median(saves.written), saves.blocked.size(), saves.unfinished);
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc < 6) {
    std::fprintf(stderr,
                 "usage: checkpoint_training MODEL BATCH STEPS REPEATS FOLDER [staged|barrier|sync] "
                 "[threads] [EVERY]\n");
    return 2;
  }
  vitrail::Options options{.model = argv[1],
                           .batch = std::atol(argv[2]),
                           .steps = std::atol(argv[3]),
                           .repeats = std::atol(argv[4]),
                           .folder = argv[5]};
  if (argc > 6) options.mode = argv[6];
  if (argc > 7) options.threads = std::atoi(argv[7]);
  if (argc > 8) options.every = std::atol(argv[8]);
  vitrail::measure(options);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
