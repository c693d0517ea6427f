#pragma once
// An ONNX file as two things: its messages without the elements of tensors, and those elements where they
// lie, in the file or in one beside it. Nothing in the file is trusted.

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "format/file.h"
#include "onnx_export/interpreter_tensor.h"

namespace vitrail::onnx_export::reference {

// An initialiser. Its bytes are as many as type and extents want.
struct Constant {
  std::string name;
  Type type = Type::f32;
  Dims dims;
  format::Bytes bytes;
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
  // XXH3-128 over everything in the file, in hexadecimal: each initialiser's elements, then the skeleton as
  // protobuf writes it, without the metadata named `but`. Another order of fields on the disk gives the same.
  std::string content_hash(const std::string& but) const;

 private:
  void add_constant(const onnx::TensorProto& tensor, format::Bytes raw, bool has_raw,
                    const std::filesystem::path& folder);
  format::Bytes external(const onnx::TensorProto& tensor, const std::filesystem::path& folder);

  format::MappedFile file_;
  std::map<std::string, format::MappedFile> beside_;  // by location
};

}  // namespace vitrail::onnx_export::reference
