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
  const std::size_t most = static_cast<std::size_t>(images_.shape.elements());
  std::vector<float> logits;
  for (std::size_t first = 0; first < images.size(); first += most) {
    begin(images.subspan(first, std::min(most, images.size() - first)));
    const std::vector<float> found = finish();
    logits.insert(logits.end(), found.begin(), found.end());
  }
  return logits;
}

Out Classifier::place_of(std::span<const float> images) const {
  const auto elements = static_cast<std::int64_t>(images.size()), one = images_.shape.elements() / batch();
  if (elements % one != 0) {
    throw Error("classifier: the images' elements are no multiple of in_chans · img_size²");
  }
  return rows(images_, 0, elements / one);
}

void Classifier::prefetch(std::span<const float> images) {
  prefetch_floats(backend_, place_of(images), images);
}

void Classifier::begin(std::span<const float> images, bool prefetched) {
  const Out place = place_of(images);
  prefetched ? deliver_floats(backend_, place, images) : upload_floats(backend_, place, images);
  begun_ = vit_.infer(params_, place);
}

std::vector<float> Classifier::finish() {
  std::vector<float> logits(static_cast<std::size_t>(begun_.shape.elements()));
  download_floats(backend_, logits, begun_);
  return logits;
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
  const Batch* batch = &loader.next();
  for (std::int64_t b = 0; b < batches; ++b) {
    classifier.begin(batch->images, b > 0);
    const std::vector<std::int64_t> labels = batch->labels;
    if (b + 1 < batches) {
      batch = &loader.next();
      classifier.prefetch(batch->images);
    }
    const std::vector<float> logits = classifier.finish();
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] < 0 || labels[i] >= classifier.config().num_classes) {
        throw DataError("evaluation: the data has more classes than the model's " + std::to_string(classes));
      }
      tally(total, report, std::span(logits).subspan(i * classes, classes), labels[i]);
    }
    if (progress && !progress(report.samples, dataset->size())) break;
  }
  finish(report, total);
  return report;
}

}  // namespace vitrail
