#include "engine/data/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/data/random_order.h"
#include "engine/error.h"

namespace vitrail {
namespace {

constexpr std::uint32_t kReplacements = 16;  // tried for a broken image

using Order = std::shared_ptr<const std::vector<std::int64_t>>;  // of an epoch; none: 0, 1, 2, …

// One batch of the ring.
struct Slot {
  Batch batch;
  Order order;
  std::int64_t count = 0;      // samples
  std::int64_t unstarted = 0;  // samples from here on are nobody's yet
  std::int64_t finished = 0;   // samples
  std::exception_ptr error;    // of the sample `failed`
  std::int64_t failed = 0;
};

// Neighbouring samples of a batch: what a thread takes at a time.
struct Share {
  Slot* slot = nullptr;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

void check_augment(const AugmentConfig& augment) {
  const auto refuse = [](const char* what, double found, const char* expected) {
    throw ConfigError(fmt::format("augmentation: {} is {}, expected {}", what, found, expected));
  };
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  if (!is_share(augment.crop_min) || augment.crop_min == 0)
    refuse("crop_min", augment.crop_min, "0 < crop_min <= 1");
  if (!(augment.crop_ratio >= 1)) refuse("crop_ratio", augment.crop_ratio, "at least 1");
  if (augment.shift < 0) refuse("shift", static_cast<double>(augment.shift), "0 or more pixels");
  if (!is_share(augment.flip)) refuse("flip", augment.flip, "a probability, 0 to 1");
  if (!is_share(augment.erase)) refuse("erase", augment.erase, "a probability, 0 to 1");
}

void check_options(const Dataset& dataset, const LoaderOptions& options) {
  const auto at_least_one = [](const char* what, std::int64_t found) {
    if (found < 1) throw ConfigError(fmt::format("{} is {}, expected at least 1", what, found));
  };
  at_least_one("the batch size", options.batch);
  at_least_one("the number of loader threads", options.threads);
  at_least_one("the number of batches prepared ahead", options.ahead);
  if (dataset.size() < 1) throw DataError("there are no images to read");
  if (dataset.size() >= std::int64_t{1} << 32)
    throw DataError(fmt::format("{} images, at most 2^32 - 1 can be read", dataset.size()));
  if (options.train && dataset.size() < options.batch)
    throw ConfigError(fmt::format("a batch of {} is more than the {} training images: lower the batch size",
                                  options.batch, dataset.size()));
}

}  // namespace

// Batches are numbered from 0 through all epochs. Of these, [first_, first_ + ring_.size()) have a slot each:
// slot b mod ring_.size(). Threads work on them in order; next() hands out batch first_, and gives its slot
// back when it is called again. A slot belongs to the threads between its start and its last sample, and to
// the caller afterwards.
struct Loader::State {
 public:
  State(std::shared_ptr<const Dataset> dataset, const InputConfig& input, const AugmentConfig& augment,
        const LoaderOptions& options)
      : dataset_(std::move(dataset)), input_(input), augment_(augment), options_(options) {
    check_augment(augment);
    check_options(*dataset_, options_);
    // Some tens of small images a time, or one large: often enough to share the work, seldom enough to be
    // cheap.
    const std::int64_t pixels = input_.size * input_.size;
    group_ = std::clamp<std::int64_t>((std::int64_t{1} << 14) / std::max<std::int64_t>(pixels, 1), 1, 32);
    ring_.resize(static_cast<std::size_t>(options_.ahead) + 1);
    for (Slot& slot : ring_)
      reserve(slot);
    for (int i = 0; i < options_.threads; ++i)
      threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  std::int64_t batches_per_epoch() const {
    const std::int64_t extra = options_.train ? 0 : options_.batch - 1;
    return (dataset_->size() + extra) / options_.batch;
  }

  void seek(std::int64_t epoch, std::int64_t batch) {
    assert(epoch >= 0 && batch >= 0 && batch < batches_per_epoch());
    std::unique_lock lock(mutex_);
    seeking_ = true;  // no thread takes anything new
    idle_.wait(lock, [this] { return busy_ == 0; });
    first_ = started_ = epoch * batches_per_epoch() + batch;
    handed_out_ = false;
    open_ = nullptr;
    seeking_ = false;
    work_there_.notify_all();
  }

  const Batch& next() {
    std::unique_lock lock(mutex_);
    if (handed_out_) {
      ++first_;
      handed_out_ = false;
      work_there_.notify_all();
    }
    Slot& slot = slot_of(first_);
    const auto ready = [&] { return started_ > first_ && slot.finished == slot.count; };
    if (!ready()) {
      const auto begin = std::chrono::steady_clock::now();
      batch_done_.wait(lock, ready);
      waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    if (slot.error) std::rethrow_exception(slot.error);
    handed_out_ = true;
    return slot.batch;
  }

  std::vector<std::string> broken() const {
    const std::lock_guard lock(broken_mutex_);
    std::vector<std::string> names;
    for (const auto& [index, message] : broken_)
      names.push_back(message);
    return names;
  }

  double seconds_waited() const {
    const std::lock_guard lock(mutex_);
    return waited_;
  }

 private:
  std::int64_t pixels_per_image() const { return input_.channels * input_.size * input_.size; }
  Slot& slot_of(std::int64_t batch) { return ring_[static_cast<std::size_t>(batch) % ring_.size()]; }

  void reserve(Slot& slot) const {
    const std::int64_t count = std::min(options_.batch, dataset_->size());
    slot.batch.images.reserve(static_cast<std::size_t>(count * pixels_per_image()));
    slot.batch.labels.reserve(static_cast<std::size_t>(count));
  }

  Order order_of(std::int64_t epoch) {
    if (!options_.train) return nullptr;
    if (order_ == nullptr || order_epoch_ != epoch) {
      order_ =
          std::make_shared<const std::vector<std::int64_t>>(shuffled(dataset_->size(), options_.seed, epoch));
      order_epoch_ = epoch;
    }
    return order_;
  }

  // The slot of a batch that nobody has worked on yet.
  Slot& start(std::int64_t batch) {
    Slot& slot = slot_of(batch);
    slot.batch.epoch = batch / batches_per_epoch();
    slot.batch.position = batch % batches_per_epoch() * options_.batch;
    slot.order = order_of(slot.batch.epoch);
    slot.count = std::min(options_.batch, dataset_->size() - slot.batch.position);
    slot.unstarted = slot.finished = 0;
    slot.error = nullptr;
    slot.batch.images.resize(static_cast<std::size_t>(slot.count * pixels_per_image()));
    slot.batch.labels.resize(static_cast<std::size_t>(slot.count));
    return slot;
  }

  bool can_start() const { return started_ < first_ + std::ssize(ring_); }

  Share take() {
    if (open_ == nullptr) open_ = &start(started_++);
    Slot& slot = *open_;
    const Share work{
        .slot = &slot, .begin = slot.unstarted, .end = std::min(slot.unstarted + group_, slot.count)};
    slot.unstarted = work.end;
    if (slot.unstarted == slot.count) open_ = nullptr;
    return work;
  }

  // What each thread does.
  void work(const std::stop_token& stop) {
    Image image;  // kept for its memory
    std::unique_lock lock(mutex_);
    while (work_there_.wait(lock, stop, [this] { return !seeking_ && (open_ != nullptr || can_start()); })) {
      const Share work = take();
      ++busy_;
      lock.unlock();
      const auto [error, failed] = prepare(work, image);
      lock.lock();
      --busy_;
      finish(work, error, failed);
    }
  }

  void finish(const Share& work, const std::exception_ptr& error, std::int64_t failed) {
    Slot& slot = *work.slot;
    if (error && (!slot.error || failed < slot.failed)) {  // the first in order, whichever thread is quicker
      slot.error = error;
      slot.failed = failed;
    }
    slot.finished += work.end - work.begin;
    if (slot.finished == slot.count) batch_done_.notify_all();
    if (busy_ == 0) idle_.notify_all();
  }

  struct Outcome {
    std::exception_ptr error;
    std::int64_t failed = 0;
  };

  Outcome prepare(const Share& work, Image& image) {
    for (std::int64_t i = work.begin; i < work.end; ++i) {
      try {
        prepare_sample(*work.slot, i, image);
      } catch (...) {
        return {.error = std::current_exception(), .failed = i};
      }
    }
    return {};
  }

  void prepare_sample(Slot& slot, std::int64_t i, Image& image) {
    const std::int64_t at = slot.batch.position + i;
    const std::int64_t index = slot.order ? (*slot.order)[static_cast<std::size_t>(at)] : at;
    const std::int64_t source = load_or_replace(index, slot.batch.epoch, image);
    slot.batch.labels[static_cast<std::size_t>(i)] = dataset_->label(source);
    const std::span<float> out = std::span(slot.batch.images)
                                     .subspan(static_cast<std::size_t>(i * pixels_per_image()),
                                              static_cast<std::size_t>(pixels_per_image()));
    if (!options_.train) return transform_eval(image, input_, out);
    const RandomKey key{.seed = options_.seed,
                        .purpose = Purpose::augment,
                        .step = static_cast<std::uint32_t>(slot.batch.epoch)};
    transform_train(image, input_, augment_, key, static_cast<std::uint32_t>(index), out);
  }

  // The message when an image is broken.
  std::optional<std::string> try_load(std::int64_t index, Image& image) const {
    try {
      dataset_->load_into(index, input_.channels, image);
      return std::nullopt;
    } catch (const DataError& error) {
      return error.what();
    }
  }

  // The index of the image that was loaded: the one asked for, or the first of its replacements that is not
  // broken.
  std::int64_t load_or_replace(std::int64_t index, std::int64_t epoch, Image& image) {
    const std::optional<std::string> reason = try_load(index, image);
    if (!reason) return index;
    note_broken(index, *reason);
    const RandomKey key{
        .seed = options_.seed, .purpose = Purpose::replace, .step = static_cast<std::uint32_t>(epoch)};
    for (std::uint32_t k = 0; k < kReplacements; ++k) {
      const std::uint64_t bits = random4(key, static_cast<std::uint32_t>(index), k)[0];
      const auto other = static_cast<std::int64_t>(bits * static_cast<std::uint64_t>(dataset_->size()) >> 32);
      const std::optional<std::string> other_reason = try_load(other, image);
      if (!other_reason) return other;
      note_broken(other, *other_reason);
    }
    throw DataError(fmt::format("{}; and the {} images drawn to replace it are broken too: check the data",
                                *reason, kReplacements));
  }

  void note_broken(std::int64_t index, const std::string& reason) {
    const std::lock_guard lock(broken_mutex_);
    if (broken_.contains(index)) return;
    const std::string name = dataset_->name(index);
    broken_[index] = reason.find(name) != std::string::npos ? reason : fmt::format("{}: {}", name, reason);
  }

  const std::shared_ptr<const Dataset> dataset_;
  const InputConfig input_;
  const AugmentConfig augment_;
  const LoaderOptions options_;
  std::int64_t group_ = 1;  // samples a thread takes at a time

  mutable std::mutex mutex_;  // guards all from here to the next one
  std::condition_variable_any work_there_;
  std::condition_variable batch_done_, idle_;
  std::vector<Slot> ring_;
  std::int64_t first_ = 0;    // the batch that next() waits for, or that is handed out
  std::int64_t started_ = 0;  // batches below have a slot, or had one
  Slot* open_ = nullptr;      // started last, with samples that are nobody's yet
  bool handed_out_ = false;
  bool seeking_ = false;
  int busy_ = 0;  // threads at work
  double waited_ = 0;
  Order order_;
  std::int64_t order_epoch_ = 0;

  mutable std::mutex broken_mutex_;
  std::map<std::int64_t, std::string> broken_;

  std::vector<std::jthread> threads_;  // last: they stop before the rest goes
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, const InputConfig& input, const AugmentConfig& augment,
               const LoaderOptions& options)
    : state_(std::make_unique<State>(std::move(dataset), input, augment, options)) {}

Loader::~Loader() = default;

std::size_t Loader::bytes_for(const InputConfig& input, const LoaderOptions& options) {
  const std::int64_t images = options.batch * (options.ahead + 1);
  return static_cast<std::size_t>(images * input.channels * input.size * input.size) * sizeof(float);
}

std::int64_t Loader::batches_per_epoch() const {
  return state_->batches_per_epoch();
}
void Loader::seek(std::int64_t epoch, std::int64_t batch) {
  state_->seek(epoch, batch);
}
const Batch& Loader::next() {
  return state_->next();
}
std::vector<std::string> Loader::broken() const {
  return state_->broken();
}
double Loader::seconds_waited() const {
  return state_->seconds_waited();
}

std::vector<std::int64_t> shuffled(std::int64_t size, std::uint64_t seed, std::int64_t epoch) {
  return random_order({.seed = seed, .purpose = Purpose::shuffle, .step = static_cast<std::uint32_t>(epoch)},
                      size);
}

}  // namespace vitrail
