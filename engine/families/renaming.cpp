#include "engine/families/renaming.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <set>

#include "engine/error.h"
#include "engine/tensor_text.h"
#include "format/container.h"

namespace vitrail::families {
namespace {

// 0 where it is no number of elements that a file could have.
std::int64_t product(std::span<const std::int64_t> extents) {
  std::int64_t result = 1;
  for (const std::int64_t extent : extents) {
    if (__builtin_mul_overflow(result, extent, &result)) return 0;
  }
  return result;
}

// What stands before `sign` in `name`, when nothing stands behind it.
std::optional<std::string> prefix_of(std::string_view name, std::string_view sign) {
  if (!name.ends_with(sign)) return std::nullopt;
  const std::string_view prefix = name.substr(0, name.size() - sign.size());
  if (!prefix.empty() && prefix.back() != '.' && prefix.back() != '/') return std::nullopt;
  return std::string(prefix);
}

void find_naming(const WeightFile& file, Renamed& renamed) {
  for (const Naming& naming : namings()) {
    std::set<std::string> prefixes;
    for (const format::TensorRecord& record : file.tensors) {
      if (const auto prefix = prefix_of(record.name, naming.sign)) prefixes.insert(*prefix);
    }
    if (prefixes.empty()) continue;
    if (prefixes.size() > 1) {
      throw ConfigError(fmt::format("{}: expected one network, found {}, under the names '{}'",
                                    file.path.string(), prefixes.size(), fmt::join(prefixes, "', '")));
    }
    renamed.naming = &naming;
    renamed.prefix = *prefixes.begin();
    return;
  }
  throw ConfigError(
      fmt::format("{}: none of its {} tensors{} is named as in a Vision Transformer of timm, Hugging Face, "
                  "OpenAI's CLIP, OpenCLIP or JAX",
                  file.path.string(), file.tensors.size(),
                  file.tensors.empty() ? "" : fmt::format(" ('{}', …)", file.tensors.front().name)));
}

// DINOv2 trained with sharding has its blocks in chunks: blocks.CHUNK.BLOCK, with blocks counted through all
// chunks (facebookresearch/dinov2, models/vision_transformer.py).
std::string without_chunk(const std::string& name) {
  constexpr std::size_t kBlocks = 7;  // "blocks."
  const std::size_t dot = name.find('.', kBlocks);
  if (!name.starts_with("blocks.") || dot == std::string::npos || dot + 1 == name.size()) return name;
  const bool number_follows = name[dot + 1] >= '0' && name[dot + 1] <= '9';
  return number_follows ? "blocks." + name.substr(dot + 1) : name;
}

std::span<const std::byte> bytes_of(const WeightFile& file, const format::TensorRecord& record) {
  if (record.alias_of.empty() || !record.bytes.empty()) return record.bytes;
  for (const format::TensorRecord& owner : file.tensors) {
    if (owner.name == record.alias_of) return owner.bytes;
  }
  return record.bytes;
}

// Its place under our names; false when it has none.
bool place(const WeightFile& file, const format::TensorRecord& record, Renamed& renamed) {
  std::optional<std::string> inside;
  if (record.name.starts_with(renamed.prefix)) {
    inside = record.name.substr(renamed.prefix.size());
    if (renamed.naming->library == Library::timm) inside = without_chunk(*inside);
  }
  for (const std::span<const NameRow> rows : renamed.naming->rows) {
    for (const NameRow& row : rows) {
      const bool whole_name = row.theirs[0] == '^';
      if (!whole_name && !inside) continue;
      const auto ours =
          rename(row.theirs + (whole_name ? 1 : 0), whole_name ? record.name : *inside, row.ours);
      if (!ours) continue;
      renamed.pieces[*ours].push_back({&record, bytes_of(file, record), row.part, row.order});
      return true;
    }
  }
  return false;
}

bool leave_out(const std::string& name, Renamed& renamed) {
  const std::string_view inside =
      name.starts_with(renamed.prefix) ? std::string_view(name).substr(renamed.prefix.size()) : name;
  for (const std::span<const LeftOut> table : renamed.naming->left_out) {
    for (const LeftOut& row : table) {
      if (!format::matches(row.pattern, name) && !format::matches(row.pattern, inside)) continue;
      ++renamed.left_out[row.what];
      return true;
    }
  }
  return false;
}

}  // namespace

Extents Piece::shape() const {
  const std::span<const std::int64_t> theirs(record->shape);
  if (theirs.empty()) return {};
  switch (order) {
    case Order::same:
      break;
    case Order::flat:
      return {product(theirs)};
    case Order::transposed:
      if (part == Part::whole) return {theirs.back(), product(theirs.first(theirs.size() - 1))};
      return {product(theirs.subspan(1)), theirs.front()};
    case Order::patches:
      if (theirs.size() == 4) return {theirs[3], theirs[2], theirs[0], theirs[1]};
      break;
  }
  return record->shape;
}

std::int64_t Renamed::extent(const std::string& name, int axis) const {
  const auto found = pieces.find(name);
  if (found == pieces.end()) return 0;
  const Extents shape = found->second.front().shape();
  const int rank = static_cast<int>(shape.size()), place = axis < 0 ? rank + axis : axis;
  return place < 0 || place >= rank ? 0 : shape[static_cast<std::size_t>(place)];
}

Renamed rename_tensors(const WeightFile& file) {
  Renamed renamed;
  find_naming(file, renamed);
  for (const format::TensorRecord& record : file.tensors) {
    if (!place(file, record, renamed) && !leave_out(record.name, renamed))
      renamed.unexpected.push_back(record.name);
  }
  return renamed;
}

namespace {

Extents without_ones(Extents shape) {
  std::erase(shape, 1);
  return shape;
}

constexpr const char* kThirds[] = {"", " (queries)", " (keys)", " (values)"};

void check_parameter(const std::string& name, std::span<const Piece> pieces, const Extents& expected,
                     std::vector<std::string>& lines) {
  const bool thirds = pieces.front().part != Part::whole;
  int found[4] = {};
  for (const Piece& piece : pieces) {
    ++found[static_cast<int>(piece.part)];
    Extents wanted = expected;
    if (piece.part != Part::whole) wanted.front() /= 3;
    if (without_ones(piece.shape()) != without_ones(wanted)) {
      lines.push_back(fmt::format("mismatched {}: expected {} for {}, found {}", piece.record->name,
                                  shape_text(wanted), name, shape_text(piece.record->shape)));
    }
  }
  for (int part = 0; part < 4; ++part) {
    const int wanted = thirds == (part > 0) ? 1 : 0;
    if (found[part] < wanted) lines.push_back(fmt::format("missing {}{}", name, kThirds[part]));
    if (found[part] > wanted) {
      lines.push_back(fmt::format("unexpected: {}{} is there more than once", name, kThirds[part]));
    }
  }
}

}  // namespace

std::vector<std::string> misfits(const Renamed& renamed, const VitConfig& config,
                                 const std::function<Extents(const ParamSpec&)>& expected) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  VitParams places;
  visit_params(config, places, [&](const ParamSpec& spec, Out&) {
    known.insert(spec.name);
    const auto found = renamed.pieces.find(spec.name);
    const Extents shape = expected(spec);
    if (found != renamed.pieces.end()) {
      check_parameter(spec.name, found->second, shape, lines);
    } else if (!shape.empty()) {
      lines.push_back(fmt::format("missing {}: {}", spec.name, shape_text(shape)));
    }
  });
  const auto unexpected = [&](const std::string& name) {
    const std::string_view feature = unsupported_feature(name);
    lines.push_back("unexpected " + name +
                    (feature.empty() ? "" : fmt::format(": {} is not supported", feature)));
  };
  for (const auto& [name, pieces] : renamed.pieces) {
    if (!known.contains(name)) unexpected(pieces.front().record->name);
  }
  std::for_each(renamed.unexpected.begin(), renamed.unexpected.end(), unexpected);
  return lines;
}

}  // namespace vitrail::families
