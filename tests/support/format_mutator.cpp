#include "tests/support/format_mutator.h"

#include <algorithm>
#include <stdexcept>

#include "format/container_plan.h"
#include "format/copy.h"

namespace vitrail::test {

using format::Bytes;
using format::get;
using format::Hash128;
using format::Table;
using format::Value;

std::uint64_t Draws::below(std::uint64_t limit) {
  state_ ^= state_ << 13;
  state_ ^= state_ >> 7;
  state_ ^= state_ << 17;
  return limit == 0 ? 0 : (state_ >> 8) % limit;
}

std::uint64_t Draws::number() {
  constexpr std::uint64_t kEdges[] = {
      0,          1,          2,          3,          7,       8,         9,           16,
      32,         64,         128,        255,        256,     1024,      4096,        65535,
      65536,      1 << 20,    4096,       4160,       1 << 22, 1U << 31,  0xFFFFFFFF,  1ULL << 32,
      1ULL << 47, 1ULL << 48, 1ULL << 50, 1ULL << 63, ~0ULL,   ~0ULL - 7, ~0ULL - 4095};
  if (below(4) == 0) return below(~0ULL);
  return kEdges[below(std::size(kEdges))] + below(3) - 1;
}

namespace {

constexpr std::size_t kHead = 128, kTail = 64, kPageSize = 4096;

std::uint64_t round_up(std::uint64_t value, std::uint64_t to) {
  return (value + to - 1) / to * to;
}

bool has_head(const ByteVector& file) {
  return file.size() >= 2 * kPageSize && get<std::uint64_t>(file, 32) <= file.size() - kHead - kTail;
}

ByteVector metadata_of(const ByteVector& file) {
  const auto size = static_cast<std::ptrdiff_t>(get<std::uint64_t>(file, 32));
  return {file.begin() + kHead, file.begin() + kHead + size};
}

// Hashes of tensors and roles and the content id, as far as the directory can be read.
class HashRepair {
 public:
  HashRepair(ByteVector& file, Bytes meta) : file_(file), meta_(meta), root_(meta, 0) {}

  void run() {
    if (!vector(4, 128, tensors_)) return;
    const auto names = root_.find(3, format::FieldType::strings);
    if (names) names_ = names->strings();
    for (std::uint32_t i = 0; i < tensors_.count; ++i)
      tensor(i);
    if (vector(6, 48, roles_)) {
      for (std::uint32_t row = 0; row < roles_.count; ++row)
        role(row);
    }
    patch(file_, 96, format::hash128(identity_));
  }

 private:
  bool vector(std::uint16_t id, std::uint32_t stride, format::VectorView& out) const {
    const auto field = root_.find(id, format::FieldType::vector);
    if (field) out = field->vector();
    return field && out.stride >= stride;
  }
  std::size_t place(Bytes row) const { return kHead + static_cast<std::size_t>(row.data() - meta_.data()); }
  void tensor(std::uint32_t index) {
    const format::EntryView entry(tensors_.row(index));
    if (format::inside(entry.offset(), entry.bytes(), file_.size()) && entry.chunk_count() == 0)
      patch(file_, place(entry.row()) + 96,
            format::hash128(Bytes(file_).subspan(entry.offset(), entry.bytes())));
    const std::size_t at = place(entry.row());
    const std::string_view name = entry.name() < names_.size() ? names_[entry.name()] : std::string_view();
    add(Bytes(file_).subspan(at + 4, 4));
    format::append(identity_, static_cast<std::uint32_t>(name.size()));
    add(std::as_bytes(std::span(name)));
    add(Bytes(file_).subspan(at + 32, std::size_t{8} * std::min(8U, entry.rank())));
    add(Bytes(file_).subspan(at + 96, 16));
  }
  void role(std::uint32_t index) {
    const format::RoleView row(roles_.row(index));
    if (!format::inside(row.first(), row.count(), tensors_.count)) return;
    ByteVector hashes;
    for (std::uint32_t i = row.first(); i < row.first() + row.count(); ++i) {
      const Bytes hash = Bytes(file_).subspan(place(tensors_.row(i)) + 96, 16);
      hashes.insert(hashes.end(), hash.begin(), hash.end());
    }
    patch(file_, place(row.row()) + 32, format::hash128(hashes));
  }
  void add(Bytes bytes) { identity_.insert(identity_.end(), bytes.begin(), bytes.end()); }

  ByteVector& file_;
  Bytes meta_;
  format::TableView root_;
  format::StringsView names_;
  format::VectorView tensors_, roles_;
  ByteVector identity_;
};

// The file with another metadata block; the data stay where the directory of the old one had them.
ByteVector with_metadata(const ByteVector& file, const ByteVector& meta) {
  const std::uint64_t old_offset = round_up(kHead + get<std::uint64_t>(file, 32), kPageSize);
  const std::uint64_t offset = round_up(kHead + meta.size(), kPageSize);
  ByteVector out(offset);
  std::copy_n(file.begin(), kHead, out.begin());
  std::copy(meta.begin(), meta.end(), out.begin() + kHead);
  if (old_offset < file.size())
    out.insert(out.end(), file.begin() + static_cast<std::ptrdiff_t>(old_offset), file.end());
  out.resize(std::max<std::size_t>(2 * kPageSize, round_up(out.size(), kPageSize)));
  patch<std::uint64_t>(out, 32, meta.size());
  return out;
}

Value random_value(Draws& draws) {
  switch (draws.below(7)) {
    case 0:
      return {static_cast<std::uint8_t>(draws.below(6)), 0, draws.number()};
    case 1:
      return {2, 0, static_cast<std::int64_t>(draws.number())};
    case 2:
      return {3, 0, std::bit_cast<double>(draws.number())};
    case 3:
      return {16, 0, std::make_shared<const Table>()};
    case 4:
      return {18, 0, std::vector<std::string>(draws.below(4), "text")};
    case 5: {
      const auto stride = static_cast<std::uint32_t>(1 + draws.below(60));
      return {17, 0,
              format::Vector{static_cast<std::uint16_t>(draws.below(33)), stride,
                             ByteVector(stride * draws.below(5))}};
    }
    default:
      return {19, 0, std::string(draws.below(40), 'x')};
  }
}

void mutate_bytes(ByteVector& bytes, Draws& draws) {
  if (bytes.empty()) return;
  const std::size_t at = draws.below(bytes.size());
  const std::size_t aligned = at / 4 * 4;
  switch (draws.below(4)) {
    case 0:
      bytes[at] ^= static_cast<std::byte>(1U << draws.below(8));
      return;
    case 1:
      if (aligned + 8 <= bytes.size()) patch(bytes, aligned, draws.number());
      return;
    case 2:
      if (aligned + 4 <= bytes.size()) patch(bytes, aligned, static_cast<std::uint32_t>(draws.number()));
      return;
    default:
      bytes[at] = static_cast<std::byte>(draws.number());
  }
}

void mutate_vector(format::Vector& vector, Draws& draws) {
  const std::size_t rows = vector.data.size() / vector.stride;
  if (rows > 0 && draws.below(4) == 0) {  // a row more or less, or two exchanged
    const auto begin = vector.data.begin() + static_cast<std::ptrdiff_t>(draws.below(rows) * vector.stride);
    const ByteVector row(begin, begin + vector.stride);
    if (draws.below(2) == 0) {
      vector.data.erase(begin, begin + vector.stride);
    } else {
      vector.data.insert(begin, row.begin(), row.end());
    }
    return;
  }
  if (draws.below(8) == 0) {
    vector.elem_type = static_cast<std::uint16_t>(draws.below(33));
    return;
  }
  mutate_bytes(vector.data, draws);
}

void mutate_text(std::string& text, Draws& draws) {
  if (text.empty() || draws.below(3) == 0) {
    text.insert(draws.below(text.size() + 1), draws.below(2) == 0 ? "z" : "\xC3\xA9");
  } else {
    text[draws.below(text.size())] = static_cast<char>(draws.below(256));
  }
}

Table mutated(const Table& table, Draws& draws);

void mutate_value(Value& value, Draws& draws) {
  if (auto* inner = std::get_if<std::shared_ptr<const Table>>(&value.content)) {
    value.content = std::make_shared<const Table>(mutated(**inner, draws));
  } else if (auto* vector = std::get_if<format::Vector>(&value.content)) {
    mutate_vector(*vector, draws);
  } else if (auto* text = std::get_if<std::string>(&value.content)) {
    mutate_text(*text, draws);
  } else if (auto* strings = std::get_if<std::vector<std::string>>(&value.content)) {
    if (strings->empty() || draws.below(4) == 0) {
      strings->push_back("zz");
    } else if (draws.below(4) == 0) {
      strings->pop_back();
    } else {
      mutate_text((*strings)[draws.below(strings->size())], draws);
    }
  } else if (auto* unknown = std::get_if<format::Unknown>(&value.content)) {
    mutate_bytes(unknown->object, draws);
    unknown->scalar ^= draws.number();
  } else {
    value = random_value(draws);
  }
}

Table mutated(const Table& table, Draws& draws) {
  Table result = table;
  const auto id = static_cast<Table::Id>(draws.below(3) == 0 ? draws.number() : draws.below(24));
  if (result.fields().empty() || draws.below(8) == 0) {
    result.set(id, random_value(draws));
    return result;
  }
  auto field = table.fields().begin();
  std::advance(field, static_cast<std::ptrdiff_t>(draws.below(table.fields().size())));
  Value value = field->second;
  switch (draws.below(10)) {
    case 0:
      result.erase(field->first);
      return result;
    case 1:
      result.set(id, value);
      return result;
    case 2:
      value.flags = static_cast<std::uint8_t>(draws.below(3));
      break;
    case 3:
      value.type = static_cast<std::uint8_t>(draws.below(33));
      break;
    default:
      mutate_value(value, draws);
  }
  result.set(field->first, value);
  return result;
}

}  // namespace

void repair(ByteVector& file) {
  if (!has_head(file)) return;
  const std::uint64_t meta_bytes = get<std::uint64_t>(file, 32);
  patch<std::uint64_t>(file, 16, file.size());
  patch<std::uint64_t>(file, 40, round_up(kHead + meta_bytes, kPageSize));
  patch<std::uint64_t>(file, 48, file.size() - kTail - get<std::uint64_t>(file, 40));
  const ByteVector meta = metadata_of(file);
  if (!format::verify_message(meta).refusal.refused()) HashRepair(file, meta).run();
  seal(file);
}

ByteVector mutant_block(const ByteVector& metadata, std::uint64_t seed) {
  Draws draws(seed);
  if (draws.below(4) != 0 && !format::verify_message(metadata).refusal.refused()) {
    Table tree = mutated(format::decode_message(metadata), draws);
    while (draws.below(3) == 0)
      tree = mutated(tree, draws);
    return format::encode_message(tree);
  }
  ByteVector block = metadata;
  mutate_bytes(block, draws);
  if (draws.below(8) == 0) block.resize(8 * draws.below(block.size() / 8 + 4));
  return block;
}

ByteVector mutant(const ByteVector& file, std::uint64_t seed) {
  if (!has_head(file)) return file;
  Draws draws(seed);
  ByteVector out = file;
  switch (draws.below(8)) {
    case 0: {  // a number of the prologue
      const std::size_t at = 8 + 2 * draws.below(56);
      patch(out, at, static_cast<std::uint16_t>(draws.number()));
      seal(out);
      return out;
    }
    case 1: {  // the data
      const std::uint64_t begin = std::min<std::uint64_t>(get<std::uint64_t>(file, 40), file.size() - 1);
      out[begin + draws.below(file.size() - begin)] ^= static_cast<std::byte>(1U << draws.below(8));
      break;
    }
    case 2:  // a page more or less
      out.resize(draws.below(2) == 0 ? out.size() + kPageSize
                                     : std::max(2 * kPageSize, out.size() - kPageSize));
      break;
    case 3:
      patch(out, 10, static_cast<std::uint16_t>(draws.below(2) * 255));
      patch(out, 72, static_cast<std::uint32_t>(draws.below(7)));
      break;
    default:
      out = with_metadata(file, mutant_block(metadata_of(file), draws.below(~0ULL)));
  }
  if (draws.below(16) != 0) repair(out);
  return out;
}

namespace {

void demand(bool promise, const char* what) {
  if (!promise) throw std::logic_error(what);
}

void read_everything(const format::Container& file) {
  for (const format::TensorRecord& tensor : file.tensors()) {
    demand(file.find(tensor.role, tensor.name) == &tensor, "a listed tensor is not found");
    try {
      ByteVector out(file.byte_size(tensor));
      file.read(tensor, out);
      demand(std::ranges::equal(file.read(tensor), out), "two ways of reading differ");
      if (!tensor.shape.empty() && tensor.shape[0] > 0 &&
          out.size() % static_cast<std::size_t>(tensor.shape[0]) == 0) {
        ByteVector row(out.size() / static_cast<std::size_t>(tensor.shape[0]));
        file.read_rows(tensor, 0, 1, row);
        demand(std::equal(row.begin(), row.end(), out.begin()), "a row differs from its tensor");
      }
    } catch (const format::FormatError&) {
    }
  }
}

void copies_to_itself(const format::Container& file, const ByteVector& bytes) {
  const format::ContainerContents contents = format::contents_of(file);
  format::ContainerPlan plan(contents);
  demand(plan.file_bytes() == bytes.size(), "a copy has another size");
  for (std::size_t i = 0; i < plan.pieces().size(); ++i)
    plan.set_hash(i, format::hash128(plan.pieces()[i].bytes));
  plan.seal();
  demand(std::equal(plan.head().begin(), plan.head().end(), bytes.begin()), "a copy has another head");
  demand(std::equal(plan.footer().begin(), plan.footer().end(), bytes.end() - kTail),
         "a copy has another footer");
}

}  // namespace

void check_promises(const ByteVector& bytes) {
  const format::Rule rule = format::verify_file(bytes).refusal.rule;
  try {
    const format::Container file = format::Container::open(bytes, "bytes");
    demand(rule == format::Rule::none, "what the verifier refuses is opened");
    read_everything(file);
    if (file.find_damage(1).empty()) copies_to_itself(file, bytes);
  } catch (const format::FormatError& error) {
    demand(rule != format::Rule::none, "what the verifier accepts is not opened or not copied");
    demand(error.code() == code_of(rule), "the verifier gives another reason than the reader");
  }
}

void check_message_promises(const ByteVector& block) {
  try {
    demand(format::encode_message(format::decode_message(block)) == block, "a tree has two encodings");
  } catch (const format::FormatError&) {
  }
}

}  // namespace vitrail::test
