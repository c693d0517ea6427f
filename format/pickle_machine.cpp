#include "format/pickle_machine.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/pickle_opcodes.h"
#include "format/utf8.h"

namespace vitrail::format::pickle {
namespace {

constexpr std::size_t kMaxName = 256;          // of a global's module or name
constexpr std::size_t kMemoEntry = 64;         // of a map
constexpr std::size_t kItem = 2 * sizeof(Id);  // of a vector that grows by doubling

struct OpcodeName {
  std::uint8_t opcode;
  const char* name;
};
// Opcodes that exist and are refused.
constexpr OpcodeName kRefused[] = {{'0', "POP"},
                                   {'1', "POP_MARK"},
                                   {'2', "DUP"},
                                   {'F', "FLOAT"},
                                   {'I', "INT"},
                                   {'L', "LONG"},
                                   {'P', "PERSID"},
                                   {'S', "STRING"},
                                   {'T', "BINSTRING"},
                                   {'V', "UNICODE"},
                                   {'d', "DICT"},
                                   {'g', "GET"},
                                   {'i', "INST"},
                                   {'l', "LIST"},
                                   {'o', "OBJ"},
                                   {'p', "PUT"},
                                   {'B', "BINBYTES"},
                                   {'C', "SHORT_BINBYTES"},
                                   {0x82, "EXT1"},
                                   {0x83, "EXT2"},
                                   {0x84, "EXT4"},
                                   {0x8b, "LONG4"},
                                   {0x8c, "SHORT_BINUNICODE"},
                                   {0x8d, "BINUNICODE8"},
                                   {0x8e, "BINBYTES8"},
                                   {0x8f, "EMPTY_SET"},
                                   {0x90, "ADDITEMS"},
                                   {0x91, "FROZENSET"},
                                   {0x92, "NEWOBJ_EX"},
                                   {0x93, "STACK_GLOBAL"},
                                   {0x94, "MEMOIZE"},
                                   {0x95, "FRAME"},
                                   {0x96, "BYTEARRAY8"},
                                   {0x97, "NEXT_BUFFER"},
                                   {0x98, "READONLY_BUFFER"}};

std::string name_of(std::uint8_t opcode) {
  for (const OpcodeName& row : kRefused) {
    if (row.opcode == opcode) return fmt::format("{:#04x} ({})", opcode, row.name);
  }
  return fmt::format("{:#04x}", opcode);
}

std::string printable(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(
      out, [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

}  // namespace

void Machine::fail(const std::string& what) const {
  throw FormatError(fmt::format("{}, byte {}: {}", where_, opcode_at_, what));
}

Bytes Machine::next(std::size_t bytes) {
  if (bytes > bytes_.size() - at_)
    fail(fmt::format("the pickle ends at byte {}, inside an opcode that has {} more bytes: is it whole?",
                     bytes_.size(), bytes));
  at_ += bytes;
  return bytes_.subspan(at_ - bytes, bytes);
}

std::string_view Machine::next_line() {
  const auto rest = bytes_.subspan(at_, std::min(bytes_.size() - at_, kMaxName + 1));
  const auto end = std::ranges::find(rest, std::byte{'\n'});
  if (end == rest.end()) fail(fmt::format("a name that does not end within {} bytes", kMaxName));
  const Bytes line = next(static_cast<std::size_t>(end - rest.begin()));
  next(1);
  return {reinterpret_cast<const char*>(line.data()), line.size()};
}

std::string_view Machine::next_text(std::size_t bytes) {
  const Bytes text = next(bytes);
  if (!is_text(text)) fail("a text that is not UTF-8 without NUL");
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

std::int64_t Machine::next_long() {
  const std::size_t bytes = next_number<std::uint8_t>();
  const Bytes digits = next(bytes);
  if (bytes > 8) fail(fmt::format("an integer of {} bytes; at most 8 are read", bytes));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i)
    value |= std::to_integer<std::uint64_t>(digits[i]) << (8 * i);
  const bool negative = bytes > 0 && (digits[bytes - 1] & std::byte{0x80}) != std::byte{0};
  if (negative && bytes < 8) value |= ~std::uint64_t{0} << (8 * bytes);
  return static_cast<std::int64_t>(value);
}

double Machine::next_float() {
  const Bytes bytes = next(8);
  std::uint64_t bits = 0;
  for (const std::byte byte : bytes)
    bits = bits << 8 | std::to_integer<std::uint64_t>(byte);
  return std::bit_cast<double>(bits);
}

void Machine::spend(std::size_t bytes) {
  if (!memory_.spend(bytes))
    fail(fmt::format("what was read so far takes more than {} MiB", limits_.memory >> 20));
}

Id Machine::make(Value value) {
  spend(sizeof(Value) + kItem * value.items.size());
  heap_.push_back(std::move(value));
  return static_cast<Id>(heap_.size() - 1);
}

void Machine::push(Id id) {
  spend(kItem);
  stack_.push_back(id);
}

void Machine::push_number(Kind kind, std::int64_t number) {
  push(make({.kind = kind, .number = number}));
}

Id Machine::top() const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the stack is empty here");
  return stack_.back();
}

Id Machine::pop() {
  const Id id = top();
  stack_.pop_back();
  return id;
}

std::vector<Id> Machine::pop_to_mark() {
  if (marks_.empty()) fail("no mark on the stack");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Id> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void Machine::push_tuple(std::vector<Id> items) {
  push(make({.kind = Kind::tuple, .items = std::move(items)}));
}

void Machine::push_tuple_of(std::size_t count) {
  std::vector<Id> items(count);
  for (std::size_t i = count; i-- > 0;)
    items[i] = pop();
  push_tuple(std::move(items));
}

void Machine::put(std::uint32_t place) {
  spend(kMemoEntry);
  memo_[place] = top();
}

void Machine::get_from(std::uint32_t place) {
  const auto found = memo_.find(place);
  if (found == memo_.end()) fail(fmt::format("nothing was remembered as {}", place));
  push(found->second);
}

void Machine::extend(Kind kind, std::vector<Id> items) {
  Value& value = heap_[top()];
  if (value.kind != kind)
    fail(kind == Kind::list ? "items for what is no list" : "items for what is no dict");
  if (kind == Kind::dict && items.size() % 2 != 0) fail("a key without a value");
  spend(kItem * items.size());
  value.items.insert(value.items.end(), items.begin(), items.end());
}

void Machine::global() {
  const std::string_view module = next_line(), name = next_line();
  for (std::size_t i = 0; i < std::size(kGlobals); ++i) {
    if (kGlobals[i].module == module && kGlobals[i].name == name)
      return push_number(Kind::global, static_cast<std::int64_t>(i));
  }
  fail(fmt::format("{}.{} is refused: only tensors and plain data are read, and nothing is executed",
                   printable(module), printable(name)));
}

void Machine::reduce() {
  const std::vector<Id> arguments = expect(pop(), Kind::tuple, "arguments").items;
  const Value& function = expect(pop(), Kind::global, "what is called");
  push(call(kGlobals[function.number], arguments));
}

void Machine::new_object() {
  const bool empty = expect(pop(), Kind::tuple, "arguments").items.empty();
  const Global& type = kGlobals[expect(pop(), Kind::global, "a type").number];
  if (type.meaning != Meaning::name_space || !empty)
    fail(fmt::format("an object of {}.{} is refused", type.module, type.name));
  push(make({.kind = Kind::dict, .name_space = true}));
}

void Machine::build() {
  const std::vector<Id> state = expect(pop(), Kind::dict, "a state").items;
  Value& object = heap_[top()];
  if (object.kind == Kind::dict && object.name_space) return extend(Kind::dict, state);
  if (object.kind != Kind::dict || !object.attributes) fail("attributes for what can have none");
}

// Returns false at STOP.
bool Machine::step(std::uint8_t opcode) {
  switch (opcode) {
    case kStop:
      return false;
    case kProto: {
      const unsigned version = next_number<std::uint8_t>();
      if (version != 2) fail(fmt::format("pickle protocol {}; torch.save writes 2", version));
      return true;
    }
    case kGlobal:
      return global(), true;
    case kReduce:
      return reduce(), true;
    case kNewObject:
      return new_object(), true;
    case kBuild:
      return build(), true;
    case kPersistentId:
      return persistent_id(), true;
    default:
      break;
  }
  if (!step_plain(opcode))
    fail(fmt::format("opcode {} is refused: torch.save does not write it", name_of(opcode)));
  return true;
}

bool Machine::step_plain(std::uint8_t opcode) {
  switch (opcode) {
    case kMark:
      return spend(sizeof(std::size_t) * 2), marks_.push_back(stack_.size()), true;
    case kNone:
      return push(make({})), true;
    case kTrue:
      return push_number(Kind::boolean, 1), true;
    case kFalse:
      return push_number(Kind::boolean, 0), true;
    case kInt1:
      return push_number(Kind::integer, next_number<std::uint8_t>()), true;
    case kInt2:
      return push_number(Kind::integer, next_number<std::uint16_t>()), true;
    case kInt4:
      return push_number(Kind::integer, next_number<std::int32_t>()), true;
    case kLong1:
      return push_number(Kind::integer, next_long()), true;
    case kFloat:
      return push(make({.kind = Kind::real, .real = next_float()})), true;
    case kUnicode:
      return push(make({.kind = Kind::text, .text = next_text(next_number<std::uint32_t>())})), true;
    case kShortString:
      return push(make({.kind = Kind::text, .text = next_text(next_number<std::uint8_t>())})), true;
    case kEmptyTuple:
      return push_tuple({}), true;
    case kTuple:
      return push_tuple(pop_to_mark()), true;
    case kTuple1:
      return push_tuple_of(1), true;
    case kTuple2:
      return push_tuple_of(2), true;
    case kTuple3:
      return push_tuple_of(3), true;
    case kEmptyList:
      return push(make({.kind = Kind::list})), true;
    case kEmptyDict:
      return push(make({.kind = Kind::dict})), true;
    case kAppend:
      return extend(Kind::list, {pop()}), true;
    case kAppends:
      return extend(Kind::list, pop_to_mark()), true;
    case kSetItem: {
      const Id value = pop(), key = pop();
      return extend(Kind::dict, {key, value}), true;
    }
    case kSetItems:
      return extend(Kind::dict, pop_to_mark()), true;
    case kGet1:
      return get_from(next_number<std::uint8_t>()), true;
    case kGet4:
      return get_from(next_number<std::uint32_t>()), true;
    case kPut1:
      return put(next_number<std::uint8_t>()), true;
    case kPut4:
      return put(next_number<std::uint32_t>()), true;
    default:
      return false;
  }
}

Id Machine::run() {
  if (bytes_.size() > limits_.bytes) bytes_ = bytes_.first(limits_.bytes);
  if (bytes_.size() < 2 || std::to_integer<unsigned>(bytes_[0]) != kProto)
    fail("expected a pickle of protocol 2 to begin here");
  for (std::size_t count = 0;; ++count) {
    opcode_at_ = at_;
    if (count == limits_.opcodes) fail(fmt::format("more than {} opcodes", limits_.opcodes));
    if (!step(next_number<std::uint8_t>())) break;
  }
  const Id root = pop();
  if (!stack_.empty() || !marks_.empty()) fail("the pickle ends with more than one value");
  return root;
}

Pickle Machine::take() {
  Pickle pickle;
  pickle.storages = std::move(storages_);
  pickle.tensors = std::move(tensors_);
  pickle.bytes = at_;
  return pickle;
}

}  // namespace vitrail::format::pickle
