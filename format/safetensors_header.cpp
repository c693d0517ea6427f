#include "format/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/error.h"
#include "format/layout.h"
#include "format/safetensors_types.h"

namespace vitrail::format {
namespace {

[[noreturn]] void refuse(const std::string& tensor, const std::string& what) {
  throw FormatError(fmt::format("tensor '{}': {}", tensor, what));
}

std::string_view header_text(Bytes file) {
  if (file.size() < 8)
    throw FormatError(
        fmt::format("expected the length of the header in 8 bytes, found {} bytes", file.size()));
  const auto length = get<std::uint64_t>(file, 0);
  if (length > kMaxSafetensorsHeader) {
    throw FormatError(fmt::format(
        "no safetensors file, or damaged: its first 8 bytes give a header of {} bytes, more than the "
        "{} of the format",
        length, kMaxSafetensorsHeader));
  }
  if (length > file.size() - 8) {
    throw FormatError(fmt::format("cut off: the header has {} bytes, {} are there", length, file.size() - 8));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (!text.starts_with('{')) throw FormatError("expected a header that begins with '{'");
  return text;
}

std::uint64_t count_from(const std::string& tensor, const char* key, const Datum& value) {
  const std::int64_t* number = value.as<std::int64_t>();
  if (number == nullptr || *number < 0)
    refuse(tensor, fmt::format("{}: expected whole numbers from 0 to 2^63 − 1", key));
  return static_cast<std::uint64_t>(*number);
}

const Datum::List& list_from(const std::string& tensor, const char* key, const Datum& value) {
  const Datum::List* list = value.as<Datum::List>();
  if (list == nullptr) refuse(tensor, fmt::format("{}: expected a list of whole numbers", key));
  return *list;
}

void read_dtype(SafetensorsEntry& entry, const Datum& value) {
  const std::string* name = value.as<std::string>();
  if (name == nullptr) refuse(entry.name, "dtype: expected a text");
  const SafetensorsType* type = safetensors_type(*name);
  if (type == nullptr) {
    std::string known;
    for (const SafetensorsType& row : kSafetensorsTypes)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", row.name);
    refuse(entry.name,
           fmt::format("dtype '{}' is not supported: expected one of {}", name->substr(0, 32), known));
  }
  entry.type = type->type;
}

void read_shape(SafetensorsEntry& entry, const Datum& value) {
  const Datum::List& list = list_from(entry.name, "shape", value);
  if (list.items.size() > kMaxRank) {
    refuse(entry.name, fmt::format("expected at most {} axes, found {}", kMaxRank, list.items.size()));
  }
  for (const Datum& item : list.items)
    entry.shape.push_back(static_cast<std::int64_t>(count_from(entry.name, "shape", item)));
}

void read_offsets(SafetensorsEntry& entry, const Datum& value) {
  const Datum::List& list = list_from(entry.name, "data_offsets", value);
  if (list.items.size() != 2) refuse(entry.name, "data_offsets: expected two whole numbers");
  entry.begin = count_from(entry.name, "data_offsets", list.items[0]);
  entry.end = count_from(entry.name, "data_offsets", list.items[1]);
  if (entry.end < entry.begin)
    refuse(entry.name,
           fmt::format("data_offsets: it ends at {}, before its begin {}", entry.end, entry.begin));
}

SafetensorsEntry entry_from(const std::string& name, const Datum& value) {
  SafetensorsEntry entry{.name = name, .shape = {}};
  const Datum::Dict* dict = value.as<Datum::Dict>();
  if (name.empty() || name.size() > kMaxName)
    refuse(name.substr(0, 80), fmt::format("expected a name of 1 to {} bytes", kMaxName));
  if (dict == nullptr) refuse(name, "expected an object with dtype, shape and data_offsets");
  struct Key {
    const char* name;
    void (*read)(SafetensorsEntry&, const Datum&);
  };
  int known = 0;
  for (const Key& key : {Key{"dtype", read_dtype}, {"shape", read_shape}, {"data_offsets", read_offsets}}) {
    const Datum* found = dict->items.size() <= 3 ? value.find(key.name) : nullptr;
    if (found == nullptr) continue;
    key.read(entry, *found);
    ++known;
  }
  if (known != 3 || dict->items.size() != 3)
    refuse(name, "expected dtype, shape and data_offsets, and no other keys");
  const std::optional<std::uint64_t> bytes = tensor_bytes(entry.type, entry.shape);
  if (!bytes) refuse(name, "its shape has too many elements, or no whole number of bytes");
  if (*bytes != entry.end - entry.begin) {
    refuse(name, fmt::format("its dtype and shape take {} bytes, its data_offsets {}", *bytes,
                             entry.end - entry.begin));
  }
  return entry;
}

void read_metadata(SafetensorsHeader& header, const Datum& value) {
  const Datum::Dict* dict = value.as<Datum::Dict>();
  if (dict == nullptr) throw FormatError("__metadata__: expected an object of texts");
  for (const Datum::Item& item : dict->items) {
    const std::string* text = item.value.as<std::string>();
    const std::string& key = *item.key.as<std::string>();
    if (text == nullptr)
      throw FormatError(fmt::format("__metadata__: expected texts alone, '{}' is none", key.substr(0, 80)));
    header.metadata.emplace(key, *text);
  }
}

// One behind the other from the first byte to the last.
void check_places(const SafetensorsHeader& header, std::uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& entry : header.entries)
    order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t at = 0;
  for (const SafetensorsEntry* entry : order) {
    if (entry->begin > at)
      refuse(entry->name, fmt::format("{} bytes in front of it belong to no tensor", entry->begin - at));
    if (entry->begin < at) refuse(entry->name, "its bytes belong to another tensor too");
    if (entry->end > data_bytes) {
      refuse(entry->name, fmt::format("cut off: it ends at {}, and {} bytes are behind the header",
                                      entry->end, data_bytes));
    }
    at = entry->end;
  }
  if (at != data_bytes)
    throw FormatError(fmt::format("the last {} bytes belong to no tensor", data_bytes - at));
}

}  // namespace

SafetensorsHeader parse_safetensors_header(Bytes file) {
  const std::string_view text = header_text(file);
  SafetensorsHeader header;
  header.data_begin = 8 + text.size();
  const Datum root = parse_json(text, kSafetensorsJson);
  for (const Datum::Item& item : root.as<Datum::Dict>()->items) {
    const std::string& name = *item.key.as<std::string>();
    if (name == "__metadata__") {
      read_metadata(header, item.value);
    } else {
      header.entries.push_back(entry_from(name, item.value));
    }
  }
  check_places(header, file.size() - header.data_begin);
  std::sort(header.entries.begin(), header.entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name < b.name; });
  return header;
}

}  // namespace vitrail::format
