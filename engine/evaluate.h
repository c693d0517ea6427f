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

// Runs a network forward, in batches of at most `batch`.
class Classifier {
 public:
  // `backend` and `params` must outlive the classifier.
  Classifier(Backend& backend, const VitConfig& config, const ParamSet& params, std::int64_t batch);
  ~Classifier();

  // images: (count, in_chans, img_size, img_size), normalised. Returns logits (count, num_classes).
  std::vector<float> logits(std::span<const float> images);

  std::int64_t batch() const { return batch_; }
  const VitConfig& config() const;
  std::size_t bytes() const;

 private:
  void forward(std::span<const float> images, std::span<float> logits);

  Backend& backend_;
  const ParamSet& params_;
  std::int64_t batch_;
  std::unique_ptr<Vit> vit_;
  Buffer images_;
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
using EvalProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

EvalReport evaluate(Classifier& classifier, const std::shared_ptr<const Dataset>& dataset,
                    const InputConfig& input, int data_threads, const EvalProgress& progress = {});

}  // namespace vitrail
