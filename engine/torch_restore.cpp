// From a file of another format back to the `.vitrail` file it was made from.
#include <fmt/format.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/sections.h"
#include "engine/torch_optimizer.h"
#include "engine/torch_tree.h"
#include "engine/vit_params.h"
#include "format/sections.h"

namespace vitrail {
namespace {

namespace section = format::section;
using format::Datum;
using format::FileKind;
using format::FormatError;
using format::Role;
using format::TensorRecord;

constexpr const char* kKindKey = "vitrail.kind";
constexpr const char* kMetadataKey = "vitrail.metadata";

std::string hex_of(format::Bytes bytes) {
  std::string text;
  for (const std::byte byte : bytes)
    text += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return text;
}

std::vector<std::byte> bytes_of(const std::string& hex) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) throw FormatError(fmt::format("{}: expected hexadecimal digits", kMetadataKey));
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return bytes;
}

Carried carried_of(const std::string& kind, format::Bytes metadata) {
  Carried carried{.kind = FileKind::weights, .root = format::decode_message(metadata)};
  for (const FileKind known : {FileKind::weights, FileKind::model, FileKind::checkpoint}) {
    if (kind == format::name_of(known)) {
      carried.kind = known;
      return carried;
    }
  }
  throw FormatError(fmt::format("vitrail.kind: expected weights, model or checkpoint, found '{}'", kind));
}

const TensorRecord* tensor_at(const Datum& datum, const WeightFile& file) {
  const auto* place = datum.as<Datum::Tensor>();
  return place != nullptr && place->index < file.root_tensors.size() ? &file.root_tensors[place->index]
                                                                     : nullptr;
}

class Restorer {
 public:
  Restorer(const WeightFile& file, Carried carried) : file_(file) {
    contents_.kind = carried.kind;
    contents_.root = std::move(carried.root);
  }

  std::optional<format::ContainerContents> restore();

 private:
  void add(const TensorRecord& tensor, const std::string& name, Role role);
  void add_dict(const Datum& dict, Role role);
  void add_moments();
  void add_others();
  bool as_described() const;

  const WeightFile& file_;
  format::ContainerContents contents_;
};

void Restorer::add(const TensorRecord& tensor, const std::string& name, Role role) {
  TensorRecord record = tensor;
  record.name = name;
  record.role = role;
  record.alias_of.clear();
  contents_.tensors.push_back(std::move(record));
}

void Restorer::add_dict(const Datum& dict, Role role) {
  const auto* items = dict.as<Datum::Dict>();
  if (items == nullptr) return;
  for (const Datum::Item& item : items->items) {
    const TensorRecord* tensor = tensor_at(item.value, file_);
    const std::string* name = item.key.as<std::string>();
    if (tensor != nullptr && name != nullptr) add(*tensor, *name, role);
  }
}

void Restorer::add_moments() {
  const TorchOptimizer optimizer = read_torch_optimizer(file_);
  for (const TorchGroup& group : optimizer.groups) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      const auto moments = optimizer.state.find(group.params[i]);
      if (moments == optimizer.state.end()) continue;
      add(file_.root_tensors[moments->second.first], group.names[i], Role::first_moment);
      add(file_.root_tensors[moments->second.second], group.names[i], Role::second_moment);
    }
  }
}

void Restorer::add_others() {
  const Datum* own = file_.root.find("vitrail");
  const Datum* others = own != nullptr ? own->find("other_roles") : nullptr;
  const auto* roles = others != nullptr ? others->as<Datum::Dict>() : nullptr;
  if (roles == nullptr) return;
  for (const Datum::Item& role : roles->items) {
    const std::int64_t* number = role.key.as<std::int64_t>();
    if (number != nullptr && *number >= 0 && *number <= 255) add_dict(role.value, static_cast<Role>(*number));
  }
}

// Whether the metadata still tell of these tensors.
bool Restorer::as_described() const {
  const format::Table& root = contents_.root;
  if (contents_.kind == FileKind::weights) return true;
  std::map<std::string, const TensorRecord*> found;
  for (const TensorRecord& tensor : contents_.tensors) {
    if (tensor.role == Role::parameter) found[tensor.name] = &tensor;
  }
  const format::Table& model = root.table(section::kModel, "model");
  const format::ElementType type = element_type(dtype_from(model));
  std::size_t expected = 0;
  bool same = true;
  VitParams params;
  visit_params(vit_config_from(model), params, [&](const ParamSpec& spec, Out&) {
    ++expected;
    const auto tensor = found.find(spec.name);
    same = same && tensor != found.end() && tensor->second->type == type &&
           std::equal(tensor->second->shape.begin(), tensor->second->shape.end(), spec.shape.dims.begin(),
                      spec.shape.dims.begin() + spec.shape.rank);
  });
  return same && expected == found.size();
}

std::optional<format::ContainerContents> Restorer::restore() {
  if (file_.format != "pt") {
    for (const TensorRecord& tensor : file_.tensors)
      add(tensor, tensor.name, Role::parameter);
    if (!as_described()) return std::nullopt;
    return std::move(contents_);
  }
  const Datum* model = find_state_dict(file_.root);
  if (model == nullptr) return std::nullopt;
  add_dict(*model, Role::parameter);
  if (!as_described()) return std::nullopt;
  if (const Datum* ema = file_.root.find("model_ema")) add_dict(*ema, Role::ema_parameter);
  if (contents_.kind == FileKind::checkpoint) {
    const std::int64_t step =
        contents_.root.table(section::kOptimizer, "optimizer").i64(section::optimizer::kStep, "step");
    const Datum* optimizer = find_optimizer(file_.root);
    if (optimizer == nullptr || read_torch_optimizer(file_).step != step) return std::nullopt;
    add_moments();
  }
  add_others();
  return std::move(contents_);
}

}  // namespace

std::optional<Carried> carried(const WeightFile& file) {
  try {
    const auto kind = file.metadata.find(kKindKey), metadata = file.metadata.find(kMetadataKey);
    if (kind != file.metadata.end() && metadata != file.metadata.end())
      return carried_of(kind->second, bytes_of(metadata->second));
    const Datum* own = file.root.find("vitrail");
    const Datum *own_kind = own != nullptr ? own->find("kind") : nullptr,
                *own_metadata = own != nullptr ? own->find("metadata") : nullptr;
    if (own_kind == nullptr || own_metadata == nullptr || own_kind->as<std::string>() == nullptr)
      return std::nullopt;
    const TensorRecord* tensor = tensor_at(*own_metadata, file);
    if (tensor == nullptr || tensor->type != format::ElementType::u8) return std::nullopt;
    return carried_of(*own_kind->as<std::string>(), tensor->bytes);
  } catch (const FormatError& error) {
    throw FormatError::within(file.path.string(), error);
  }
}

std::vector<std::byte> carried_bytes(format::Table root) {
  for (const section::Id derived :
       {section::kNames, section::kTensors, section::kChunkHashes, section::kRoles})
    root.erase(derived);
  return format::encode_message(root);
}

std::map<std::string, std::string> carrying(const format::ContainerContents& contents) {
  return {{kKindKey, name_of(contents.kind)}, {kMetadataKey, hex_of(carried_bytes(contents.root))}};
}

std::optional<format::ContainerContents> restored(const WeightFile& file) {
  std::optional<Carried> found = carried(file);
  return found ? Restorer(file, std::move(*found)).restore() : std::nullopt;
}

}  // namespace vitrail
