#include "format/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <nlohmann/json.hpp>

#include "format/error.h"
#include "format/source.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kShownBytes = 80;  // bytes of a key or a message that go into an error

std::string shown(std::string_view text) {
  if (text.size() <= kShownBytes) return std::string(text);
  std::size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;
  return std::string(text.substr(0, end)) + "…";
}

bool is_json_text(std::string_view text) {
  return format::is_text(std::as_bytes(std::span(text)));
}

// What the library's parser tells becomes a tree. Its parser keeps no stack of calls, and the depth is
// limited so that taking the tree down needs a small one.
class Builder {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Datum take() { return std::move(root_); }

  // The library's names.
  bool null() { return add({}); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return value == 0 ? add(-0.0) : add(value); }
  bool number_unsigned(std::uint64_t value) {
    if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
      return add(static_cast<double>(value));
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) {
    check_text(value);
    return add(std::move(value));
  }
  bool binary(Json::binary_t&) { return false; }  // not in JSON
  bool start_object(std::size_t) { return open(false); }
  bool start_array(std::size_t) { return open(true); }
  bool key(std::string& value) {
    count();
    check_text(value);
    open_.back().key = std::move(value);
    return true;
  }
  bool end_object() {
    Datum::Dict dict = std::move(open_.back().dict);
    open_.pop_back();
    check_keys(dict);
    return place(std::move(dict));
  }
  bool end_array() {
    Datum::List list = std::move(open_.back().list);
    open_.pop_back();
    return place(std::move(list));
  }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) {
    std::string_view what = error.what();
    if (const std::size_t colon = what.find(": "); colon != what.npos) what.remove_prefix(colon + 2);
    throw FormatError(fmt::format("no JSON at byte {}: {}", position, shown(what)));
  }

 private:
  struct Open {
    bool is_list = false;
    Datum::List list;
    Datum::Dict dict;
    std::string key;
  };

  bool open(bool is_list) {
    count();
    if (open_.size() == limits_.depth)
      throw FormatError(fmt::format("JSON nested deeper than {} levels", limits_.depth));
    open_.emplace_back().is_list = is_list;
    return true;
  }

  bool add(Datum value) {
    count();
    return place(std::move(value));
  }

  bool place(Datum value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_list) {
      open_.back().list.items.push_back(std::move(value));
    } else {
      open_.back().dict.items.push_back({std::move(open_.back().key), std::move(value)});
    }
    return true;
  }

  void count() {
    if (++values_ > limits_.values)
      throw FormatError(fmt::format("JSON of more than {} values", limits_.values));
  }

  static void check_text(const std::string& text) {
    if (!is_json_text(text))
      throw FormatError(fmt::format("JSON text with the character NUL: '{}'", shown(text.c_str())));
  }

  static void check_keys(const Datum::Dict& dict) {
    std::vector<const std::string*> keys;
    keys.reserve(dict.items.size());
    for (const Datum::Item& item : dict.items)
      keys.push_back(item.key.as<std::string>());
    std::sort(keys.begin(), keys.end(), [](const std::string* a, const std::string* b) { return *a < *b; });
    const auto twice = std::adjacent_find(
        keys.begin(), keys.end(), [](const std::string* a, const std::string* b) { return *a == *b; });
    if (twice != keys.end()) throw FormatError(fmt::format("key '{}' is there twice", shown(**twice)));
  }

  const JsonLimits& limits_;
  std::vector<Open> open_;
  Datum root_;
  std::size_t values_ = 0;
};

}  // namespace

Datum parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    throw FormatError(fmt::format("JSON of {} bytes: expected at most {}", text.size(), limits.bytes));
  }
  // Before the library sees it: to it NUL is the end of the text.
  if (!is_json_text(text)) throw FormatError("no JSON: the text is no UTF-8, or has the character NUL");
  if (text.starts_with("\xEF\xBB\xBF")) throw FormatError("no JSON: the text begins with a byte order mark");
  Builder builder(limits);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) throw FormatError("no JSON");
  return builder.take();
}

Datum read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  const Source source(path, Access::read);
  if (source.size() > limits.bytes) {
    throw FormatError(fmt::format("{}: expected at most {} bytes of JSON, found {}", path.string(),
                                  limits.bytes, source.size()));
  }
  std::string text(source.size(), '\0');
  source.read(0, std::as_writable_bytes(std::span(text)));
  try {
    return parse_json(text, limits);
  } catch (const FormatError& error) {
    throw FormatError::within(path.string(), error);
  }
}

}  // namespace vitrail::format
