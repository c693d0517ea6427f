#include "format/utf8.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace vitrail::format {
namespace {

bool accepted(std::string_view text) {
  return is_text(std::as_bytes(std::span(text)));
}

// A code point in the bit pattern of `length` bytes, whether or not that is the right length for it.
std::string encoded(std::uint32_t code, int length) {
  if (length == 1) return {static_cast<char>(code)};
  std::string bytes;
  constexpr unsigned kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int tail = length - 1; tail > 0; --tail) {
    bytes.insert(bytes.begin(), static_cast<char>(0x80 | (code & 0x3F)));
    code >>= 6;
  }
  bytes.insert(bytes.begin(), static_cast<char>(kLead[length] | code));
  return bytes;
}

int right_length(std::uint32_t code) {
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

TEST_CASE("every code point is accepted in its shortest form and in no other") {
  int wrong = 0;
  for (std::uint32_t code = 0; code < 0x200000; ++code) {
    const bool scalar = code != 0 && code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
    const int shortest = right_length(code);
    for (int length = shortest; length <= 4; ++length) {
      if (accepted(encoded(code, length)) != (scalar && length == shortest)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("characters cut off, stray continuation bytes and long leads are refused") {
  for (std::string_view bad : {"\x80", "a\xBF", "\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xC3(", "\xE2\x28\xA1",
                               "\xF8\x88\x80\x80\x80", "\xFF", "\xFE"}) {
    CAPTURE(bad);
    CHECK_FALSE(accepted(bad));
  }
  CHECK(accepted(""));
  CHECK(accepted("blocks.0.attn.qkv.weight"));
  CHECK(accepted("Müll, 犬, 🐕"));
}

}  // namespace
}  // namespace vitrail::format
