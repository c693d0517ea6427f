#pragma once
// The stack machine under read_pickle(): values are numbers of a heap, so that what is shared stays shared.

#include <deque>
#include <map>
#include <span>
#include <string_view>

#include "format/pickle.h"
#include "format/pickle_globals.h"

namespace vitrail::format::pickle {

using Id = std::uint32_t;  // place in the heap

enum class Kind : std::uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  list,
  tuple,
  dict,     // items: key, value, key, value, …
  global,   // number: index into kGlobals
  storage,  // number: index of a view
  tensor    // number: index of a tensor
};

struct Value {
  Kind kind = Kind::none;
  bool attributes = false;  // of a dict: BUILD may give it some
  bool name_space = false;  // of a dict: its attributes are its items
  std::int64_t number = 0;  // integer, boolean, or an index
  double real = 0;
  std::string_view text = {};  // of the pickle, or of texts_
  std::vector<Id> items = {};
};

// What is left of a limit.
class Budget {
 public:
  explicit Budget(std::size_t bytes) : left_(bytes) {}
  bool spend(std::size_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

 private:
  std::size_t left_;
};

class Machine {
 public:
  Machine(Bytes bytes, const std::string& where, const PickleLimits& limits)
      : bytes_(bytes), where_(where), limits_(limits), memory_(limits.memory) {}

  Id run();  // to STOP
  const Value& at(Id id) const { return heap_[id]; }
  [[noreturn]] void fail(const std::string& what) const;  // at the opcode that is being executed

  Pickle take();  // storages and tensors; after run()

 private:
  struct StorageView {
    std::size_t storage = 0;
    Meaning meaning = Meaning::storage;
    ElementType type = ElementType::u8;
    std::int64_t begin = 0, bytes = 0;
  };

  // Bytes of the pickle.
  Bytes next(std::size_t bytes);
  template <class T>
  T next_number() {
    return get<T>(next(sizeof(T)), 0);
  }
  std::string_view next_line();
  std::string_view next_text(std::size_t bytes);
  std::int64_t next_long();
  double next_float();

  // The stack.
  void spend(std::size_t bytes);
  Id make(Value value);
  void push(Id id);
  void push_number(Kind kind, std::int64_t number);
  Id pop();
  Id top() const;
  std::vector<Id> pop_to_mark();
  void push_tuple(std::vector<Id> items);
  void push_tuple_of(std::size_t count);
  void put(std::uint32_t place);
  void get_from(std::uint32_t place);
  void extend(Kind kind, std::vector<Id> items);  // the list or dict on the top

  // Opcodes with a meaning.
  bool step(std::uint8_t opcode);  // false: STOP
  bool step_plain(std::uint8_t opcode);
  void global();
  void reduce();
  void new_object();
  void build();
  void persistent_id();

  // What calls come to (pickle_rebuild.cpp).
  Id call(const Global& function, const std::vector<Id>& arguments);
  Id rebuild_dict(const Global& function, const std::vector<Id>& arguments);
  Id rebuild_tensor(const Global& function, const std::vector<Id>& arguments);
  Id rebuild_from_type(const std::vector<Id>& arguments);
  Id rebuild_device(const std::vector<Id>& arguments);
  Id add_tensor(const StorageView& view, ElementType type, Id begin, Id shape, Id strides);
  std::vector<std::int64_t> numbers_of(Id tuple, const char* what) const;
  std::int64_t count_of(Id id, const char* what) const;  // a whole number, not negative
  std::size_t storage_of(std::string_view key, std::int64_t bytes, std::int64_t element_bytes);
  const Value& expect(Id id, Kind kind, const char* what) const;

  Bytes bytes_;
  const std::string& where_;
  const PickleLimits& limits_;
  Budget memory_;
  std::size_t at_ = 0, opcode_at_ = 0;
  std::deque<Value> heap_;
  std::deque<std::string> texts_;
  std::vector<Id> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint32_t, Id> memo_;
  std::vector<StorageView> views_;
  std::vector<PickledStorage> storages_;
  std::map<std::string, std::size_t, std::less<>> storage_by_key_;
  std::vector<PickledTensor> tensors_;
};

}  // namespace vitrail::format::pickle
