#include "engine/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/data/loader.h"
#include "engine/error.h"
#include "engine/narrow_weights.h"
#include "engine/transfer.h"
#include "engine/vit.h"
#include "kernels/check.h"

namespace vitrail {

Classifier::Classifier(Backend& backend, const VitConfig& config, const ParamSet& params, std::int64_t batch)
    : Classifier(backend, config, params.views(), params.dtype(), batch) {}

Classifier::Classifier(Backend& backend, const VitConfig& config, const VitParams& params, DType dtype,
                       std::int64_t batch)
    : backend_(backend),
      own_vit_(std::make_unique<Vit>(backend, config, activations_dtype(dtype), batch, VitMode::inference)),
      own_images_(backend,
                  static_cast<std::size_t>(batch * config.in_chans * config.img_size * config.img_size) *
                      size_of(statistics_dtype(dtype))),
      vit_(*own_vit_),
      params_(params),
      images_{own_images_.data(),
              statistics_dtype(dtype),
              {batch, config.in_chans, config.img_size, config.img_size}} {}

Classifier::Classifier(Backend& backend, Vit& vit, const VitParams& params, Out images)
    : backend_(backend), vit_(vit), params_(params), images_(images) {}

Classifier::~Classifier() = default;

const VitConfig& Classifier::config() const {
  return vit_.config();
}

std::vector<float> Classifier::logits(std::span<const float> images) {
  const VitConfig& config = this->config();
  const std::size_t pixels = static_cast<std::size_t>(config.in_chans * config.img_size * config.img_size);
  const std::size_t classes = static_cast<std::size_t>(config.num_classes);
  if (images.size() % pixels != 0) {
    throw Error("classifier: the images' elements are no multiple of in_chans · img_size²");
  }
  const std::size_t count = images.size() / pixels, batch = static_cast<std::size_t>(this->batch());
  std::vector<float> logits(count * classes);
  for (std::size_t first = 0; first < count; first += batch) {
    const std::size_t now = std::min(batch, count - first);
    forward(images.subspan(first * pixels, now * pixels),
            std::span(logits).subspan(first * classes, now * classes));
  }
  return logits;
}

void Classifier::forward(std::span<const float> images, std::span<float> logits) {
  const std::int64_t count = static_cast<std::int64_t>(logits.size()) / config().num_classes;
  const Out view = rows(images_, 0, count);
  upload_floats(backend_, view, images);
  download_floats(backend_, logits, vit_.infer(params_, view));
}

std::vector<float> softmax(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> powers(logits.size());
  for (std::size_t c = 0; c < logits.size(); ++c)
    powers[c] = std::exp(double(logits[c]) - highest);
  const double sum = std::accumulate(powers.begin(), powers.end(), 0.0);
  std::vector<float> probabilities(logits.size());
  for (std::size_t c = 0; c < logits.size(); ++c)
    probabilities[c] = static_cast<float>(powers[c] / sum);
  return probabilities;
}

namespace {

struct Tally {
  std::int64_t first = 0, five = 0;
  double loss = 0;
};

// Adds one image. Ties count against us: a class with an equal logit ranks before the label.
void tally(Tally& total, EvalReport& report, std::span<const float> logits, std::int64_t label) {
  const std::size_t classes = logits.size();
  const float own = logits[static_cast<std::size_t>(label)];
  std::int64_t before = 0;
  double sum = 0;
  for (std::size_t c = 0; c < classes; ++c) {
    before += c != static_cast<std::size_t>(label) && !(logits[c] < own);
    sum += std::exp(double(logits[c]) - double(own));
  }
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  total.first += before == 0;
  total.five += before < 5;
  total.loss += std::log(sum);
  ++report.confusion[static_cast<std::size_t>(label) * classes + static_cast<std::size_t>(best)];
  ++report.samples;
}

void finish(EvalReport& report, const Tally& total) {
  const double samples = static_cast<double>(std::max<std::int64_t>(report.samples, 1));
  const double share = static_cast<double>(total.first) / samples;
  report.top1 = 100 * share;
  report.top5 = 100 * static_cast<double>(total.five) / samples;
  report.top1_error = 100 * 1.96 * std::sqrt(share * (1 - share) / samples);
  report.loss = total.loss / samples;
}

}  // namespace

EvalReport evaluate(Classifier& classifier, const std::shared_ptr<const Dataset>& dataset,
                    const InputConfig& input, int data_threads, const EvalProgress& progress) {
  const std::size_t classes = static_cast<std::size_t>(classifier.config().num_classes);
  Loader loader(
      dataset, input, AugmentConfig{},
      {.batch = classifier.batch(), .threads = data_threads, .ahead = kEvalAhead, .train = false, .seed = 0});
  EvalReport report;
  report.confusion.resize(classes * classes);
  Tally total;
  const std::int64_t batches = loader.batches_per_epoch();
  for (std::int64_t b = 0; b < batches; ++b) {
    const Batch& batch = loader.next();
    const std::vector<float> logits = classifier.logits(batch.images);
    for (std::size_t i = 0; i < batch.labels.size(); ++i) {
      if (batch.labels[i] < 0 || batch.labels[i] >= classifier.config().num_classes) {
        throw DataError("evaluation: the data has more classes than the model's " + std::to_string(classes));
      }
      tally(total, report, std::span(logits).subspan(i * classes, classes), batch.labels[i]);
    }
    if (progress && !progress(report.samples, dataset->size())) break;
  }
  finish(report, total);
  return report;
}

}  // namespace vitrail
