// Training takes its memory before step 1 and then no more.

#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>

#include "engine/trainer.h"
#include "tests/support/synthetic_data.h"
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

}  // namespace vitrail
