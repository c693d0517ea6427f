#include "format/message_verify.h"

#include "format/message_view.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::uint32_t kMaxFields = 1024, kMaxObjects = 1 << 20, kMaxText = 1 << 20;

// Its functions return false when the block is refused, and refusal_ says why.
class MessageVerifier {
 public:
  explicit MessageVerifier(Bytes block) : block_(block) {}

  MessageCheck run() {
    (void)root();
    return {refusal_, producer_};
  }

 private:
  bool no(Rule rule, std::uint64_t at, const char* what) { return no(at, refuse(rule, what)); }
  bool no(Rule rule, std::uint64_t at, const char* what, std::uint64_t expected, std::uint64_t found) {
    return no(at, refuse(rule, what, expected, found));
  }
  bool no(std::uint64_t at, const Refusal& refusal) {
    refusal_ = refusal;
    refusal_.offset = at;
    refusal_.producer = producer_;
    return false;
  }

  bool root() {
    ObjectHeader header{};
    if (!open(0, header)) return false;
    if (header.kind != static_cast<std::uint16_t>(ObjectKind::table))
      return no(Rule::V13, 0, "metadata: kind of the root object (a table)", 1, header.kind);
    if (!table(header, 0, 1) || !zero_to_8()) return false;
    if (align(next_, 8) != block_.size())
      return no(Rule::V17, next_, "metadata: end of the block", align(next_, 8), block_.size());
    return true;
  }

  bool zero_to_8() {
    for (std::uint64_t i = next_; i < align(next_, 8) && i < block_.size(); ++i) {
      if (block_[i] != std::byte{0}) return no(Rule::V15, i, "metadata: expected zero padding");
    }
    return true;
  }

  static bool fits(const ObjectHeader& header) {
    const std::uint64_t body = header.total - kHeaderBytes,
                        elements = std::uint64_t{header.count} * header.stride;
    switch (header.kind) {
      case 0:
        return false;
      case 1:
        return header.elem_type == 0 && header.stride == kFieldBytes && body == elements;
      case 2:
        return header.stride > 0 && body == elements;
      case 3:
        return header.elem_type == 0 && header.stride == 4 && body >= elements;
      default:
        return true;
    }
  }

  // Reads and checks an object's header; the object ends at next_ afterwards.
  bool open(std::uint64_t at, ObjectHeader& header) {
    if (++objects_ > kMaxObjects) return no(Rule::V16, at, "metadata: more objects than allowed");
    if (!inside(at, kHeaderBytes, block_.size()))
      return no(Rule::V10, at, "metadata: an object's header outside the block");
    header = ObjectHeader::at(block_, at);
    if (header.total < kHeaderBytes || !inside(at, header.total, block_.size()))
      return no(Rule::V10, at, "metadata: an object that is smaller than its header or outside the block");
    if (!fits(header)) return no(Rule::V10, at, "metadata: an object whose size does not fit its kind");
    next_ = at + header.total;
    return true;
  }

  bool table(const ObjectHeader& header, std::uint64_t at, int depth) {
    if (depth > kMaxDepth) return no(Rule::V16, at, "metadata: tables nested too deeply");
    if (header.count > kMaxFields)
      return no(Rule::V16, at, "metadata: fields of a table (at most)", kMaxFields, header.count);
    int last = -1;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      const FieldView field(block_, at + kHeaderBytes + i * kFieldBytes);
      const std::uint64_t record = at + kHeaderBytes + i * kFieldBytes;
      if (field.id() <= last) return no(Rule::V12, record, "metadata: field ids that do not ascend");
      last = field.id();
      if (!this->field(field, record, depth)) return false;
      if (depth == 1 && field.id() == 1 && field.type() == FieldType::text) producer_ = field.text();
    }
    return true;
  }

  bool field(const FieldView& field, std::uint64_t record, int depth) {
    if (field.flags() > 1 || get<std::uint32_t>(block_, record + 4) != 0)
      return no(Rule::V12, record, "metadata: illegal flags of a field");
    if (field.flags() == 1)
      return no(Rule::V18, record, "metadata: a field that must be understood", 0, field.id());
    if (field.type() == FieldType{0} || field.type() >= FieldType::end)
      return no(Rule::V13, record, "metadata: a field of unknown type");
    if (field.type() >= FieldType::first_object) return object(field, record, depth);
    if (field.type() == FieldType::boolean && field.value() > 1)
      return no(Rule::V13, record, "metadata: a bool that is neither 0 nor 1");
    return true;
  }

  // An unknown reference is to a leaf: a table would bring references of its own, which a copy had to shift.
  static bool matches(FieldType type, const ObjectHeader& header) {
    switch (type) {
      case FieldType::table:
        return header.kind == 1;
      case FieldType::vector:
        return header.kind == 2 && header.elem_type != kElemText;
      case FieldType::strings:
        return header.kind == 3;
      case FieldType::text:
        return header.kind == 2 && header.elem_type == kElemText && header.stride == 1;
      default:
        return header.kind != 1;
    }
  }

  bool object(const FieldView& field, std::uint64_t record, int depth) {
    const std::uint64_t at = align(next_, 8);
    if (field.value() != at)
      return no(Rule::V11, record, "metadata: reference to an object", at, field.value());
    ObjectHeader header{};
    if (!zero_to_8() || !open(at, header)) return false;
    if (!matches(field.type(), header))
      return no(Rule::V13, record, "metadata: a field whose type does not match its object");
    if (field.type() == FieldType::table) return table(header, at, depth + 1);
    if (field.type() == FieldType::strings) return strings(header, at);
    if (field.type() == FieldType::text) return text(block_.subspan(at + kHeaderBytes, header.count), at);
    return true;
  }

  bool text(Bytes bytes, std::uint64_t at) {
    if (bytes.size() > kMaxText)
      return no(Rule::V16, at, "metadata: bytes of a text (at most)", kMaxText, bytes.size());
    if (!is_text(bytes)) return no(Rule::V14, at, "metadata: expected UTF-8 without NUL");
    return true;
  }

  bool strings(const ObjectHeader& header, std::uint64_t at) {
    const Bytes body = block_.subspan(at + kHeaderBytes, header.total - kHeaderBytes);
    const Bytes all = body.subspan(std::uint64_t{4} * header.count);
    std::uint32_t begin = 0;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      const std::uint32_t end = get<std::uint32_t>(body, std::uint64_t{4} * i);
      if (end < begin || end > all.size())
        return no(Rule::V14, at, "metadata: ends of strings that do not ascend");
      if (!text(all.subspan(begin, end - begin), at)) return false;
      begin = end;
    }
    if (begin != all.size()) return no(Rule::V14, at, "metadata: bytes after the last string");
    return true;
  }

  Bytes block_;
  std::uint64_t next_ = 0;  // end of the object read last
  std::uint32_t objects_ = 0;
  Refusal refusal_;
  std::string_view producer_;
};

}  // namespace

MessageCheck verify_message(Bytes block) {
  return MessageVerifier(block).run();
}

}  // namespace vitrail::format
