// The files of tests/corpus_torch: each but the "ok" ones breaks one promise.

#include <algorithm>

#include "tests/support/format_torch_script.h"

namespace vitrail::test {
namespace {

const std::string kTwo = floats({1, -2}), kSix = floats({1, 2, 3, 4, 5, 6});

struct Corpus {
  std::vector<TorchCorpusFile> files;

  void add(const std::string& name, ByteVector bytes, std::string reason) {
    files.push_back({name + ".pt", std::move(bytes), std::move(reason)});
  }
  void pickle(const std::string& name, const PickleScript& script, const std::string& reason,
              const std::vector<std::string>& storages = {}) {
    add(name, torch_file_of(script.stop(), storages), reason);
  }
  // A file of one tensor over storage "0", which has six floats.
  void tensor(const std::string& name, std::int64_t elements, std::int64_t offset,
              const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides,
              const std::string& reason) {
    pickle(name, PickleScript().tensor("0", elements, offset, shape, strides), reason, {kSix});
  }
};

PickleScript weights() {
  PickleScript script;
  script.op('}').op('(').text("a").tensor("0", 2, 0, {2}, {1});
  return script.text("b").tensor("1", 6, 0, {3, 2}, {1, 3}).op('u');
}

void add_good(Corpus& corpus) {
  corpus.pickle("ok-weights", weights(), "ok", {kTwo, kSix});
  PickleScript tied;
  tied.global("collections", "OrderedDict").op(')').op('R').op('(').text("a").tensor("0", 6, 0, {6}, {1});
  tied.text("b").tensor("0", 6, 0, {6}, {1}).text("part").tensor("0", 6, 2, {2}, {2}).op('u');
  tied.op('}').text("_metadata").op('N').op('s').op('b');
  corpus.pickle("ok-shared-storage", tied, "ok", {kSix});
  PickleScript values;
  values.op('}').op('(').text("epoch").integer(-3).text("lr").raw("G?PbM\xd2\xf1\xa9\xfc").text("betas");
  values.raw("K\x01M\x02\x01\x86")
      .text("nothing")
      .op('N')
      .text("yes")
      .op('\x88')
      .text("list")
      .op(']')
      .op('(');
  values.raw(std::string("J\xff\xff\xff\xff", 5)).op(']').op('e').text("device").global("torch", "device");
  values.text("cuda").integer(1).op('\x86').op('R').text("args").global("argparse", "Namespace").op(')');
  values.op('\x81').op('}').text("seed").integer(7).op('s').op('b').op('u');
  corpus.pickle("ok-values", values, "ok");
  const std::string keys = PickleScript().op(']').op('(').text("1").text("0").op('e').stop();
  corpus.add("ok-legacy", legacy_file_of(weights().stop(), keys, little(6) + kSix + little(2) + kTwo), "ok");
}

void add_code(Corpus& corpus) {
  const std::string why = "is refused: only tensors and plain data are read";
  PickleScript system;
  system.global("os", "system").op('(').text("touch executed").op('t').op('R');
  corpus.pickle("reduce-os-system", system, "byte 2: os.system " + why);
  corpus.pickle("global-builtins-eval", PickleScript().global("builtins", "eval"), "builtins.eval " + why);
  corpus.pickle("global-python-2-exec", PickleScript().global("__builtin__", "execfile"), "execfile " + why);
  corpus.pickle("global-getattr", PickleScript().global("builtins", "getattr"), "builtins.getattr " + why);
  corpus.pickle("global-torch-load", PickleScript().global("torch", "load"), "torch.load " + why);
  corpus.pickle("global-numpy", PickleScript().global("numpy.core.multiarray", "_reconstruct"),
                "_reconstruct " + why);
  corpus.pickle("global-no-end", PickleScript().op('c').raw(std::string(300, 'a')),
                "does not end within 256");
  corpus.pickle("inst", PickleScript().op('(').raw("ios\nsystem\n"), "0x69 (INST) is refused");
  corpus.pickle("stack-global", PickleScript().text("os").text("system").op('\x93'),
                "(STACK_GLOBAL) is refused");
  corpus.pickle("extension", PickleScript().raw("\x82\x01"), "(EXT1) is refused");
  corpus.pickle("memoize", PickleScript().op('N').op('\x94'), "(MEMOIZE) is refused");
  corpus.pickle("no-opcode", PickleScript().op('\xff'), "opcode 0xff is refused");
  corpus.pickle("protocol-4", PickleScript().raw("\x80\x04"), "pickle protocol 4");
  corpus.pickle("new-object", PickleScript().global("torch", "Tensor").op(')').op('\x81'),
                "an object of torch.Tensor");
  corpus.pickle("call-of-a-text", PickleScript().text("os.system").op(')').op('R'), "what is called");
  corpus.pickle("call-of-a-dtype", PickleScript().global("torch", "float32").op(')').op('R'),
                "torch.float32 is refused");
  corpus.pickle("state-of-a-list", PickleScript().op(']').op('}').op('b'),
                "attributes for what can have none");
  corpus.pickle("state-of-a-tensor", PickleScript().tensor("0", 6, 0, {6}, {1}).op('}').op('b'),
                "attributes for what can have none", {kSix});
  corpus.pickle("function-as-data", PickleScript().global("torch._utils", "_rebuild_tensor_v2"),
                "where data should be");
  corpus.pickle("persistent-id-of-a-module", PickleScript().op('(').text("module").op('t').op('Q'),
                "that is no storage");
}

void add_bombs(Corpus& corpus) {
  PickleScript doubled;
  doubled.op(']').put(0).op('\x85');
  for (int i = 0; i < 40; ++i)
    doubled.put(static_cast<std::uint8_t>(i)).get(static_cast<std::uint8_t>(i)).op('\x86');
  corpus.pickle("memo-bomb", doubled, "more than 64 MiB when they are laid out");
  PickleScript repeated;
  repeated.op(']').op('(').text(std::string(16'000, 'x')).put(1);
  for (int i = 0; i < 9'000; ++i)
    repeated.get(1);
  corpus.pickle("text-bomb", repeated.op('e'), "more than 64 MiB when they are laid out");
  corpus.pickle("contains-itself", PickleScript().op(']').put(0).get(0).op('a'), "nested deeper than 64");
  corpus.pickle("deep", PickleScript().raw(std::string(100, ']')).raw(std::string(99, 'a')),
                "nested deeper than 64");
  corpus.pickle("deep-tuples", PickleScript().op('N').raw(std::string(20'000, '\x85')),
                "nested deeper than 64");
  corpus.pickle("huge-text", PickleScript().raw("X\xff\xff\xff\xff"),
                "inside an opcode that has 4294967295 more bytes");
  corpus.pickle("huge-integer", PickleScript().raw("\x8a\x09" + std::string(9, '\x7f')),
                "an integer of 9 bytes");
  corpus.pickle("repeated-by-strides", PickleScript().tensor("0", 6, 0, {1 << 20, 1 << 20}, {0, 0}),
                "repeats its storage", {kSix});
}

void add_structure(Corpus& corpus) {
  corpus.add("no-stop", torch_file_of(std::string("\x80\x02N", 3)), "inside an opcode that has 1 more bytes");
  corpus.add("behind-stop", torch_file_of(PickleScript().op('N').stop() + "cos\nsystem\n"),
             "ends at byte 4 of 15");
  corpus.pickle("two-values", PickleScript().op('N').op('N'), "more than one value");
  corpus.pickle("no-value", PickleScript(), "the stack is empty");
  corpus.pickle("no-mark", PickleScript().op(']').op('e'), "no mark");
  corpus.pickle("below-the-mark", PickleScript().op(']').op('(').op('N').op('a').op('a'),
                "the stack is empty");
  corpus.pickle("nothing-remembered", PickleScript().get(9), "nothing was remembered as 9");
  corpus.pickle("items-of-a-dict", PickleScript().op('}').op('N').op('a'), "items for what is no list");
  corpus.pickle("items-of-none", PickleScript().op('N').op('N').op('N').op('s'), "items for what is no dict");
  corpus.pickle("key-without-value", PickleScript().op('}').op('(').text("a").op('u'),
                "a key without a value");
  corpus.pickle("key-twice", PickleScript().op('}').op('(').text("a").op('N').text("a").op('N').op('u'),
                "key 'a' twice");
  corpus.pickle("key-is-a-tuple", PickleScript().op('}').op(')').op('N').op('s'),
                "neither a text nor an integer");
  corpus.pickle("text-is-latin-1", PickleScript().text("gr\xfc"), "not UTF-8");
  corpus.pickle("storage-alone", PickleScript().storage("0", 6), "belongs to no tensor", {kSix});
}

void add_tensors(Corpus& corpus) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  corpus.tensor("elements-of-a-short-record", 1'000'000, 0, {6}, {1},
                "should have the 4000000 bytes of its storage, found 24");
  corpus.tensor("behind-its-storage", 6, 1, {6}, {1}, "leaves its storage '0' of 24 bytes");
  corpus.tensor("stride-out-of-its-storage", 6, 0, {2}, {6}, "leaves its storage");
  corpus.tensor("stride-of-wrap", 6, 0, {5, 5}, {1 << 30, std::int64_t{1} << 54}, "leaves its storage");
  corpus.tensor("negative-stride", 6, 5, {6}, {-1}, "strides: -1 is out of range");
  corpus.tensor("negative-size", 6, 0, {-6}, {1}, "a shape: -6 is out of range");
  corpus.tensor("negative-offset", 6, -1, {6}, {1}, "offset: -1 is out of range");
  corpus.tensor("huge-size", 6, 0, {kHuge}, {0}, "is out of range");
  corpus.tensor("product-wraps", 6, 0, {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0}, "leaves its storage");
  corpus.tensor("huge-offset", 6, kHuge, {6}, {1}, "is out of range");
  corpus.tensor("empty-behind-its-storage", 6, 7, {0}, {1}, "leaves its storage");
  corpus.tensor("negative-elements", -6, 0, {6}, {1}, "elements: -6 is out of range");
  corpus.tensor("too-many-elements", std::int64_t{1} << 56, 0, {6}, {1}, "too many elements");
  corpus.tensor("nine-axes", 6, 0, {1, 1, 1, 1, 1, 1, 1, 1, 6}, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "9 axes");
  corpus.tensor("strides-of-another-rank", 6, 0, {6}, {6, 1}, "different lengths");
  corpus.pickle("no-such-storage", PickleScript().tensor("7", 6, 0, {6}, {1}),
                "archive/data/7, which is missing", {kSix});
  corpus.pickle("two-lengths",
                PickleScript().tensor("0", 6, 0, {6}, {1}).tensor("0", 5, 0, {5}, {1}).op('\x86'),
                "'0' has 20 bytes in elements of 4 here, 24 and 4 before", {kSix});
  PickleScript bools;
  bools.global("torch._utils", "_rebuild_tensor").op('(').storage("0", 3, "BoolStorage").integer(0);
  corpus.pickle("bool-of-2", bools.tuple({3}).tuple({1}).op('t').op('R'), "neither 0 nor 1",
                {std::string("\0\1\2", 3)});
  PickleScript conjugate;
  conjugate.global("torch._utils", "_rebuild_tensor_v2")
      .op('(')
      .storage("0", 6)
      .integer(0)
      .tuple({6})
      .tuple({1});
  conjugate.op('\x89').op('}').op('}').text("conj").op('\x88').op('s').op('t').op('R');
  corpus.pickle("conjugate", conjugate, "with metadata", {kSix});
  PickleScript quantized;
  corpus.pickle("quantized", quantized.global("torch._utils", "_rebuild_qtensor"),
                "_rebuild_qtensor is refused");
}

// Where `text` stands for the n-th time, from the first.
std::size_t place_of(const ByteVector& file, std::string_view text, int n) {
  auto at = file.begin();
  for (;; ++at) {
    at = std::search(at, file.end(), text.begin(), text.end(),
                     [](std::byte a, char b) { return a == static_cast<std::byte>(b); });
    if (n-- == 0) return static_cast<std::size_t>(at - file.begin());
  }
}

// Patches of the good file: its entries are data.pkl, byteorder, data/0, data/1, version.
void add_archives(Corpus& corpus) {
  const Records records = torch_records_of(weights().stop(), {kTwo, kSix});
  const ByteVector good = zip_of(records);
  const std::size_t local = place_of(good, "PK\3\4", 2), central = place_of(good, "PK\1\2", 2);
  const std::size_t end64 = place_of(good, "PK\6\6", 0), locator = place_of(good, "PK\6\7", 0);
  const auto patched = [&](const std::string& name, const std::string& reason, auto... patches) {
    ByteVector file = good;
    (patches(file), ...);
    corpus.add(name, file, reason);
  };
  const auto u16 = [](std::size_t at, std::uint16_t value) {
    return [=](ByteVector& f) { patch(f, at, value); };
  };
  const auto u32 = [](std::size_t at, std::uint32_t value) {
    return [=](ByteVector& f) { patch(f, at, value); };
  };
  const auto u64 = [](std::size_t at, std::uint64_t value) {
    return [=](ByteVector& f) { patch(f, at, value); };
  };
  patched("encrypted", "'archive/data/0' is encrypted", u16(local + 6, 0x809), u16(central + 8, 0x809));
  patched("method-lzma", "packed by method 14", u16(local + 8, 14), u16(central + 10, 14));
  patched("compressed", "stored, found it compressed", u16(local + 8, 8), u16(central + 10, 8));
  patched("method-in-one-header", "disagree", u16(local + 8, 8));
  patched("name-in-one-header", "disagree", [=](ByteVector& f) { f[local + 30] = std::byte{'b'}; });
  patched("size-in-one-header", "disagree", u32(local + 22, 9));
  patched("size-in-the-directory", "data descriptor", u32(central + 20, 7), u32(central + 24, 7));
  patched("crc-in-the-directory", "data descriptor", u32(central + 16, 7));
  patched("sizes-of-two-kinds", "is stored, yet", u32(central + 24, 7));
  patched("header-of-another", "disagree", u32(central + 42, 0));
  patched("header-outside", "expected the header", u32(central + 42, 0x7FFFFFFF));
  patched("huge-size-of-an-entry", "leave the archive", u32(central + 20, 0xFFFFFFFE),
          u32(central + 24, 0xFFFFFFFE));
  patched("zip64-number-missing", "zip64 block", u32(central + 20, 0xFFFFFFFF),
          u32(central + 24, 0xFFFFFFFF));
  patched("zip64-count", "disagree", u64(end64 + 24, 6), u64(end64 + 32, 6));
  patched("zip64-huge-count", "do not fit", u64(end64 + 24, ~0ULL), u64(end64 + 32, ~0ULL),
          u16(good.size() - 14, 0xFFFF), u16(good.size() - 12, 0xFFFF));
  patched("zip64-huge-directory", "directory should end here", u64(end64 + 40, ~0ULL),
          u32(good.size() - 10, 0xFFFFFFFF));
  patched("zip64-offset-wraps", "directory should end here", u64(end64 + 48, ~0ULL),
          u32(good.size() - 6, 0xFFFFFFFF));
  patched("zip64-record-elsewhere", "zip64 end record", u64(locator + 8, 0));
  patched("zip64-record-outside", "zip64 end record", u64(locator + 8, ~0ULL));
  patched("several-disks", "several disks", u16(good.size() - 18, 1));
  patched("storage-damaged", "'archive/data/0' at byte",
          [=](ByteVector& f) { f[place_of(f, kTwo, 0)] ^= std::byte{1}; });
  patched("pickle-damaged", "'archive/data.pkl' at byte",
          [=](ByteVector& f) { f[place_of(f, "storage", 0)] ^= std::byte{1}; });
  corpus.add("truncated", {good.begin(), good.end() - 40}, "end record in the last 22");
  ByteVector commented = good;
  patch<std::uint16_t>(commented, commented.size() - 2, 4);
  for (int i = 0; i < 4; ++i)
    commented.push_back(std::byte{'!'});
  corpus.add("comment", commented, "end record in the last 22");

  Records twice = records;
  twice.push_back(records[0]);
  corpus.add("pickle-twice", zip_of(twice), "two entries are named 'archive/data.pkl'");
  // The second record's header points into the first, whose bytes are such a record.
  const ByteVector inner = zip_of({{"archive/data/1", kSix}});
  const std::string hidden(reinterpret_cast<const char*>(inner.data()), place_of(inner, "PK\1\2", 0));
  Records nested = records;
  nested[2].second = hidden;
  nested[3].second = kSix;
  ByteVector overlap = zip_of(nested);
  patch(overlap, place_of(overlap, "PK\1\2", 3) + 42,
        static_cast<std::uint32_t>(place_of(overlap, hidden, 0)));
  corpus.add("overlap", overlap, "two entries overlap");
}

void add_records(Corpus& corpus) {
  const std::string pickle = weights().stop();
  const auto with = [&](auto change) {
    Records records = torch_records_of(pickle, {kTwo, kSix});
    change(records);
    return zip_of(records);
  };
  corpus.add("no-version", with([](Records& r) { r.pop_back(); }), "expected a record archive/version");
  corpus.add("version-of-the-future", with([](Records& r) { r.back().second = "99\n"; }),
             "version from 1 to 10");
  corpus.add("big-endian", with([](Records& r) { r[1].second = "big"; }), "byte order 'big'");
  corpus.add("no-pickle", with([](Records& r) { r.erase(r.begin()); }), "without FOLDER/data.pkl");
  corpus.add("no-folder", with([](Records& r) { r[0].first = "data.pkl"; }), "without FOLDER/data.pkl");
  corpus.add("record-outside", with([](Records& r) { r[3].first = "other/data/1"; }),
             "expected every record in archive/");
  corpus.add("program", with([](Records& r) { r.emplace_back("archive/constants.pkl", "x"); }),
             "a TorchScript program");
  corpus.add("short-storage", with([](Records& r) { r[2].second.pop_back(); }),
             "should have the 8 bytes of its storage, found 7");
  corpus.add("not-torch", zip_of({{"word/document.xml", "<w/>"}}), "not written by torch.save");
}

void add_legacy(Corpus& corpus) {
  const std::string pickle = weights().stop(), data = little(6) + kSix + little(2) + kTwo;
  const auto keys = [](const std::vector<std::string>& names) {
    PickleScript list;
    list.op(']').op('(');
    for (const std::string& name : names)
      list.text(name);
    return list.op('e').stop();
  };
  const std::string both = keys({"1", "0"});
  corpus.add("legacy-version", legacy_file_of(pickle, both, data, true, 1002), "expected 1001");
  corpus.add("legacy-big-endian", legacy_file_of(pickle, both, data, false), "little-endian machine");
  corpus.add("legacy-key-missing", legacy_file_of(pickle, keys({"1"}), little(6) + kSix),
             "storage '0' is missing");
  corpus.add("legacy-key-twice", legacy_file_of(pickle, keys({"1", "1"}), data), "comes twice");
  corpus.add("legacy-keys-are-none", legacy_file_of(pickle, PickleScript().op('N').stop(), data),
             "list of the storages' keys");
  corpus.add("legacy-elements", legacy_file_of(pickle, both, little(std::int64_t{1} << 60) + kSix),
             "should have 6 elements");
  corpus.add("legacy-truncated", legacy_file_of(pickle, both, data.substr(0, data.size() - 1)),
             "is it whole?");
  corpus.add("legacy-no-length", legacy_file_of(pickle, both, data.substr(0, 34)), "is it whole?");
  corpus.add("legacy-longer", legacy_file_of(pickle, both, data + "x"), "found 1 more bytes");
  PickleScript system;
  system.global("posix", "system").op('(').text("touch executed").op('t').op('R');
  corpus.add("legacy-reduce-system", legacy_file_of(system.stop(), both, data), "posix.system is refused");
  corpus.add("legacy-code-in-keys", legacy_file_of(pickle, system.stop(), data), "posix.system is refused");
  const std::string plain = PickleScript().op('N').stop();
  corpus.add("plain-pickle", ByteScript().text(plain).bytes(), "a pickle of another program");
  corpus.add("empty", {}, "an empty file");
  corpus.add("text", ByteScript().text("version https://example.org/large-files\n").bytes(),
             "something else");
}

}  // namespace

std::vector<TorchCorpusFile> torch_corpus() {
  Corpus corpus;
  for (auto* add :
       {add_good, add_code, add_bombs, add_structure, add_tensors, add_archives, add_records, add_legacy})
    add(corpus);
  return std::move(corpus.files);
}

}  // namespace vitrail::test
