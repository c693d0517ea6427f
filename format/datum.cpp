#include "format/datum.h"

namespace vitrail::format {

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
