#pragma once
// One damaged place of a file whose head is whole.

#include <string>

#include "format/hash.h"
#include "format/rules.h"
#include "format/tensor_record.h"

namespace vitrail::format {

struct Damage {
  Rule rule = Rule::V40;  // V40 hash, V41 padding, V42 bool
  std::string tensor;     // empty for padding
  Role role = Role::parameter;
  std::int64_t chunk = -1;           // −1: the whole tensor, or padding
  bool chunk_list = false;           // not the bytes but the list of the tensor's chunk hashes
  std::uint64_t begin = 0, end = 0;  // bytes of the file, the end not included
  std::uint64_t first_element = 0, end_element = 0;
  Hash128 expected, found;  // of V40

  // "tensor 'head.weight' (role 0) is damaged in chunk 2 (elements 10 to 19): expected hash …, found …"
  std::string text() const;
};

}  // namespace vitrail::format
