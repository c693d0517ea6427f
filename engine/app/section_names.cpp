#include "engine/app/section_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "format/sections.h"

namespace vitrail::app {
namespace {

namespace section = format::section;
using format::Table;
using format::Value;
using format::Vector;

// Names by id: the first is that of field 1. Sections with nullptr for a list of fields are free, or no
// tables.
struct SectionName {
  Table::Id id;
  const char* name;
  std::span<const char* const> fields;
};

constexpr const char* kModel[] = {
    "architecture", "name",           "img_size",      "patch_size",     "in_chans",       "num_classes",
    "embed_dim",    "depth",          "num_heads",     "mlp_dim",        "class_token",    "dist_token",
    "reg_tokens",   "no_embed_class", "pre_norm",      "layer_scale",    "init_values",    "global_pool",
    "fc_norm",      "gelu",           "norm_eps",      "patch_bias",     "qkv_bias",       "proj_bias",
    "head_bias",    "drop_rate",      "pos_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate",
    "dtype",        "weight_init"};
constexpr const char* kOptimizer[] = {"algorithm", "step", "beta1", "beta2", "eps", "clip_norm", "groups"};
constexpr const char* kGroup[] = {"lr_scale", "weight_decay", "name_indices"};
constexpr const char* kSchedule[] = {"kind",        "lr",         "min_lr", "warmup_lr", "warmup_steps",
                                     "total_steps", "step_every", "gamma",  "step",      "lr_at_save"};
constexpr const char* kDataOrder[] = {"spec",       "fingerprint", "samples",   "epoch",
                                      "consumed",   "permutation", "seed",      "batch",
                                      "accumulate", "micro",       "step_loss", "epoch_loss"};
constexpr const char* kHistory[] = {"columns", "steps", "values"};
constexpr const char* kInput[] = {"size", "channels", "crop_pct", "interpolation", "mean", "std", "labels"};
constexpr const char* kProvenance[] = {"version"};
constexpr const char* kEma[] = {"decay", "warmup", "updates"};

constexpr SectionName kSections[] = {{section::kProducer, "producer", {}},
                                     {section::kModel, "model", kModel},
                                     {section::kNames, "names", {}},
                                     {section::kTensors, "tensors", {}},
                                     {section::kChunkHashes, "chunk_hashes", {}},
                                     {section::kRoles, "roles", {}},
                                     {section::kOptimizer, "optimizer", kOptimizer},
                                     {section::kSchedule, "schedule", kSchedule},
                                     {section::kScaler, "scaler", {}},
                                     {section::kRng, "rng", {}},
                                     {section::kDataOrder, "data_order", kDataOrder},
                                     {section::kHistory, "history", kHistory},
                                     {section::kInput, "input", kInput},
                                     {section::kProvenance, "provenance", kProvenance},
                                     {section::kEma, "ema", kEma},
                                     {section::kSlices, "slices", {}},
                                     {section::kShardSet, "shard_set", {}},
                                     {section::kUser, "user", {}},
                                     {section::kVolatile, "volatile", {}}};

const SectionName* find_section(Table::Id id) {
  const auto* found = std::find_if(std::begin(kSections), std::end(kSections),
                                   [id](const SectionName& row) { return row.id == id; });
  return found == std::end(kSections) ? nullptr : found;
}

bool knows(std::span<const char* const> fields, Table::Id id) {
  return id >= 1 && id <= fields.size();
}

const Table* table_in(const Value& value) {
  const auto* table = std::get_if<std::shared_ptr<const Table>>(&value.content);
  return table == nullptr ? nullptr : table->get();
}

std::int64_t unknown_among(const Table& table, std::span<const char* const> fields) {
  std::int64_t count = 0;
  for (const auto& [id, value] : table.fields()) {
    if (!knows(fields, id)) ++count;
  }
  return count;
}

std::string text_of(const Vector& vector) {
  const std::size_t count = vector.data.size() / vector.stride;
  std::string numbers;
  for (std::size_t i = 0; i < count && count <= 8; ++i) {
    const format::Bytes bytes(vector.data);
    if (vector.elem_type == 10)
      numbers += fmt::format("{}{}", i > 0 ? ", " : "", format::get<double>(bytes, 8 * i));
    if (vector.elem_type == 4)
      numbers += fmt::format("{}{}", i > 0 ? ", " : "", format::get<std::uint64_t>(bytes, 8 * i));
  }
  return numbers.empty() ? fmt::format("({} values)", count) : "[" + numbers + "]";
}

std::string text_of(const Value& value) {
  struct Visitor {
    std::string operator()(std::uint64_t number) const { return std::to_string(number); }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(bool on) const { return on ? "true" : "false"; }
    std::string operator()(const std::shared_ptr<const Table>& table) const {
      return fmt::format("(table of {} fields)", table->fields().size());
    }
    std::string operator()(const Vector& vector) const { return text_of(vector); }
    std::string operator()(const std::vector<std::string>& strings) const {
      return fmt::format("({} strings)", strings.size());
    }
    std::string operator()(const std::string& text) const { return text; }
    std::string operator()(const format::Unknown& unknown) const {
      return unknown.object.empty() ? fmt::format("(unknown, {:#x})", unknown.scalar)
                                    : fmt::format("(unknown, {} bytes)", unknown.object.size());
    }
  };
  return std::visit(Visitor{}, value.content);
}

bool same(const Value& a, const Value& b) {
  if (a.type != b.type || a.flags != b.flags || a.content.index() != b.content.index()) return false;
  const Table* table = table_in(a);
  if (table != nullptr) {
    const Table& other = *table_in(b);
    return std::equal(
        table->fields().begin(), table->fields().end(), other.fields().begin(), other.fields().end(),
        [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
  }
  if (const auto* unknown = std::get_if<format::Unknown>(&a.content)) {
    const auto& other = std::get<format::Unknown>(b.content);
    return unknown->scalar == other.scalar && unknown->object == other.object;
  }
  if (const auto* number = std::get_if<double>(&a.content))
    return std::bit_cast<std::uint64_t>(*number) == std::bit_cast<std::uint64_t>(std::get<double>(b.content));
  return std::visit(
      [&](const auto& left) {
        using T = std::decay_t<decltype(left)>;
        if constexpr (std::is_same_v<T, std::shared_ptr<const Table>> || std::is_same_v<T, format::Unknown>) {
          return false;
        } else {
          return left == std::get<T>(b.content);
        }
      },
      a.content);
}

class Comparison {
 public:
  std::vector<FieldDifference> run(const Table& a, const Table& b) {
    for (const Table::Id id : ids(a, b)) {
      const bool derived = id >= section::kNames && id <= section::kRoles;
      if (derived || id == section::kSlices) continue;
      const SectionName* known = find_section(id);
      const std::string path = known != nullptr ? known->name : fmt::format("field {}", id);
      field(path, find(a, id), find(b, id),
            known != nullptr ? known->fields : std::span<const char* const>{});
    }
    return std::move(found_);
  }

 private:
  static const Value* find(const Table& table, Table::Id id) {
    const auto found = table.fields().find(id);
    return found == table.fields().end() ? nullptr : &found->second;
  }
  static std::set<Table::Id> ids(const Table& a, const Table& b) {
    std::set<Table::Id> ids;
    for (const Table* table : {&a, &b}) {
      for (const auto& [id, value] : table->fields())
        ids.insert(id);
    }
    return ids;
  }

  void field(const std::string& path, const Value* a, const Value* b, std::span<const char* const> names) {
    if (a != nullptr && b != nullptr && same(*a, *b)) return;
    const Table *left = a != nullptr ? table_in(*a) : nullptr, *right = b != nullptr ? table_in(*b) : nullptr;
    if (left != nullptr && right != nullptr) return tables(path, *left, *right, names);
    const auto* old_strings = a != nullptr ? std::get_if<std::vector<std::string>>(&a->content) : nullptr;
    const auto* new_strings = b != nullptr ? std::get_if<std::vector<std::string>>(&b->content) : nullptr;
    if (old_strings != nullptr && new_strings != nullptr) return lists(path, *old_strings, *new_strings);
    FieldDifference difference{path, a != nullptr ? text_of(*a) : "", b != nullptr ? text_of(*b) : ""};
    if (difference.a == difference.b) difference.b += ", others";
    found_.push_back(std::move(difference));
  }

  void tables(const std::string& path, const Table& a, const Table& b, std::span<const char* const> names) {
    for (const Table::Id id : ids(a, b)) {
      const bool settings = path == "user" && id == section::user::kSettings;
      const std::string name = settings           ? "settings"
                               : knows(names, id) ? fmt::format("{}.{}", path, names[id - 1U])
                                                  : fmt::format("{}.{}", path, id);
      const bool group = path == "optimizer.groups";
      field(name, find(a, id), find(b, id),
            group ? std::span<const char* const>(kGroup) : std::span<const char* const>{});
    }
  }

  // Settings are compared by key, other lists by position.
  void lists(const std::string& path, const std::vector<std::string>& a, const std::vector<std::string>& b) {
    std::map<std::string, std::pair<std::string, std::string>> rows;
    const auto add = [&](const std::vector<std::string>& list, auto member) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        const std::size_t equals = list[i].find('=');
        const bool keyed = path == "settings" && equals != std::string::npos;
        const std::string key = keyed ? list[i].substr(0, equals) : fmt::format("{:06}", i);
        rows[key].*member = keyed ? list[i].substr(equals + 1) : list[i];
      }
    };
    add(a, &std::pair<std::string, std::string>::first);
    add(b, &std::pair<std::string, std::string>::second);
    for (const auto& [key, values] : rows) {
      if (values.first == values.second) continue;
      const std::string index = path == "settings" ? key : std::to_string(std::stoul(key));
      found_.push_back({fmt::format("{}.{}", path, index), values.first, values.second});
    }
  }

  std::vector<FieldDifference> found_;
};

}  // namespace

std::int64_t unknown_fields(const Table& root) {
  std::int64_t count = 0;
  for (const auto& [id, value] : root.fields()) {
    const SectionName* known = find_section(id);
    if (known == nullptr) {
      ++count;
      continue;
    }
    const Table* table = table_in(value);
    if (table == nullptr || known->fields.empty()) continue;
    count += unknown_among(*table, known->fields);
    if (id != section::kOptimizer || !table->has(section::optimizer::kGroups)) continue;
    for (const auto& [number, group] : table->table(section::optimizer::kGroups, "groups").fields()) {
      if (table_in(group) != nullptr) count += unknown_among(*table_in(group), kGroup);
    }
  }
  return count;
}

std::vector<FieldDifference> differences(const Table& a, const Table& b) {
  return Comparison().run(a, b);
}

}  // namespace vitrail::app
