// Every file but those that begin with "ok" breaks one rule, and a reader that lacks this rule accepts it.

#include <algorithm>

#include "format/hash.h"
#include "tests/support/format_examples.h"

namespace vitrail::test {
namespace {

using format::get;
using format::Table;
using format::Value;
using Change = std::function<void(FileSpec&)>;

// Two parameters, a buffer of bools, and tied to the first a third name; for what concerns tensors.
FileSpec weights() {
  FileSpec spec;
  spec.root.set(1, "corpus");
  spec.tensors = {{"a", 0, 2, {2, 3}, counted(6, 1)},
                  {"b", 0, 18, {3}, counted(12, 30)},
                  {"mask", 1, 1, {4}, ByteVector{std::byte{1}, std::byte{0}, std::byte{1}, std::byte{1}}}};
  return spec;
}

FileSpec tied() {
  FileSpec spec = weights();
  spec.tensors.insert(spec.tensors.begin() + 2, {"c", 0, 2, {6}, counted(6, 1), 1, 0});
  return spec;
}

FileSpec checkpoint() {
  FileSpec spec;
  spec.kind = 3;
  spec.root = checkpoint_root();
  spec.tensors = {{"a", 0, 18, {2}, counted(8, 1)},   {"b", 0, 18, {3}, counted(12, 2)},
                  {"c", 0, 2, {3}, counted(3, 3)},    {"a", 16, 18, {2}, counted(8, 4)},
                  {"b", 16, 18, {3}, counted(12, 5)}, {"a", 17, 18, {2}, counted(8, 6)}};
  return spec;
}

class Maker {
 public:
  void add(const std::string& name, FileSpec spec, const Change& change = {}) {
    if (change) change(spec);
    add_bytes(name, assemble(spec));
  }
  // Weights whose metadata block is changed when it has been encoded.
  void add_meta(const std::string& name, const std::function<void(ByteVector&)>& change, Table extra = {}) {
    FileSpec spec = weights();
    for (const auto& [id, value] : extra.fields())
      spec.root.set(id, value);
    spec.metadata = change;
    add(name, spec);
  }
  // Weights that are changed as a whole, before the checksums of head and footer are made right.
  void add_file(const std::string& name, const std::function<void(ByteVector&)>& change,
                std::uint16_t minor = 0) {
    FileSpec spec = weights();
    spec.minor = minor;
    spec.file = change;
    add(name, spec);
  }
  // The same after everything: the checksums stay those of the file before.
  void add_damaged(const std::string& name, const std::function<void(ByteVector&)>& change) {
    ByteVector file = assemble(weights());
    change(file);
    add_bytes(name, file);
  }
  std::vector<CorpusFile> files() {
    std::sort(files_.begin(), files_.end(), [](const auto& x, const auto& y) { return x.name < y.name; });
    return std::move(files_);
  }

 private:
  void add_bytes(const std::string& name, ByteVector bytes) {
    files_.push_back({name + ".vitrail", std::move(bytes)});
  }
  std::vector<CorpusFile> files_;
};

template <class T>
std::function<void(ByteVector&)> set(std::size_t offset, T value) {
  return [=](ByteVector& bytes) { patch(bytes, offset, value); };
}

void good_files(Maker& make) {
  make.add("ok-weights", weights());
  make.add("ok-tied", tied());
  make.add("ok-checkpoint", checkpoint());
  make.add("ok-empty", weights(), [](FileSpec& s) { s.tensors.clear(); });
  make.add("ok-model", weights(), [](FileSpec& s) {
    s.kind = 2;
    s.root = model_root();
  });
  make.add("ok-axes", weights(), [](FileSpec& s) {
    s.tensors = {{"deep", 1, 2, {1, 1, 2, 1, 1, 2, 1, 1}, counted(4, 1)},
                 {"none", 1, 19, {3, 0, 5}, {}},
                 {"one", 1, 9, {}, counted(8, 1)}};
  });
  make.add("ok-types", weights(), [](FileSpec& s) {
    s.tensors.clear();
    for (unsigned type :
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 24, 25, 26, 27, 28, 32, 33, 40, 41, 42}) {
      const auto bits =
          static_cast<unsigned>(*format::bits_of(format::ElementType{static_cast<std::uint8_t>(type)}));
      const ByteVector bytes = type == 1 ? ByteVector(6, std::byte{1}) : counted(6 * bits / 8, type);
      s.tensors.push_back(
          {"t" + std::to_string(100 + type), 64, static_cast<std::uint8_t>(type), {3, 2}, bytes});
    }
  });
  make.add("ok-unknown-fields", weights(), [](FileSpec& s) {
    s.root.set(600, Value{5, 0, format::Unknown{77, {}}});
    s.root.set(601,
               Value{20, 0, format::Unknown{0, ByteScript().object(50, 1, 2, 3, 19).text("xyz").bytes()}});
  });
  make.add("ok-later", weights(), [](FileSpec& s) {
    s.minor = 255;
    s.entry_bytes = 136;
    s.role_bytes = 56;
    s.reserved = 5;
    s.optional = 6;
    s.tensors[1].type = 64;
    s.tensors[0].reserved = 9;
  });
}

void prologues(Maker& make) {
  make.add_damaged("V01-truncated", [](ByteVector& f) { f.resize(f.size() - 4096); });
  make.add_damaged("V01-extended", [](ByteVector& f) { f.resize(f.size() + 4096); });
  make.add_damaged("V01-head-only", [](ByteVector& f) { f.resize(200); });
  make.add_damaged("V02-no-file", [](ByteVector& f) { f.assign(4096, std::byte{'x'}); });
  make.add_file("V02-magic", set<std::uint8_t>(1, 'v'));
  make.add_damaged("V02-empty", [](ByteVector& f) { f.clear(); });
  make.add_damaged("V03-prologue-hash", [](ByteVector& f) {
    const std::size_t footer = f.size() - 64;
    patch(f, 120, get<std::uint64_t>(f, 120) + 1);
    patch(f, footer + 48, get<std::uint64_t>(f, 120));
    patch(f, footer + 56, format::hash64(format::Bytes(f).subspan(footer, 56)));
  });
  make.add_file("V04-major-2", set<std::uint16_t>(8, 2));
  make.add_file("V04-major-0", set<std::uint16_t>(8, 0));
  make.add_file("V05-prologue-bytes", set<std::uint32_t>(12, 136));
  make.add_file("V05-meta-offset", set<std::uint64_t>(24, 136));
  make.add_file("V05-data-bytes", set<std::uint64_t>(48, 1));
  make.add_file("V05-kind-0", set<std::uint32_t>(72, 0));
  make.add_file("V05-kind-6", set<std::uint32_t>(72, 6));
  make.add_file("V05-hash-alg", set<std::uint32_t>(76, 2));
  make.add_file("V05-reserved-word", set<std::uint64_t>(112, 1));
  make.add("V05-reserved-word-of-an-entry", weights(), [](FileSpec& s) { s.tensors[1].reserved = 1; });
  make.add_file("V05-size-no-multiple-of-4096", [](ByteVector& f) {
    f.resize(f.size() + 64);
    patch<std::uint64_t>(f, 16, f.size());
    patch<std::uint64_t>(f, 48, f.size() - 64 - 4096);
  });
  make.add_file("V06-feature", set<std::uint64_t>(56, 8));
  make.add_file("V06-feature-of-a-later-version", set<std::uint64_t>(56, std::uint64_t{1} << 63), 255);
}

void footers(Maker& make) {
  const auto with_footer = [](std::size_t field, bool sealed) {
    return [=](ByteVector& f) {
      const std::size_t footer = f.size() - 64;
      f[footer + field] ^= std::byte{1};
      if (sealed) patch(f, footer + 56, format::hash64(format::Bytes(f).subspan(footer, 56)));
    };
  };
  make.add_damaged("V07-magic", with_footer(0, true));
  make.add_damaged("V07-hash", with_footer(56, false));
  make.add_damaged("V07-file-bytes", with_footer(8, true));
  make.add_damaged("V07-content-id", with_footer(16, true));
  make.add_damaged("V07-metadata-hash", with_footer(32, true));
  make.add_damaged("V07-prologue-hash", with_footer(48, true));
  make.add_damaged("V07-never-written",
                   [](ByteVector& f) { std::fill(f.end() - 64, f.end(), std::byte{0}); });
  make.add_damaged("V08-metadata", [](ByteVector& f) {
    f[128 + object_of({f.begin() + 128, f.begin() + 4096}, 1) + 16] ^=
        std::byte{1};  // a letter of the producer
  });
  make.add_file("V09-behind-metadata",
                [](ByteVector& f) { f[128 + get<std::uint64_t>(f, 32)] = std::byte{1}; });
  make.add_file("V09-before-data", set<std::uint8_t>(4095, 1));
}

Table one(Table::Id id, Value value) {
  Table table;
  table.set(id, std::move(value));
  return table;
}

Table leaf(std::uint16_t kind, std::uint32_t count, std::uint32_t stride, std::uint32_t total,
           std::string_view body, std::uint8_t type = 25) {
  return one(
      600,
      {type, 0, format::Unknown{0, ByteScript().object(kind, 0, count, stride, total).text(body).bytes()}});
}

Table text_of(std::string text) {
  Table table;
  table.set(600, std::move(text));
  return table;
}

void objects(Maker& make) {
  const auto none = [](ByteVector&) {};
  make.add_meta("V10-kind-0", none, leaf(0, 0, 0, 16, ""));
  make.add_meta(
      "V10-smaller-than-its-header",
      [](ByteVector& m) { patch<std::uint32_t>(m, object_of(m, 600) + 12, 8); }, leaf(9, 0, 0, 16, ""));
  make.add_meta(
      "V10-outside-the-block",
      [](ByteVector& m) { patch<std::uint32_t>(m, object_of(m, 600) + 12, 1 << 30); }, leaf(9, 0, 0, 16, ""));
  make.add_meta("V10-stride-0", none, leaf(2, 0, 0, 16, ""));
  make.add_meta("V10-count-and-stride", none, leaf(2, 2, 3, 21, "12345"));
  make.add_meta(
      "V10-stride-of-strings", [](ByteVector& m) { patch<std::uint32_t>(m, object_of(m, 600) + 8, 8); },
      leaf(3, 0, 4, 16, "", 18));
  make.add_meta("V10-element-type-of-a-table", [](ByteVector& m) { patch<std::uint16_t>(m, 2, 1); });
  make.add_meta(
      "V11-gap",
      [](ByteVector& m) {
        const std::size_t at = object_of(m, 600);
        m.insert(m.begin() + static_cast<std::ptrdiff_t>(at), 8, std::byte{0});
        patch<std::uint64_t>(m, record_of(m, 600) + 8, at + 8);
      },
      leaf(9, 0, 0, 16, ""));
  make.add_meta(
      "V11-shared",
      [](ByteVector& m) {
        patch<std::uint64_t>(m, record_of(m, 601) + 8, object_of(m, 600));
        m.resize(m.size() - 16);
      },
      [] {
        Table t = leaf(9, 0, 0, 16, "");
        t.set(601, t.fields().at(600));
        return t;
      }());
  make.add_meta(
      "V12-ids-descend", [](ByteVector& m) { patch<std::uint16_t>(m, record_of(m, 601), 599); },
      [] {
        Table t;
        t.set(600, true);
        t.set(601, true);
        return t;
      }());
  make.add_meta(
      "V12-id-twice", [](ByteVector& m) { patch<std::uint16_t>(m, record_of(m, 601), 600); },
      [] {
        Table t;
        t.set(600, true);
        t.set(601, true);
        return t;
      }());
  make.add_meta("V12-flag", none, one(600, {1, 2, std::uint64_t{1}}));
  make.add_meta(
      "V12-zero-word", [](ByteVector& m) { patch<std::uint32_t>(m, record_of(m, 600) + 4, 1); },
      one(600, {1, 0, std::uint64_t{1}}));
  make.add_meta("V13-type-0", none, one(600, {0, 0, std::uint64_t{1}}));
  make.add_meta("V13-type-32", none, one(600, {32, 0, std::uint64_t{1}}));
  make.add_meta("V13-bool-of-2", none, one(600, {4, 0, std::uint64_t{2}}));
  make.add_meta("V13-vector-for-text", none, one(600, {19, 0, format::Vector{1, 1, counted(4, 65)}}));
  make.add_meta("V13-text-for-vector", none, one(600, {17, 0, std::string("text")}));
  make.add_meta("V13-text-for-strings", none, one(600, {18, 0, std::string("text")}));
  make.add_meta("V13-text-for-table", none, one(600, {16, 0, std::string("text")}));
  make.add_meta("V13-unknown-reference-to-a-table", none, leaf(1, 0, 16, 16, ""));
  make.add("V13-root-is-no-table", weights(), [](FileSpec& s) {
    s.metadata = [](ByteVector& m) { m = ByteScript().object(9, 0, 0, 0, 16).bytes(); };
  });
}

void texts(Maker& make) {
  const auto none = [](ByteVector&) {};
  make.add_meta("V14-latin-1", none, text_of("b\xFCrste"));
  make.add_meta("V14-nul", none, text_of(std::string("a\0b", 3)));
  make.add_meta("V14-overlong", none, text_of("\xC0\xAF"));
  make.add_meta("V14-surrogate", none, text_of("\xED\xA0\x80"));
  make.add_meta("V14-above-10FFFF", none, text_of("\xF4\x90\x80\x80"));
  make.add_meta("V14-cut-off", none, text_of("\xE2\x82"));
  const Table strings = one(600, {18, 0, std::vector<std::string>{"ab", "cd"}});
  const auto end = [](std::size_t index, std::uint32_t value) {
    return [=](ByteVector& m) { patch(m, object_of(m, 600) + 16 + 4 * index, value); };
  };
  make.add_meta("V14-ends-descend", end(0, 5), strings);
  make.add_meta("V14-end-behind-the-characters", end(1, 9), strings);
  make.add_meta("V14-character-of-no-string", end(1, 3), strings);
  make.add_meta("V14-string-cut-inside-a-character", end(0, 1),
                one(600, {18, 0, std::vector<std::string>{"é", "x"}}));
  make.add_meta(
      "V15-padding", [](ByteVector& m) { m[object_of(m, 600) + 17] = std::byte{1}; }, text_of("x"));
  make.add_meta("V15-padding-between", [](ByteVector& m) { m[object_of(m, 1) + 23] = std::byte{1}; });
  make.add_meta("V16-depth-9", none, [] {
    Table table;
    for (int depth = 1; depth < 9; ++depth) {
      Table outer;
      outer.set(600, table);
      table = outer;
    }
    return table;
  }());
  make.add_meta("V16-1025-fields", none, [] {
    Table table;
    for (Table::Id id = 0; id < 1025; ++id)
      table.set(id, true);
    return one(600, {16, 0, std::make_shared<const Table>(table)});
  }());
  make.add_meta("V17-behind-the-last-object", [](ByteVector& m) { m.resize(m.size() + 8); });
  make.add_meta("V18-must-understand", none, one(600, {1, 1, std::uint64_t{5}}));
  make.add_meta("V18-must-understand-inside", none,
                one(600, {16, 0, std::make_shared<const Table>(one(1, {9, 1, format::Unknown{5, {}}}))}));
}

void root_fields(Maker& make) {
  const auto root = [&](const std::string& name, const std::function<void(Table&)>& change,
                        bool none = false) {
    make.add(name, weights(), [&](FileSpec& s) {
      if (none) s.tensors.clear();
      s.finished_root = change;
    });
  };
  root("V20-no-producer", [](Table& t) { t.erase(1); });
  root("V20-producer-is-a-number", [](Table& t) { t.set(1, std::uint64_t{1}); });
  root(
      "V20-no-names", [](Table& t) { t.erase(3); }, true);
  root(
      "V20-names-are-a-text", [](Table& t) { t.set(3, ""); }, true);
  for (Table::Id id : {4, 5, 6}) {
    const std::string field = "field-" + std::to_string(id);
    root(
        "V20-no-" + field, [=](Table& t) { t.erase(id); }, true);
    root("V20-bytes-in-" + field, [=](Table& t) {
      format::Vector vector = t.vector(id, "");
      vector.elem_type = 1;
      t.set(id, vector);
    });
  }
  make.add("V20-longer-entries-in-1.0", weights(), [](FileSpec& s) { s.entry_bytes = 136; });
  make.add("V20-longer-roles-in-1.0", weights(), [](FileSpec& s) { s.role_bytes = 56; });
  make.add("V20-shorter-entries", weights(), [](FileSpec& s) {
    s.minor = 255;
    s.tensors.clear();
    s.entry_bytes = 64;
  });
  root("V20-longer-chunk-hashes", [](Table& t) { t.set(5, format::Vector{32, 24, {}}); });
}

void directories(Maker& make) {
  const auto names = [&](const std::string& name, const std::vector<std::string>& all) {
    make.add(name, weights(), [&](FileSpec& s) {
      for (std::size_t i = 0; i < s.tensors.size(); ++i) {
        s.tensors[i].name = all[i];
        s.tensors[i].name_index = static_cast<std::uint32_t>(i);
      }
      s.names = [=](std::vector<std::string>& n) { n = all; };
    });
  };
  names("V21-not-ascending", {"b", "a", "mask"});
  names("V21-twice", {"a", "a", "mask"});
  names("V21-empty", {"", "a", "mask"});
  names("V21-unused", {"a", "b", "mask", "spare"});
  names("V21-too-long", {std::string(1025, 'a'), "b", "mask"});
  make.add("V21-index-outside", weights(), [](FileSpec& s) { s.tensors[2].name_index = 3; });
  make.add("V22-names-descend", weights(), [](FileSpec& s) { std::swap(s.tensors[0], s.tensors[1]); });
  make.add("V22-roles-descend", weights(), [](FileSpec& s) { std::swap(s.tensors[1], s.tensors[2]); });
  make.add("V22-twice", weights(), [](FileSpec& s) { s.tensors.insert(s.tensors.begin(), s.tensors[0]); });
  const auto first = [&](const std::string& name, const std::function<void(TensorSpec&)>& change) {
    make.add(name, weights(), [&](FileSpec& s) { change(s.tensors[0]); });
  };
  first("V23-type-0", [](TensorSpec& t) { t.type = 0; });
  first("V23-reserved-type", [](TensorSpec& t) { t.type = 64; });
  first("V23-rank-9", [](TensorSpec& t) { t.rank = 9; });
  first("V23-extent-behind-the-rank", [](TensorSpec& t) { t.rank = 1, t.extents = {6, 1}; });
  first("V23-extent-too-large", [](TensorSpec& t) {
    t.extents = {0, (std::uint64_t{1} << 48) + 1}, t.bytes.clear();
  });
  first("V23-elements-too-many", [](TensorSpec& t) {
    t.extents = {std::uint64_t{1} << 47, 4, 0}, t.bytes.clear();
  });
  first("V23-half-a-byte-left", [](TensorSpec& t) { t.type = 41, t.extents = {4, 3}; });
  first("V24-more-bytes-than-elements", [](TensorSpec& t) { t.bytes.push_back(std::byte{0}); });
  first("V24-fewer-bytes-than-elements", [](TensorSpec& t) { t.bytes.pop_back(); });
  make.add("V24-too-many-bytes", weights(), [](FileSpec& s) {
    s.minor = 255;
    s.tensors[2].type = 64;
    s.tensors[2].size = (std::uint64_t{1} << 50) + 1;
  });
  make.add("V25-tensor-moved", weights(), [](FileSpec& s) { s.tensors[2].offset = 4096 + 192; });
  make.add("V25-not-aligned", weights(), [](FileSpec& s) { s.tensors[2].offset = 4096 + 76; });
  make.add("V25-gap-in-front", weights(), [](FileSpec& s) { s.tensors[0].offset = 4096 + 64; });
  make.add("V25-overlap", weights(), [](FileSpec& s) {
    s.tensors[1].bytes = {s.tensors[0].bytes.begin(), s.tensors[0].bytes.begin() + 4};
    s.tensors[1].extents = {1};
    s.tensors[1].offset = 4096;
  });
  make.add("V25-outside-the-file", weights(), [](FileSpec& s) {
    s.minor = 255;
    s.tensors[2].type = 64;
    s.tensors[2].size = 5000;
  });
  make.add_file("V26-a-page-too-many", [](ByteVector& f) {
    f.resize(f.size() + 4096);
    patch<std::uint64_t>(f, 16, f.size());
    patch<std::uint64_t>(f, 48, f.size() - 64 - 4096);
  });
  make.add("V27-chunks-of-a-small-tensor", weights(), [](FileSpec& s) {
    s.tensors[2].chunks = 1;
    s.root.set(5, format::Vector{32, 16, ByteScript().hash(format::hash128(s.tensors[2].bytes)).bytes()});
    s.tensors[2].hash = format::hash128(ByteScript().hash(format::hash128(s.tensors[2].bytes)).bytes());
  });
  make.add("V27-first-chunk", weights(), [](FileSpec& s) { s.tensors[1].first_chunk = 1; });
  make.add("V27-spare-chunk-hash", weights(), [](FileSpec& s) {
    s.root.set(5, format::Vector{32, 16, counted(16, 1)});
  });
}

void aliases(Maker& make) {
  const auto alias = [&](const std::string& name,
                         const std::function<void(std::vector<TensorSpec>&)>& change) {
    make.add(name, tied(), [&](FileSpec& s) { change(s.tensors); });
  };
  alias("V28-unknown-flag", [](auto& t) { t[1].flags = 4; });
  alias("V28-link-without-alias", [](auto& t) { t[1].link = 1; });
  alias("V28-itself", [](auto& t) { t[2].link = 2, t[2].offset = 4096 + 64 + 12, t[2].hash = t[2].hash; });
  alias("V28-later-owner", [](auto& t) { t[2].link = 3, t[2].offset = 4096; });
  alias("V28-another-type", [](auto& t) { t[2].type = 3; });
  alias("V28-another-hash", [](auto& t) { t[2].hash = format::hash128(counted(6, 2)); });
  alias("V28-another-place", [](auto& t) { t[2].offset = 4096 + 64; });
  alias("V28-fewer-elements", [](auto& t) { t[2].extents = {4}, t[2].bytes.resize(4); });
  alias("V28-another-chunk", [](auto& t) { t[2].first_chunk = 1; });
  alias("V28-number-of-chunks", [](auto& t) { t[2].chunks = 1; });
  alias("V28-another-role", [](auto& t) {
    t[3].name = "n";
    t.push_back({"o", 1, 2, {6}, counted(6, 1), 1, 0});
  });
  alias("V28-of-an-alias", [](auto& t) {
    TensorSpec again = t[2];
    again.name = "d";
    again.link = 2;
    t.insert(t.begin() + 3, again);
  });
}

void roles_and_ids(Maker& make) {
  const auto rows = [&](const std::string& name, const std::function<void(std::vector<RoleSpec>&)>& change) {
    make.add(name, weights(), [&](FileSpec& s) { s.roles = change; });
  };
  rows("V29-another-role", [](auto& r) { r[1].role = 2; });
  rows("V29-first", [](auto& r) { r[1].first = 1; });
  rows("V29-count", [](auto& r) { r[0].count = 1; });
  rows("V29-begin", [](auto& r) { r[1].begin += 64; });
  rows("V29-end", [](auto& r) { r[1].end += 1; });
  rows("V29-hash", [](auto& r) { r[1].hash.low ^= 1; });
  rows("V29-reserved-number", [](auto& r) { r[1].reserved16 = 1; });
  rows("V29-reserved-word", [](auto& r) { r[1].reserved32 = 1; });
  rows("V29-row-missing", [](auto& r) { r.pop_back(); });
  rows("V29-row-too-many",
       [](auto& r) { r.push_back({.role = 2, .first = 3, .hash = format::hash128({})}); });
  make.add("V30-content-id", weights(), [](FileSpec& s) { s.content_id = format::Hash128{1, 2}; });
}

void sections(Maker& make) {
  make.add("V31-shard", weights(), [](FileSpec& s) { s.kind = 4, s.root = model_root(); });
  make.add("V31-shard-index", weights(), [](FileSpec& s) { s.kind = 5, s.root = model_root(); });
  const auto group = [&](const std::string& name, const std::function<void(Table&)>& change) {
    make.add(name, checkpoint(), [&](FileSpec& s) {
      Table optimizer = s.root.table(7, ""), groups = optimizer.table(7, "");
      Table first = groups.table(0, "");
      change(first);
      groups.set(0, first);
      optimizer.set(7, groups);
      s.root.set(7, optimizer);
    });
  };
  group("V32-no-such-name", [](Table& g) { g.set(3, std::vector<std::uint64_t>{1, 2, 3}); });
  group("V32-name-index-of-64-bits", [](Table& g) {
    g.set(3, std::vector<std::uint64_t>{1, (std::uint64_t{1} << 32) + 2});
  });
  group("V32-twice-in-a-group", [](Table& g) { g.set(3, std::vector<std::uint64_t>{1, 2, 1}); });
  group("V32-in-two-groups", [](Table& g) { g.set(3, std::vector<std::uint64_t>{0, 1, 2}); });
  group("V32-names-are-a-number", [](Table& g) { g.set(3, std::uint64_t{1}); });
  group("V32-names-of-another-type", [](Table& g) { g.set(3, std::vector<double>{1}); });
  group("V32-names-of-another-stride", [](Table& g) { g.set(3, format::Vector{4, 4, counted(4, 0)}); });
  make.add("V32-groups-are-a-number", checkpoint(), [](FileSpec& s) {
    Table optimizer = s.root.table(7, "");
    optimizer.set(7, std::uint64_t{1});
    s.root.set(7, optimizer);
  });
  make.add("V32-a-group-is-a-number", checkpoint(), [](FileSpec& s) {
    Table optimizer = s.root.table(7, ""), groups;
    groups.set(0, std::uint64_t{1});
    optimizer.set(7, groups);
    s.root.set(7, optimizer);
  });
  make.add("V32-group-names-a-buffer", checkpoint(), [](FileSpec& s) { s.tensors[2].role = 1; });
  make.add("V32-moment-without-parameter", checkpoint(), [](FileSpec& s) { s.tensors[4].name = "bb"; });
  make.add("V32-moment-of-another-shape", checkpoint(), [](FileSpec& s) { s.tensors[4].extents = {3, 1}; });
  make.add("V32-moment-of-another-extent", checkpoint(), [](FileSpec& s) {
    s.tensors[4].extents = {4};
    s.tensors[4].bytes.resize(16);
  });
  for (Table::Id id : {2, 13}) {
    make.add("V33-model-without-" + std::to_string(id), weights(), [&](FileSpec& s) {
      s.kind = 2;
      s.root = model_root();
      s.root.erase(id);
    });
  }
  for (Table::Id id : {2, 7, 8, 10, 11, 13}) {
    make.add("V33-checkpoint-without-" + std::to_string(id), checkpoint(),
             [&](FileSpec& s) { s.root.erase(id); });
    make.add("V33-checkpoint-with-a-number-for-" + std::to_string(id), checkpoint(),
             [&](FileSpec& s) { s.root.set(id, true); });
  }
}

void payloads(Maker& make) {
  make.add_file("V40-tensor", [](ByteVector& f) { f[4096] ^= std::byte{1}; });
  make.add_file("V40-last-byte-of-a-tensor", [](ByteVector& f) { f[4096 + 64 + 11] ^= std::byte{0x80}; });
  make.add_file("V41-between-tensors", [](ByteVector& f) { f[4096 + 6] = std::byte{1}; });
  make.add_file("V41-behind-the-last", [](ByteVector& f) { f[f.size() - 65] = std::byte{0x80}; });
  make.add("V42-bool-of-2", weights(), [](FileSpec& s) { s.tensors[2].bytes[3] = std::byte{2}; });
}

}  // namespace

std::vector<CorpusFile> corpus() {
  Maker make;
  good_files(make);
  prologues(make);
  footers(make);
  objects(make);
  texts(make);
  root_fields(make);
  directories(make);
  aliases(make);
  roles_and_ids(make);
  sections(make);
  payloads(make);
  return make.files();
}

}  // namespace vitrail::test
