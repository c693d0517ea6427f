#include "engine/app/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

RunKey text_key(std::string name, std::string accepts, std::string help, std::string RunConfig::*member) {
  return {std::move(name), std::move(accepts), std::move(help),
          [member](const RunConfig& c) { return c.*member; },
          [member](RunConfig& c, std::string_view text) { c.*member = text; }};
}

RunKey threads_key(const std::string& name, std::string help, std::int64_t RunConfig::*member) {
  constexpr WholeRange kRange{.low = 0, .high = 1024};
  return {name, kRange.text(), std::move(help),
          [member](const RunConfig& c) { return std::to_string(c.*member); },
          [name, member, kRange](RunConfig& c, std::string_view text) {
            c.*member = parse_whole(name, text, kRange);
          }};
}

RunKey log_every_key() {
  constexpr NumberRange kRange{.low = 0, .high = 86400};
  return {"log_every", kRange.text(), "seconds between progress lines in a pipe and in log.txt",
          [](const RunConfig& c) { return to_text(c.log_every); },
          [kRange](RunConfig& c, std::string_view text) {
            c.log_every = parse_number("log_every", text, kRange);
          }};
}

std::vector<RunKey> make_run_keys() {
  return {
      {"out", "FOLDER", "the run folder; by default runs/NAME-N, counting up",
       [](const RunConfig& c) { return c.out.string(); },
       [](RunConfig& c, std::string_view text) { c.out = text; }},
      text_key("device", "cpu | cuda | cuda:N | auto", "what computes; auto: a GPU where there is one",
               &RunConfig::device),
      threads_key("threads", "that compute; 0: one per core; results do not depend on it",
                  &RunConfig::threads),
      threads_key(
          "data_threads",
          "that prepare images; 0: as many as threads, with cuda one per core; results do not depend on it",
          &RunConfig::data_threads),
      text_key("gemm", "auto | vitrail | onednn | eigen", "who multiplies matrices", &RunConfig::gemm),
      text_key("isa", "auto | avx2 | avx512 | avx512_bf16", "vector instructions to use", &RunConfig::isa),
      {"pin", "true | false",
       "the threads that compute stay on cores of their own, for machines that nobody else uses",
       [](const RunConfig& c) { return std::string(c.pin ? "true" : "false"); },
       [](RunConfig& c, std::string_view text) { c.pin = parse_switch("pin", text); }},
      log_every_key()};
}

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const Key& key : keys())
    names.push_back(key.name);
  for (const RunKey& key : run_keys())
    names.push_back(key.name);
  names.emplace_back("config");
  return names;
}

std::string current_value(const RunConfig& config, std::string_view name) {
  for (const Key& key : keys()) {
    if (key.name == name) return key.get(config.train);
  }
  for (const RunKey& key : run_keys()) {
    if (key.name == name) return key.get(config);
  }
  return "";
}

[[noreturn]] void refuse_unknown(const RunConfig& config, const Setting& setting) {
  const std::string near = nearest(setting.name, all_names());
  if (near.empty()) {
    throw ConfigError(
        fmt::format("unknown setting '{}' ({}); see 'vitrail train --help', which lists them all",
                    setting.name, setting.origin));
  }
  const std::string value = current_value(config, near);
  throw ConfigError(fmt::format("unknown setting '{}' ({}); did you mean '{}'{}?", setting.name,
                                setting.origin, near,
                                value.empty() ? "" : fmt::format(" (by default {})", value)));
}

void apply_one(RunConfig& config, const Setting& setting) {
  for (const RunKey& key : run_keys()) {
    if (key.name == setting.name) return key.set(config, setting.value);
  }
  const bool known =
      std::any_of(keys().begin(), keys().end(), [&](const Key& key) { return key.name == setting.name; });
  if (!known) refuse_unknown(config, setting);
  set_key(config.train, setting.name, setting.value);
}

// Sizes and switches that `model` has just set count as given by it.
void note_model_origins(RunConfig& config, const Setting& model) {
  for (const Key& key : keys()) {
    const bool kept =
        key.name.ends_with("_rate") || key.name == "model.in_chans" || key.name == "model.num_classes";
    if (!key.name.starts_with("model.") || kept || key.name == "model.mlp_ratio") continue;
    config.origins[key.name] = fmt::format("model={}, {}", model.value, model.origin);
  }
}

}  // namespace

std::span<const RunKey> run_keys() {
  static const std::vector<RunKey> table = make_run_keys();
  return table;
}

std::vector<Setting> parse_arguments(std::span<const std::string> arguments) {
  std::vector<Setting> settings;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw ConfigError(
          fmt::format("expected a setting as KEY=VALUE, such as epochs=10, found '{}'", argument));
    }
    settings.push_back({argument.substr(0, equals), argument.substr(equals + 1), "command line"});
  }
  return settings;
}

void apply(RunConfig& config, std::vector<Setting> settings) {
  std::stable_sort(settings.begin(), settings.end(), [](const Setting& a, const Setting& b) {
    return setting_rank(a.name) < setting_rank(b.name);
  });
  for (const Setting& setting : settings) {
    try {
      apply_one(config, setting);
    } catch (const ConfigError& error) {
      if (setting.origin == "command line" ||
          std::string_view(error.what()).find(setting.origin) != std::string::npos) {
        throw;
      }
      throw ConfigError(fmt::format("{}: {}", setting.origin, error.what()));
    }
    const bool batch_auto = setting.name == "batch" && setting.value == "auto";  // the data decide
    config.origins[batch_auto ? "accumulate" : setting.name] = setting.origin;
    if (setting.name == "model" && setting.value != "custom") note_model_origins(config, setting);
    if (setting.name == "model.mlp_ratio")
      config.origins["model.mlp_dim"] = "model.mlp_ratio, " + setting.origin;
  }
}

RunConfig read_run_config(std::span<const std::string> arguments, RunConfig config) {
  std::vector<Setting> settings = parse_arguments(arguments);
  for (const Setting& setting : settings) {
    if (setting.name == "config") apply(config, read_settings_file(setting.value));
  }
  std::erase_if(settings, [](const Setting& setting) { return setting.name == "config"; });
  apply(config, std::move(settings));
  return config;
}

void allow_only(const std::vector<Setting>& settings, std::string_view command,
                std::span<const std::string> allowed) {
  for (const Setting& setting : settings) {
    if (std::find(allowed.begin(), allowed.end(), setting.name) != allowed.end()) continue;
    const std::string near = nearest(setting.name, allowed);
    std::string list;
    for (const std::string& name : allowed)
      list += (list.empty() ? "" : ", ") + name;
    throw ConfigError(
        fmt::format("{}: '{}' cannot be set here{}", command, setting.name,
                    near.empty() ? "; use one of " + list : fmt::format("; did you mean '{}'?", near)));
  }
}

}  // namespace vitrail::app
