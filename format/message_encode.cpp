#include "format/message.h"

namespace vitrail::format {
namespace {

constexpr std::size_t kHeader = 16, kRecord = 16;

void put_header(std::vector<std::byte>& out, std::size_t at, std::uint16_t kind, std::uint16_t elem_type,
                std::size_t count, std::size_t stride, std::size_t total) {
  put(out, at, kind);
  put(out, at + 2, elem_type);
  put(out, at + 4, static_cast<std::uint32_t>(count));
  put(out, at + 8, static_cast<std::uint32_t>(stride));
  put(out, at + 12, static_cast<std::uint32_t>(total));
}

void append_bytes(std::vector<std::byte>& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void encode_leaf(std::vector<std::byte>& out, std::uint16_t kind, std::uint16_t elem_type, std::size_t count,
                 std::size_t stride, Bytes body) {
  const std::size_t at = out.size();
  out.resize(at + kHeader);
  put_header(out, at, kind, elem_type, count, stride, kHeader + body.size());
  append_bytes(out, body);
}

void encode_strings(std::vector<std::byte>& out, const std::vector<std::string>& strings) {
  std::vector<std::byte> body;
  std::uint32_t end = 0;
  for (const std::string& text : strings)
    append(body, end += static_cast<std::uint32_t>(text.size()));
  for (const std::string& text : strings)
    append_bytes(body, std::as_bytes(std::span(text)));
  encode_leaf(out, 3, 0, strings.size(), 4, body);
}

void encode_table(std::vector<std::byte>& out, const Table& table);

struct Encoder {
  std::vector<std::byte>& out;

  // A reference's value is where its object begins: the next multiple of 8.
  std::uint64_t begin() const {
    out.resize(align(out.size(), 8));
    return out.size();
  }
  std::uint64_t operator()(std::uint64_t value) const { return value; }
  std::uint64_t operator()(std::int64_t value) const { return static_cast<std::uint64_t>(value); }
  std::uint64_t operator()(double value) const { return std::bit_cast<std::uint64_t>(value); }
  std::uint64_t operator()(bool value) const { return value ? 1 : 0; }
  std::uint64_t operator()(const std::shared_ptr<const Table>& table) const {
    const std::uint64_t at = begin();
    encode_table(out, *table);
    return at;
  }
  std::uint64_t operator()(const Vector& vector) const {
    const std::uint64_t at = begin();
    encode_leaf(out, 2, vector.elem_type, vector.data.size() / vector.stride, vector.stride, vector.data);
    return at;
  }
  std::uint64_t operator()(const std::vector<std::string>& strings) const {
    const std::uint64_t at = begin();
    encode_strings(out, strings);
    return at;
  }
  std::uint64_t operator()(const std::string& text) const {
    const std::uint64_t at = begin();
    encode_leaf(out, 2, 33, text.size(), 1, std::as_bytes(std::span(text)));
    return at;
  }
  std::uint64_t operator()(const Unknown& unknown) const {
    if (unknown.object.empty()) return unknown.scalar;
    const std::uint64_t at = begin();
    append_bytes(out, unknown.object);
    return at;
  }
};

void encode_table(std::vector<std::byte>& out, const Table& table) {
  const std::size_t at = out.size(), size = kHeader + kRecord * table.fields().size();
  out.resize(at + size);
  put_header(out, at, 1, 0, table.fields().size(), kRecord, size);
  std::size_t record = at + kHeader;
  for (const auto& [id, value] : table.fields()) {
    const std::uint64_t content = std::visit(Encoder{out}, value.content);
    put(out, record, id);
    put(out, record + 2, value.type);
    put(out, record + 3, value.flags);
    put(out, record + 8, content);
    record += kRecord;
  }
}

}  // namespace

std::vector<std::byte> encode_message(const Table& root) {
  std::vector<std::byte> out;
  encode_table(out, root);
  out.resize(align(out.size(), 8));
  return out;
}

}  // namespace vitrail::format
