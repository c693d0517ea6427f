#pragma once
// A network run over images without training: logits, predictions, accuracy.

#include <functional>
#include <memory>
#include <span>

#include "engine/data/dataset.h"
#include "engine/data/transform.h"
#include "engine/param_set.h"

namespace vitrail {

class Vit;

// Runs a network forward, in batches of at most `batch`. What it is given must outlive it.
class Classifier {
 public:
  Classifier(Backend& backend, const VitConfig& config, const ParamSet& params, std::int64_t batch);
  // The weights as a network that computes in dtype reads them (engine/compute_weights.h, narrow_weights.h),
  // wherever they lie.
  Classifier(Backend& backend, const VitConfig& config, const VitParams& params, DType dtype,
             std::int64_t batch);
  // In the memory of a network that is trained, between two of its steps. images: (batch, in_chans, img_size,
  // img_size), to be written to.
  Classifier(Backend& backend, Vit& vit, const VitParams& params, Out images);
  ~Classifier();

  // images: (count, in_chans, img_size, img_size), normalised. Returns logits (count, num_classes).
  std::vector<float> logits(std::span<const float> images);
  // The same in parts, of at most `batch` images: while the device is at some, the next come to it.
  void prefetch(std::span<const float> images);  // which stay as they are until they are begun
  void begin(std::span<const float> images, bool prefetched = false);
  std::vector<float> finish();  // the logits of those begun

  std::int64_t batch() const { return images_.shape[0]; }
  const VitConfig& config() const;

 private:
  // Where so many images lie on the device.
  Out place_of(std::span<const float> images) const;

  Backend& backend_;
  std::unique_ptr<Vit> own_vit_;
  Buffer own_images_;
  Vit& vit_;
  const VitParams& params_;
  Out images_;
  In begun_;
};

std::vector<float> softmax(std::span<const float> logits);

struct EvalReport {
  std::int64_t samples = 0;
  double top1 = 0;        // percent
  double top1_error = 0;  // half the width of the 95 % interval, in points, from the number of samples
  double top5 = 0;        // percent; 100 with five classes or fewer
  double loss = 0;        // mean cross-entropy, natural logarithm
  std::vector<std::int64_t> confusion;  // (classes, classes): row is the label, column the prediction
};

// Called after each batch with the samples done; returning false stops the evaluation.
inline constexpr int kEvalAhead = 3;  // batches that are prepared in advance
using EvalProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

EvalReport evaluate(Classifier& classifier, const std::shared_ptr<const Dataset>& dataset,
                    const InputConfig& input, int data_threads, const EvalProgress& progress = {});

}  // namespace vitrail
