#include "format/datum.h"

namespace vitrail::format {

Datum::Datum() = default;
Datum::Datum(bool value) : data_(value) {}
Datum::Datum(std::int64_t value) : data_(value) {}
Datum::Datum(int value) : data_(std::int64_t{value}) {}
Datum::Datum(double value) : data_(value) {}
Datum::Datum(std::string value) : data_(std::move(value)) {}
Datum::Datum(const char* value) : data_(std::string(value)) {}
Datum::Datum(List value) : data_(std::move(value)) {}
Datum::Datum(Dict value) : data_(std::move(value)) {}
Datum::Datum(Tensor value) : data_(value) {}

const Datum* Datum::find(std::string_view key) const {
  const Dict* dict = as<Dict>();
  if (dict == nullptr) return nullptr;
  for (const Item& item : dict->items) {
    const std::string* text = item.key.as<std::string>();
    if (text != nullptr && *text == key) return &item.value;
  }
  return nullptr;
}

bool Datum::number(double& out) const {
  if (const std::int64_t* whole = as<std::int64_t>()) {
    out = static_cast<double>(*whole);
    return true;
  }
  if (const double* real = as<double>()) {
    out = *real;
    return true;
  }
  return false;
}

}  // namespace vitrail::format
