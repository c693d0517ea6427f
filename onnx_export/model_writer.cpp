#include "onnx_export/model_writer.h"

#include <cassert>

#include "format/block_writer.h"
#include "onnx_export/self_test.h"

namespace vitrail::onnx_export {
namespace {

// All of wire type 2: length, bytes.
constexpr int kGraphField = 7, kMetadataField = 14, kInitializerField = 5, kRawDataField = 9;

void put_varint(std::string& to, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7)
    to.push_back(static_cast<char>((number & 0x7f) | 0x80));
  to.push_back(static_cast<char>(number));
}

void put_key(std::string& to, int field, std::uint64_t bytes) {
  put_varint(to, static_cast<std::uint64_t>(field) << 3 | 2);
  put_varint(to, bytes);
}

// Everything of an initialiser before its bytes.
std::string payload_head(const Payload& payload) {
  std::string raw_key;
  put_key(raw_key, kRawDataField, payload.bytes);
  const std::string head = payload.head.SerializeAsString();
  std::string result;
  put_key(result, kInitializerField, head.size() + raw_key.size() + payload.bytes);
  return result + head + raw_key;
}

// Everything before the first payload.
std::string model_head(const onnx::ModelProto& model, std::uint64_t payload_bytes) {
  onnx::ModelProto shell = model;
  shell.clear_graph();
  std::string result = shell.SerializeAsString();
  const std::string graph = model.graph().SerializeAsString();
  put_key(result, kGraphField, graph.size() + payload_bytes);
  return result + graph;
}

onnx::StringStringEntryProto hash_entry(const std::string& hash) {
  onnx::StringStringEntryProto entry;
  entry.set_key(kHashKey);
  entry.set_value(hash);
  return entry;
}

// The last metadata of the file, known only once everything else is written, but not its size.
std::string hash_field(const std::string& hash) {
  const std::string entry = hash_entry(hash).SerializeAsString();
  std::string result;
  put_key(result, kMetadataField, entry.size());
  return result + entry;
}

const std::string kAnyHash(32, '0');

struct Layout {
  std::string head;
  std::vector<std::string> payload_heads;
  std::uint64_t bytes = 0;
};

Layout lay_out(const Graph& graph) {
  Layout layout;
  std::uint64_t payloads = 0;
  for (const Payload& payload : graph.payloads()) {
    layout.payload_heads.push_back(payload_head(payload));
    payloads += layout.payload_heads.back().size() + payload.bytes;
  }
  layout.head = model_head(graph.model(), payloads);
  layout.bytes = layout.head.size() + payloads + hash_field(kAnyHash).size();
  return layout;
}

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// A file written front to back, whole pages past the cache.
class Stream {
 public:
  Stream(const std::filesystem::path& path, std::uint64_t bytes)
      : file_(path, bytes), blocks_(file_, 0, bytes, {}), pages_(bytes / format::kPage * format::kPage) {}

  void put(Bytes bytes) {
    const std::size_t direct = std::min<std::uint64_t>(bytes.size(), pages_ - std::min(pages_, at_));
    if (direct > 0) (void)blocks_.put(bytes.first(direct));
    tail_.append(reinterpret_cast<const char*>(bytes.data()) + direct, bytes.size() - direct);
    at_ += bytes.size();
  }
  void zeros(std::uint64_t count) {
    const std::string none(count, '\0');
    put(bytes_of(none));
  }
  std::uint64_t at() const { return at_; }

  void commit() {
    blocks_.flush_pages();
    blocks_.drain();
    if (!tail_.empty()) {
      const int reason = file_.files().set_buffered(file_.handle());
      if (reason < 0) file_.fail("write through the page cache", reason);
      file_.write(pages_, bytes_of(tail_));
    }
    file_.sync();
    file_.commit();
  }

 private:
  format::AtomicFile file_;
  format::BlockWriter blocks_;
  std::uint64_t pages_, at_ = 0;  // bytes in whole pages; bytes put so far
  std::string tail_;              // of the last page, where it is not whole
};

void put_payload(Stream& stream, reference::ContentHash& hash, const Payload& payload) {
  [[maybe_unused]] const std::uint64_t begin = stream.at();
  payload.produce([&](Bytes piece) {
    hash.add(piece);
    stream.put(piece);
  });
  assert(stream.at() - begin == payload.bytes);
}

// Of what stands in the model itself.
reference::ContentHash begin_hash(const Graph& graph) {
  reference::ContentHash hash;
  for (const onnx::TensorProto& tensor : graph.model().graph().initializer())
    hash.add(bytes_of(tensor.raw_data()));
  return hash;
}

WrittenModel write_one_file(const std::filesystem::path& path, const Graph& graph, const Layout& layout) {
  Stream stream(path, layout.bytes);
  stream.put(bytes_of(layout.head));
  reference::ContentHash hash = begin_hash(graph);
  onnx::ModelProto whole = graph.model();
  for (std::size_t i = 0; i < graph.payloads().size(); ++i) {
    stream.put(bytes_of(layout.payload_heads[i]));
    put_payload(stream, hash, graph.payloads()[i]);
    *whole.mutable_graph()->add_initializer() = graph.payloads()[i].head;
  }
  stream.put(bytes_of(hash_field(hash.take(std::move(whole), kHashKey))));
  assert(stream.at() == layout.bytes);
  stream.commit();
  return {.bytes = layout.bytes, .data_bytes = 0, .data_path = {}};
}

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
}

void add_entry(onnx::TensorProto& tensor, const char* key, const std::string& value) {
  onnx::StringStringEntryProto& entry = *tensor.add_external_data();
  entry.set_key(key);
  entry.set_value(value);
}

// The model with references into the data file, and that file's size.
std::uint64_t refer(onnx::ModelProto& model, const Graph& graph, const std::string& location) {
  std::uint64_t offset = 0;
  for (const Payload& payload : graph.payloads()) {
    onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
    tensor = payload.head;
    tensor.set_data_location(onnx::TensorProto_DataLocation_EXTERNAL);
    add_entry(tensor, "location", location);
    add_entry(tensor, "offset", std::to_string(offset));
    add_entry(tensor, "length", std::to_string(payload.bytes));
    offset = aligned(offset + payload.bytes);
  }
  return offset;
}

// Both files are there in full before either takes its place.
WrittenModel write_two_files(const std::filesystem::path& path, const Graph& graph) {
  std::filesystem::path data_path = path;
  data_path += ".data";
  onnx::ModelProto model = graph.model();
  const std::uint64_t data_bytes = refer(model, graph, data_path.filename().string());
  const std::uint64_t bytes = model.ByteSizeLong() + hash_field(kAnyHash).size();
  Stream file(path, bytes), data(data_path, data_bytes);
  reference::ContentHash hash = begin_hash(graph);
  for (const Payload& payload : graph.payloads()) {
    put_payload(data, hash, payload);
    data.zeros(aligned(data.at()) - data.at());
  }
  assert(data.at() == data_bytes);
  file.put(bytes_of(model.SerializeAsString()));
  file.put(bytes_of(hash_field(hash.take(std::move(model), kHashKey))));
  data.commit();
  file.commit();
  return {.bytes = bytes, .data_bytes = data_bytes, .data_path = data_path};
}

WrittenModel write_once(const std::filesystem::path& path, const Graph& graph, bool external) {
  const Layout layout = lay_out(graph);
  const bool apart = (external || layout.bytes > kLargestMessage) && !graph.payloads().empty();
  return apart ? write_two_files(path, graph) : write_one_file(path, graph, layout);
}

}  // namespace

std::uint64_t message_bytes(const Graph& graph) {
  return lay_out(graph).bytes;
}

// A file that did not get to the disk cannot be mended, only written anew (format/file.h).
WrittenModel write_model(const std::filesystem::path& path, const Graph& graph, bool external) {
  try {
    return write_once(path, graph, external);
  } catch (const format::SyncError&) {
    return write_once(path, graph, external);
  }
}

}  // namespace vitrail::onnx_export
