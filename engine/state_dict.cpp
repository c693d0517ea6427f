#include "engine/state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "engine/error.h"
#include "format/error.h"

namespace vitrail {
namespace {

using format::Datum;
using format::TensorRecord;

// Under which training programs keep the weights, and an average of them: torch's examples, timm, DeiT, MAE,
// Lightning, DINO.
constexpr std::array kPlain{"state_dict", "model_state_dict", "model", "module", "net", "student"};
constexpr std::array kAverage{"state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher"};
constexpr const char* kLightning = "pytorch-lightning_version";
constexpr std::array kPrefixes{"module.", "_orig_mod.", "model."};
constexpr int kMostWrappers = 4;
constexpr std::size_t kShown = 8;

bool holds_tensors(const Datum& value, int depth = 0) {
  if (value.as<Datum::Tensor>() != nullptr) return true;
  const Datum::Dict* dict = value.as<Datum::Dict>();
  return dict != nullptr && depth < kMostWrappers &&
         std::any_of(dict->items.begin(), dict->items.end(),
                     [&](const Datum::Item& item) { return holds_tensors(item.value, depth + 1); });
}

template <class Keys>
const char* key_in(const Datum& root, const Keys& keys) {
  for (const char* key : keys) {
    const Datum* value = root.find(key);
    if (value != nullptr && value->as<Datum::Dict>() != nullptr && holds_tensors(*value)) return key;
  }
  return nullptr;
}

std::string key_text(const Datum& key) {
  if (const std::string* text = key.as<std::string>()) return fmt::format("'{}'", text->substr(0, 80));
  const std::int64_t* number = key.as<std::int64_t>();
  return number != nullptr ? std::to_string(*number) : "?";
}

// "'a', 'b' and 3 more".
std::string listed(const std::vector<std::string>& names) {
  const std::vector<std::string> shown(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown)));
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "");
}

std::vector<std::string> keys_but(const Datum& root, std::string_view taken) {
  std::vector<std::string> keys;
  for (const Datum::Item& item : root.as<Datum::Dict>()->items) {
    const std::string* text = item.key.as<std::string>();
    if (text == nullptr || *text != taken) keys.push_back(key_text(item.key));
  }
  return keys;
}

[[noreturn]] void refuse_root(const Datum& root) {
  std::string found = "something else";
  if (const Datum::Dict* dict = root.as<Datum::Dict>())
    found = dict->items.empty() ? "an empty dict" : "a dict of " + listed(keys_but(root, ""));
  throw format::FormatError(
      fmt::format("expected a state dict, which is a dict of tensors, or one under {}; found {}",
                  fmt::join(kPlain, ", "), found));
}

class Finder {
 public:
  Finder(std::span<const TensorRecord> tensors, WeightChoice choice) : tensors_(tensors), choice_(choice) {}

  StateDict find(const Datum& root) {
    const Datum* dict = &root;
    for (int depth = 0; depth < kMostWrappers; ++depth) {
      const char* key = wrapper(*dict);
      if (key == nullptr) break;
      const std::vector<std::string> others = keys_but(*dict, key);
      result_.notes.push_back(others.empty() ? fmt::format("took '{}'", key)
                                             : fmt::format("took '{}'; left out {}", key, listed(others)));
      lightning_ = lightning_ || dict->find(kLightning) != nullptr;
      dict = dict->find(key);
    }
    if (choice_ == WeightChoice::ema && !average_)
      throw ConfigError("no average of the weights is in it: leave the choice of EMA weights out");
    collect(*dict);
    if (result_.tensors.empty()) refuse_root(root);
    if (lightning_) keep_model();
    tie();
    strip_prefixes(result_.tensors, result_.notes);
    return std::move(result_);
  }

 private:
  const char* wrapper(const Datum& dict) {
    const char *plain = key_in(dict, kPlain), *average = key_in(dict, kAverage);
    const bool takes_average = average != nullptr && (choice_ == WeightChoice::ema || plain == nullptr);
    average_ = average_ || takes_average;
    return takes_average ? average : plain;
  }

  void collect(const Datum& root) {
    const Datum::Dict* dict = root.as<Datum::Dict>();
    if (dict == nullptr) return;
    std::vector<std::string> others;
    for (const Datum::Item& item : dict->items) {
      const Datum::Tensor* place = item.value.as<Datum::Tensor>();
      const std::string* name = item.key.as<std::string>();
      if (place == nullptr || name == nullptr) {
        others.push_back(key_text(item.key));
        continue;
      }
      TensorRecord& tensor = result_.tensors.emplace_back(tensors_[place->index]);
      tensor.name = *name;
      tensor.alias_of.clear();
    }
    if (!others.empty() && !result_.tensors.empty())
      result_.notes.push_back(fmt::format("left out what is no tensor: {}", listed(others)));
  }

  // A Lightning module has the network as its 'model', and maybe losses and metrics beside it.
  void keep_model() {
    std::vector<TensorRecord>& tensors = result_.tensors;
    const auto others = std::stable_partition(tensors.begin(), tensors.end(), [](const TensorRecord& tensor) {
      return tensor.name.starts_with("model.");
    });
    if (others == tensors.begin() || others == tensors.end()) return;
    std::vector<std::string> names;
    for (auto tensor = others; tensor != tensors.end(); ++tensor)
      names.push_back(fmt::format("'{}'", tensor->name));
    result_.notes.push_back(fmt::format("left out what Lightning has beside 'model.': {}", listed(names)));
    tensors.erase(others, tensors.end());
  }

  // Tensors that have the same bytes, and not equal ones.
  void tie() {
    std::map<std::tuple<const std::byte*, std::size_t, format::ElementType>, const std::string*> owners;
    for (TensorRecord& tensor : result_.tensors) {
      if (tensor.bytes.empty()) continue;
      const auto [owner, is_first] =
          owners.try_emplace({tensor.bytes.data(), tensor.bytes.size(), tensor.type}, &tensor.name);
      if (!is_first) tensor.alias_of = *owner->second;
    }
  }

  std::span<const TensorRecord> tensors_;
  const WeightChoice choice_;
  bool lightning_ = false, average_ = false;
  StateDict result_;
};

}  // namespace

StateDict read_state_dict(const Datum& root, std::span<const TensorRecord> tensors, WeightChoice choice) {
  return Finder(tensors, choice).find(root);
}

void strip_prefixes(std::vector<TensorRecord>& tensors, std::vector<std::string>& notes) {
  const auto all_have = [&](std::string_view prefix) {
    return !tensors.empty() && std::all_of(tensors.begin(), tensors.end(), [&](const TensorRecord& tensor) {
      return tensor.name.starts_with(prefix) && tensor.name.size() > prefix.size();
    });
  };
  for (;;) {
    const auto prefix = std::find_if(kPrefixes.begin(), kPrefixes.end(), all_have);
    if (prefix == kPrefixes.end()) return;
    const std::size_t size = std::string_view(*prefix).size();
    for (TensorRecord& tensor : tensors) {
      tensor.name.erase(0, size);
      if (!tensor.alias_of.empty()) tensor.alias_of.erase(0, size);
    }
    notes.push_back(fmt::format("took '{}' off all names", *prefix));
  }
}

}  // namespace vitrail
