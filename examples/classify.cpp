// A library user's whole program: load a model file, prepare an image as the model wants it, print the best
// classes.
//   classify MODEL.vitrail IMAGE

#include <algorithm>
#include <cstdio>
#include <exception>
#include <numeric>

#include "engine/data/image.h"
#include "engine/evaluate.h"
#include "engine/model_io.h"

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: classify MODEL.vitrail IMAGE\n");
    return 2;
  }
  const auto backend = vitrail::make_backend("cpu");
  const vitrail::Model model = vitrail::load_model(argv[1], *backend);

  const vitrail::Image image = vitrail::read_image(argv[2], model.input.channels);
  std::vector<float> pixels(
      static_cast<std::size_t>(model.input.channels * model.input.size * model.input.size));
  vitrail::transform_eval(image, model.input, pixels);

  vitrail::Classifier classifier(*backend, model.config, model.params, 1);
  const std::vector<float> probabilities = vitrail::softmax(classifier.logits(pixels));

  std::vector<std::size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
  for (std::size_t c : std::span(order).first(std::min<std::size_t>(3, order.size()))) {
    std::printf("%6.2f %%  %s\n", 100.0 * probabilities[c],
                model.labels.empty() ? std::to_string(c).c_str() : model.labels[c].c_str());
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
