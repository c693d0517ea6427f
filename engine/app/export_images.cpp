#include "engine/app/export_images.h"

#include <algorithm>

#include "kernels/random.h"

namespace vitrail::app {

PreparedImages noise_images(const MappedModel& model, std::int64_t count) {
  const InputConfig& input = model.input;
  PreparedImages images;
  images.pixels.resize(static_cast<std::size_t>(count * input.channels * input.size * input.size));
  for (std::size_t i = 0; i < images.pixels.size(); ++i) {
    const Random4 bits = random4({.seed = 2, .purpose = Purpose::replace, .layer = 0, .step = 0}, 0,
                                 static_cast<std::uint32_t>(i));
    images.pixels[i] = static_cast<float>(4 * uniform(bits[0]) - 2);
  }
  return images;
}

PreparedImages data_images(const Dataset& dataset, const InputConfig& input, std::int64_t count) {
  count = std::min(count, dataset.size());
  const std::size_t pixels = static_cast<std::size_t>(input.channels * input.size * input.size);
  PreparedImages images;
  images.pixels.resize(static_cast<std::size_t>(count) * pixels);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t index = i * dataset.size() / count;
    transform_eval(dataset.load(index, input.channels), input,
                   std::span(images.pixels).subspan(static_cast<std::size_t>(i) * pixels, pixels));
    images.labels.push_back(dataset.label(index));
  }
  return images;
}

}  // namespace vitrail::app
