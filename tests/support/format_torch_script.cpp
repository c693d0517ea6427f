#include "tests/support/format_torch_script.h"

#include "format/zip.h"

namespace vitrail::test {

std::string little(std::int64_t value) {
  std::string out(8, '\0');
  for (int i = 0; i < 8; ++i)
    out[static_cast<std::size_t>(i)] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  return out;
}

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

PickleScript& PickleScript::global(std::string_view module, std::string_view name) {
  return op('c').raw(module).op('\n').raw(name).op('\n');
}

PickleScript& PickleScript::text(std::string_view text) {
  return op('X').raw(little(std::ssize(text)).substr(0, 4)).raw(text);
}

PickleScript& PickleScript::integer(std::int64_t value) {
  return op('\x8a').op('\x08').raw(little(value));
}

PickleScript& PickleScript::put(std::uint8_t place) {
  return op('q').op(static_cast<char>(place));
}

PickleScript& PickleScript::get(std::uint8_t place) {
  return op('h').op(static_cast<char>(place));
}

PickleScript& PickleScript::tuple(const std::vector<std::int64_t>& numbers) {
  op('(');
  for (const std::int64_t number : numbers)
    integer(number);
  return op('t');
}

PickleScript& PickleScript::storage(std::string_view key, std::int64_t elements, std::string_view type) {
  op('(').text("storage").global("torch", type).text(key).text("cpu");
  return integer(elements).op('t').op('Q');
}

PickleScript& PickleScript::tensor(std::string_view key, std::int64_t elements, std::int64_t offset,
                                   const std::vector<std::int64_t>& shape,
                                   const std::vector<std::int64_t>& strides) {
  global("torch._utils", "_rebuild_tensor_v2").op('(').storage(key, elements).integer(offset);
  tuple(shape).tuple(strides).op('\x89').global("collections", "OrderedDict").op(')').op('R');
  return op('t').op('R');
}

ByteVector zip_of(const Records& records) {
  ByteVector file;
  format::ZipWriter zip([&](format::Bytes part) { file.insert(file.end(), part.begin(), part.end()); });
  for (const auto& [name, content] : records)
    zip.add(name, std::as_bytes(std::span(content)));
  zip.finish();
  return file;
}

Records torch_records_of(const std::string& pickle, const std::vector<std::string>& storages) {
  Records records = {{"archive/data.pkl", pickle}, {"archive/byteorder", "little"}};
  for (std::size_t i = 0; i < storages.size(); ++i)
    records.emplace_back("archive/data/" + std::to_string(i), storages[i]);
  records.emplace_back("archive/version", "3\n");
  return records;
}

ByteVector torch_file_of(const std::string& pickle, const std::vector<std::string>& storages) {
  return zip_of(torch_records_of(pickle, storages));
}

ByteVector legacy_file_of(const std::string& pickle, const std::string& keys, const std::string& storages,
                          bool little_endian, std::int64_t version) {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  PickleScript machine;
  machine.op('}').text("little_endian").op(little_endian ? '\x88' : '\x89').op('s');
  const ByteScript script = ByteScript()
                                .text(magic)
                                .text(PickleScript().integer(version).stop())
                                .text(machine.stop())
                                .text(pickle)
                                .text(keys)
                                .text(storages);
  return script.bytes();
}

}  // namespace vitrail::test
