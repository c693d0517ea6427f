#pragma once
// The operands of one micro-batch on the device: what goes into the network, and what comes out of the loss.

#include "engine/arena.h"
#include "engine/vit_config.h"

namespace vitrail {

class MicroBatch {
 public:
  MicroBatch(Backend& backend, const VitConfig& config, DType dtype, std::int64_t samples) : arena_(dtype) {
    layout(config, samples);
    arena_.allocate(backend);
    layout(config, samples);
  }

  std::size_t bytes() const { return arena_.capacity(); }

  Out images;   // (samples, in_chans, img_size, img_size), normalised
  Out targets;  // (samples, num_classes): probabilities
  Out losses;   // (samples)
  Out dlogits;  // (samples, num_classes)

 private:
  void layout(const VitConfig& config, std::int64_t samples) {
    arena_.restart();
    images = arena_.take({samples, config.in_chans, config.img_size, config.img_size});
    targets = arena_.take({samples, config.num_classes});
    losses = arena_.take({samples});
    dlogits = arena_.take({samples, config.num_classes});
  }

  Arena arena_;
};

}  // namespace vitrail
