// What checkpoints cost training: windows of equal numbers of steps without any, with one, and with one every
// ten steps take turns in one run, and one JSON line tells how much longer they took, and for how long each
// save held training up.
//   checkpoint_training MODEL BATCH STEPS REPEATS FOLDER [staged|barrier|sync] [threads]

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
  std::filesystem::path folder;
  int threads = 0;
};

struct Saves {
  std::vector<double> blocked, written;  // seconds, one a save
  std::uint64_t bytes = 0;
  int skipped = 0;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

class Bench {
 public:
  Bench(Backend& backend, const TrainConfig& config, const Options& options)
      : options_(options), trainer_(backend, config, app::random_images(config.model, config.batch * 4), 1) {}

  // Seconds of `steps` steps with a save before every `every`-th of them; 0: none.
  double window(std::int64_t every, Saves& saves) {
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      take(trainer_.poll_save(), saves);
      if (every > 0 && step % every == 0) begin(saves);
      while (!trainer_.advance()) {
      }
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    take(trainer_.await_save(), saves);
    return elapsed.count();
  }

 private:
  void begin(Saves& saves) {
    if (trainer_.saving()) {
      ++saves.skipped;
      return;
    }
    before_ = trainer_.seconds_blocked();
    trainer_.begin_save(options_.folder / "bench.vitrail");
  }

  void take(const std::optional<SaveOutcome>& outcome, Saves& saves) const {
    if (!outcome) return;
    if (outcome->error) std::rethrow_exception(outcome->error);
    saves.blocked.push_back(trainer_.seconds_blocked() - before_);
    saves.written.push_back(outcome->seconds);
    saves.bytes = outcome->result.file_bytes;
  }

  const Options& options_;
  Trainer trainer_;
  double before_ = 0;
};

void print_arm(const char* name, const std::vector<double>& losses, const Saves& saves) {
  const double gigabytes = double(saves.bytes) / 1e9;
  std::printf(
      R"(,"%s":{"throughput_loss":%.4f,"blocked_seconds_per_gb":%.4f,"write_seconds":%.3f,"saves":%zu,"skipped":%d})",
      name, median(losses), median(saves.blocked) / gigabytes, median(saves.written), saves.blocked.size(),
      saves.skipped);
}

void measure(const Options& options) {
  TrainConfig config;
  config.model = vit_config(options.model);
  config.input.size = config.model.img_size;
  config.input.crop_pct = 1;
  config.augment.flip = 0;
  config.batch = options.batch;
  config.steps = options.steps * options.repeats * 3 + 2;
  set_key(config, "save.mode", options.mode);
  const auto backend = make_backend("cpu", {.threads = options.threads});
  Bench bench(*backend, config, options);
  const std::int64_t every[] = {0, options.steps, 10};
  std::vector<double> seconds[3];
  Saves saves[3];
  for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    for (std::int64_t turn = 0; turn < 3; ++turn) {
      const std::size_t arm = static_cast<std::size_t>((turn + repeat) % 3);
      seconds[arm].push_back(bench.window(every[arm], saves[arm]));
    }
  }
  std::vector<double> losses[3];
  for (std::size_t repeat = 0; repeat < seconds[0].size(); ++repeat) {
    for (std::size_t arm : {1, 2})
      losses[arm].push_back(seconds[arm][repeat] / seconds[0][repeat] - 1);
  }
  std::printf(R"({"model":"%s","mode":"%s","batch":%ld,"threads":%d,"step_seconds":%.4f,"file_bytes":%lu)",
              options.model.c_str(), options.mode.c_str(), static_cast<long>(options.batch),
              backend->info().threads, median(seconds[0]) / double(options.steps),
              static_cast<unsigned long>(saves[1].bytes));
  print_arm("one", losses[1], saves[1]);
  print_arm("every_10", losses[2], saves[2]);
  std::printf("}\n");
  std::filesystem::remove(options.folder / "bench.vitrail");
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc < 6) {
    std::fprintf(
        stderr,
        "usage: checkpoint_training MODEL BATCH STEPS REPEATS FOLDER [staged|barrier|sync] [threads]\n");
    return 2;
  }
  vitrail::Options options{.model = argv[1],
                           .batch = std::atol(argv[2]),
                           .steps = std::atol(argv[3]),
                           .repeats = std::atol(argv[4]),
                           .folder = argv[5]};
  if (argc > 6) options.mode = argv[6];
  if (argc > 7) options.threads = std::atoi(argv[7]);
  vitrail::measure(options);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
