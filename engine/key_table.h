#pragma once
// How a row of the settings table is made: each builder fits one type of value to a field of TrainConfig.

#include <initializer_list>
#include <limits>
#include <vector>

#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail::key_table {

inline constexpr double kNoLimit = std::numeric_limits<double>::max();
inline constexpr std::int64_t kNoWholeLimit = std::numeric_limits<std::int64_t>::max();
inline constexpr NumberRange kPositive{.high = kNoLimit, .low_open = true};
inline constexpr NumberRange kNotNegative{.high = kNoLimit};
inline constexpr NumberRange kRate{.high = 1, .high_open = true};  // [0, 1)
inline constexpr NumberRange kShare{.high = 1};                    // [0, 1]
inline constexpr NumberRange kShareAboveZero{.high = 1, .low_open = true};

// `field` maps a TrainConfig, const or not, to a reference to the member.
template <class Field>
Key number(std::string name, Field field, NumberRange range, std::string help) {
  return {name, range.text(), std::move(help),
          [field](const TrainConfig& config) { return to_text(field(config)); },
          [name, field, range](TrainConfig& config, std::string_view text) {
            field(config) = parse_number(name, text, range);
          }};
}

template <class Field>
Key whole(std::string name, Field field, WholeRange range, std::string help) {
  return {name, range.text(), std::move(help),
          [field](const TrainConfig& config) { return std::to_string(field(config)); },
          [name, field, range](TrainConfig& config, std::string_view text) {
            field(config) = parse_whole(name, text, range);
          }};
}

template <class Field>
Key switched(std::string name, Field field, std::string help) {
  return {name, "true | false", std::move(help),
          [field](const TrainConfig& config) { return std::string(field(config) ? "true" : "false"); },
          [name, field](TrainConfig& config, std::string_view text) {
            field(config) = parse_switch(name, text);
          }};
}

template <class Field>
Key channels(std::string name, Field field, NumberRange range, std::string help) {
  return {name, "1 to 4 numbers with commas between, each " + range.text(), std::move(help),
          [field](const TrainConfig& config) { return to_text(field(config)); },
          [name, field, range](TrainConfig& config, std::string_view text) {
            field(config) = parse_channels(name, text, range);
          }};
}

// One of an enumeration's values, spelt as name_of() spells them.
template <class Value, class Field>
Key choice(std::string name, Field field, std::initializer_list<Value> values, std::string help) {
  const std::vector<Value> known(values);
  std::string accepts;
  for (const Value value : known)
    accepts += (accepts.empty() ? "" : " | ") + std::string(name_of(value));
  return {name, accepts, std::move(help),
          [field](const TrainConfig& config) { return std::string(name_of(field(config))); },
          [name, field, known, accepts](TrainConfig& config, std::string_view text) {
            for (const Value value : known) {
              if (text == name_of(value)) return void(field(config) = value);
            }
            refuse_value(name, accepts, text);
          }};
}

// The rows of `init`, `init.*` and `resume_from`.
void add_init_keys(std::vector<Key>& rows);
// The rows of `model` and `model.*`.
void add_model_keys(std::vector<Key>& rows);

}  // namespace vitrail::key_table
