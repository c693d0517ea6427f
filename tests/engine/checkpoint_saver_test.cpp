// Saving behind the back of a training run: the file is the one that saving on the spot writes, and the run
// is the one that never saves, byte for byte.

#include "engine/checkpoint_saver.h"

#include <doctest/doctest.h>

#include <fstream>
#include <future>

#include "engine/trainer.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

using format::ContainerContents;
using format::TensorRecord;
using format::WriteOptions;
using format::WriteResult;

// 24 images make 4 steps of 6; a step is 3 micro-batches.
TrainConfig training(SaveMode mode) {
  TrainConfig config = test::tiny_training();
  config.model.num_classes = 4;
  config.model.drop_rate = 0.1;
  config.input.crop_pct = 1;
  config.augment.shift = 1;
  config.ema.decay = 0.9;
  config.epochs = 2;
  config.batch = 6;
  config.accumulate = 3;
  config.save.mode = mode;
  return config;
}

constexpr SaveMode kModes[] = {SaveMode::staged, SaveMode::barrier, SaveMode::sync};
constexpr int kSavedMicroBatches = 2 * 4 * 3;

DataSource images() {
  return test::synthetic_data(24, 6, 4, 10);
}

void advance(Trainer& trainer, int micro_batches) {
  for (int i = 0; i < micro_batches; ++i) {
    trainer.advance();
    if (trainer.at_epoch_end()) trainer.finish_epoch();
  }
}

std::string content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A disk that keeps training waiting: every tensor is read late, in the order of the file, and given free at
// once.
WriteResult write_slowly(const std::filesystem::path& path, const ContainerContents& contents,
                         const WriteOptions& options) {
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::microseconds(300)); };
  std::vector<const TensorRecord*> order;
  for (const TensorRecord& record : contents.tensors)
    order.push_back(&record);
  std::sort(order.begin(), order.end(), [](const TensorRecord* a, const TensorRecord* b) {
    return std::tie(a->role, a->name) < std::tie(b->role, b->name);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::vector<std::vector<std::byte>> read;
  ContainerContents copied{.kind = contents.kind, .root = contents.root, .tensors = {}};
  for (const TensorRecord* record : order) {
    pause();
    read.emplace_back(record->bytes.begin(), record->bytes.end());
    copied.tensors.push_back(*record);
    copied.tensors.back().bytes = read.back();
    if (options.on_consumed) options.on_consumed(*record);
  }
  return format::write_container(path, copied);
}

void require_success(const std::optional<SaveOutcome>& outcome) {
  REQUIRE(outcome.has_value());
  if (outcome->error) std::rethrow_exception(outcome->error);
}

// The state after every micro-batch, saved on the spot by a run that saves nothing behind its back; the last
// one tells how the run ended.
std::vector<std::string> uninterrupted(const std::filesystem::path& file) {
  const auto backend = make_backend("cpu", {.threads = 1});
  Trainer trainer(*backend, training(SaveMode::sync), images(), 1);
  std::vector<std::string> states;
  for (int i = 0; i <= kSavedMicroBatches; ++i) {
    if (i > 0) advance(trainer, 1);
    trainer.save(file);
    states.push_back(content(file));
  }
  return states;
}

}  // namespace

TEST_CASE("three modes, one and two threads, in the middle of a step too: the same bytes as on the spot") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> states = uninterrupted(folder / "state.vitrail");
  for (const SaveMode mode : kModes) {
    for (int threads : {1, 2}) {
      const auto backend = make_backend("cpu", {.threads = threads});
      Trainer trainer(*backend, training(mode), images(), threads, write_slowly);
      int done = 0;
      for (int at : {1, 4, 8, 12, 16, 21}) {
        CAPTURE(name_of(mode));
        CAPTURE(threads);
        CAPTURE(at);
        advance(trainer, at - done);
        trainer.begin_save(folder / "behind.vitrail");
        CHECK(trainer.saving());
        const int ahead = std::min(3, kSavedMicroBatches - at);
        advance(trainer, ahead);
        done = at + ahead;
        require_success(trainer.await_save());
        CHECK_FALSE(trainer.saving());
        CHECK((content(folder / "behind.vitrail") == states[static_cast<std::size_t>(at)]));
      }
      trainer.save(folder / "end.vitrail");
      CHECK((content(folder / "end.vitrail") == states.back()));
    }
  }
}

TEST_CASE("staged: training goes on while nothing at all is written") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> states = uninterrupted(folder / "state.vitrail");
  std::promise<void> disk;
  std::shared_future<void> disk_is_back = disk.get_future().share();
  const auto backend = make_backend("cpu", {.threads = 2});
  Trainer trainer(
      *backend, training(SaveMode::staged), images(), 1,
      [&](const std::filesystem::path& path, const ContainerContents& contents, const WriteOptions& options) {
        disk_is_back.wait();
        return format::write_container(path, contents, options);
      });
  advance(trainer, 4);
  trainer.begin_save(folder / "behind.vitrail");
  advance(trainer, kSavedMicroBatches - 4);
  CHECK(trainer.done());
  CHECK_FALSE(trainer.poll_save().has_value());
  disk.set_value();
  require_success(trainer.await_save());
  CHECK((content(folder / "behind.vitrail") == states[4]));
  trainer.save(folder / "end.vitrail");
  CHECK((content(folder / "end.vitrail") == states.back()));
}

TEST_CASE("barrier: the update waits for the writer, and says for how long; staged does not") {
  const test::TemporaryFolder folder;
  double blocked[2] = {};
  for (const SaveMode mode : {SaveMode::staged, SaveMode::barrier}) {
    const auto backend = make_backend("cpu", {.threads = 1});
    Trainer trainer(*backend, training(mode), images(), 1,
                    [](const std::filesystem::path& path, const ContainerContents& contents,
                       const WriteOptions& options) {
                      std::this_thread::sleep_for(std::chrono::milliseconds(300));
                      return format::write_container(path, contents, options);
                    });
    trainer.begin_save(folder / "behind.vitrail");
    advance(trainer, 3);
    blocked[mode == SaveMode::barrier ? 1 : 0] = trainer.seconds_blocked();
    CHECK((trainer.memory().saving > 0) == (mode == SaveMode::staged));
    require_success(trainer.await_save());
  }
  CHECK(blocked[0] < blocked[1]);
  CHECK(blocked[1] > 0.1);
}

TEST_CASE("a save that fails lets training go on, the same bits, and the next one succeeds") {
  const test::TemporaryFolder folder;
  const std::vector<std::string> states = uninterrupted(folder / "state.vitrail");
  for (const SaveMode mode : kModes) {
    CAPTURE(name_of(mode));
    int calls = 0;
    const auto backend = make_backend("cpu", {.threads = 1});
    Trainer trainer(*backend, training(mode), images(), 1,
                    [&](const std::filesystem::path& path, const ContainerContents& contents,
                        const WriteOptions& options) -> WriteResult {
                      if (++calls > 1) return write_slowly(path, contents, options);
                      if (options.on_consumed) options.on_consumed(contents.tensors.front());
                      throw format::FileError("the disk is gone");
                    });
    bool tidied = false;
    trainer.begin_save(folder / "behind.vitrail", [&] { tidied = true; });
    advance(trainer, 6);
    const std::optional<SaveOutcome> failed = trainer.await_save();
    REQUIRE(failed.has_value());
    CHECK_THROWS_WITH_AS(std::rethrow_exception(failed->error), "the disk is gone", format::FileError);
    CHECK_FALSE(tidied);
    CHECK_FALSE(std::filesystem::exists(folder / "behind.vitrail"));
    trainer.begin_save(folder / "behind.vitrail", [&] { tidied = true; });
    advance(trainer, kSavedMicroBatches - 6);
    require_success(trainer.await_save());
    CHECK(tidied);
    CHECK((content(folder / "behind.vitrail") == states[6]));
    trainer.save(folder / "end.vitrail");
    CHECK((content(folder / "end.vitrail") == states.back()));
    std::filesystem::remove(folder / "behind.vitrail");
  }
}

TEST_CASE("a folder that is gone and comes back") {
  const test::TemporaryFolder folder;
  for (const SaveMode mode : kModes) {
    CAPTURE(name_of(mode));
    const std::filesystem::path place = folder / name_of(mode);
    const auto backend = make_backend("cpu", {.threads = 1});
    Trainer trainer(*backend, training(mode), images(), 1);
    trainer.begin_save(place / "a.vitrail");
    advance(trainer, 3);
    const std::optional<SaveOutcome> outcome = trainer.await_save();
    REQUIRE(outcome.has_value());
    CHECK_THROWS_AS(std::rethrow_exception(outcome->error), format::FileError);
    std::filesystem::create_directories(place);
    trainer.begin_save(place / "a.vitrail");
    require_success(trainer.await_save());
    CHECK_NOTHROW(format::Container::open(place / "a.vitrail").verify_all());
    CHECK(std::distance(std::filesystem::directory_iterator(place), {}) == 1);
  }
}

TEST_CASE("a trainer that goes away waits for its save") {
  const test::TemporaryFolder folder;
  for (const SaveMode mode : kModes) {
    const auto backend = make_backend("cpu", {.threads = 1});
    {
      Trainer trainer(*backend, training(mode), images(), 1, write_slowly);
      trainer.begin_save(folder / "behind.vitrail");
    }
    CHECK_NOTHROW(format::Container::open(folder / "behind.vitrail").verify_all());
    std::filesystem::remove(folder / "behind.vitrail");
  }
}

}  // namespace vitrail
