#include "format/npy_header.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>

#include "format/error.h"
#include "format/layout.h"
#include "format/utf8.h"

namespace vitrail::format {
namespace {

constexpr std::size_t kMaxHeader = 65536;

struct NpyType {
  std::string_view descr;
  ElementType type;
};

// JAX writes bfloat16, which NumPy does not know, as two bytes without a meaning.
constexpr NpyType kTypes[] = {
    {"|b1", ElementType::boolean}, {"|u1", ElementType::u8},   {"|i1", ElementType::i8},
    {"<u2", ElementType::u16},     {"<i2", ElementType::i16},  {"<u4", ElementType::u32},
    {"<i4", ElementType::i32},     {"<u8", ElementType::u64},  {"<i8", ElementType::i64},
    {"<f2", ElementType::f16},     {"|V2", ElementType::bf16}, {"<V2", ElementType::bf16},
    {"<f4", ElementType::f32},     {"<f8", ElementType::f64},  {"<c8", ElementType::c64},
    {"<c16", ElementType::c128},
};

ElementType type_of(std::string_view descr) {
  for (const NpyType& row : kTypes) {
    if (row.descr == descr) return row.type;
  }
  const char* what = descr.starts_with('>')                    ? "big-endian numbers"
                     : descr.find('O') != descr.npos           ? "Python objects"
                     : descr.find_first_of("US") != descr.npos ? "text"
                                                               : "elements of an unknown type";
  throw FormatError(
      fmt::format("an array of {} ('{}') cannot be read: expected little-endian numbers or bools", what,
                  descr.substr(0, 16)));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  NpyHeader parse() {
    NpyHeader header;
    bool descr = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && !descr) {
        descr = true;
        if (next() == '[')
          throw FormatError("an array of structures cannot be read: expected numbers or bools");
        header.type = type_of(quoted());
      } else if (key == "fortran_order" && !order) {
        order = true;
        header.fortran_order = truth();
      } else if (key == "shape" && !shape) {
        shape = true;
        header.shape = tuple();
      } else {
        fail("the keys descr, fortran_order and shape, once each");
      }
      if (accept('}')) break;
      expect(',');
    }
    if (!descr || !order || !shape) fail("the keys descr, fortran_order and shape");
    if (next() != '\0') fail("nothing behind its header");
    return header;
  }

 private:
  [[noreturn]] void fail(std::string_view expected) const {
    throw FormatError(fmt::format("its header at byte {}: expected {}", at_, expected));
  }

  // The next character that is no space, NUL at the end.
  char next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n'))
      ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char c) {
    if (next() != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(fmt::format("'{}'", c));
  }

  std::string_view quoted() {
    const char quote = next();
    if (quote != '\'' && quote != '"') fail("a text in quotes");
    const std::size_t begin = at_ + 1, end = text_.find(quote, begin);
    if (end == text_.npos) fail("the end of a text");
    at_ = end + 1;
    const std::string_view text = text_.substr(begin, end - begin);
    if (text.find('\\') != text.npos) fail("a text without escapes");
    return text;
  }

  bool truth() {
    (void)next();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    fail("True or False");
  }

  std::int64_t whole() {
    (void)next();
    const std::size_t begin = at_;
    std::uint64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      value = 10 * value + static_cast<std::uint64_t>(text_[at_++] - '0');
      if (value > kMaxExtent) fail("an extent of at most 2^48");
    }
    if (at_ == begin || (text_[begin] == '0' && at_ > begin + 1)) fail("a whole number");
    return static_cast<std::int64_t>(value);
  }

  // "()", "(3,)", "(3, 4)", "(3, 4,)".
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> items;
    expect('(');
    while (!accept(')')) {
      if (items.size() == kMaxRank) fail(fmt::format("at most {} axes", kMaxRank));
      items.push_back(whole());
      if (accept(',')) continue;
      if (items.size() == 1) fail("','");
      expect(')');
      break;
    }
    return items;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string_view npy_header_text(Bytes array) {
  constexpr std::string_view kNumpyMagic = "\x93NUMPY";
  const std::string_view all(reinterpret_cast<const char*>(array.data()), array.size());
  if (!all.starts_with(kNumpyMagic)) throw FormatError("no NumPy array: it does not begin with \\x93NUMPY");
  if (all.size() < 8) throw FormatError("cut off in its head");
  const int major = std::to_integer<int>(array[6]), minor = std::to_integer<int>(array[7]);
  if (major < 1 || major > 3 || minor != 0)
    throw FormatError(fmt::format("version {}.{} of NumPy's format: expected 1.0 to 3.0", major, minor));
  const std::size_t begin = major == 1 ? 10 : 12;
  if (all.size() < begin) throw FormatError("cut off in its head");
  const std::size_t length = major == 1 ? get<std::uint16_t>(array, 8) : get<std::uint32_t>(array, 8);
  if (length > kMaxHeader)
    throw FormatError(fmt::format("a header of {} bytes: at most {} are read", length, kMaxHeader));
  if (length > all.size() - begin) throw FormatError("cut off in its header");
  if (!is_text(array.subspan(begin, length))) throw FormatError("its header is no text");
  return all.substr(begin, length);
}

}  // namespace

NpyHeader parse_npy_header(Bytes array) {
  const std::string_view text = npy_header_text(array);
  NpyHeader header = Parser(text).parse();
  header.data_begin =
      static_cast<std::uint64_t>(text.data() + text.size() - reinterpret_cast<const char*>(array.data()));
  const std::optional<std::uint64_t> bytes = tensor_bytes(header.type, header.shape);
  if (!bytes) throw FormatError("its shape has too many elements");
  const std::uint64_t found = array.size() - header.data_begin;
  if (found != *bytes)
    throw FormatError(fmt::format("its shape takes {} bytes, {} are there", *bytes, found));
  return header;
}

}  // namespace vitrail::format
