// The configuration of a run as TOML: reading files of settings and writing the effective one.
#include <fmt/format.h>

#include <toml++/toml.h>
#include <charconv>

#include "engine/app/run_config.h"
#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

// Settings that are also the names of groups: what stands for them in their tables.
struct GroupHead {
  const char *setting, *key;
};
constexpr GroupHead kGroupHeads[] = {{"model", "name"}, {"init", "file"}};

std::string setting_of(const std::string& name) {
  for (const GroupHead& head : kGroupHeads) {
    if (name == fmt::format("{}.{}", head.setting, head.key)) return head.setting;
  }
  return name;
}

class SettingsReader {
 public:
  explicit SettingsReader(std::string file) : file_(std::move(file)) {}

  void read(const toml::table& table, const std::string& group) {
    for (const auto& [key, node] : table) {
      const std::string name = group.empty() ? std::string(key.str()) : group + "." + std::string(key.str());
      if (const toml::table* inner = node.as_table()) {
        read(*inner, name);
      } else {
        settings_.push_back({setting_of(name), text_of(node), place_of(node)});
      }
    }
  }

  std::vector<Setting> take() { return std::move(settings_); }

 private:
  std::string place_of(const toml::node& node) const {
    return fmt::format("{}:{}", file_, node.source().begin.line);
  }

  std::string text_of(const toml::node& node) const {
    if (const auto* text = node.as_string()) return text->get();
    if (const auto* whole = node.as_integer()) return std::to_string(whole->get());
    if (const auto* number = node.as_floating_point()) return to_text(number->get());
    if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    if (const toml::array* list = node.as_array()) {
      std::string joined;
      for (const toml::node& element : *list)
        joined += (joined.empty() ? "" : ",") + text_of(element);
      return joined;
    }
    throw ConfigError(place_of(node) +
                      ": expected text, a number, true, false or a list of numbers, found a date or time");
  }

  std::string file_;
  std::vector<Setting> settings_;
};

bool is_toml_number(const std::string& text) {
  double number = 0;
  const auto [number_end, number_error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (number_error != std::errc() || number_end != text.data() + text.size()) return false;
  if (text.find_first_of(".e") != std::string::npos) return true;
  std::int64_t whole = 0;
  return std::from_chars(text.data(), text.data() + text.size(), whole).ec == std::errc();
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (static_cast<unsigned char>(letter) < 0x20) {
      result += fmt::format("\\u{:04x}", int{letter});
    } else {
      result += letter;
    }
  }
  return result + '"';
}

std::string toml_value(const std::string& name, const std::string& value) {
  if (name == "data" || name == "init" || name == "resume_from") return quoted(value);
  if (value == "true" || value == "false" || is_toml_number(value)) return value;
  if (name == "input.mean" || name == "input.std") return "[" + value + "]";
  return quoted(value);
}

class TomlWriter {
 public:
  explicit TomlWriter(const RunConfig& config) : config_(config) {}

  void write(const std::string& name, const std::string& value) {
    if (value.empty()) return;
    const std::size_t dot = name.find('.');
    std::string group = dot == std::string::npos ? "" : name.substr(0, dot);
    std::string key = dot == std::string::npos ? name : name.substr(dot + 1);
    for (const GroupHead& head : kGroupHeads) {
      if (name != head.setting) continue;
      group = head.setting;
      key = head.key;
    }
    if (group != group_) text_ += fmt::format("\n[{}]\n", group_ = group);
    const auto origin = config_.origins.find(name);
    text_ += fmt::format("{:<32}  # {}\n", fmt::format("{} = {}", key, toml_value(name, value)),
                         origin == config_.origins.end() ? "default" : one_line(origin->second));
  }

  std::string take() { return std::move(text_); }

 private:
  static std::string one_line(std::string text) {
    for (char& letter : text) {
      if (static_cast<unsigned char>(letter) < 0x20) letter = ' ';
    }
    return text;
  }

  const RunConfig& config_;
  std::string group_;
  std::string text_ =
      "# The effective configuration of this run, each value with where it came from.\n"
      "# The same again: vitrail train config=THIS_FILE\n\n";
};

}  // namespace

std::vector<Setting> read_settings_file(const std::filesystem::path& path) {
  try {
    const toml::table table = toml::parse_file(path.string());
    SettingsReader reader(path.string());
    reader.read(table, "");
    return reader.take();
  } catch (const toml::parse_error& error) {
    throw ConfigError(
        fmt::format("{}:{}: {}", path.string(), error.source().begin.line, error.description()));
  }
}

std::string to_toml(const RunConfig& config) {
  TomlWriter writer(config);
  // Without the folder, which holds this run already.
  for (const RunKey& key : run_keys()) {
    if (key.name != "out") writer.write(key.name, key.get(config));
  }
  for (const Key& key : keys())
    writer.write(key.name, key.get(config.train));
  return writer.take();
}

}  // namespace vitrail::app
