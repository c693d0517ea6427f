#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "engine/app/commands.h"
#include "engine/app/model_source.h"
#include "engine/app/platform.h"
#include "engine/error.h"
#include "engine/evaluate.h"
#include "engine/model_io.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPredictExamples =
    "Examples:\n"
    "  vitrail predict runs/flowers-1 rose.jpg\n"
    "  vitrail predict runs/flowers-1 photos/*.jpg --top 3\n"
    "  vitrail predict model.vitrail rose.png --json     with the logits of every class\n"
    "  vitrail predict timm.pt rose.png model=vit_small_patch16_224 init.normalization=half\n\n"
    "RUN stands for its best.vitrail, or last.vitrail where there is no best. Images are PNG or JPEG.\n"
    "May be set: dtype=f32|bf16|int8|auto; of another format's file also model, init.norm_eps, init.gelu, "
    "init.num_heads, init.normalization.";

struct PredictOptions {
  std::string file;
  std::vector<std::string> images;
  std::int64_t top = 5;
  bool json = false;
};

struct Prediction {
  std::string image;
  std::vector<float> logits, probabilities;
  std::vector<std::size_t> classes;  // likeliest first, at most --top of them
};

std::string label_of(const ReadyModel& model, std::size_t index) {
  return index < model.labels.size() ? model.labels[index] : std::to_string(index);
}

Prediction predict_image(Classifier& classifier, const ReadyModel& model, const std::string& image,
                         std::int64_t top) {
  const InputConfig& input = model.input;
  std::vector<float> pixels(static_cast<std::size_t>(input.channels * input.size * input.size));
  transform_eval(read_image(image, input.channels), input, pixels);
  Prediction prediction{
      .image = image, .logits = classifier.logits(pixels), .probabilities = {}, .classes = {}};
  prediction.probabilities = softmax(prediction.logits);
  prediction.classes.resize(prediction.logits.size());
  std::iota(prediction.classes.begin(), prediction.classes.end(), 0);
  std::stable_sort(prediction.classes.begin(), prediction.classes.end(),
                   [&](std::size_t a, std::size_t b) { return prediction.logits[a] > prediction.logits[b]; });
  prediction.classes.resize(std::min(prediction.classes.size(), static_cast<std::size_t>(top)));
  return prediction;
}

nlohmann::ordered_json to_json(const Prediction& prediction, const ReadyModel& model) {
  nlohmann::ordered_json top = nlohmann::ordered_json::array();
  for (const std::size_t index : prediction.classes) {
    top.push_back({{"class", index},
                   {"label", label_of(model, index)},
                   {"probability", prediction.probabilities[index]}});
  }
  return {{"image", prediction.image}, {"top", top}, {"logits", prediction.logits}};
}

void show(Console& console, const Prediction& prediction, const ReadyModel& model) {
  console.line(prediction.image);
  for (const std::size_t index : prediction.classes) {
    console.row(fmt::format("{:.2f} %", 100 * prediction.probabilities[index]), label_of(model, index));
  }
}

// Takes the settings out of the list of images.
RunConfig take_settings(std::vector<std::string>& images) {
  std::vector<std::string> settings;
  std::erase_if(images, [&](const std::string& word) {
    const bool setting =
        word.starts_with("init.") || word.starts_with("model=") || word.starts_with("dtype=");
    if (setting) settings.push_back(word);
    return setting;
  });
  RunConfig config;
  apply(config, parse_arguments(settings));
  if (images.empty()) throw ConfigError("images: expected PNG or JPEG files, found none");
  return config;
}

ExitCode predict(Console& console, PredictOptions options) {
  console.set_quiet(options.json);
  const RunConfig config = take_settings(options.images);
  const fs::path file = source_file(options.file, Prefer::best);
  const std::unique_ptr<Backend> backend = open_device({});
  const LoadedReady loaded = load_ready(file, *backend, config);
  const ReadyModel& model = loaded.model;
  Classifier classifier(*backend, model.config, model.params, model.dtype, 1);
  nlohmann::ordered_json images = nlohmann::ordered_json::array();
  for (const std::string& image : options.images) {
    const Prediction prediction = predict_image(classifier, model, image, options.top);
    if (options.json) {
      images.push_back(to_json(prediction, model));
    } else {
      show(console, prediction, model);
    }
  }
  if (options.json) {
    console.document(nlohmann::ordered_json{{"file", file.string()}, {"images", images}}.dump(2));
  }
  return ExitCode::done;
}

}  // namespace

void add_predict(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("predict", "What is in an image");
  auto options = std::make_shared<PredictOptions>();
  command->add_option("model", options->file, "a run's folder, or a file of weights")->required();
  command->add_option("images", options->images, "PNG or JPEG files")->required();
  command->add_option("--top", options->top, "how many classes to name")->check(CLI::Range(1, 1 << 20));
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kPredictExamples);
  command->callback(
      [&console, &action, options] { action = [&console, options] { return predict(console, *options); }; });
}

}  // namespace vitrail::app
