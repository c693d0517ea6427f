#pragma once
// An ONNX file as two things: its messages without the elements of tensors, and those elements where they
// lie, in the file or in one beside it. Nothing in the file is trusted.

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "format/file.h"
#include "format/hash.h"
#include "onnx_export/interpreter_tensor.h"

namespace vitrail::onnx_export::reference {

// An initialiser. Its bytes are as many as type and extents want; of a graph that is no file yet they may
// come from a function, which hands them to `sink` in pieces, the same ones every time.
struct Constant {
  std::string name;
  Type type = Type::f32;
  Dims dims;
  format::Bytes bytes;
  std::function<void(const std::function<void(format::Bytes)>& sink)> produce = {};
};

// XXH3-128 over everything in a file, for whoever writes one or reads one.
class ContentHash {
 public:
  void add(format::Bytes elements) { hasher_.add(elements); }  // of all initialisers, in their order
  // The rest: a model whose initialisers stand in it in that order; their elements do not count here, nor
  // does the metadata named `but`. In hexadecimal.
  std::string take(onnx::ModelProto rest, const std::string& but);

 private:
  format::Hasher128 hasher_;
};

struct ModelParts {
  // Initialisers stand in it without elements, in the order of `constants`.
  onnx::ModelProto skeleton;
  std::vector<Constant> constants;
  std::uint64_t bytes = 0;  // of the file and those beside it that it names

  // Throws FormatError for what is no ONNX file, for external data that are not where they must be (in the
  // file's folder, below it, or not there at all), and for a structure beyond the limits; FileError.
  static ModelParts open(const std::filesystem::path& path, const Limits& limits = {});
  // External data are looked for in `folder`; none are allowed when it is empty. `file` must outlive the
  // result.
  static ModelParts of(format::Bytes file, const std::filesystem::path& folder, const Limits& limits = {});
  // Views of a message in memory, which must outlive the result and hold its tensors' elements in raw_data.
  static ModelParts of(const onnx::ModelProto& model);

  const std::string* metadata(const std::string& key) const;  // null when there is none
  // Another order of the same fields on the disk gives the same.
  std::string content_hash(const std::string& but) const;
  // One more initialiser, behind the others.
  void append(Constant constant);

 private:
  void add_constant(const onnx::TensorProto& tensor, format::Bytes raw, bool has_raw,
                    const std::filesystem::path& folder);
  format::Bytes external(const onnx::TensorProto& tensor, const std::filesystem::path& folder);

  format::MappedFile file_;
  std::map<std::string, format::MappedFile> beside_;  // by location
};

}  // namespace vitrail::onnx_export::reference
