// The tree of a block that has been verified; nothing is checked again.

#include "format/message.h"
#include "format/message_verify.h"

namespace vitrail::format {
namespace {

std::vector<std::byte> copy(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> copy(const StringsView& view) {
  std::vector<std::string> strings(view.size());
  for (std::uint32_t i = 0; i < view.size(); ++i)
    strings[i] = view[i];
  return strings;
}

Value value_of(const FieldView& field) {
  Value value{static_cast<std::uint8_t>(field.type()), field.flags(), field.value()};
  switch (field.type()) {
    case FieldType::u64:
      break;
    case FieldType::i64:
      value.content = static_cast<std::int64_t>(field.value());
      break;
    case FieldType::f64:
      value.content = std::bit_cast<double>(field.value());
      break;
    case FieldType::boolean:
      value.content = field.value() == 1;
      break;
    case FieldType::table:
      value.content = std::make_shared<const Table>(tree_of(field.table()));
      break;
    case FieldType::vector:
      value.content = Vector{field.vector().elem_type, field.vector().stride, copy(field.vector().data)};
      break;
    case FieldType::strings:
      value.content = copy(field.strings());
      break;
    case FieldType::text:
      value.content = std::string(field.text());
      break;
    default:
      value.content = field.type() < FieldType::first_object ? Unknown{field.value(), {}}
                                                             : Unknown{0, copy(field.object())};
  }
  return value;
}

}  // namespace

Table tree_of(const TableView& table) {
  Table tree;
  for (std::uint32_t i = 0; i < table.size(); ++i)
    tree.set(table[i].id(), value_of(table[i]));
  return tree;
}

Table decode_message(Bytes block) {
  const MessageCheck check = verify_message(block);
  if (check.refusal.refused()) throw to_error(check.refusal);
  return tree_of(TableView(block, 0));
}

}  // namespace vitrail::format
