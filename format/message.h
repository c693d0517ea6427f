#pragma once
// The metadata message: a tree of tables, vectors, strings and numbers in one canonical encoding (SPEC.md,
// "Metadata"). The same tree has one sequence of bytes; what this build does not know is kept and written
// again.

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "format/bytes.h"
#include "format/error.h"
#include "format/message_view.h"

namespace vitrail::format {

class Table;

// Elements of equal size. elem_type is a code of SPEC.md: 1 u8 … 4 u64 … 8 i64, 9 f32, 10 f64, 32 struct, 33
// text.
struct Vector {
  std::uint16_t elem_type = 1;
  std::uint32_t stride = 1;  // bytes of one element
  std::vector<std::byte> data;
  friend bool operator==(const Vector&, const Vector&) = default;
};

// An object or scalar of a type that this build does not know, byte for byte.
struct Unknown {
  std::uint64_t scalar = 0;
  std::vector<std::byte> object;  // empty for a scalar
};

struct Value {
  std::uint8_t type = 0;   // field type code
  std::uint8_t flags = 0;  // bit 0: must_understand
  std::variant<std::uint64_t, std::int64_t, double, bool, std::shared_ptr<const Table>, Vector,
               std::vector<std::string>, std::string, Unknown>
      content;
};

class Table {
 public:
  using Id = std::uint16_t;

  void set(Id id, std::uint64_t value);
  void set(Id id, std::int64_t value);
  void set(Id id, double value);
  void set(Id id, bool value);
  void set(Id id, std::string value);
  void set(Id id, const char* value) { set(id, std::string(value)); }
  void set(Id id, std::vector<std::string> value);
  void set(Id id, Table value);
  void set(Id id, Vector value);
  void set(Id id, const std::vector<double>& value);
  void set(Id id, const std::vector<std::uint64_t>& value);
  void set(Id id, Value value);

  bool has(Id id) const { return fields_.contains(id); }
  const std::map<Id, Value>& fields() const { return fields_; }
  void erase(Id id) { fields_.erase(id); }

  // Throw FormatError naming the field (`name`, for the message) when it is missing or of another type.
  std::uint64_t u64(Id id, const char* name) const;
  std::int64_t i64(Id id, const char* name) const;
  double f64(Id id, const char* name) const;
  bool boolean(Id id, const char* name) const;
  const std::string& text(Id id, const char* name) const;
  const std::vector<std::string>& strings(Id id, const char* name) const;
  const Table& table(Id id, const char* name) const;
  const Vector& vector(Id id, const char* name) const;
  std::vector<double> f64s(Id id, const char* name) const;
  std::vector<std::uint64_t> u64s(Id id, const char* name) const;

 private:
  template <class T>
  const T& content(Id id, const char* name) const;

  std::map<Id, Value> fields_;
};

std::vector<std::byte> encode_message(const Table& root);  // a multiple of 8 bytes
Table decode_message(Bytes block);                         // verifies rules V10 to V18
Table tree_of(const TableView& table);                     // of a verified block

}  // namespace vitrail::format
