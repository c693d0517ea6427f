// The form of torch before 1.6 (torch/serialization.py, _legacy_save): pickles of a magic number, a version,
// the machine, the object and the list of the storages' keys; then of each storage its number of elements and
// its elements.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "format/torch_parts.h"

namespace vitrail::format {
namespace {

constexpr unsigned char kLegacyMagic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                          0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

class Legacy {
 public:
  Legacy(Bytes file, const std::string& where) : file_(file), where_(where), at_(sizeof(kLegacyMagic)) {}

  TorchParts read() {
    const Datum version = next("version").root;
    const std::int64_t* number = version.as<std::int64_t>();
    if (number == nullptr || *number != 1001)
      fail("expected 1001 as the version of the form before torch 1.6");
    const Datum machine = next("machine").root;
    const Datum* little = machine.find("little_endian");
    if (little == nullptr || little->as<bool>() == nullptr || !*little->as<bool>())
      fail("expected a file of a little-endian machine");
    parts_.pickle = next("object");
    read_storages(next("keys").root);
    return std::move(parts_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FormatError(fmt::format("{}, byte {}: {}", where_, at_, what));
  }

  Pickle next(const char* part) {
    Pickle pickle =
        read_pickle(file_.subspan(at_), fmt::format("{}: pickle of the {} at {}", where_, part, at_));
    at_ += pickle.bytes;
    return pickle;
  }

  void read_storages(const Datum& keys) {
    const Datum::List* list = keys.as<Datum::List>();
    if (list == nullptr) fail("expected a list of the storages' keys");
    std::map<std::string, std::size_t> unread;
    for (std::size_t i = 0; i < parts_.pickle.storages.size(); ++i)
      unread[parts_.pickle.storages[i].key] = i;
    parts_.storages.resize(parts_.pickle.storages.size());
    for (const Datum& key : list->items) {
      const std::string* name = key.as<std::string>();
      const auto found = name != nullptr ? unread.find(*name) : unread.end();
      if (found == unread.end()) fail("a key that is no storage of the object, or comes twice");
      parts_.storages[found->second] = next_storage(parts_.pickle.storages[found->second]);
      unread.erase(found);
    }
    if (!unread.empty()) fail(fmt::format("storage '{}' is missing", unread.begin()->first));
    if (at_ != file_.size())
      fail(fmt::format("expected the file to end here, found {} more bytes", file_.size() - at_));
  }

  Bytes next_storage(const PickledStorage& storage) {
    if (!inside(at_, 8, file_.size())) fail("the file ends inside a storage's length: is it whole?");
    const std::int64_t count = get<std::int64_t>(file_, at_);
    if (count != storage.bytes / storage.element_bytes)
      fail(fmt::format("storage '{}' should have {} elements, found {}", storage.key,
                       storage.bytes / storage.element_bytes, count));
    at_ += 8;
    const auto bytes = static_cast<std::uint64_t>(storage.bytes);
    if (!inside(at_, bytes, file_.size()))
      fail(fmt::format("storage '{}' has {} bytes, the file {} more: is it whole?", storage.key, bytes,
                       file_.size() - at_));
    at_ += bytes;
    return file_.subspan(at_ - bytes, bytes);
  }

  Bytes file_;
  const std::string& where_;
  std::size_t at_;
  TorchParts parts_;
};

}  // namespace

bool is_torch_legacy(Bytes file) {
  return file.size() > sizeof(kLegacyMagic) &&
         std::ranges::equal(file.first(sizeof(kLegacyMagic)), std::as_bytes(std::span(kLegacyMagic)));
}

TorchParts read_torch_legacy(Bytes file, const std::string& where) {
  return Legacy(file, where).read();
}

}  // namespace vitrail::format
