#include "tests/support/format_examples.h"

namespace vitrail::test {

using format::ElementType;
using format::Role;
using format::Table;
using format::Value;

namespace {

Table model_section() {
  Table t;
  t.set(1, "vit");
  t.set(2, "museum");
  std::uint16_t id = 3;
  for (std::int64_t value : {8, 4, 3, 2, 6, 1, 2, 12})
    t.set(id++, value);
  for (auto [flag, set] : {std::pair<std::uint16_t, bool>{11, true},
                           {12, false},
                           {14, false},
                           {15, false},
                           {16, false},
                           {19, false},
                           {22, true},
                           {23, true},
                           {24, true},
                           {25, true}}) {
    t.set(flag, set);
  }
  t.set(13, std::int64_t{0});
  t.set(17, 1e-5);
  t.set(18, "token");
  t.set(20, "erf");
  t.set(21, 1e-6);
  for (std::uint16_t rate = 26; rate <= 30; ++rate)
    t.set(rate, 0.0);
  t.set(31, "f32");
  return t;
}

Table input_section() {
  Table t;
  t.set(1, std::int64_t{8});
  t.set(2, std::int64_t{3});
  t.set(3, 1.0);
  t.set(4, "bicubic");
  t.set(5, std::vector<double>{0.5, 0.5, 0.5});
  t.set(6, std::vector<double>{0.25, 0.25, 0.25});
  t.set(7, std::vector<std::string>{"cat", "dög"});
  return t;
}

Table optimizer_section() {
  Table decayed, plain, groups, t;
  decayed.set(1, 1.0);
  decayed.set(2, 0.05);
  decayed.set(3, std::vector<std::uint64_t>{1, 2});
  plain.set(1, 1.0);
  plain.set(2, 0.0);
  plain.set(3, std::vector<std::uint64_t>{0});
  groups.set(0, decayed);
  groups.set(1, plain);
  t.set(1, "adamw");
  t.set(2, std::int64_t{7});
  t.set(3, 0.9);
  t.set(4, 0.999);
  t.set(5, 1e-8);
  t.set(6, 1.0);
  t.set(7, groups);
  return t;
}

Table schedule_section() {
  Table t;
  t.set(1, "cosine");
  std::uint16_t id = 2;
  for (double value : {1e-3, 1e-5, 1e-6})
    t.set(id++, value);
  for (std::int64_t value : {5, 100, 30})
    t.set(id++, value);
  t.set(8, 0.1);
  t.set(9, std::int64_t{7});
  t.set(10, 9.9e-4);
  return t;
}

format::Vector rng_section() {
  ByteScript row;
  row.u32(0).u32(1).u64(42).u64(0).u64(7).u64(0).u64(0).u64(0);
  return {32, 56, row.bytes()};
}

Table data_section() {
  Table t;
  t.set(1, "synthetic");
  t.set(2, "0123456789abcdef");
  for (auto [id, value] :
       {std::pair<std::uint16_t, std::int64_t>{3, 64}, {4, 0}, {5, 56}, {8, 8}, {9, 2}, {10, 0}})
    t.set(id, value);
  t.set(6, "fisher-yates-philox 1");
  t.set(7, std::uint64_t{42});
  t.set(11, 0.0);
  t.set(12, 4.25);
  return t;
}

Table history_section() {
  Table t;
  t.set(1, std::vector<std::string>{"epoch", "train_loss"});
  t.set(2, std::vector<std::uint64_t>{8, 16});
  t.set(3, std::vector<double>{0, 2.5, 1, 1.25});
  return t;
}

template <std::size_t kBytes>
format::Bytes bytes_from(unsigned first) {  // of static life, one array for each size and first value
  static std::map<unsigned, ByteVector> made;
  return made.try_emplace(first, counted(kBytes, first)).first->second;
}

// A file of version 1.255: a known field with more behind it, unknown fields of scalars and objects, an
// unknown role and element type, longer rows, an optional feature, and every word that was reserved.
FileSpec later_spec() {
  FileSpec spec;
  spec.minor = 255;
  spec.kind = 2;
  spec.optional = 0x8000'0000'0000'0001;
  spec.reserved = 0x0123'4567'89AB'CDEF;
  spec.root = model_root();
  spec.root.set(1, "vitrail 9.9");
  Table model = model_section();
  model.set(200, "a hyper-parameter of a later version");
  model.set(201, Value{7, 0, format::Unknown{0xF00D, {}}});
  spec.root.set(2, model);
  spec.root.set(20, Value{15, 0, format::Unknown{0xFFFF'FFFF'FFFF'FFFF, {}}});
  spec.root.set(
      21, Value{31, 0, format::Unknown{0, ByteScript().object(9, 7, 5, 3, 27).text("later bytes").bytes()}});
  spec.root.set(22, Value{20, 0, format::Unknown{0, ByteScript().object(4, 0, 0, 0, 16).bytes()}});
  spec.root.set(500, std::vector<std::string>{"one", "", "three"});
  spec.entry_bytes = 152;
  spec.role_bytes = 60;
  spec.tensors = {{"head.weight", 0, 18, {2, 3}, counted(24, 1)},
                  {"mask", 1, 1, {4}, ByteVector(4, std::byte{1})},
                  {"blocks", 40, 64, {5, 5}, counted(17, 50)},  // block-quantised, in a reserved role
                  {"head.weight", 200, 2, {3}, counted(3, 90)}};
  for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
    spec.tensors[i].reserved = 0xA0 + i;
    spec.tensors[i].tail = counted(24, static_cast<unsigned>(100 + i));
  }
  spec.roles = [](std::vector<RoleSpec>& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].reserved16 = static_cast<std::uint16_t>(7 + i);
      rows[i].reserved32 = static_cast<std::uint32_t>(70 + i);
      rows[i].tail = counted(12, static_cast<unsigned>(200 + i));
    }
  };
  return spec;
}

}  // namespace

ByteVector counted(std::size_t bytes, unsigned first) {
  ByteVector result(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    result[i] = static_cast<std::byte>(first + i);
  return result;
}

Table model_root() {
  Table root;
  root.set(1, "vitrail museum");
  root.set(2, model_section());
  root.set(13, input_section());
  return root;
}

Table checkpoint_root() {
  Table root = model_root();
  root.set(7, optimizer_section());
  root.set(8, schedule_section());
  root.set(10, rng_section());
  root.set(11, data_section());
  root.set(12, history_section());
  return root;
}

format::ContainerContents museum_weights() {
  format::ContainerContents contents;
  contents.root.set(1, "vitrail museum");
  contents.tensors = {{"bias", Role::parameter, ElementType::f32, {3}, bytes_from<12>(1)},
                      {"half", Role::parameter, ElementType::bf16, {2, 2}, bytes_from<8>(20)},
                      {"none", Role::buffer, ElementType::f64, {0, 4}, {}},
                      {"packed", Role::parameter, ElementType::u4, {3, 2}, bytes_from<3>(40)},
                      {"scalar", Role::buffer, ElementType::i64, {}, bytes_from<8>(60)}};
  return contents;
}

format::ContainerContents museum_model() {
  format::ContainerContents contents;
  contents.kind = format::FileKind::model;
  contents.root = model_root();
  Table ema;
  ema.set(1, 0.999);
  ema.set(2, true);
  ema.set(3, std::int64_t{7});
  contents.root.set(15, ema);
  contents.tensors = {{"head.bias", Role::parameter, ElementType::f32, {2}, bytes_from<8>(1)},
                      {"head.weight", Role::parameter, ElementType::f32, {2, 6}, bytes_from<48>(2)},
                      {"head.bias", Role::ema_parameter, ElementType::f32, {2}, bytes_from<8>(3)},
                      {"head.weight", Role::ema_parameter, ElementType::f32, {2, 6}, bytes_from<48>(4)}};
  return contents;
}

format::ContainerContents museum_checkpoint() {
  format::ContainerContents contents;
  contents.kind = format::FileKind::checkpoint;
  contents.root = checkpoint_root();
  Table user;
  user.set(512, std::vector<std::string>{"epochs=2", "lr=0.001"});
  contents.root.set(18, user);
  contents.tensors = {{"head.bias", Role::parameter, ElementType::f32, {2}, bytes_from<8>(1)},
                      {"head.weight", Role::parameter, ElementType::f32, {2, 6}, bytes_from<48>(2)},
                      {"tied.weight", Role::parameter, ElementType::f32, {12}, {}, "head.weight"}};
  for (Role role : {Role::first_moment, Role::second_moment}) {
    const unsigned first = role == Role::first_moment ? 10 : 20;
    contents.tensors.push_back({"head.bias", role, ElementType::f32, {2}, bytes_from<8>(first)});
    contents.tensors.push_back({"head.weight", role, ElementType::f32, {2, 6}, bytes_from<48>(first + 1)});
  }
  return contents;
}

std::vector<MuseumPiece> museum() {
  const auto written = [](const format::ContainerContents& contents) {
    const TemporaryFolder folder;
    format::write_container(folder / "x", contents);
    return file_bytes(folder / "x");
  };
  return {{"weights-1.0.vitrail", written(museum_weights())},
          {"model-1.0.vitrail", written(museum_model())},
          {"checkpoint-1.0.vitrail", written(museum_checkpoint())},
          {"later-1.255.vitrail", assemble(later_spec())}};
}

}  // namespace vitrail::test
