#include "onnx_export/closeness.h"

#include <algorithm>
#include <cmath>

#include "engine/transfer.h"
#include "engine/vit.h"
#include "onnx_export/interpreter.h"
#include "onnx_export/products.h"

namespace vitrail::onnx_export {
namespace {

constexpr std::int64_t kTogether = 8;  // images

std::int64_t best(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

}  // namespace

struct Comparison::State {
  State(const Graph& graph, const VitConfig& config, const VitParams& weights, Backend& device)
      : model(graph.complete()),
        parts(reference::ModelParts::of(model)),
        reader(parts),
        products(reference::backend_products(device)),
        params(weights),
        backend(device),
        dtype(weights.patch_embed.weight.dtype),
        vit(device, config, dtype, kTogether, VitMode::inference),
        images(device,
               static_cast<std::size_t>(kTogether * config.in_chans * config.img_size * config.img_size) *
                   vitrail::size_of(dtype)) {}

  std::vector<float> engine_logits(std::span<const float> pixels, std::int64_t count) {
    const VitConfig& config = vit.config();
    const Out view{images.data(), dtype, {count, config.in_chans, config.img_size, config.img_size}};
    upload_floats(backend, view, pixels);
    std::vector<float> logits(static_cast<std::size_t>(count * config.num_classes));
    download_floats(backend, logits, vit.infer(params, view));
    return logits;
  }

  std::vector<float> graph_logits(std::span<const float> pixels, std::int64_t count) {
    const VitConfig& config = vit.config();
    const auto budget = std::make_shared<reference::Budget>(reference::Limits{});
    reference::Tensor input = reference::make_tensor(
        budget, reference::Type::f32, {count, config.in_chans, config.img_size, config.img_size}, "images");
    std::copy(pixels.begin(), pixels.end(), input.floats());
    std::vector<reference::Tensor> inputs{std::move(input)};
    const reference::Tensor logits = reader.run(std::move(inputs), *products, budget).front();
    return {logits.floats(), logits.floats() + logits.count()};
  }

  onnx::ModelProto model;
  reference::ModelParts parts;
  reference::Graph reader;
  std::unique_ptr<reference::Products> products;
  const VitParams& params;
  Backend& backend;
  DType dtype;
  Vit vit;
  Buffer images;
};

Comparison::Comparison(const Graph& graph, const VitConfig& config, const VitParams& params, Backend& backend)
    : state_(std::make_unique<State>(graph, config, params, backend)) {}

Comparison::~Comparison() = default;

void Comparison::add(std::span<const float> images, std::span<const std::int64_t> labels) {
  const VitConfig& config = state_->vit.config();
  const std::size_t pixels = static_cast<std::size_t>(config.in_chans * config.img_size * config.img_size);
  const std::size_t classes = static_cast<std::size_t>(config.num_classes), count = images.size() / pixels;
  for (std::size_t first = 0; first < count; first += kTogether) {
    const std::size_t now = std::min<std::size_t>(kTogether, count - first);
    const auto part = images.subspan(first * pixels, now * pixels);
    const std::vector<float> expected = state_->engine_logits(part, static_cast<std::int64_t>(now));
    const std::vector<float> found = state_->graph_logits(part, static_cast<std::int64_t>(now));
    for (std::size_t i = 0; i < found.size(); ++i) {
      const double difference = std::abs(double{found[i]} - double{expected[i]});
      result_.largest_difference =
          std::isnan(difference) ? INFINITY : std::max(result_.largest_difference, difference);
      result_.largest_logit = std::max<double>(result_.largest_logit, std::abs(expected[i]));
    }
    for (std::size_t i = 0; i < now; ++i) {
      const std::int64_t exact = best(std::span(expected).subspan(i * classes, classes));
      const std::int64_t ours = best(std::span(found).subspan(i * classes, classes));
      ++result_.images;
      result_.same_top1 += exact == ours;
      if (labels.empty()) continue;
      ++result_.labelled;
      result_.engine_right += exact == labels[first + i];
      result_.graph_right += ours == labels[first + i];
    }
  }
}

}  // namespace vitrail::onnx_export
