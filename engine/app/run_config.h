#pragma once
// A training configuration and how the program is to run it, each value with where it came from. The command
// line beats the file of `config=`, the file beats what the program chooses (engine/app/choices.h), and that
// beats the defaults.

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train_config.h"

namespace vitrail::app {

struct RunConfig {
  TrainConfig train;
  std::filesystem::path out;  // the run folder; empty: runs/NAME-N
  std::string device = "cpu";
  std::string gemm = "auto";
  std::string isa = "auto";
  bool pin = false;               // the threads that compute stay on their cores
  std::int64_t threads = 0;       // 0: one per core
  std::int64_t data_threads = 0;  // 0: as many as threads
  double log_every = 10;          // seconds between progress lines where they are not redrawn

  // By setting: "command line", "recipe.toml:12", or why the program chose it. Absent: the default.
  std::map<std::string, std::string, std::less<>> origins;

  bool told(std::string_view name) const { return origins.count(name) > 0; }
};

// A setting of the run that changes nothing in what is learnt.
struct RunKey {
  std::string name, accepts, help;
  std::function<std::string(const RunConfig&)> get;
  std::function<void(RunConfig&, std::string_view)> set;  // throws ConfigError
};

std::span<const RunKey> run_keys();

// One setting as it was given, and where.
struct Setting {
  std::string name, value, origin;
};

// Splits "key=value" arguments. Throws ConfigError at one without '='.
std::vector<Setting> parse_arguments(std::span<const std::string> arguments);

// Settings of a TOML file: flat, dotted or in tables; lists of numbers for values by channel. In a [model]
// table `name` stands for the setting `model`, in [init] `file` for `init`. Throws ConfigError with file and
// line.
std::vector<Setting> read_settings_file(const std::filesystem::path& path);

// Applies one layer of settings, `model` before `model.*` and `model.mlp_ratio` last. Throws ConfigError
// naming the nearest right name of an unknown one.
void apply(RunConfig& config, std::vector<Setting> settings);

// Arguments of the command line, with the file of `config=FILE` beneath them, and `base` beneath both.
RunConfig read_run_config(std::span<const std::string> arguments, RunConfig base = {});

// Throws ConfigError when a setting is not among `allowed`: "resume: 'opt.lr' cannot be set here; …".
void allow_only(const std::vector<Setting>& settings, std::string_view command,
                std::span<const std::string> allowed);

// Every setting but `out`, with its value and origin, as a TOML file that read_settings_file() reads back.
std::string to_toml(const RunConfig& config);

}  // namespace vitrail::app
