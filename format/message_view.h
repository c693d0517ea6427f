#pragma once
// A verified metadata block, read where it lies: tables, vectors, strings and numbers without a copy. Only
// for blocks that verify_message has accepted.

#include <optional>
#include <string_view>

#include "format/bytes.h"

namespace vitrail::format {

// Codes of SPEC.md, "Objects" and "Field records".
enum class ObjectKind : std::uint16_t { table = 1, vector = 2, strings = 3 };
enum class FieldType : std::uint8_t {
  u64 = 1,
  i64 = 2,
  f64 = 3,
  boolean = 4,
  first_object = 16,
  table = 16,
  vector = 17,
  strings = 18,
  text = 19,
  end = 32
};
inline constexpr std::uint16_t kElemU64 = 4, kElemF64 = 10, kElemStruct = 32, kElemText = 33;
inline constexpr std::uint64_t kHeaderBytes = 16, kFieldBytes = 16;

struct ObjectHeader {
  std::uint16_t kind, elem_type;
  std::uint32_t count, stride, total;

  static ObjectHeader at(Bytes block, std::uint64_t offset) {
    return {get<std::uint16_t>(block, offset), get<std::uint16_t>(block, offset + 2),
            get<std::uint32_t>(block, offset + 4), get<std::uint32_t>(block, offset + 8),
            get<std::uint32_t>(block, offset + 12)};
  }
};

inline std::string_view characters(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct VectorView {
  std::uint16_t elem_type = 0;
  std::uint32_t count = 0, stride = 0;
  Bytes data;
  Bytes row(std::uint64_t index) const { return data.subspan(index * stride, stride); }
};

class StringsView {
 public:
  StringsView() = default;
  StringsView(std::uint32_t count, Bytes body)
      : count_(count),
        ends_(body.first(std::size_t{4} * count)),
        characters_(body.subspan(std::size_t{4} * count)) {}
  std::uint32_t size() const { return count_; }
  std::string_view operator[](std::uint32_t index) const {
    const std::uint32_t begin = index == 0 ? 0 : end(index - 1);
    return characters(characters_.subspan(begin, end(index) - begin));
  }

 private:
  std::uint32_t end(std::uint32_t index) const { return get<std::uint32_t>(ends_, std::uint64_t{4} * index); }
  std::uint32_t count_ = 0;
  Bytes ends_, characters_;
};

class TableView;

// One field of a table. The accessors are for the type that type() says.
class FieldView {
 public:
  FieldView(Bytes block, std::uint64_t record) : block_(block), record_(record) {}
  std::uint16_t id() const { return get<std::uint16_t>(block_, record_); }
  FieldType type() const { return FieldType{get<std::uint8_t>(block_, record_ + 2)}; }
  std::uint8_t flags() const { return get<std::uint8_t>(block_, record_ + 3); }
  std::uint64_t value() const { return get<std::uint64_t>(block_, record_ + 8); }
  Bytes object() const { return block_.subspan(value(), header().total); }  // its header and body
  inline TableView table() const;
  VectorView vector() const { return {header().elem_type, header().count, header().stride, body()}; }
  StringsView strings() const { return {header().count, body()}; }
  std::string_view text() const { return characters(body()); }

 private:
  ObjectHeader header() const { return ObjectHeader::at(block_, value()); }
  Bytes body() const { return object().subspan(kHeaderBytes); }
  Bytes block_;
  std::uint64_t record_;
};

class TableView {
 public:
  TableView() = default;
  TableView(Bytes block, std::uint64_t at)
      : block_(block), records_(at + kHeaderBytes), count_(ObjectHeader::at(block, at).count) {}
  std::uint32_t size() const { return count_; }
  FieldView operator[](std::uint32_t index) const { return {block_, records_ + index * kFieldBytes}; }
  std::optional<FieldView> find(std::uint16_t id) const {
    std::uint32_t low = 0, high = count_;
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      if ((*this)[middle].id() < id) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == count_ || (*this)[low].id() != id) return std::nullopt;
    return (*this)[low];
  }
  // The field when it is there and of this type.
  std::optional<FieldView> find(std::uint16_t id, FieldType type) const {
    const std::optional<FieldView> field = find(id);
    return field && field->type() == type ? field : std::nullopt;
  }

 private:
  Bytes block_;
  std::uint64_t records_ = 0;
  std::uint32_t count_ = 0;
};

TableView FieldView::table() const {
  return {block_, value()};
}

}  // namespace vitrail::format
