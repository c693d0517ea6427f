#pragma once
// Batches, prepared ahead by threads of their own. What a batch holds is a function of (seed, epoch,
// position) and of nothing else: not of the number of threads, not of what was read before. So it can start
// anywhere.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/data/transform.h"

namespace vitrail {

struct Batch {
  std::int64_t epoch = 0;            // counts from 0
  std::int64_t position = 0;         // of the first sample, within the epoch
  std::vector<float> images;         // (count, channels, size, size)
  std::vector<std::int64_t> labels;  // (count)
};

struct LoaderOptions {
  std::int64_t batch = 32;
  int threads = 1;
  int ahead = 4;      // batches prepared in advance
  bool train = true;  // shuffle and augment; the last, incomplete batch of an epoch is dropped.
                      // Otherwise in order, and the last batch may be smaller
  std::uint64_t seed = 0;
};

class Loader {
 public:
  // Bytes of the batches that it keeps.
  static std::size_t bytes_for(const InputConfig& input, const LoaderOptions& options);

  Loader(std::shared_ptr<const Dataset> dataset, const InputConfig& input, const AugmentConfig& augment,
         const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t batches_per_epoch() const;

  // The next batch will be batch `batch` of epoch `epoch`.
  void seek(std::int64_t epoch, std::int64_t batch);

  // Valid until the next call. Goes on to the next epoch by itself. Throws DataError when an image and all
  // its replacements are broken.
  const Batch& next();

  // A broken image is replaced by another, drawn by (seed, epoch, index), and named here once.
  std::vector<std::string> broken() const;

  double seconds_waited() const;  // in next(), for data that was not ready

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The order of an epoch: a permutation of [0, size), by (seed, epoch).
std::vector<std::int64_t> shuffled(std::int64_t size, std::uint64_t seed, std::int64_t epoch);

}  // namespace vitrail
