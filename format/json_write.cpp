#include <fmt/format.h>

#include <cassert>
#include <cmath>

#include "format/error.h"
#include "format/json.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

std::string real_text(double value) {
  if (!std::isfinite(value)) throw FormatError(fmt::format("JSON has no number {}", value));
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

class Writer {
 public:
  explicit Writer(int indent) : indent_(indent) {}

  std::string take() { return std::move(out_); }

  void write(const Datum& value) {
    if (value.is_none()) out_ += "null";
    if (const bool* truth = value.as<bool>()) out_ += *truth ? "true" : "false";
    if (const std::int64_t* whole = value.as<std::int64_t>()) out_ += std::to_string(*whole);
    if (const double* real = value.as<double>()) out_ += real_text(*real);
    if (const std::string* text = value.as<std::string>()) out_ += json_text(*text);
    if (const Datum::List* list = value.as<Datum::List>()) {
      group('[', ']', list->items, [this](const Datum& item) { write(item); });
    }
    if (const Datum::Dict* dict = value.as<Datum::Dict>()) {
      group('{', '}', dict->items, [this](const Datum::Item& item) {
        const std::string* key = item.key.as<std::string>();
        assert(key != nullptr);
        out_ += json_text(*key);
        out_ += indent_ < 0 ? ":" : ": ";
        write(item.value);
      });
    }
    assert(value.as<Datum::Tensor>() == nullptr);
  }

 private:
  template <class Items, class One>
  void group(char begin, char end, const Items& items, One&& one) {
    out_ += begin;
    ++level_;
    for (const auto& item : items) {
      if (&item != &items.front()) out_ += ',';
      new_line();
      one(item);
    }
    --level_;
    if (!items.empty()) new_line();
    out_ += end;
  }

  void new_line() {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(indent_ * level_), ' ');
  }

  const int indent_;
  int level_ = 0;
  std::string out_;
};

}  // namespace

std::string json_text(std::string_view text) {
  if (!is_text(std::as_bytes(std::span(text))))
    throw FormatError("text that is no UTF-8, or has the character NUL, cannot be written as JSON");
  constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kLetter = "\"\\bfnrt";
  std::string out = "\"";
  for (const char c : text) {
    if (const std::size_t i = kPlain.find(c); i != kPlain.npos) {
      out += {'\\', kLetter[i]};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string to_json(const Datum& value, int indent) {
  Writer writer(indent);
  writer.write(value);
  return writer.take();
}

}  // namespace vitrail::format
