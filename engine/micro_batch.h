#pragma once
// The operands of one micro-batch on the device: what goes into the network, and what comes out of the loss.
// `dtype` is A of attention_half.h.

#include "engine/arena.h"
#include "engine/vit_config.h"

namespace vitrail {

class MicroBatch {
 public:
  MicroBatch(Backend& backend, const VitConfig& config, DType dtype, std::int64_t samples) {
    layout(config, dtype, samples);
    arena_.allocate(backend);
    layout(config, dtype, samples);
  }

  std::size_t bytes() const { return arena_.capacity(); }
  // What it would take.
  static std::size_t bytes_for(const VitConfig& config, DType dtype, std::int64_t samples) {
    MicroBatch counted;
    counted.layout(config, dtype, samples);
    return counted.arena_.most();
  }

  // Of images and targets.
  static std::size_t input_bytes(const VitConfig& config, DType dtype, std::int64_t samples) {
    const std::int64_t image = config.in_chans * config.img_size * config.img_size;
    return static_cast<std::size_t>(samples * (image + config.num_classes)) * size_of(dtype);
  }

  Out images;   // (samples, in_chans, img_size, img_size), normalised
  Out targets;  // (samples, num_classes): probabilities
  Out losses;   // (samples)
  Out dlogits;  // (samples, num_classes)

 private:
  MicroBatch() = default;

  void layout(const VitConfig& config, DType dtype, std::int64_t samples) {
    arena_.restart();
    images = arena_.take(dtype, {samples, config.in_chans, config.img_size, config.img_size});
    targets = arena_.take(dtype, {samples, config.num_classes});
    losses = arena_.take(dtype, {samples});
    dlogits = arena_.take(dtype, {samples, config.num_classes});
  }

  Arena arena_;
};

}  // namespace vitrail
