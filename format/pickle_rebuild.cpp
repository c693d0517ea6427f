// What the calls of a pickle come to: dicts, sizes, devices, and tensors, which must lie inside their
// storages.
#include <fmt/format.h>

#include <algorithm>

#include "format/pickle_machine.h"

namespace vitrail::format::pickle {
namespace {

constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kTensor =
    512;  // an entry of tensors_, storages_, views_ and of the map of keys, roughly
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 56;  // and elements; times 16 it fits 64 bits

// a * b, or nothing where that is more than kMaxBytes; both at least 0.
bool multiply(std::int64_t a, std::int64_t b, std::int64_t& out) {
  return !__builtin_mul_overflow(a, b, &out) && out <= kMaxBytes;
}

bool add(std::int64_t a, std::int64_t b, std::int64_t& out) {
  return !__builtin_add_overflow(a, b, &out) && out <= kMaxBytes;
}

std::int64_t bytes_of(ElementType type) {
  return *bits_of(type) / 8;
}

// Elements from the first to behind the last; 0 where there are none. False on overflow.
bool extent_of(const PickledTensor& tensor, std::int64_t& extent) {
  extent = 1;
  std::int64_t count = 1;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    std::int64_t reach = 0;
    if (!multiply(count, std::max<std::int64_t>(1, tensor.shape[i]), count)) return false;
    if (tensor.shape[i] > 0 &&
        (!multiply(tensor.shape[i] - 1, tensor.strides[i], reach) || !add(extent, reach, extent)))
      return false;
  }
  if (std::ranges::count(tensor.shape, 0) > 0) extent = 0;
  return true;
}

}  // namespace

const Value& Machine::expect(Id id, Kind kind, const char* what) const {
  if (heap_[id].kind != kind) fail(fmt::format("{} of an unexpected type", what));
  return heap_[id];
}

std::int64_t Machine::count_of(Id id, const char* what) const {
  const std::int64_t number = expect(id, Kind::integer, what).number;
  if (number < 0 || number > kMaxBytes) fail(fmt::format("{}: {} is out of range", what, number));
  return number;
}

std::vector<std::int64_t> Machine::numbers_of(Id tuple, const char* what) const {
  const std::vector<Id>& items = expect(tuple, Kind::tuple, what).items;
  if (items.size() > kMaxRank)
    fail(fmt::format("{}: {} axes; at most {} are read", what, items.size(), kMaxRank));
  std::vector<std::int64_t> numbers;
  for (const Id item : items)
    numbers.push_back(count_of(item, what));
  return numbers;
}

Id Machine::call(const Global& function, const std::vector<Id>& arguments) {
  const std::size_t count = arguments.size();
  switch (function.meaning) {
    case Meaning::ordered_dict:
    case Meaning::counter:
      return rebuild_dict(function, arguments);
    case Meaning::tensor:
    case Meaning::tensor_v2:
    case Meaning::tensor_v3:
      return rebuild_tensor(function, arguments);
    case Meaning::from_type:
      return rebuild_from_type(arguments);
    case Meaning::device:
      return rebuild_device(arguments);
    case Meaning::parameter:  // tensor, requires_grad, hooks
      if (count == 3 && at(arguments[0]).kind == Kind::tensor) return arguments[0];
      break;
    case Meaning::size:
      if (count == 1 && at(arguments[0]).kind == Kind::tuple) return arguments[0];
      break;
    default:
      break;
  }
  fail(fmt::format("{}.{} is refused with {} arguments of these types", function.module, function.name,
                   count));
}

// Nothing, a dict, or a list of pairs.
Id Machine::rebuild_dict(const Global& function, const std::vector<Id>& arguments) {
  Value dict{.kind = Kind::dict, .attributes = function.meaning == Meaning::ordered_dict};
  if (arguments.size() > 1) fail("a dict of more than one argument");
  if (arguments.empty()) return make(std::move(dict));
  const Value& source = at(arguments[0]);
  if (source.kind == Kind::dict) {
    dict.items = source.items;
    return make(std::move(dict));
  }
  for (const Id pair : expect(arguments[0], Kind::list, "a dict's items").items) {
    const Value& two = at(pair);
    if ((two.kind != Kind::list && two.kind != Kind::tuple) || two.items.size() != 2)
      fail("a dict's item that is no pair");
    dict.items.insert(dict.items.end(), two.items.begin(), two.items.end());
  }
  return make(std::move(dict));
}

Id Machine::rebuild_device(const std::vector<Id>& arguments) {
  if (arguments.empty() || arguments.size() > 2) fail("a device of one or two arguments is expected");
  std::string name(expect(arguments[0], Kind::text, "a device").text);
  if (arguments.size() == 2) name += fmt::format(":{}", count_of(arguments[1], "a device's number"));
  spend(2 * sizeof(std::string) + name.size());
  texts_.push_back(std::move(name));
  return make({.kind = Kind::text, .text = texts_.back()});
}

// A function of those above, a type, the function's arguments, attributes: of a tensor with attributes.
Id Machine::rebuild_from_type(const std::vector<Id>& arguments) {
  if (arguments.size() != 4) fail("a tensor with attributes has 4 arguments");
  const Global& function = kGlobals[expect(arguments[0], Kind::global, "what rebuilds a tensor").number];
  const Global& type = kGlobals[expect(arguments[1], Kind::global, "a tensor's type").number];
  const bool rebuilds = function.meaning == Meaning::tensor || function.meaning == Meaning::tensor_v2 ||
                        function.meaning == Meaning::tensor_v3 || function.meaning == Meaning::parameter;
  if (!rebuilds || type.meaning != Meaning::tensor_type)
    fail("a tensor with attributes of an unexpected type");
  return call(function, expect(arguments[2], Kind::tuple, "a tensor's arguments").items);
}

// storage, offset, shape, strides; v2: requires_grad, hooks; v3: dtype; both: metadata, maybe.
Id Machine::rebuild_tensor(const Global& function, const std::vector<Id>& arguments) {
  const Meaning meaning = function.meaning;
  const std::size_t least = meaning == Meaning::tensor ? 4 : meaning == Meaning::tensor_v2 ? 6 : 7;
  const std::size_t most = meaning == Meaning::tensor ? 4 : least + 1;
  if (arguments.size() < least || arguments.size() > most)
    fail(fmt::format("a tensor of {} arguments", arguments.size()));
  if (arguments.size() == most && most > 4) {  // a conjugate's or a negative's bit is kept there
    const Value& metadata = at(arguments[least]);
    if (metadata.kind != Kind::none && (metadata.kind != Kind::dict || !metadata.items.empty()))
      fail("a tensor with metadata, as a lazily conjugated one has: call resolve_conj() before saving");
  }
  const StorageView& view =
      views_[static_cast<std::size_t>(expect(arguments[0], Kind::storage, "a tensor's storage").number)];
  ElementType type = view.type;
  if (meaning == Meaning::tensor_v3) {
    const Global& dtype = kGlobals[expect(arguments[6], Kind::global, "a dtype").number];
    if (dtype.meaning != Meaning::dtype) fail("expected a dtype");
    type = dtype.type;
  } else if (view.meaning == Meaning::untyped_storage) {
    fail("a tensor of an untyped storage needs a dtype");
  }
  return add_tensor(view, type, arguments[1], arguments[2], arguments[3]);
}

Id Machine::add_tensor(const StorageView& view, ElementType type, Id begin, Id shape, Id strides) {
  PickledTensor tensor{view.storage, type, 0, numbers_of(shape, "a shape"), numbers_of(strides, "strides")};
  if (tensor.shape.size() != tensor.strides.size()) fail("a shape and strides of different lengths");
  const std::int64_t first = count_of(begin, "a tensor's offset"), size = bytes_of(type);
  std::int64_t extent = 0, end = 0, first_byte = 0;
  const bool fits = extent_of(tensor, extent) && add(first, extent, end) && multiply(end, size, end) &&
                    multiply(first, size, first_byte) && end <= view.bytes;
  if (!fits)
    fail(fmt::format(
        "a tensor from element {} on, with {} elements of reach, leaves its storage '{}' of {} bytes", first,
        extent, storages_[view.storage].key, view.bytes));
  tensor.begin = view.begin + first_byte;
  spend(kTensor);
  tensors_.push_back(std::move(tensor));
  return make({.kind = Kind::tensor, .number = std::ssize(tensors_) - 1});
}

std::size_t Machine::storage_of(std::string_view key, std::int64_t bytes, std::int64_t element_bytes) {
  const auto found = storage_by_key_.find(key);
  if (found == storage_by_key_.end()) {
    spend(kTensor + 2 * key.size());
    storages_.push_back({std::string(key), bytes, element_bytes});
    return storage_by_key_[std::string(key)] = storages_.size() - 1;
  }
  const PickledStorage& before = storages_[found->second];
  if (before.bytes != bytes || before.element_bytes != element_bytes)
    fail(fmt::format("storage '{}' has {} bytes in elements of {} here, {} and {} before", key, bytes,
                     element_bytes, before.bytes, before.element_bytes));
  return found->second;
}

// ('storage', type, key, location, elements), and before torch 1.6 None or (key, begin, elements) of a view.
void Machine::persistent_id() {
  const std::vector<Id> items = expect(pop(), Kind::tuple, "a persistent id").items;
  if ((items.size() != 5 && items.size() != 6) || at(items[0]).kind != Kind::text ||
      at(items[0]).text != "storage")
    fail("a persistent id that is no storage");
  const Global& type = kGlobals[expect(items[1], Kind::global, "a storage's type").number];
  if (type.meaning != Meaning::storage && type.meaning != Meaning::untyped_storage)
    fail(fmt::format("{}.{} is no type of a storage", type.module, type.name));
  const std::string_view key = expect(items[2], Kind::text, "a storage's key").text;
  expect(items[3], Kind::text, "a storage's location");
  std::int64_t bytes = 0;
  if (!multiply(count_of(items[4], "a storage's elements"), bytes_of(type.type), bytes))
    fail("a storage of too many elements");
  StorageView view{storage_of(key, bytes, bytes_of(type.type)), type.meaning, type.type, 0, bytes};
  if (items.size() == 6 && at(items[5]).kind != Kind::none) {
    const std::vector<Id>& part = expect(items[5], Kind::tuple, "a view of a storage").items;
    if (part.size() != 3) fail("a view of a storage has a key, a beginning and a length");
    std::int64_t end = 0;
    if (!multiply(count_of(part[1], "a view's beginning"), bytes_of(type.type), view.begin) ||
        !multiply(count_of(part[2], "a view's length"), bytes_of(type.type), view.bytes) ||
        !add(view.begin, view.bytes, end) || end > bytes)
      fail("a view that leaves its storage");
  }
  spend(sizeof(StorageView) * 2);
  views_.push_back(view);
  push_number(Kind::storage, std::ssize(views_) - 1);
}

}  // namespace vitrail::format::pickle
