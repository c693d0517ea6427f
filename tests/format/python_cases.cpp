// The C++ side of the comparison with format/python/vitrail_reader.py.
//   python_cases write FOLDER      writes containers of all kinds and types, and beside each what the reader
//                                  of this build finds in it, FILE.json
//   python_cases verdicts FOLDER   for each file, by name: name, the rule that refuses it when it is opened,
//                                  and the one at full verification ("ok" where none does)

#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <list>
#include <nlohmann/json.hpp>
#include <set>

#include "format/shards.h"
#include "tests/support/broken_sets.h"
#include "tests/support/format_file.h"
#include "tests/support/sharded_state.h"

namespace vitrail::format {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string hex(Bytes bytes) {
  std::string digits;
  for (std::byte byte : bytes)
    digits += fmt::format("{:02x}", std::to_integer<int>(byte));
  return digits;
}

template <class T>
ordered_json numbers(Bytes bytes) {
  ordered_json list = ordered_json::array();
  for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i)
    list.push_back(get<T>(bytes, i * sizeof(T)));
  return list;
}

// Elements of the types that both languages have; of the others the bits.
ordered_json elements(ElementType type, Bytes bytes) {
  switch (type) {
    case ElementType::i8:
      return numbers<std::int8_t>(bytes);
    case ElementType::i16:
      return numbers<std::int16_t>(bytes);
    case ElementType::i32:
      return numbers<std::int32_t>(bytes);
    case ElementType::i64:
      return numbers<std::int64_t>(bytes);
    case ElementType::u16:
      return numbers<std::uint16_t>(bytes);
    case ElementType::u32:
      return numbers<std::uint32_t>(bytes);
    case ElementType::u64:
      return numbers<std::uint64_t>(bytes);
    case ElementType::f32:
      return numbers<float>(bytes);
    case ElementType::f64:
      return numbers<double>(bytes);
    default:
      return hex(bytes);
  }
}

ordered_json json_of(const Table& table);

ordered_json json_of(const Vector& vector) {
  switch (vector.elem_type) {
    case 3:
      return numbers<std::uint32_t>(vector.data);
    case 4:
      return numbers<std::uint64_t>(vector.data);
    case 6:
      return numbers<std::int16_t>(vector.data);
    case 10:
      return numbers<double>(vector.data);
    default:
      return {{"elem_type", vector.elem_type}, {"stride", vector.stride}, {"body", hex(vector.data)}};
  }
}

ordered_json json_of(const Value& value) {
  return std::visit(
      [&](const auto& content) -> ordered_json {
        using T = std::decay_t<decltype(content)>;
        if constexpr (std::is_same_v<T, std::shared_ptr<const Table>>) {
          return json_of(*content);
        } else if constexpr (std::is_same_v<T, Vector>) {
          return json_of(content);
        } else if constexpr (std::is_same_v<T, Unknown>) {
          return {{"type", value.type}, {"bits", content.scalar}, {"object", hex(content.object)}};
        } else {
          return content;
        }
      },
      value.content);
}

ordered_json json_of(const Table& table) {
  ordered_json fields = ordered_json::object();
  for (const auto& [id, value] : table.fields())
    fields[std::to_string(id)] = json_of(value);
  return fields;
}

ordered_json json_of(const Container& file) {
  ordered_json tensors = ordered_json::array();
  for (const TensorRecord& tensor : file.tensors()) {
    const Bytes bytes = file.read(tensor);
    ordered_json entry{
        {"name", tensor.name}, {"role", static_cast<int>(tensor.role)}, {"shape", tensor.shape}};
    entry["bits"] = bits_of(tensor.type).value();
    entry["elements"] = elements(tensor.type, bytes.first(std::min<std::size_t>(bytes.size(), 4096)));
    entry["sum"] = to_hex(hash128(bytes));
    tensors.push_back(entry);
  }
  return {{"kind", name_of(file.kind())},
          {"content_id", file.content_id()},
          {"tensors", tensors},
          {"root", json_of(file.root())}};
}

// Bytes that differ from tensor to tensor and are finite numbers in every type.
std::vector<std::byte> payload(std::size_t bytes, std::size_t seed, bool boolean) {
  std::vector<std::byte> data(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    const std::size_t value = (seed + 1) * 2654435761U * (i + 1) >> 7;
    data[i] = static_cast<std::byte>(boolean ? value & 1 : value & 0x3F);
  }
  return data;
}

Table every_value() {
  Table inner;
  inner.set(0, std::int64_t{-5});
  inner.set(1, std::vector<double>{1.5, -0.25, 1e300});
  Table table;
  table.set(1, std::uint64_t{1} << 63);
  table.set(2, std::int64_t{-1});
  table.set(3, 0.1);
  table.set(4, true);
  table.set(5, "na\u00efve \U0001F600");
  table.set(6, std::vector<std::string>{"", "caf\u00e9", "c"});
  table.set(7, std::move(inner));
  table.set(8, std::vector<std::uint64_t>{7, 8, ~std::uint64_t{0}});
  table.set(9, Vector{6, 2, {std::byte{0xFE}, std::byte{0xFF}}});
  table.set(10, Vector{32, 3, std::vector<std::byte>(9, std::byte{4})});
  table.set(11, Vector{4, 8, {}});
  table.set(12, Value{9, 0, Unknown{77, {}}});
  table.set(13, std::vector<std::string>{});
  table.set(14, "");
  return table;
}

// Two groups; the names of the second are those of "aligned" and "chunks".
Table optimizer() {
  Table first, second, groups, table;
  first.set(1, 1.0);
  second.set(3, std::vector<std::uint64_t>{0, 2});
  groups.set(0, std::move(first));
  groups.set(1, std::move(second));
  table.set(1, "adamw");
  table.set(7, std::move(groups));
  return table;
}

class Cases {
 public:
  explicit Cases(fs::path folder) : folder_(std::move(folder)) {}

  void add(std::string name, Role role, ElementType type, std::vector<std::int64_t> shape) {
    std::uint64_t elements = 1;
    for (std::int64_t extent : shape)
      elements *= static_cast<std::uint64_t>(extent);
    data_.push_back(payload(elements * static_cast<std::uint64_t>(bits_of(type).value()) / 8, data_.size(),
                            type == ElementType::boolean));
    contents_.tensors.push_back({std::move(name), role, type, std::move(shape), data_.back()});
  }

  void write(const std::string& name, FileKind kind) {
    contents_.kind = kind;
    contents_.root.set(1, "python_cases");
    contents_.root.set(18, every_value());
    for (Table::Id id : {2, 7, 8, 11, 13})
      if (kind != FileKind::weights) contents_.root.set(id, every_value());
    if (kind == FileKind::checkpoint) {
      contents_.root.set(10, Vector{32, 56, std::vector<std::byte>(56, std::byte{1})});
      contents_.root.set(7, optimizer());
    }
    const fs::path path = folder_ / (name + ".vitrail");
    write_container(path, contents_);
    std::ofstream(path.string() + ".json") << json_of(Container::open(path)).dump();
    contents_ = {};
    data_.clear();
  }

 private:
  fs::path folder_;
  ContainerContents contents_;
  std::list<std::vector<std::byte>> data_;
};

void write_cases(const fs::path& folder) {
  Cases cases(folder);
  cases.write("empty", FileKind::weights);
  int number = 0;
  for (int code = 0; code < 256; ++code) {
    const auto type = static_cast<ElementType>(code);
    if (!bits_of(type)) continue;
    cases.add(fmt::format("t{:03}", number++), Role::parameter, type, {3, 4});
    cases.add(fmt::format("t{:03}", number++), Role::buffer, type, {2, 0, 2});
  }
  cases.add("scalar", Role::parameter, ElementType::f64, {});
  cases.add("axes", static_cast<Role>(200), ElementType::i16, {1, 2, 1, 2, 3, 1, 1, 2});
  cases.add("scalar", Role::second_moment, ElementType::f64, {1});
  cases.write("types", FileKind::model);
  cases.add("aligned", Role::parameter, ElementType::u8, {65536});
  cases.add("chunk", Role::parameter, ElementType::u8, {(4 << 20) + 1});
  cases.add("chunks", Role::parameter, ElementType::f32, {3, 1000, 1000});
  cases.add("exact", Role::parameter, ElementType::u8, {4 << 20});
  cases.add("small", Role::parameter, ElementType::u8, {1});
  cases.add("flags", Role::buffer, ElementType::boolean, {5});
  cases.add("chunk", Role::first_moment, ElementType::u8, {(4 << 20) + 1});
  cases.write("chunks", FileKind::checkpoint);
  const test::ByteVector tiny = test::tiny_file();
  test::write_plainly(folder / "tiny.vitrail", tiny);
  std::ofstream(folder / "tiny.vitrail.json") << json_of(Container::open(tiny, "tiny")).dump();
}

// A set of three shards, and a good index and shard with all that can be wrong in them, which is refused.
void write_sets(const fs::path& folder) {
  const test::ShardedState state;
  write_container(folder / "whole.vitrail", state.contents);
  split_container(folder / "whole.vitrail", folder / "set", 3);
  for (const fs::path& entry : fs::directory_iterator(folder))
    if (entry.extension() == ".vitrail" && !fs::exists(entry.string() + ".json"))
      std::ofstream(entry.string() + ".json") << json_of(Container::open(entry)).dump();
  fs::create_directory(folder / "broken");
  int number = 0;
  const auto write = [&](const auto& script) {
    test::write_plainly(folder / "broken" / fmt::format("{:03}.vitrail", number++),
                        test::assemble(script.contents()));
  };
  const auto write_all = [&](auto script, const auto& changes) {
    write(script);
    for (const auto& change : changes) {
      auto changed = script;
      change(changed);
      write(changed);
    }
  };
  write_all(test::IndexScript(), test::uncovered_tensors());
  write_all(test::IndexScript(), test::misdescribed_sets());
  write_all(test::ShardScript(), test::misplaced_slices());
}

std::string verdict(const fs::path& path, bool full) {
  try {
    const Container file = Container::open(path);
    if (full) file.verify_all();
    return "ok";
  } catch (const FormatError& error) {
    return error.code().empty() ? "-" : error.code();
  }
}

void print_verdicts(const fs::path& folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".vitrail") files.insert(entry.path());
  for (const fs::path& path : files)
    std::cout << path.filename().string() << ' ' << verdict(path, false) << ' ' << verdict(path, true)
              << '\n';
}

}  // namespace
}  // namespace vitrail::format

int main(int argc, char** argv) {
  const std::string command = argc == 3 ? argv[1] : "";
  if (command == "write") {
    vitrail::format::write_cases(argv[2]);
    vitrail::format::write_sets(argv[2]);
  } else if (command == "verdicts") {
    vitrail::format::print_verdicts(argv[2]);
  } else {
    std::cerr << "usage: python_cases write|verdicts FOLDER\n";
    return 2;
  }
}
