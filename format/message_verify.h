#pragma once
// Rules V10 to V18: whether a metadata block is one canonical tree. One pass over the canonical order, so
// that the only legal offset of every object is known before it is read; nothing is allocated.

#include "format/bytes.h"
#include "format/refusal.h"

namespace vitrail::format {

struct MessageCheck {
  Refusal refusal;            // offsets are those in the block
  std::string_view producer;  // text in field 1 of the root, when it stands before what was refused
};

MessageCheck verify_message(Bytes block);

}  // namespace vitrail::format
