// Training takes its memory before step 1 and then no more.

#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>

#include "engine/trainer.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

// Bytes of this process in memory (proc(5), statm).
std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// The most bytes that were in memory at once since the last call (proc(5), clear_refs and status).
std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::int64_t kibibytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) kibibytes = std::stoll(line.substr(6));
  }
  std::ofstream("/proc/self/clear_refs") << 5;
  return kibibytes * 1024;
}

}  // namespace

// The address sanitizer keeps freed memory for a while, which is its job and not a leak of ours.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

TEST_CASE("nothing grows over 1,000 steps, evaluation included" * doctest::skip(kSanitized)) {
  const DataSource data = test::synthetic_data(64, 16, 4, 8);
  TrainConfig config = test::tiny_training();
  config.model.proj_drop_rate = 0.1;
  config.model.attn_drop_rate = 0.1;
  config.augment.crop_min = 0.5;
  config.ema.decay = 0.99;
  config.batch = 16;
  config.steps = 1200;
  config.opt.lr = 1e-4;
  const auto backend = make_backend("cpu", {.threads = 2});
  Trainer trainer(*backend, config, data, 2);
  std::int64_t after_warm_up = 0;
  while (!trainer.done()) {
    trainer.advance();
    if (trainer.at_epoch_end()) trainer.finish_epoch();
    if (trainer.step() == 200) after_warm_up = resident_bytes();
  }
  CHECK(resident_bytes() - after_warm_up <= 512 * 1024);
}

TEST_CASE("saving takes the memory that was set aside for it, and at most 64 MiB" *
          doctest::skip(kSanitized)) {
  const test::TemporaryFolder folder;
  const DataSource data = test::synthetic_data(8, 0, 4, 8);
  TrainConfig config = test::tiny_training();
  config.model.embed_dim = 384;
  config.model.mlp_dim = 1536;
  config.model.depth = 5;
  config.batch = 2;
  for (const SaveMode mode : {SaveMode::staged, SaveMode::barrier, SaveMode::sync}) {
    CAPTURE(name_of(mode));
    config.save.mode = mode;
    const auto backend = make_backend("cpu", {.threads = 2});
    Trainer trainer(*backend, config, data, 1);
    trainer.advance();
    const MemoryPlan plan = trainer.memory();
    const std::size_t state = plan.weights + plan.moments;
    CHECK(state > (std::size_t{100} << 20));
    CHECK(plan.saving <= (mode == SaveMode::staged ? state + state / 50 : 0));
    peak_resident_bytes();
    const std::int64_t before = resident_bytes();
    trainer.begin_save(folder / "a.vitrail");
    trainer.advance();
    CHECK_FALSE(trainer.await_save()->error);
    CHECK(peak_resident_bytes() - before <= std::int64_t{64} << 20);
  }
}

}  // namespace vitrail
