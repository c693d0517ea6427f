// A whole tiny network of each family switch against central differences in f64, with dropout, stochastic
// depth and label smoothing on, in one and in two micro-batches.

#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "engine/vit.h"
#include "kernels/backend.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

constexpr std::int64_t kBatch = 4;

// The training loss of one fixed batch as a function of the parameters.
class Loss {
 public:
  Loss(Backend& backend, const VitConfig& config, std::int64_t micro_batches)
      : backend_(backend),
        config_(config),
        micro_(kBatch / micro_batches),
        vit_(backend, config, DType::f64, micro_, VitMode::training),
        params(backend, config, DType::f64),
        grads(backend, config, DType::f64),
        images_(random_numbers(kBatch * config.in_chans * config.img_size * config.img_size)),
        operands_(backend, (images_.size() + 3 * static_cast<std::size_t>(kBatch * config.num_classes)) * 8) {
    test::randomize(backend, params, 7);
  }

  // Mean over the batch; adds to grads when asked.
  double operator()(bool backward) {
    double total = 0;
    for (std::int64_t first = 0; first < kBatch; first += micro_)
      total += micro_batch(first, backward);
    return total;
  }

 private:
  static std::vector<double> random_numbers(std::int64_t count) {
    std::vector<double> numbers(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = 2 * uniform(random4({3, Purpose::init, 2}, 0, static_cast<std::uint32_t>(i))[0]) - 1;
    }
    return numbers;
  }

  double micro_batch(std::int64_t first, bool backward) {
    const std::int64_t classes = config_.num_classes;
    const std::int64_t pixels = config_.in_chans * config_.img_size * config_.img_size;
    double* data = reinterpret_cast<double*>(operands_.data());
    const Out images{data, DType::f64, {micro_, config_.in_chans, config_.img_size, config_.img_size}};
    const Out targets{data + kBatch * pixels, DType::f64, {micro_, classes}};
    const Out dlogits{data + kBatch * (pixels + classes), DType::f64, {micro_, classes}};
    const Out losses{data + kBatch * (pixels + 2 * classes), DType::f64, {micro_}};
    backend_.upload(images, images_.data() + first * pixels, static_cast<std::size_t>(micro_ * pixels) * 8);
    std::vector<double> hot(static_cast<std::size_t>(micro_ * classes));
    for (std::int64_t i = 0; i < micro_; ++i)
      hot[static_cast<std::size_t>(i * classes + (first + i) % classes)] = 1;
    backend_.upload(targets, hot.data(), hot.size() * 8);

    const Draws draws{
        .train = true, .seed = 11, .step = 5, .first_sample = static_cast<std::uint32_t>(first)};
    const In logits = vit_.forward(params.views(), images, draws);
    backend_.run(CrossEntropy{.losses = losses,
                              .dlogits = dlogits,
                              .logits = logits,
                              .targets = targets,
                              .label_smoothing = 0.1,
                              .scale = 1.0 / kBatch});
    if (backward) vit_.backward(params.views(), grads.views(), dlogits, draws);
    std::vector<double> each(static_cast<std::size_t>(micro_));
    backend_.download(each.data(), losses, each.size() * 8);
    double sum = 0;
    for (double loss : each)
      sum += loss;
    return sum / kBatch;
  }

  Backend& backend_;
  VitConfig config_;
  std::int64_t micro_;
  Vit vit_;

 public:
  ParamSet params, grads;

 private:
  std::vector<double> images_;
  Buffer operands_;
};

std::vector<double> read(const Backend& backend, In view) {
  std::vector<double> values(static_cast<std::size_t>(view.shape.elements()));
  backend.download(values.data(), view, values.size() * 8);
  return values;
}

// d/dt loss(w + t·direction) by a fourth-order central difference.
double directional(Backend& backend, Loss& loss, Out weight, const std::vector<double>& direction) {
  const std::vector<double> start = read(backend, weight);
  const auto at = [&](double t) {
    std::vector<double> moved = start;
    for (std::size_t i = 0; i < moved.size(); ++i)
      moved[i] += t * direction[i];
    backend.upload(weight, moved.data(), moved.size() * 8);
    return loss(false);
  };
  const double h = 1e-3;
  const double slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  backend.upload(weight, start.data(), start.size() * 8);
  return slope;
}

// Unit vectors: random ones that see every element, and single elements.
std::vector<std::vector<double>> directions(std::size_t count) {
  std::vector<std::vector<double>> all;
  for (std::uint32_t d = 0; d < 2; ++d) {
    std::vector<double> direction(count);
    double square = 0;
    for (std::size_t i = 0; i < count; ++i) {
      direction[i] = 2 * uniform(random4({13, Purpose::init, 3}, d, static_cast<std::uint32_t>(i))[0]) - 1;
      square += direction[i] * direction[i];
    }
    for (double& x : direction)
      x /= std::sqrt(square);
    all.push_back(direction);
  }
  for (std::size_t element : {std::size_t{0}, count / 2, count - 1}) {
    all.emplace_back(count, 0.0).at(element) = 1;
  }
  return all;
}

void check_gradients(const VitConfig& config, std::int64_t micro_batches) {
  const std::unique_ptr<Backend> backend = make_backend("cpu", {.threads = 2});
  Loss loss(*backend, config, micro_batches);
  loss(true);
  for (const ParamTensor& tensor : loss.params.tensors()) {
    const std::vector<double> grad = read(*backend, loss.grads.find(tensor.spec.name)->view);
    double norm = 0;
    for (double g : grad)
      norm += g * g;
    norm = std::sqrt(norm);
    for (const std::vector<double>& direction : directions(grad.size())) {
      double analytic = 0;
      for (std::size_t i = 0; i < grad.size(); ++i)
        analytic += grad[i] * direction[i];
      const double numeric = directional(*backend, loss, tensor.view, direction);
      // Relative to the tensor's gradient; a gradient that is zero by symmetry (the key's bias) must be zero.
      CHECK_MESSAGE(std::abs(analytic - numeric) <= 1e-7 * std::max(norm, 1e-4),
                    config.name << " " << tensor.spec.name << ": analytic " << analytic << ", numeric "
                                << numeric << ", norm " << norm);
    }
  }
}

}  // namespace

TEST_CASE("gradients of a whole network of each switch") {
  for (const test::NamedConfig& named : test::switch_configs()) {
    SUBCASE(named.name.c_str()) {
      check_gradients(named.config, 1);
    }
  }
}

TEST_CASE("gradients in two micro-batches, with every kind of dropout") {
  VitConfig config = test::with_every_dropout(test::tiny_config());
  config.layer_scale = true;
  config.init_values = 0.5;
  SUBCASE("one micro-batch") {
    check_gradients(config, 1);
  }
  SUBCASE("two micro-batches") {
    check_gradients(config, 2);
  }
  SUBCASE("average pooling") {
    config.global_pool = PoolKind::avg;
    check_gradients(config, 2);
  }
}

}  // namespace vitrail
