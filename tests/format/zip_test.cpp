// Zip archives: bytes that were laid out by hand from APPNOTE.TXT, what the writer makes, and what is
// refused.

#include "format/zip.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "format/file.h"
#include "tests/support/format_file.h"

namespace vitrail::format {
namespace {

using test::ByteScript;
using test::ByteVector;

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// An entry as a program other than ours might lay it out, and what is told about it.
struct Entry {
  std::string name = "a";
  std::string packed = "hello";
  std::uint32_t size = 5;
  std::uint32_t crc = 0x3610a686;  // of "hello"
  std::uint16_t method = 0, flags = 0;
  std::string local_name = {};                      // another than the directory's
  std::uint32_t local_crc = ~0U, local_size = ~0U;  // others
  std::uint32_t header_shift = 0;                   // of the offset in the directory
  std::string extra = {};                           // in the directory
  std::string behind = {};                          // a data descriptor
};

ByteVector archive(const std::vector<Entry>& entries, std::uint16_t count_shift = 0, std::string tail = {}) {
  ByteScript script;
  std::vector<std::uint32_t> offsets;
  for (const Entry& e : entries) {
    const std::string& name = e.local_name.empty() ? e.name : e.local_name;
    offsets.push_back(static_cast<std::uint32_t>(script.bytes().size()) + e.header_shift);
    script.u32(0x04034b50).u16(20).u16(e.flags).u16(e.method).u32(0);
    script.u32(e.local_crc == ~0U ? e.crc : e.local_crc).u32(static_cast<std::uint32_t>(e.packed.size()));
    script.u32(e.local_size == ~0U ? e.size : e.local_size)
        .u16(static_cast<std::uint16_t>(name.size()))
        .u16(0);
    script.text(name).text(e.packed).text(e.behind);
  }
  const std::size_t directory = script.bytes().size();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry& e = entries[i];
    script.u32(0x02014b50).u16(20).u16(20).u16(e.flags).u16(e.method).u32(0).u32(e.crc);
    script.u32(static_cast<std::uint32_t>(e.packed.size())).u32(e.size);
    script.u16(static_cast<std::uint16_t>(e.name.size()))
        .u16(static_cast<std::uint16_t>(e.extra.size()))
        .u16(0);
    script.u16(0).u16(0).u32(0).u32(offsets[i]).text(e.name).text(e.extra);
  }
  const auto count = static_cast<std::uint16_t>(entries.size() + count_shift);
  const std::size_t bytes = script.bytes().size() - directory;
  script.text(tail);
  script.u32(0x06054b50).u16(0).u16(0).u16(count).u16(count);
  script.u32(static_cast<std::uint32_t>(bytes)).u32(static_cast<std::uint32_t>(directory)).u16(0);
  return script.bytes();
}

// Opens and reads everything; what is said when that is refused.
std::string refusal_of(Bytes file) {
  try {
    const ZipReader reader(file);
    for (const ZipEntry& entry : reader.entries())
      reader.unpack(entry, 1 << 20);
    return "";
  } catch (const FormatError& error) {
    return error.what();
  }
}

bool refused(const ByteVector& file, std::string_view because) {
  const std::string found = refusal_of(file);
  INFO("refused with: ", found);
  CHECK(found.find(because) != std::string::npos);
  return found.find(because) != std::string::npos;
}

// What Python's zlib makes of 1000 times "vitrail ": deflate, level 9, no header.
const std::string kDeflated = std::string(
    "\xed\xc5\xb1\x0d\x00\x30\x08\x03\xb0\x57\xfa\x5a\xc7\x48\x4c\xa8\xe2\x7e\x0e\xa9"
    "\xbd\x78\xf2\xfa\xa6\xce\xd8\xb6\x6d\xdb\xb6\x6d\xdb\xb6\x6d\xdb\xb6\xfd\xf1\x0b",
    40);

TEST_CASE("a stored entry is read where it stands") {
  const ByteVector file = archive({{}, {.name = "folder/b", .packed = "", .size = 0, .crc = 0}});
  const ZipReader reader(file);
  REQUIRE(reader.entries().size() == 2);
  const ZipEntry* a = reader.find("a");
  REQUIRE(a != nullptr);
  CHECK(text_of(reader.stored(*a)) == "hello");
  CHECK(reader.stored(*a).data() == file.data() + a->offset);
  reader.check(*a);
  REQUIRE(reader.find("folder/b") != nullptr);
  CHECK(reader.find("folder/b")->size == 0);
  CHECK(reader.find("c") == nullptr);
  CHECK(crc32(bytes_of("hello")) == 0x3610a686);
  CHECK(crc32(bytes_of("lo"), crc32(bytes_of("hel"))) == 0x3610a686);
}

TEST_CASE("what the writer makes, the reader reads, and it is torch's layout") {
  ByteVector file;
  ZipWriter writer([&](Bytes part) { file.insert(file.end(), part.begin(), part.end()); });
  ZipWriter counter;
  const std::string large(100'000, 'x');
  const std::vector<std::pair<std::string, std::string>> records = {{"archive/data.pkl", "abc"},
                                                                    {"archive/data/0", large},
                                                                    {"archive/empty", ""},
                                                                    {"archive/version", "3\n"}};
  for (const auto& [name, content] : records) {
    CHECK(writer.add(name, bytes_of(content)) == crc32(bytes_of(content)));
    counter.add(name, bytes_of(content));
  }
  writer.finish();
  counter.finish();
  CHECK(writer.bytes() == file.size());
  CHECK(counter.bytes() == file.size());
  const ZipReader reader(file);
  REQUIRE(reader.entries().size() == records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const ZipEntry& entry = reader.entries()[i];
    CHECK(entry.name == records[i].first);
    CHECK(entry.offset % 64 == 0);
    reader.check(entry);
    CHECK(text_of(reader.stored(entry)) == records[i].second);
  }
  // torch 1.13: flags, then zeros up to the lengths, "FB" and as many Z as the next two bytes say.
  CHECK(text_of(Bytes(file).subspan(4, 22)) == std::string("\0\0\x08\x08", 4) + std::string(18, '\0'));
  CHECK(text_of(Bytes(file).subspan(30, 34)) ==
        "archive/data.pkl" + std::string("FB\x0e\0", 4) + std::string(14, 'Z'));
  CHECK(text_of(Bytes(file).subspan(67, 4)) == "PK\x07\x08");
  CHECK(get<std::uint16_t>(file, reader.entries()[2].header + 6) == 0x0800);
}

TEST_CASE("deflated entries unpack within their limit only") {
  std::string plain;
  for (int i = 0; i < 1000; ++i)
    plain += "vitrail ";
  Entry entry{.packed = kDeflated, .size = 8000, .crc = crc32(bytes_of(plain)), .method = 8};
  entry.packed = kDeflated;
  CAPTURE(refusal_of(archive({entry})));
  const ByteVector file = archive({entry});
  const ZipReader reader(file);
  CHECK(text_of(reader.unpack(reader.entries()[0], 8000)) == plain);
  CHECK_THROWS_AS(reader.unpack(reader.entries()[0], 7999), FormatError);
  CHECK_THROWS_AS(reader.stored(reader.entries()[0]), FormatError);
  entry.size = 7999;
  refused(archive({entry}), "does not unpack");
  entry.size = 8001;
  refused(archive({entry}), "does not unpack");
  entry.size = 900'000;
  refused(archive({entry}), "cannot unpack");
  entry.size = 8000;
  entry.packed += "x";
  refused(archive({entry}), "does not unpack");
}

TEST_CASE("zip64 numbers are taken from their block, and lies in it are found") {
  const auto block = [](std::uint64_t offset) {
    const ByteScript script = ByteScript().u16(1).u16(8).u64(offset);
    return text_of(script.bytes());
  };
  const Entry far{.header_shift = 0xFFFFFFFF, .extra = block(0)};
  CHECK(refusal_of(archive({far})).empty());
  refused(archive({{.header_shift = 0xFFFFFFFF}}), "zip64 block");
  refused(archive({{.header_shift = 0xFFFFFFFF, .extra = block(1)}}), "expected the header");
  refused(archive({{.header_shift = 0xFFFFFFFF, .extra = block(~0ULL)}}), "expected the header");
  refused(archive({{.header_shift = 0xFFFFFFFF, .extra = block(0) + block(0)}}), "two zip64 blocks");
  refused(archive({{.size = 0xFFFFFFFF, .extra = block(~0ULL)}}), "stored, yet");
}

TEST_CASE("what could mean two things is refused") {
  refused(archive({{}, {}}), "two entries are named 'a'");
  refused(archive({{.flags = 1}}), "encrypted");
  refused(archive({{.flags = 1 << 6}}), "flags");
  refused(archive({{.method = 12}}), "method 12");
  refused(archive({{.local_name = "b"}}), "disagree");
  refused(archive({{.local_crc = 1}}), "disagree");
  refused(archive({{.local_size = 4}}), "disagree");
  refused(archive({{.local_size = 0}}), "disagree");
  refused(archive({{.crc = 7}}), "damaged");
  refused(archive({{.flags = 8}}), "data descriptor");
  refused(archive({{.flags = 8, .behind = "PK\x07\x08 wrong CRC and sizes"}}), "data descriptor");
  refused(archive({{.size = 6}}), "stored, yet");
  refused(archive({{.name = "a\xff"}}), "UTF-8");
  refused(archive({{.name = std::string(5000, 'a')}}), "UTF-8");
  refused(archive({{}}, 1), "entries do not fit");
  refused(archive({{.name = std::string(60, 'a')}}, 1), "expected an entry");
  refused(archive({{}, {.name = "b"}}, static_cast<std::uint16_t>(-1)), "more bytes than its entries");
  refused(archive({{}}, 0, "gap"), "directory should end here");
  ByteVector commented = archive({{}});
  commented[commented.size() - 2] = std::byte{1};
  refused(commented, "comment");
  commented.push_back(std::byte{'c'});
  refused(commented, "end record");
  refused({}, "end record");
}

TEST_CASE("entries that overlap are refused") {
  // The content of `a` is itself an entry, which the directory names too.
  const ByteVector inner = archive({{.name = "b"}});
  const std::string hidden = text_of(Bytes(inner).first(36));
  Entry outer{.packed = hidden, .size = 36, .crc = crc32(bytes_of(hidden))};
  const std::uint32_t outer_header = 31;
  ByteVector file = archive({outer, {.name = "b"}});
  const ZipReader whole(file);
  const std::size_t b = whole.find("b")->header;
  // Where the directory has the header of `b`: 46 bytes for `a` and its name, then 42 into the next.
  const std::size_t at = b + 36 + 47 + 42;
  REQUIRE(get<std::uint32_t>(file, at) == b);
  test::patch<std::uint32_t>(file, at, outer_header);
  refused(file, "overlap");
}

TEST_CASE("no truncation and no flipped bit gets through unseen, or crashes") {
  ByteVector file;
  ZipWriter writer([&](Bytes part) { file.insert(file.end(), part.begin(), part.end()); });
  writer.add("archive/data.pkl", bytes_of("a pickle"));
  writer.add("archive/data/0", bytes_of("sixteen bytes..."));
  writer.finish();
  REQUIRE(refusal_of(file).empty());
  for (std::size_t size = 0; size < file.size(); ++size)
    CHECK_FALSE(refusal_of(Bytes(file).first(size)).empty());
  const ZipReader reader(file);
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    ByteVector damaged = file;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    const std::string found = refusal_of(damaged);
    for (const ZipEntry& entry : reader.entries()) {
      const bool content = bit / 8 >= entry.offset && bit / 8 < entry.offset + entry.size;
      if (content && found.find("damaged") == std::string::npos)
        FAIL(fmt::format("bit {} is not missed", bit));
    }
  }
}

// More zeros than there is memory: pages that are never written to.
class Zeros {
 public:
  explicit Zeros(std::size_t bytes)
      : data_(::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
        bytes_(bytes) {
    REQUIRE(data_ != MAP_FAILED);
  }
  ~Zeros() { ::munmap(data_, bytes_); }
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;
  Bytes bytes() const { return {static_cast<const std::byte*>(data_), bytes_}; }
  bool has(Bytes part) const {
    return part.data() >= bytes().data() && part.data() < bytes().data() + bytes_;
  }

 private:
  void* data_;
  std::size_t bytes_;
};

TEST_CASE("records above 4 GiB, and those behind them, have zip64 numbers where torch has them") {
  const Zeros zeros((std::size_t{1} << 32) + 12);
  const test::TemporaryFolder folder;
  const auto path = folder / "sparse.pt";
  const int descriptor = ::open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  std::uint64_t at = 0;
  ZipWriter writer([&](Bytes part) {
    if (!zeros.has(part))
      REQUIRE(::pwrite(descriptor, part.data(), part.size(), static_cast<off_t>(at)) == std::ssize(part));
    at += part.size();
  });
  writer.add("archive/data/0", zeros.bytes());
  writer.add("archive/data/1", bytes_of("hello"));
  writer.add("archive/version", bytes_of("3\n"));
  writer.finish();
  ::close(descriptor);
  CHECK(at == writer.bytes());
  const MappedFile file(path);
  const ZipReader reader(file.bytes());
  REQUIRE(reader.entries().size() == 3);
  const ZipEntry &large = reader.entries()[0], &small = reader.entries()[1];
  CHECK(large.size == zeros.bytes().size());
  CHECK(large.offset % 64 == 0);
  CHECK(text_of(reader.stored(small)) == "hello");
  reader.check(small);
  CHECK(small.offset % 64 == 0);
  // torch: the local block has both sizes, or the header's place alone; descriptors are of 64 bits.
  CHECK(text_of(file.bytes().subspan(30 + 14, 4)) == std::string("\1\0\x10\0", 4));
  CHECK(get<std::uint64_t>(file.bytes(), 30 + 14 + 4) == large.size);
  CHECK(text_of(file.bytes().subspan(small.header + 30 + 14, 4)) == std::string("\1\0\x08\0", 4));
  CHECK(get<std::uint64_t>(file.bytes(), small.header + 30 + 14 + 4) == small.header);
  CHECK(small.header == large.offset + large.size + 24);
  CHECK(reader.entries()[2].header == small.offset + 5 + 24);
}

}  // namespace
}  // namespace vitrail::format
