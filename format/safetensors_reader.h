#pragma once
// How a SafetensorsFile is put together: of one file, or of the shards that an index names.

#include "format/safetensors.h"
#include "format/safetensors_header.h"
#include "format/source.h"

namespace vitrail::format {

struct SafetensorsFile::Storage {
  // What a file, or an index of all its files, says that its tensors hash to.
  struct Claim {
    std::string file, content_id;
    std::vector<std::string> tensors;  // names, sorted
  };
  std::vector<Source> sources;
  std::vector<std::vector<std::byte>> copies;
  std::vector<Claim> claims;
};

class SafetensorsReader {
 public:
  SafetensorsFile open(const std::filesystem::path& path);
  SafetensorsFile open(Bytes bytes, const std::string& name);

 private:
  Bytes bytes_of(Source source);
  void add_file(Bytes bytes, const std::string& name);
  void add_tensor(const SafetensorsEntry& entry, Bytes data);
  void add_aliases(const std::string& text, std::size_t first);
  void add_set(const std::filesystem::path& index);
  SafetensorsFile finish();

  std::shared_ptr<SafetensorsFile::Storage> storage_ = std::make_shared<SafetensorsFile::Storage>();
  SafetensorsFile file_;
};

}  // namespace vitrail::format
