// The metadata verifier: in one pass over the canonical order, so that the only legal offset of every object
// is known before it is read. Nothing is allocated for a length before the bytes for it are seen to be there.

#include <fmt/format.h>

#include "format/message.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kHeader = 16, kRecord = 16;
constexpr int kMaxDepth = 8;
constexpr std::uint32_t kMaxFields = 1024, kMaxObjects = 1 << 20, kMaxText = 1 << 20;

struct Header {
  std::uint16_t kind, elem_type;
  std::uint32_t count, stride, total;
};

class Decoder {
 public:
  explicit Decoder(Bytes block) : block_(block) {}

  Table run() {
    const Header header = open(0);
    if (header.kind != 1)
      refuse("V13", 0, fmt::format("expected the root table, found kind {}", header.kind));
    Table root = table(header, 0, 1);
    require_zero(next_, align(next_, 8));
    if (align(next_, 8) != block_.size()) {
      refuse("V17", next_, fmt::format("expected the block to end here, found {} bytes", block_.size()));
    }
    return root;
  }

 private:
  [[noreturn]] static void refuse(const char* code, std::uint64_t at, const std::string& what) {
    throw FormatError(fmt::format("metadata damaged at offset {}: {}", at, what), code);
  }

  void require_zero(std::uint64_t begin, std::uint64_t end) const {
    for (std::uint64_t i = begin; i < end && i < block_.size(); ++i) {
      if (block_[i] != std::byte{0}) refuse("V15", i, "expected zero padding");
    }
  }

  // Reads and checks an object's header; the object ends at next_ afterwards.
  Header open(std::uint64_t at) {
    if (++objects_ > kMaxObjects) refuse("V16", at, "more objects than allowed");
    if (!inside(at, kHeader, block_.size())) refuse("V10", at, "the object's header is outside the block");
    const Header header{get<std::uint16_t>(block_, at), get<std::uint16_t>(block_, at + 2),
                        get<std::uint32_t>(block_, at + 4), get<std::uint32_t>(block_, at + 8),
                        get<std::uint32_t>(block_, at + 12)};
    if (header.total < kHeader || !inside(at, header.total, block_.size())) {
      refuse("V10", at, fmt::format("an object of {} bytes is outside the block", header.total));
    }
    const std::uint64_t body = header.total - kHeader;
    const std::uint64_t elements = std::uint64_t{header.count} * header.stride;
    const bool fits = header.kind == 1 ? header.elem_type == 0 && header.stride == kRecord && body == elements
                      : header.kind == 2 ? header.stride > 0 && body == elements
                      : header.kind == 3 ? header.elem_type == 0 && header.stride == 4 && body >= elements
                                         : header.kind >= 4;
    if (!fits) refuse("V10", at, fmt::format("an object of kind {} has the wrong size", header.kind));
    next_ = at + header.total;
    return header;
  }

  Table table(const Header& header, std::uint64_t at, int depth) {
    if (depth > kMaxDepth) refuse("V16", at, "tables are nested too deeply");
    if (header.count > kMaxFields) refuse("V16", at, fmt::format("a table of {} fields", header.count));
    Table result;
    int last = -1;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      const std::uint64_t record = at + kHeader + i * kRecord;
      const std::uint16_t id = get<std::uint16_t>(block_, record);
      if (id <= last) refuse("V12", record, "field ids do not ascend");
      last = id;
      result.set(id, field(record, depth));
    }
    return result;
  }

  Value field(std::uint64_t record, int depth) {
    Value value{get<std::uint8_t>(block_, record + 2), get<std::uint8_t>(block_, record + 3),
                std::uint64_t{0}};
    if (value.flags > 1 || get<std::uint32_t>(block_, record + 4) != 0)
      refuse("V12", record, "illegal field flags");
    if (value.flags == 1) {
      refuse("V18", record,
             fmt::format("field {} must be understood and was added by a newer version",
                         get<std::uint16_t>(block_, record)));
    }
    const std::uint64_t content = get<std::uint64_t>(block_, record + 8);
    if (value.type == 0 || value.type > 31)
      refuse("V13", record, fmt::format("unknown field type {}", value.type));
    if (value.type < 16) {
      scalar(value, content, record);
    } else {
      object(value, content, record, depth);
    }
    return value;
  }

  static void scalar(Value& value, std::uint64_t content, std::uint64_t record) {
    switch (value.type) {
      case 1:
        value.content = content;
        return;
      case 2:
        value.content = static_cast<std::int64_t>(content);
        return;
      case 3:
        value.content = std::bit_cast<double>(content);
        return;
      case 4:
        if (content > 1) refuse("V13", record, "expected a bool of 0 or 1");
        value.content = content == 1;
        return;
      default:
        value.content = Unknown{content, {}};
    }
  }

  void object(Value& value, std::uint64_t at, std::uint64_t record, int depth) {
    const std::uint64_t expected = align(next_, 8);
    if (at != expected) {
      refuse("V11", record, fmt::format("expected an object at {}, found a reference to {}", expected, at));
    }
    require_zero(next_, expected);
    const Header header = open(at);
    const bool matches = value.type == 16   ? header.kind == 1
                         : value.type == 17 ? header.kind == 2 && header.elem_type != 33
                         : value.type == 18 ? header.kind == 3
                         : value.type == 19 ? header.kind == 2 && header.elem_type == 33 && header.stride == 1
                                            : true;
    if (!matches) refuse("V13", record, "a field's type does not match its object");
    const Bytes body = block_.subspan(at + kHeader, header.total - kHeader);
    switch (value.type) {
      case 16:
        value.content = std::make_shared<const Table>(table(header, at, depth + 1));
        return;
      case 17:
        value.content = Vector{header.elem_type, header.stride, {body.begin(), body.end()}};
        return;
      case 18:
        value.content = strings(header, body, at);
        return;
      case 19:
        value.content = text(body, at);
        return;
      default: {
        // An unknown reference: a leaf is kept as it is; a table would bring references of its own to shift.
        if (header.kind == 1) refuse("V13", record, "an unknown reference to a table");
        const Bytes whole = block_.subspan(at, header.total);
        value.content = Unknown{0, {whole.begin(), whole.end()}};
      }
    }
  }

  static std::string text(Bytes bytes, std::uint64_t at) {
    if (bytes.size() > kMaxText) refuse("V16", at, fmt::format("a text of {} bytes", bytes.size()));
    if (!is_text(bytes)) refuse("V14", at, "expected UTF-8 without NUL");
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  static std::vector<std::string> strings(const Header& header, Bytes body, std::uint64_t at) {
    const std::uint64_t ends = std::uint64_t{4} * header.count;
    const Bytes characters = body.subspan(ends);
    std::vector<std::string> result;
    result.reserve(header.count);
    std::uint32_t begin = 0;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      const std::uint32_t end = get<std::uint32_t>(body, std::uint64_t{4} * i);
      if (end < begin || end > characters.size()) refuse("V14", at, "ends of strings do not ascend");
      result.push_back(text(characters.subspan(begin, end - begin), at));
      begin = end;
    }
    if (begin != characters.size()) refuse("V14", at, "bytes after the last string");
    return result;
  }

  Bytes block_;
  std::uint64_t next_ = 0;  // end of the object read last
  std::uint32_t objects_ = 0;
};

}  // namespace

Table decode_message(Bytes block) {
  return Decoder(block).run();
}

}  // namespace vitrail::format
