#include "tests/support/format_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "format/hash.h"

namespace vitrail::test {

using format::Bytes;
using format::Hash128;

ByteScript& ByteScript::number(std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    bytes_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xFF));
  return *this;
}

ByteScript& ByteScript::text(std::string_view text) {
  for (char c : text)
    bytes_.push_back(static_cast<std::byte>(c));
  return *this;
}

ByteScript& ByteScript::zeros_to(std::size_t size) {
  if (bytes_.size() > size) throw std::logic_error("the bytes so far are more than expected");
  bytes_.resize(size);
  return *this;
}

ByteScript& ByteScript::object(std::uint16_t kind, std::uint16_t elem_type, std::uint32_t count,
                               std::uint32_t stride, std::uint32_t total) {
  return u16(kind).u16(elem_type).u32(count).u32(stride).u32(total);
}

ByteScript& ByteScript::field(std::uint16_t id, std::uint8_t type, std::uint64_t value, std::uint8_t flags) {
  return u16(id).u8(type).u8(flags).u32(0).u64(value);
}

namespace {

constexpr std::array<float, 2> kA{1, -2}, kMomentOfA{0.5F, 0.25F};
constexpr std::array<std::uint8_t, 3> kB{1, 2, 3};

Bytes a_bytes() {
  return std::as_bytes(std::span(kA));
}
Bytes b_bytes() {
  return std::as_bytes(std::span(kB));
}
Bytes moment_bytes() {
  return std::as_bytes(std::span(kMomentOfA));
}

// One directory entry of 128 bytes for a tensor of rank 1.
void entry(ByteScript& out, std::uint32_t name, std::uint16_t role, std::uint8_t type, std::uint64_t offset,
           std::uint64_t extent, Bytes bytes) {
  out.u32(name).u16(role).u8(type).u8(1);
  out.u32(0).u32(0);  // flags, link
  out.u64(offset).u64(bytes.size());
  out.u64(extent);
  for (int axis = 1; axis < 8; ++axis)
    out.u64(0);
  out.hash(format::hash128(bytes));
  out.u32(0).u32(0);  // no chunks
  out.u64(0);
}

Hash128 hash_of_hashes(std::initializer_list<Bytes> tensors) {
  ByteScript hashes;
  for (Bytes tensor : tensors)
    hashes.hash(format::hash128(tensor));
  return format::hash128(hashes.bytes());
}

ByteVector tiny_metadata() {
  ByteScript m;
  m.object(1, 0, 5, 16, 96);  // root: 5 fields
  m.field(1, 19, 96).field(3, 18, 120).field(4, 17, 152).field(5, 17, 552).field(6, 17, 568);
  m.object(2, 33, 4, 1, 20).text("tiny").zeros_to(120);
  m.object(3, 0, 2, 4, 26).u32(1).u32(2).text("ab").zeros_to(152);
  m.object(2, 32, 3, 128, 400);
  entry(m, 0, 0, 18, 4096, 2, a_bytes());
  entry(m, 1, 0, 2, 4160, 3, b_bytes());
  entry(m, 0, 16, 18, 4224, 2, moment_bytes());
  m.object(2, 32, 0, 16, 16);  // no chunk hashes
  m.object(2, 32, 2, 48, 112);
  m.u16(0).u16(0).u32(0).u32(2).u32(0).u64(4096).u64(4163).hash(hash_of_hashes({a_bytes(), b_bytes()}));
  m.u16(16).u16(0).u32(2).u32(1).u32(0).u64(4224).u64(4232).hash(hash_of_hashes({moment_bytes()}));
  return m.zeros_to(680).bytes();
}

Hash128 tiny_content_id() {
  ByteScript id;
  id.u16(0).u8(18).u8(1).u32(1).text("a").u64(2).hash(format::hash128(a_bytes()));
  id.u16(0).u8(2).u8(1).u32(1).text("b").u64(3).hash(format::hash128(b_bytes()));
  id.u16(16).u8(18).u8(1).u32(1).text("a").u64(2).hash(format::hash128(moment_bytes()));
  return format::hash128(id.bytes());
}

void append(ByteScript& out, Bytes bytes) {
  for (std::byte byte : bytes)
    out.u8(std::to_integer<std::uint8_t>(byte));
}

void prologue(ByteScript& out, std::uint64_t file_bytes, std::uint64_t data_offset, Bytes metadata,
              const Hash128& content_id) {
  out.u8(0x89).text("VTL\r\n").u8(0x1A).u8('\n');
  out.u16(1).u16(0).u32(128);
  out.u64(file_bytes).u64(128).u64(metadata.size()).u64(data_offset).u64(file_bytes - 64 - data_offset);
  out.u64(0).u64(0);
  out.u32(1).u32(1);  // kind weights, XXH3-128
  out.hash(format::hash128(metadata)).hash(content_id);
  out.u64(0);
  out.u64(format::hash64(out.bytes()));
}

}  // namespace

ByteVector tiny_file() {
  const ByteVector metadata = tiny_metadata();
  ByteScript f;
  prologue(f, tiny::kFileBytes, 4096, metadata, tiny_content_id());
  append(f, metadata);
  f.zeros_to(4096);
  append(f, a_bytes());
  f.zeros_to(4160);
  append(f, b_bytes());
  f.zeros_to(4224);
  append(f, moment_bytes());
  f.zeros_to(tiny::kFooter);
  ByteVector file = f.zeros_to(tiny::kFileBytes).bytes();
  seal(file);
  return file;
}

format::ContainerContents tiny_contents() {
  format::ContainerContents contents;
  contents.root.set(1, "tiny");
  using format::ElementType;
  using format::Role;
  contents.tensors = {{"a", Role::first_moment, ElementType::f32, {2}, moment_bytes()},
                      {"b", Role::parameter, ElementType::u8, {3}, b_bytes()},
                      {"a", Role::parameter, ElementType::f32, {2}, a_bytes()}};
  return contents;
}

void seal(ByteVector& file) {
  const std::uint64_t meta_bytes =
      std::min<std::uint64_t>(format::get<std::uint64_t>(file, 32), file.size() - 192);
  const Hash128 meta = format::hash128(Bytes(file).subspan(128, meta_bytes));
  patch(file, 80, meta);
  patch(file, 120, format::hash64(Bytes(file).first(120)));
  ByteScript footer;
  footer.text("VTLEND\r\n").u64(format::get<std::uint64_t>(file, 16));
  append(footer, Bytes(file).subspan(96, 16));
  append(footer, Bytes(file).subspan(80, 16));
  append(footer, Bytes(file).subspan(120, 8));
  footer.u64(format::hash64(footer.bytes()));
  std::copy(footer.bytes().begin(), footer.bytes().end(), file.end() - 64);
}

ByteVector file_with_metadata(const ByteVector& block) {
  const std::uint64_t data_offset = (128 + block.size() + 4095) / 4096 * 4096;
  ByteScript f;
  prologue(f, data_offset + 4096, data_offset, block, format::hash128({}));
  append(f, block);
  ByteVector file = f.zeros_to(data_offset + 4096).bytes();
  seal(file);
  return file;
}

namespace {

struct Refusal {
  std::string code, message;
};

Refusal refuse(const ByteVector& file, bool full) {
  try {
    const format::Container container = format::Container::open(file, "bytes");
    if (full) container.verify_all();
  } catch (const format::FormatError& error) {
    return {error.code().empty() ? "-" : error.code(), error.what()};
  }
  return {};
}

}  // namespace

std::string refusal(const ByteVector& file) {
  return refuse(file, true).code;
}
std::string refusal_at_open(const ByteVector& file) {
  return refuse(file, false).code;
}
std::string refusal_message(const ByteVector& file) {
  return refuse(file, true).message;
}

ByteVector file_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("no file " + path.string());
  ByteVector bytes(std::filesystem::file_size(path));
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  return bytes;
}

void write_plainly(const std::filesystem::path& path, Bytes bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent) {
  std::string pattern = (parent / "vitrail-test-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> TemporaryFolder::listing() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::filesystem::path fast_folder() {
  const std::filesystem::path memory = "/dev/shm";
  return ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
}

}  // namespace vitrail::test
