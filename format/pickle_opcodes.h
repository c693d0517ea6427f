#pragma once
// Opcodes of pickle protocol 2 (CPython, pickletools.py): those that torch.save writes.

#include <cstdint>

namespace vitrail::format::pickle {

enum Opcode : std::uint8_t {
  kProto = 0x80,
  kStop = '.',
  kMark = '(',
  kGlobal = 'c',
  kNewObject = 0x81,
  kReduce = 'R',
  kBuild = 'b',
  kPersistentId = 'Q',
  kNone = 'N',
  kTrue = 0x88,
  kFalse = 0x89,
  kInt1 = 'K',
  kInt2 = 'M',
  kInt4 = 'J',
  kLong1 = 0x8a,
  kFloat = 'G',
  kUnicode = 'X',
  kShortString = 'U',
  kEmptyTuple = ')',
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kGet1 = 'h',
  kGet4 = 'j',
  kPut1 = 'q',
  kPut4 = 'r'
};

}  // namespace vitrail::format::pickle
