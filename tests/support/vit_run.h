#pragma once
// A network trained on one batch again and again, without a trainer and its data: for comparisons with
// PyTorch.

#include <vector>

#include "engine/compute_weights.h"
#include "engine/micro_batch.h"
#include "engine/optimizer.h"
#include "engine/vit.h"
#include "kernels/check.h"

namespace vitrail::test {

// What a tensor of T holds.
template <class T>
std::vector<double> values_of(const Backend& backend, In view) {
  std::vector<T> values(static_cast<std::size_t>(view.shape.elements()));
  backend.download(values.data(), view, values.size() * sizeof(T));
  return {values.begin(), values.end()};
}

// T holds what is kept; dtype is what products read.
template <class T>
class VitRun {
 public:
  VitRun(Backend& backend, const VitConfig& config, DType dtype, const OptimizerConfig& options,
         std::int64_t batch, double label_smoothing)
      : weights(backend, config, statistics_dtype(dtype)),
        grads(backend, config, weights.dtype()),
        optimizer(backend, config, options, weights),
        backend_(backend),
        label_smoothing_(label_smoothing),
        micro_(backend, config, weights.dtype(), batch),
        computed_(backend, config, dtype),
        vit_(backend, config, dtype, batch, VitMode::training) {
    // Every image has two classes.
    images.resize(static_cast<std::size_t>(micro_.images.shape.elements()));
    for (std::size_t i = 0; i < images.size(); ++i)
      images[i] = T(2 * uniform(random4({9, Purpose::init, 2}, 0, static_cast<std::uint32_t>(i))[0]) - 1);
    targets.resize(static_cast<std::size_t>(micro_.targets.shape.elements()));
    const std::int64_t classes = config.num_classes;
    for (std::int64_t i = 0; i < batch; ++i) {
      targets[static_cast<std::size_t>(i * classes + i % classes)] = T(0.75);
      targets[static_cast<std::size_t>(i * classes + (i + 1) % classes)] = T(0.25);
    }
    backend_.upload(micro_.images, images.data(), images.size() * sizeof(T));
    backend_.upload(micro_.targets, targets.data(), targets.size() * sizeof(T));
  }

  // The mean loss; logits and grads are those of it.
  double loss_and_gradients() {
    backend_.zero(grads.flat());
    computed_.follow(weights);
    const In out = vit_.forward(computed_.views(), micro_.images, draws);
    const double batch = double(micro_.images.shape[0]);
    backend_.run(CrossEntropy{.losses = micro_.losses,
                              .dlogits = micro_.dlogits,
                              .logits = out,
                              .targets = micro_.targets,
                              .label_smoothing = label_smoothing_,
                              .scale = 1 / batch});
    vit_.backward(computed_.views(), grads.views(), micro_.dlogits, draws);
    logits.resize(static_cast<std::size_t>(out.shape.elements()));
    backend_.download(logits.data(), out, logits.size() * sizeof(T));
    std::vector<T> each(static_cast<std::size_t>(micro_.losses.shape.elements()));
    backend_.download(each.data(), micro_.losses, each.size() * sizeof(T));
    double sum = 0;
    for (T loss : each)
      sum += loss;
    return sum / batch;
  }

  ParamSet weights, grads;
  Optimizer optimizer;
  Draws draws;  // nothing is dropped, unless it is set
  std::vector<T> images, targets, logits;

 private:
  Backend& backend_;
  double label_smoothing_;
  MicroBatch micro_;
  ComputeWeights computed_;
  Vit vit_;
};

}  // namespace vitrail::test
