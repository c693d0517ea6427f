#pragma once
// Pickles and `.pt` files opcode by opcode, honest and hostile: the tests' own writer.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/format_file.h"

namespace vitrail::test {

// A pickle of protocol 2 (CPython, pickletools.py).
class PickleScript {
 public:
  PickleScript() { op('\x80').op('\x02'); }

  PickleScript& op(char opcode) { return text_ += opcode, *this; }
  PickleScript& raw(std::string_view bytes) { return text_ += bytes, *this; }
  PickleScript& global(std::string_view module, std::string_view name);
  PickleScript& text(std::string_view text);  // BINUNICODE
  PickleScript& integer(std::int64_t value);  // LONG1 of 8 bytes
  PickleScript& put(std::uint8_t place);      // BINPUT
  PickleScript& get(std::uint8_t place);      // BINGET
  PickleScript& tuple(const std::vector<std::int64_t>& numbers);
  // The persistent id of a storage of 32-bit floats.
  PickleScript& storage(std::string_view key, std::int64_t elements, std::string_view type = "FloatStorage");
  PickleScript& tensor(std::string_view key, std::int64_t elements, std::int64_t offset,
                       const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides);
  std::string stop() const { return text_ + '.'; }

 private:
  std::string text_;
};

using Records = std::vector<std::pair<std::string, std::string>>;

ByteVector zip_of(const Records& records);  // as torch lays it out
// The records of torch.save with this pickle, and storages "0", "1", ….
Records torch_records_of(const std::string& pickle, const std::vector<std::string>& storages = {});
ByteVector torch_file_of(const std::string& pickle, const std::vector<std::string>& storages = {});
// The form before torch 1.6: pickles of the version, the machine, the object and the keys, then the storages.
ByteVector legacy_file_of(const std::string& pickle, const std::string& keys, const std::string& storages,
                          bool little_endian = true, std::int64_t version = 1001);

std::string floats(const std::vector<float>& values);
std::string little(std::int64_t value);  // 8 bytes

// Of tests/corpus_torch: "ok", or what the refusal says.
struct TorchCorpusFile {
  std::string name;
  ByteVector bytes;
  std::string reason = "ok";
};
std::vector<TorchCorpusFile> torch_corpus();

}  // namespace vitrail::test
