#include "engine/app/settings_help.h"

#include <fmt/format.h>

#include "engine/app/run_config.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

std::string entry(const std::string& name, const std::string& value, const std::string& accepts,
                  const std::string& help) {
  const std::string setting = value.empty() ? name : name + "=" + value;
  return fmt::format("  {:<32} {}\n{:35}{}\n", setting, help, "", accepts);
}

constexpr std::size_t kColumns = 108;

std::string model_names() {
  std::string text = "\nModels by name:";
  std::size_t column = kColumns;
  for (const std::string& name : vit_config_names()) {
    const bool fits = column + 1 + name.size() <= kColumns;
    text += fmt::format("{}{}", fits ? " " : "\n  ", name);
    column = (fits ? column + 1 : 2) + name.size();
  }
  return text + '\n';
}

}  // namespace

std::string settings_help() {
  const RunConfig defaults;
  std::string text =
      "Settings, with their defaults and what they accept. Where a setting is not given, train chooses one "
      "that\n"
      "fits the data, and says so. The command line beats config=FILE.toml, which beats those choices.\n\n"
      "How the program runs:\n";
  for (const RunKey& key : run_keys())
    text += entry(key.name, key.get(defaults), key.accepts, key.help);
  text += "\nWhat is learnt, and how:\n";
  for (const Key& key : keys())
    text += entry(key.name, key.get(defaults.train), key.accepts, key.help);
  return text + model_names();
}

}  // namespace vitrail::app
