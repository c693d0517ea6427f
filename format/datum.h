#pragma once
// Plain data with tensors in it: what a pickle or a JSON document holds. Nothing in it was ever executed.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace vitrail::format {

class Datum {
 public:
  struct Item;
  struct List {
    std::vector<Datum> items;
    bool tuple = false;  // Python's tuple; JSON has lists only
  };
  struct Dict {
    std::vector<Item> items;  // in the file's order; keys are texts or integers
  };
  // A place in the list of tensors that the file, or what is to be written, has beside its tree.
  struct Tensor {
    std::size_t index = 0;
  };
  using Data = std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict, Tensor>;

  // Not inline: g++ 12 sees through them and warns of the alternatives that are not there.
  Datum();  // None, null
  Datum(bool value);
  Datum(std::int64_t value);
  Datum(int value);
  Datum(double value);
  Datum(std::string value);
  Datum(const char* value);
  Datum(List value);
  Datum(Dict value);
  Datum(Tensor value);

  bool is_none() const { return std::holds_alternative<std::monostate>(data_); }
  template <class T>
  const T* as() const {
    return std::get_if<T>(&data_);
  }
  const Data& data() const { return data_; }

  // Of a dict: what stands under a text; null when there is no such key, or this is no dict.
  const Datum* find(std::string_view key) const;
  // An integer, or a real number, as a real one; null-like (false) otherwise.
  bool number(double& out) const;

 private:
  Data data_;
};

struct Datum::Item {
  Datum key, value;
};

}  // namespace vitrail::format
