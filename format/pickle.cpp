// From the machine's heap, where containers may be shared or contain themselves, to a tree.
#include "format/pickle.h"

#include <fmt/format.h>

#include <algorithm>

#include "format/pickle_machine.h"

namespace vitrail::format {
namespace {

using pickle::Id;
using pickle::Kind;
using pickle::Value;

class Tree {
 public:
  Tree(const pickle::Machine& machine, const PickleLimits& limits)
      : machine_(machine), limits_(limits), memory_(limits.memory) {}

  // Sharing makes 2^n of n containers, so that what is copied is counted as well.
  Datum build(Id id, const std::string& name, int depth) {
    const Value& value = machine_.at(id);
    spend(sizeof(Datum) + value.text.size());
    switch (value.kind) {
      case Kind::none:
        return {};
      case Kind::boolean:
        return value.number != 0;
      case Kind::integer:
        return value.number;
      case Kind::real:
        return value.real;
      case Kind::text:
        return std::string(value.text);
      case Kind::list:
      case Kind::tuple:
        return build_list(value, name, depth + 1);
      case Kind::dict:
        return build_dict(value, depth + 1);
      case Kind::tensor:
        return add_place(value, name);
      case Kind::global:
        return dtype_name(value);
      case Kind::storage:
        machine_.fail("a storage that belongs to no tensor");
    }
    return {};
  }

  std::vector<Pickle::Place> take_places() { return std::move(places_); }

 private:
  void spend(std::size_t bytes) {
    if (!memory_.spend(bytes))
      machine_.fail(
          fmt::format("the values take more than {} MiB when they are laid out", limits_.memory >> 20));
  }

  void require_depth(int depth) const {
    if (depth > limits_.depth) machine_.fail(fmt::format("values nested deeper than {}", limits_.depth));
  }

  Datum build_list(const Value& value, const std::string& name, int depth) {
    require_depth(depth);
    Datum::List list;
    list.tuple = value.kind == Kind::tuple;
    spend(value.items.size() * sizeof(Datum));
    list.items.reserve(value.items.size());
    for (const Id item : value.items)
      list.items.push_back(build(item, name, depth));
    return list;
  }

  Datum build_dict(const Value& value, int depth) {
    require_depth(depth);
    Datum::Dict dict;
    std::vector<std::string> names;
    spend(value.items.size() * sizeof(Datum));
    dict.items.reserve(value.items.size() / 2);
    for (std::size_t i = 0; i < value.items.size(); i += 2) {
      const Value& key = machine_.at(value.items[i]);
      if (key.kind != Kind::text && key.kind != Kind::integer)
        machine_.fail("a key that is neither a text nor an integer");
      const std::string name = key.kind == Kind::text ? std::string(key.text) : std::to_string(key.number);
      spend(2 * sizeof(std::string) + 2 * name.size());
      names.push_back((key.kind == Kind::text ? "t" : "i") + name);
      dict.items.push_back({build(value.items[i], name, depth), build(value.items[i + 1], name, depth)});
    }
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice != names.end()) machine_.fail(fmt::format("the key '{}' twice in one dict", twice->substr(1)));
    return dict;
  }

  Datum add_place(const Value& value, const std::string& name) {
    spend(2 * sizeof(Pickle::Place) + name.size());
    places_.push_back({name, static_cast<std::size_t>(value.number)});
    return Datum::Tensor{places_.size() - 1};
  }

  Datum dtype_name(const Value& value) const {
    const pickle::Global& global = pickle::kGlobals[value.number];
    if (global.meaning != pickle::Meaning::dtype)
      machine_.fail(fmt::format("{}.{} where data should be", global.module, global.name));
    return fmt::format("{}.{}", global.module, global.name);
  }

  const pickle::Machine& machine_;
  const PickleLimits& limits_;
  pickle::Budget memory_;
  std::vector<Pickle::Place> places_;
};

}  // namespace

Pickle read_pickle(Bytes bytes, const std::string& where, const PickleLimits& limits) {
  pickle::Machine machine(bytes, where, limits);
  const Id root = machine.run();
  Tree tree(machine, limits);
  Datum data = tree.build(root, "", 0);
  Pickle pickle = machine.take();
  pickle.root = std::move(data);
  pickle.places = tree.take_places();
  return pickle;
}

}  // namespace vitrail::format
