#pragma once
// Files of any content, right or wrong on purpose: what a specification leaves open is computed from
// format/SPEC.md, what is stated is taken as it is, and all checksums fit whatever came out. Shares only the
// hash function and the encoding of the metadata tree with the program.

#include <functional>
#include <map>
#include <optional>

#include "tests/support/format_file.h"

namespace vitrail::test {

struct TensorSpec {
  std::string name;
  std::uint16_t role = 0;
  std::uint8_t type = 2;  // u8
  std::vector<std::uint64_t> extents;
  ByteVector bytes;
  std::uint32_t flags = 0, link = 0;
  std::uint64_t reserved = 0;
  ByteVector tail = {};  // behind the 128 bytes of its entry
  // Stated in place of what the rules say:
  std::optional<std::uint32_t> name_index = {}, first_chunk = {}, chunks = {};
  std::optional<std::uint8_t> rank = {};
  std::optional<std::uint64_t> offset = {}, size = {};
  std::optional<format::Hash128> hash = {};
};

struct RoleSpec {
  std::uint16_t role = 0, reserved16 = 0;
  std::uint32_t first = 0, count = 0, reserved32 = 0;
  std::uint64_t begin = 0, end = 0;
  format::Hash128 hash;
  ByteVector tail = {};
};

struct FileSpec {
  std::uint16_t minor = 0;
  std::uint32_t kind = 1;
  std::uint64_t required = 0, optional = 0, reserved = 0;
  format::Table root;               // without the fields that follow from the tensors
  std::vector<TensorSpec> tensors;  // in the order of the directory
  std::uint32_t entry_bytes = 128, role_bytes = 48;
  // Changes to what the rules say, before anything is computed from it:
  std::function<void(std::vector<std::string>&)> names = {};
  std::function<void(std::vector<RoleSpec>&)> roles = {};
  std::function<void(format::Table&)> finished_root = {};
  std::function<void(ByteVector&)> metadata = {};
  std::function<void(ByteVector&)> file = {};  // before the checksums of its head and footer
  std::optional<format::Hash128> content_id = {};
};

ByteVector assemble(const FileSpec& spec);

// Where the record of a root field and the object it refers to stand in a metadata block.
std::size_t record_of(const ByteVector& metadata, std::uint16_t id);
std::size_t object_of(const ByteVector& metadata, std::uint16_t id);

}  // namespace vitrail::test
