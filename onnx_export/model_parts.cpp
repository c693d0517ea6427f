#include "onnx_export/model_parts.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <charconv>

#include "onnx_export/wire.h"

namespace vitrail::onnx_export::reference {
namespace {

using format::Bytes;
using format::FormatError;

// Numbers of fields, of onnx/onnx onnx/onnx.proto3.
constexpr std::uint32_t kGraph = 7;        // of ModelProto
constexpr std::uint32_t kInitializer = 5;  // of GraphProto
constexpr std::uint32_t kRawData = 9;      // of TensorProto
constexpr int kDeepest = 16;               // messages in messages; a file without subgraphs has 8

void append(std::string& text, Bytes bytes) {
  text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

template <class Message>
void parse(Message& message, const std::string& bytes, const char* what) {
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetRecursionLimit(kDeepest);
  if (!message.MergeFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    throw FormatError(fmt::format("no ONNX file, or a damaged one: {} cannot be parsed", what));
}

// A message without the fields that are kept apart: those are handed to `apart`.
template <class Apart>
std::string without(Bytes message, std::uint32_t number, const Apart& apart) {
  std::string rest;
  WireReader reader(message);
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == number && field->delimited) {
      apart(field->payload);
    } else {
      append(rest, field->whole);
    }
  }
  return rest;
}

struct Pieces {
  std::string model, graph;  // their other fields
  bool has_graph = false;
  std::vector<std::string> tensors;
  std::vector<std::optional<Bytes>> elements;  // of each tensor, where they lie in the file
};

Pieces cut(Bytes file, std::uint64_t most) {
  Pieces pieces;
  std::uint64_t structure = 0;
  const auto count = [&](std::uint64_t bytes) {
    structure += bytes;
    if (structure > most)
      throw FormatError(
          fmt::format("expected at most {} bytes beside the elements of tensors, found more", most));
  };
  pieces.model = without(file, kGraph, [&](Bytes graph) {
    pieces.has_graph = true;
    pieces.graph += without(graph, kInitializer, [&](Bytes tensor) {
      std::optional<Bytes>& elements = pieces.elements.emplace_back();
      pieces.tensors.push_back(without(tensor, kRawData, [&](Bytes raw) { elements = raw; }));
      count(pieces.tensors.back().size() + 64);
    });
    count(pieces.graph.size());
  });
  count(pieces.model.size());
  return pieces;
}

std::uint64_t number_of(const std::string& text, const std::string& what) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    throw FormatError(fmt::format("{}: expected a number of bytes, found '{}'", what, text));
  return number;
}

// A location inside the file's folder. Links may lead nowhere else.
std::filesystem::path located(const std::filesystem::path& folder, const std::string& location,
                              const std::string& what) {
  const std::filesystem::path relative(location);
  bool inside = !location.empty() && location.find('\0') == std::string::npos && relative.is_relative();
  for (const std::filesystem::path& part : relative)
    inside = inside && part != "..";
  std::error_code error;
  const std::filesystem::path root = std::filesystem::weakly_canonical(folder, error);
  const std::filesystem::path place = std::filesystem::weakly_canonical(root / relative, error);
  inside = inside && !error &&
           (!std::filesystem::exists(place, error) || std::filesystem::is_regular_file(place, error)) &&
           std::mismatch(root.begin(), root.end(), place.begin(), place.end()).first == root.end();
  if (!inside)
    throw FormatError(fmt::format(
        "{}: expected external data in the folder of the file, found the place '{}'", what, location));
  return place;
}

}  // namespace

Bytes ModelParts::external(const onnx::TensorProto& tensor, const std::filesystem::path& folder) {
  const std::string what = fmt::format("initialiser '{}'", tensor.name());
  std::string location;
  std::optional<std::uint64_t> offset, length;
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number_of(entry.value(), what);
    if (entry.key() == "length") length = number_of(entry.value(), what);
  }
  if (folder.empty()) throw FormatError(what + ": external data are not expected here");
  auto found = beside_.find(location);
  if (found == beside_.end()) {
    try {
      found = beside_.emplace(location, format::MappedFile(located(folder, location, what))).first;
    } catch (const format::FileError& error) {
      throw FormatError(fmt::format("{}: its external data cannot be read: {}", what, error.what()));
    }
    bytes += found->second.bytes().size();
  }
  const Bytes file = found->second.bytes();
  const std::uint64_t begin = offset.value_or(0);
  if (begin > file.size() || length.value_or(0) > file.size() - begin)
    throw FormatError(fmt::format("{}: its external data lie at {} + {}, behind the end of '{}' ({} bytes)",
                                  what, begin, length.value_or(0), location, file.size()));
  return file.subspan(begin, length.value_or(file.size() - begin));
}

void ModelParts::add_constant(const onnx::TensorProto& tensor, Bytes raw, bool has_raw,
                              const std::filesystem::path& folder) {
  const std::string what = fmt::format("initialiser '{}'", tensor.name());
  Constant constant{.name = tensor.name(),
                    .type = checked_type(tensor.data_type(), what),
                    .dims = {tensor.dims().begin(), tensor.dims().end()},
                    .bytes = raw,
                    .produce = {}};
  if (constant.name.empty()) throw FormatError("an initialiser has no name");
  const bool outside = tensor.data_location() == onnx::TensorProto_DataLocation_EXTERNAL;
  if (has_raw == outside ||
      tensor.float_data_size() + tensor.int32_data_size() + tensor.int64_data_size() > 0)
    throw FormatError(what +
                      ": expected its elements in raw_data or in a file beside this one, and nowhere else");
  if (outside) constant.bytes = external(tensor, folder);
  const std::uint64_t wanted =
      static_cast<std::uint64_t>(checked_elements(constant.dims, what)) * size_of(constant.type);
  if (constant.bytes.size() != wanted)
    throw FormatError(fmt::format("{}: expected {} bytes for {} {}, found {}", what, wanted,
                                  name_of(constant.type), to_string(constant.dims), constant.bytes.size()));
  constants.push_back(std::move(constant));
}

ModelParts ModelParts::of(Bytes file, const std::filesystem::path& folder, const Limits& limits) {
  const Pieces pieces = cut(file, limits.structure);
  ModelParts parts;
  parts.bytes = file.size();
  parse(parts.skeleton, pieces.model, "the model");
  if (!pieces.has_graph) throw FormatError("no ONNX file, or a damaged one: there is no graph in it");
  onnx::GraphProto& graph = *parts.skeleton.mutable_graph();
  parse(graph, pieces.graph, "the graph");
  for (std::size_t i = 0; i < pieces.tensors.size(); ++i) {
    onnx::TensorProto& tensor = *graph.add_initializer();
    parse(tensor, pieces.tensors[i], "an initialiser");
    const std::optional<Bytes>& raw = pieces.elements[i];
    parts.add_constant(tensor, raw.value_or(Bytes()), raw.has_value(), folder);
  }
  return parts;
}

ModelParts ModelParts::open(const std::filesystem::path& path, const Limits& limits) {
  format::MappedFile file(path);
  const std::filesystem::path folder =
      path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  ModelParts parts = of(file.bytes(), folder, limits);
  parts.file_ = std::move(file);
  return parts;
}

// All but the elements is copied, field by field, so that the weights are never there twice.
ModelParts ModelParts::of(const onnx::ModelProto& model) {
  ModelParts parts;
  onnx::ModelProto& to = parts.skeleton;
  to.set_ir_version(model.ir_version());
  *to.mutable_opset_import() = model.opset_import();
  if (model.has_producer_name()) to.set_producer_name(model.producer_name());
  if (model.has_producer_version()) to.set_producer_version(model.producer_version());
  if (model.has_domain()) to.set_domain(model.domain());
  if (model.has_model_version()) to.set_model_version(model.model_version());
  if (model.has_doc_string()) to.set_doc_string(model.doc_string());
  *to.mutable_metadata_props() = model.metadata_props();
  onnx::GraphProto& graph = *to.mutable_graph();
  *graph.mutable_node() = model.graph().node();
  if (model.graph().has_name()) graph.set_name(model.graph().name());
  if (model.graph().has_doc_string()) graph.set_doc_string(model.graph().doc_string());
  *graph.mutable_input() = model.graph().input();
  *graph.mutable_output() = model.graph().output();
  *graph.mutable_value_info() = model.graph().value_info();
  for (const onnx::TensorProto& whole : model.graph().initializer()) {
    onnx::TensorProto& tensor = *graph.add_initializer();
    *tensor.mutable_dims() = whole.dims();
    tensor.set_data_type(whole.data_type());
    tensor.set_name(whole.name());
    parts.add_constant(tensor, std::as_bytes(std::span(whole.raw_data())), whole.has_raw_data(), {});
  }
  return parts;
}

const std::string* ModelParts::metadata(const std::string& key) const {
  for (const onnx::StringStringEntryProto& entry : skeleton.metadata_props()) {
    if (entry.key() == key) return &entry.value();
  }
  return nullptr;
}

void ModelParts::append(Constant constant) {
  onnx::TensorProto& tensor = *skeleton.mutable_graph()->add_initializer();
  tensor.set_name(constant.name);
  tensor.set_data_type(static_cast<int>(constant.type));
  for (const std::int64_t extent : constant.dims)
    tensor.add_dims(extent);
  constants.push_back(std::move(constant));
}

std::string ModelParts::content_hash(const std::string& but) const {
  ContentHash hash;
  for (const Constant& constant : constants) {
    hash.add(constant.bytes);
    if (constant.produce) constant.produce([&](Bytes piece) { hash.add(piece); });
  }
  return hash.take(skeleton, but);
}

// As protobuf writes the model, so that the order of fields on the disk does not count.
std::string ContentHash::take(onnx::ModelProto rest, const std::string& but) {
  for (onnx::TensorProto& tensor : *rest.mutable_graph()->mutable_initializer())
    tensor.clear_raw_data();
  auto& entries = *rest.mutable_metadata_props();
  for (int i = entries.size(); i-- > 0;) {
    if (entries[i].key() == but) entries.DeleteSubrange(i, 1);
  }
  std::string text;
  {
    google::protobuf::io::StringOutputStream stream(&text);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    rest.SerializeToCodedStream(&out);
  }
  hasher_.add(std::as_bytes(std::span(text)));
  return format::to_hex(hasher_.take());
}

}  // namespace vitrail::onnx_export::reference
