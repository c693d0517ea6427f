#include "engine/families/own_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "engine/keys.h"

namespace vitrail::families {
namespace {

constexpr const char* kSettings = "vitrail.settings";
constexpr const char* kLabels = "vitrail.labels";

std::vector<std::string> settings_of(const Model& model) {
  TrainConfig config;
  config.model = model.config;
  config.input = model.input;
  std::vector<std::string> settings = to_settings(config);
  std::erase_if(settings, [](const std::string& setting) {
    return !setting.starts_with("model") && !setting.starts_with("input.");
  });
  return settings;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::vector<std::string> texts(const format::Datum* datum) {
  std::vector<std::string> result;
  const auto* list = datum == nullptr ? nullptr : datum->as<format::Datum::List>();
  if (list == nullptr) return result;
  for (const format::Datum& item : list->items) {
    if (const std::string* text = item.as<std::string>()) result.push_back(*text);
  }
  return result;
}

void take(const WeightFile& file, const std::vector<std::string>& settings,
          const std::vector<std::string>& labels, Facts& facts) {
  try {
    const TrainConfig config = from_settings(settings);
    config.model.check();
    facts.config = config.model;
    facts.input = config.input;
    facts.labels = labels;
  } catch (const ConfigError& error) {
    throw ConfigError(
        fmt::format("{}: the settings that it carries cannot be used: {}", file.path.string(), error.what()));
  }
}

}  // namespace

void read_own_settings(const WeightFile& file, Facts& facts) {
  const auto settings = file.metadata.find(kSettings);
  if (settings != file.metadata.end()) {
    const auto labels = file.metadata.find(kLabels);
    return take(file, lines_of(settings->second),
                labels == file.metadata.end() ? std::vector<std::string>{} : lines_of(labels->second), facts);
  }
  const format::Datum* own = file.config ? file.config->find("vitrail") : nullptr;
  if (own != nullptr) take(file, texts(own->find("settings")), texts(own->find("labels")), facts);
}

nlohmann::ordered_json own_settings(const Model& model) {
  return {{"settings", settings_of(model)}, {"labels", model.labels}};
}

std::map<std::string, std::string> own_metadata(const Model& model) {
  std::map<std::string, std::string> metadata;
  metadata[kSettings] = fmt::format("{}", fmt::join(settings_of(model), "\n"));
  if (!model.labels.empty()) metadata[kLabels] = fmt::format("{}", fmt::join(model.labels, "\n"));
  return metadata;
}

}  // namespace vitrail::families
