#include "format/message.h"

#include <fmt/format.h>

namespace vitrail::format {
namespace {

constexpr std::uint8_t code(FieldType type) {
  return static_cast<std::uint8_t>(type);
}

template <class T>
Vector packed(std::uint16_t elem_type, const std::vector<T>& values) {
  Vector vector{elem_type, sizeof(T), {}};
  for (T value : values)
    append(vector.data, value);
  return vector;
}

template <class T>
std::vector<T> unpacked(const Vector& vector, std::uint16_t elem_type, const char* name) {
  if (vector.elem_type != elem_type || vector.stride != sizeof(T)) {
    throw FormatError(fmt::format("field {}: expected a vector of element type {}, found type {}", name,
                                  elem_type, vector.elem_type));
  }
  std::vector<T> values(vector.data.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = get<T>(vector.data, i * sizeof(T));
  return values;
}

}  // namespace

void Table::set(Id id, std::uint64_t value) {
  set(id, Value{code(FieldType::u64), 0, value});
}
void Table::set(Id id, std::int64_t value) {
  set(id, Value{code(FieldType::i64), 0, value});
}
void Table::set(Id id, double value) {
  set(id, Value{code(FieldType::f64), 0, value});
}
void Table::set(Id id, bool value) {
  set(id, Value{code(FieldType::boolean), 0, value});
}
void Table::set(Id id, std::string value) {
  set(id, Value{code(FieldType::text), 0, std::move(value)});
}
void Table::set(Id id, std::vector<std::string> value) {
  set(id, Value{code(FieldType::strings), 0, std::move(value)});
}
void Table::set(Id id, Vector value) {
  set(id, Value{code(FieldType::vector), 0, std::move(value)});
}
void Table::set(Id id, const std::vector<double>& value) {
  set(id, packed(kElemF64, value));
}
void Table::set(Id id, const std::vector<std::uint64_t>& value) {
  set(id, packed(kElemU64, value));
}
void Table::set(Id id, Table value) {
  set(id, Value{code(FieldType::table), 0, std::make_shared<const Table>(std::move(value))});
}
void Table::set(Id id, Value value) {
  fields_.insert_or_assign(id, std::move(value));
}

template <class T>
const T& Table::content(Id id, const char* name) const {
  const auto field = fields_.find(id);
  if (field == fields_.end()) throw FormatError(fmt::format("field {} ({}) is missing", name, id), "V20");
  const T* value = std::get_if<T>(&field->second.content);
  if (value == nullptr)
    throw FormatError(fmt::format("field {} ({}) has an unexpected type", name, id), "V20");
  return *value;
}

std::uint64_t Table::u64(Id id, const char* name) const {
  return content<std::uint64_t>(id, name);
}
std::int64_t Table::i64(Id id, const char* name) const {
  return content<std::int64_t>(id, name);
}
double Table::f64(Id id, const char* name) const {
  return content<double>(id, name);
}
bool Table::boolean(Id id, const char* name) const {
  return content<bool>(id, name);
}
const std::string& Table::text(Id id, const char* name) const {
  return content<std::string>(id, name);
}
const Vector& Table::vector(Id id, const char* name) const {
  return content<Vector>(id, name);
}
const std::vector<std::string>& Table::strings(Id id, const char* name) const {
  return content<std::vector<std::string>>(id, name);
}
const Table& Table::table(Id id, const char* name) const {
  return *content<std::shared_ptr<const Table>>(id, name);
}
std::vector<double> Table::f64s(Id id, const char* name) const {
  return unpacked<double>(vector(id, name), kElemF64, name);
}
std::vector<std::uint64_t> Table::u64s(Id id, const char* name) const {
  return unpacked<std::uint64_t>(vector(id, name), kElemU64, name);
}

}  // namespace vitrail::format
